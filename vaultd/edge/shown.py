# SPDX-License-Identifier: Apache-2.0
"""How profiles are shown, to people and programs: everything but secrets."""

from datetime import datetime, timedelta
from typing import Any

from vaultd.core import chain, reminders, rotation
from vaultd.core.records import Body, KeyProfile, Profile
from vaultd.core.revocation import SESSIONS, Revocation
from vaultd.core.roles import RoleProfile
from vaultd.core.uses import latest
from vaultd.edge.service import Service
from vaultd.wire.errors import VaultError


def shown(service: Service, profile: Profile) -> dict[str, Any]:
    """A profile as `list --json` prints it."""
    facts = _role(service, profile) if isinstance(profile, RoleProfile) else _key(service, profile)
    return {
        "profile": profile.name,
        **facts,
        "last_used_at": iso(latest(service.last_used.get(profile.name), profile.last_used_at)),
    }


def _key(service: Service, profile: KeyProfile) -> dict[str, Any]:
    now, terms = service.clock.now(), service.settings.rotation
    rotate_by = reminders.rotate_by(profile.key, terms)
    device = (profile.key.access_key_id, profile.mfa_serial or "")
    mfa_session = service.keeper.body.mfa_sessions.get(device)
    return {
        "kind": "key",
        "serve": profile.serve,
        "partition": profile.partition,
        "account": profile.account,
        "arn": profile.arn,
        "region": profile.region,
        "mfa_serial": profile.mfa_serial,
        "mfa_expires_at": iso(_ahead(mfa_session.expires_at if mfa_session else None, now)),
        "totp": profile.totp is not None,
        "mfa_process": list(profile.mfa_process),
        "policy": profile.policy is not None,
        "policy_arns": list(profile.policy_arns),
        "access_key_id": profile.key.access_key_id,
        "created_at": iso(profile.key.created_at),
        "added_at": iso(profile.key.added_at),
        "verified_at": iso(profile.verified_at),
        "age_days": max(0, (now - reminders.born(profile.key)).days),
        "rotate_by": iso(rotate_by),
        "status": _revoked_status(service.keeper.body, profile.name)
        or _status(profile, now, rotate_by, timedelta(seconds=terms.remind_before)),
        "auto_rotate": profile.auto_rotate is not None,
        "auto_rotate_elsewhere": _elsewhere(profile.auto_rotate, service.rotator.start.host),
        "rotation": rotation_shown(service, profile),
        "revocation": _revocation(service.keeper.body.revocations.get(profile.name)),
        "used_in_aws_at": iso(service.reminding.used_in_aws_at(profile.key.access_key_id)),
        "used_in_aws_for": service.reminding.used_in_aws_for(profile.key.access_key_id),
        "snoozed_until": iso(_ahead(service.keeper.body.snoozed.get(profile.name), now)),
    }


def _elsewhere(host: str | None, here: str) -> str | None:
    """The machine that rotates it, as people call it, when that is not this one; or this one had that name before."""
    return host.partition(":")[0] if host not in (None, here) else None


def rotation_shown(service: Service, profile: KeyProfile) -> dict[str, Any] | None:
    """What stands open, without its keys' secrets."""
    run = service.keeper.body.rotations.get(profile.name)
    if run is None:
        return None
    return {
        "state": run.state,
        "since": iso(run.since),
        "next_at": iso(rotation.due_at(run, service.rotator.periods(profile))),
        "waits": run.waits or None,
        "old_key": run.old.access_key_id,
        "new_key": run.new.access_key_id if run.new else None,
        "promoted_at": iso(run.promoted_at),
        "rolled_back": run.back,
        "now": run.hurry,
        "forced": run.force,
        "run": run.run,
        "host": run.host,
    }


def _revocation(revoked: Revocation | None) -> dict[str, Any] | None:
    if revoked is None:
        return None
    return {
        "asked_at": iso(revoked.asked_at),
        "wanted": revoked.wanted,
        "sessions_denied": SESSIONS in revoked.done,
        "missing": revoked.missing or None,
    }


def _revoked_status(body: Body, name: str) -> str | None:
    revoked = body.revocations.get(name)
    return None if revoked is None else "revoking" if revoked.left else "revoked"


def _ahead(moment: datetime | None, now: datetime) -> datetime | None:
    return moment if moment and moment > now else None


def _status(profile: KeyProfile, now: datetime, rotate_by: datetime, remind_before: timedelta) -> str:
    if now >= rotate_by:
        return "overdue"
    if now >= rotate_by - remind_before:
        return "due"
    return "ok" if profile.verified_at else "unverified"


def _role(service: Service, profile: RoleProfile) -> dict[str, Any]:
    return {
        "kind": "role",
        "serve": "session",
        "source": profile.source,
        "role_arn": profile.role_arn,
        "partition": profile.partition,
        "account": profile.account,
        "arn": profile.role_arn,
        "region": profile.region,
        "external_id": profile.external_id,
        "session_name": profile.session_name,
        "duration_s": profile.duration_s,
        "tags": dict(profile.tags),
        "transitive_tags": list(profile.transitive_tags),
        "source_identity": profile.source_identity,
        "policy": profile.policy is not None,
        "policy_arns": list(profile.policy_arns),
        "mfa_profile": _mfa_profile(service, profile),
        # The columns of keys, which a role has none of: one shape for every reader of `list --json`.
        "access_key_id": None,
        "created_at": None,
        "added_at": iso(profile.added_at),
        "verified_at": iso(profile.verified_at),
        "age_days": None,
        "rotate_by": None,
        "status": _role_status(service, profile),
        "auto_rotate": False,
        "auto_rotate_elsewhere": None,
        "rotation": None,
        "revocation": None,
        "used_in_aws_at": None,
        "used_in_aws_for": None,
        "snoozed_until": None,
    }


def _mfa_profile(service: Service, profile: RoleProfile) -> str | None:
    """The key profile whose MFA device it needs."""
    try:
        step = chain.mfa_of(chain.session_of(service.keeper.body, profile, service.durations))
    except VaultError:
        return None
    return step.key.profile if step else None


def _role_status(service: Service, profile: RoleProfile) -> str:
    body = service.keeper.body
    if profile.source not in body.profiles:
        return "no source"
    usual = "ok" if profile.verified_at else "unverified"
    if not body.revocations:
        return usual
    try:
        base = chain.base_of(chain.session_of(body, profile, service.durations)).profile
    except VaultError:
        return usual
    return _revoked_status(body, base) or usual


def iso(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None
