# SPDX-License-Identifier: Apache-2.0
"""What `revoke` and `panic` answer: what became of each key, and which sessions live on, and what would end them."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from vaultd.core import chain
from vaultd.core.chain import FederationStep, RoleStep, SessionStep, Step
from vaultd.core.records import Body
from vaultd.core.revocation import SESSIONS
from vaultd.edge.revoking import Outcome
from vaultd.edge.shown import iso
from vaultd.wire.protocol import Frame

_CONSOLE = 'the role\'s "Revoke active sessions" in the IAM console'

Living = tuple[tuple[Step, datetime], ...]


def report(
    body: Body, outcomes: Mapping[str, Outcome], living: Living, now: datetime, names: list[str]
) -> Frame:
    """`body` knows of the outcomes."""
    sessions = sorted(_sessions(body, living, now, names), key=lambda item: str(item["expires_at"]))
    return {
        "profiles": [_profile(body, name, outcomes.get(name, Outcome())) for name in names],
        "sessions": sessions,
    }


def _profile(body: Body, name: str, outcome: Outcome) -> dict[str, Any]:
    revoked, profile = body.revocations[name], body.key_profile(name)
    ends = {step: revoked.wanted for step in revoked.done if step != SESSIONS} | dict(outcome.done)
    denied = "no policy" if profile.is_root else "denied before" if SESSIONS in revoked.done else None
    missing = revoked.missing or ("AWS was not asked yet" if revoked.left else None)
    return {
        "profile": name,
        "account": profile.account,
        "user": chain.user_name(profile),
        "keys": [{"access_key_id": key_id, "became": ends.get(key_id)} for key_id in revoked.key_ids],
        "sessions": outcome.done.get(SESSIONS, denied),
        "missing": missing,
    }


def _sessions(body: Body, living: Living, now: datetime, names: list[str]) -> Iterator[dict[str, Any]]:
    """What was made from these profiles' keys and is not over, but for what the deny has ended."""
    owners = {key_id: name for name in names for key_id in body.revocations[name].key_ids}
    denied = {name for name in names if SESSIONS in body.revocations[name].done}
    for step, ends in living:
        owner = owners.get(chain.base_of(step).access_key_id)
        if owner is None:
            continue
        if isinstance(step, RoleStep):
            yield _session(step.profile, "role", step.role_arn, ends, _CONSOLE)
        elif owner not in denied and not (isinstance(step, SessionStep) and step.mfa_serial):
            kind = "federated" if isinstance(step, FederationStep) else "session"
            yield _session(owner, kind, None, ends, _end(body, owner))
    for (key_id, _), kept in body.mfa_sessions.items():  # those in the broker are these
        owner = owners.get(key_id)
        if owner and owner not in denied and kept.expires_at > now:
            yield _session(owner, "mfa", None, kept.expires_at, _end(body, owner))


def _session(profile: str, kind: str, role: str | None, ends: datetime, ended_by: str) -> dict[str, Any]:
    return {
        "profile": profile,
        "kind": kind,
        "role_arn": role,
        "expires_at": iso(ends),
        "ended_by": ended_by,
    }


def _end(body: Body, name: str) -> str:
    return (
        "time only" if body.key_profile(name).is_root else f"awsvault revoke {name} --sessions --via PROFILE"
    )
