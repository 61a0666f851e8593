# SPDX-License-Identifier: Apache-2.0
"""The operations that bring profiles in: `add` for keys, `add_role` for roles. What AWS refuses is not kept."""

import asyncio
from dataclasses import replace
from typing import Any

from vaultd.core import chain, records, revocation
from vaultd.core.chain import Step
from vaultd.core.fields import check_name
from vaultd.core.keys import Key
from vaultd.core.partitions import partition_of
from vaultd.core.records import Body, KeyProfile, Profile
from vaultd.core.revocation import Revocation
from vaultd.core.roles import RoleProfile
from vaultd.core.rotation import PROMOTED
from vaultd.core.secret import Secret
from vaultd.core.sessions import of_key
from vaultd.edge import vetting
from vaultd.edge.calls import Call
from vaultd.edge.changes import checked_serve, role_fields
from vaultd.edge.service import Service
from vaultd.edge.shown import shown
from vaultd.wire.errors import Conflict, MfaNeeded, Refused
from vaultd.wire.protocol import Frame


async def add(service: Service, call: Call) -> Frame:
    name = check_name(call["profile"])
    access_key_id, secret, notes = records.check_credentials(call["access_key_id"], call["secret_access_key"])
    held = _held(service.keeper.body, name, access_key_id, secret) if call["same"] else None
    if held:
        return {"profile": shown(service, held), "notes": notes, "held": True}
    _check_free(service, service.keeper.body, name, call)
    _check_stays(service.keeper.body, name, access_key_id)
    profile = KeyProfile(
        name=name,
        key=Key(access_key_id, secret, created_at=None, added_at=service.clock.now()),
        serve=checked_serve(call["serve"]) or "session",
        partition=partition_of(call["region"]) if call["region"] else "aws",
        account=None,
        arn=None,
        region=call["region"],
        mfa_serial=call["mfa_serial"],
        verified_at=None,
        last_used_at=None,
    )
    if call["verify"]:
        await call.progress("asking AWS whose key this is")
        profile, found = await _vetted(service, profile, call)
        notes += found
    call.audit["key"] = access_key_id
    if not call["keep"]:
        call.audit["kept"] = False
        return {"profile": shown(service, profile), "notes": notes, "held": False}
    kept = await _keep(service, call, profile, notes)
    service.broker.forget(name)
    return {**kept, "held": False}


def _held(body: Body, name: str, access_key_id: str, secret: Secret) -> KeyProfile | None:
    """The profile of this name, if this very key is its own, or is the other one of its rotation."""
    profile = body.profiles.get(name)
    if not isinstance(profile, KeyProfile):
        return None
    run = body.rotations.get(name)
    keys = (profile.key, run.old, run.new) if run else (profile.key,)
    same = any(key and key.access_key_id == access_key_id and key.secret == secret for key in keys)
    return profile if same else None


async def add_role(service: Service, call: Call) -> Frame:
    """A role is tried before it is kept, unless a code that only a person has stands before it."""
    name = check_name(call["profile"])
    _check_free(service, service.keeper.body, name, call)
    given = {field: call[field] for field in role_fields() if call[field] is not None}
    profile = RoleProfile(name=name, added_at=service.clock.now(), **role_fields(given))
    step = chain.session_of(service.keeper.body.with_profile(profile), profile, service.durations)
    notes = _notes_on(profile, step)
    service.broker.forget(name)
    if call["verify"]:
        service.check_served(profile)
        await call.progress(f"assuming {profile.role_arn}")
        try:
            await service.broker.session(step)
            profile = replace(profile, verified_at=service.clock.now())
        except MfaNeeded:
            notes.append("not tried yet: it needs an MFA code first")
    return await _keep(service, call, profile, notes)


def _notes_on(profile: RoleProfile, step: Step) -> list[str]:
    if chain.is_chained(step):
        return [
            "a role that is assumed by a session (with MFA, or by another role) lasts an hour at most: AWS's rule"
        ]
    return (
        []
        if profile.source_identity is None
        else ["a source identity needs sts:SetSourceIdentity in the role's trust policy"]
    )


async def _keep(service: Service, call: Call, profile: Profile, notes: list[str]) -> Frame:
    def change(body: Body) -> Body:
        _check_free(service, body, profile.name, call)
        if isinstance(profile, KeyProfile):
            _check_stays(body, profile.name, profile.key.access_key_id)
        changed = body.with_profile(profile).with_revocation(profile.name, _still_revoked(body, profile))
        changed = changed.with_rotation(profile.name, None)
        chain.check_all(changed, service.durations, profile.name)
        return changed

    revoked = service.keeper.body.revocations.get(profile.name)
    if revoked and revoked.left:
        notes.append(
            f"what was left to revoke of the profile before it is forgotten: {', '.join(revoked.tails)}"
        )
    run = service.keeper.body.rotations.get(profile.name)
    if run:
        notes.append(
            f"the rotation of the profile before is given up, with the keys {', '.join(run.key_ids)}"
        )
    await service.save(change)
    service.last_used.pop(profile.name, None)
    return {"profile": shown(service, profile), "notes": notes}


def _check_free(service: Service, body: Body, name: str, call: Call) -> None:
    if name in body.profiles and not call["replace"]:
        command = "add" if call.op == "add" else "add-role"
        raise Conflict(
            f'there is a profile "{name}" already',
            hint=f"to put this in its place: awsvault {command} {name} --replace",
        )
    run = body.rotations.get(name)
    if run is None:
        return
    if not revocation.covers(body.revocations, name, run.key_ids):
        raise Refused(
            f'a rotation of "{name}" is open, and holds a key that is not this one',
            hint=f"run: awsvault rotate {name} --rollback, or awsvault remove {name}",
        )
    if service.rotator.start.creating:  # its secret is still to come, and has to be revoked
        raise Conflict("AWS is making a key for a rotation", hint="try again in a minute")


def _check_stays(body: Body, name: str, access_key_id: str) -> None:
    """Raise Refused for a key that is about to be deactivated and deleted as another profile's."""
    for other, run in body.rotations.items():
        if other != name and run.state in PROMOTED and run.old.access_key_id == access_key_id:
            raise Refused(
                f'this key is being rotated away as that of "{other}", and is deleted soon',
                hint=f'use "{other}", which serves its successor; how far it is: awsvault rotate --status',
            )


def _still_revoked(body: Body, profile: Profile) -> Revocation | None:
    """What is wanted of the key as another profile's: should that one go, this one must not serve it."""
    if isinstance(profile, RoleProfile):
        return None
    others = {name: found for name, found in body.revocations.items() if name != profile.name}
    return next(iter(revocation.covering(others, profile.name, (profile.key.access_key_id,)).values()), None)


async def _vetted(service: Service, profile: KeyProfile, call: Call) -> tuple[KeyProfile, list[str]]:
    verdict = await asyncio.to_thread(
        vetting.vet,
        service.aws,
        of_key(profile.key),
        region=profile.region,
        serve=checked_serve(call["serve"]),
        mfa_serial=profile.mfa_serial,
        allow_root=call["allow_root"],
    )
    facts: dict[str, Any] = {
        "key": replace(profile.key, created_at=verdict.created_at),
        "serve": verdict.serve,
        "partition": verdict.partition,
        "account": verdict.identity.account,
        "arn": verdict.identity.arn,
        "verified_at": service.clock.now(),
    }
    return replace(profile, **facts), list(verdict.notes)
