# SPDX-License-Identifier: Apache-2.0
"""The operations that take keys out of use: `revoke`, `unrevoke` and `panic`.

Each saves what it is about to do before it asks AWS. Neither waits for the audit; `panic` does not wait for the disk.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial

from vaultd.core import chain, revocation
from vaultd.core.fields import check_name
from vaultd.core.records import Body, KeyProfile, Profile
from vaultd.core.refusals import UNKNOWN_KEY
from vaultd.core.revocation import SESSIONS, Revocation
from vaultd.core.sessions import Credentials, of_key
from vaultd.edge.calls import Call
from vaultd.edge.iam_user import IamUser
from vaultd.edge.mfa import code_needed
from vaultd.edge.revocation_jobs import held_keys
from vaultd.edge.revocation_report import report
from vaultd.edge.revoker import told
from vaultd.edge.revoking import Outcome, Signer
from vaultd.edge.service import Service
from vaultd.edge.shown import iso
from vaultd.wire.errors import AwsFailed, Conflict, MfaNeeded, Refused, Usage, VaultError
from vaultd.wire.protocol import Frame

REVOKE_PATIENCE_S = 40.0  # then the daemon goes on by itself
PANIC_PATIENCE_S = 25.0  # then the next unlock goes on
SAVE_PATIENCE_S = 5.0
SETTLE_PATIENCE_S = 1.0


async def revoke(service: Service, call: Call) -> Frame:
    """Take the profile's keys out of use in AWS. Nothing is asked of AWS before the vault knows what is wanted."""
    call.urgent = False
    name = check_name(call["profile"])
    profile = service.keeper.body.key_profile(name)
    via = await _via(service, call, profile) if call["via"] is not None else None
    before = dict(service.keeper.body.revocations)
    sharing = _sharing(service.keeper.body, profile)
    wanted = _asked(service, sharing, delete=call["delete"], deny=call["sessions"])
    await service.save(partial(_with, wanted))
    body = service.keeper.body
    for other in wanted:
        service.broker.forget(other)
    await call.progress(f"revoking the key of {name}")
    outcomes = await service.revoker.run(wanted, via=via, patience_s=REVOKE_PATIENCE_S)
    outcomes = _as_before(before, outcomes)
    service.revoker.tried(outcomes)
    call.audit["via"] = call["via"]
    notes = [f'"{other}" has the same key and is served no more, either' for other in _others(wanted, name)]
    if name in outcomes and outcomes[name].done.get(SESSIONS) == "denied":
        notes.append(_denied_too(service.clock.now() + revocation.DENIED_AHEAD))
    try:
        await service.revoker.keep(outcomes)
    except VaultError as error:
        notes.append(f"what was done could not be written down: {error.message}")
    return _told(service, call, told(_latest(service, body, wanted), outcomes), outcomes, [name], notes)


async def panic(service: Service, call: Call) -> Frame:
    """Serve nothing from this moment on, take every key out of use, lock. What is not done by then the next unlock does."""
    call.urgent = False
    service.panicking = True
    try:
        return await _panic(service, call)
    finally:
        service.panicking = False
        service.lock("panic")


async def _panic(service: Service, call: Call) -> Frame:
    broker = service.broker_if_used
    if broker:
        await asyncio.wait({asyncio.ensure_future(broker.settle())}, timeout=SETTLE_PATIENCE_S)
    body = service.keeper.body
    keys = [profile for profile in body.profiles.values() if isinstance(profile, KeyProfile)]
    wanted = _asked(service, keys, delete=False, deny=call["sessions"])
    await _written(service, partial(_with, wanted))
    await call.progress(f"revoking the keys of {len(keys)} profiles")
    outcomes = await service.revoker.run(wanted, patience_s=PANIC_PATIENCE_S)
    outcomes = _as_before(body.revocations, outcomes)

    def done(body: Body) -> Body:
        return told(_with(wanted, body), outcomes)

    notes = await _written(service, done)  # all of it: the first save may have failed
    service.reminding.look()  # a locked daemon reminds of what is left
    return _told(service, call, done(_latest(service, body, body.revocations)), outcomes, wanted, notes)


def _latest(service: Service, known: Body, names: Iterable[str]) -> Body:
    """With a key that a rotation brought meanwhile; the vault may be locked by now, or a profile be removed."""
    latest = service.keeper.body if service.keeper.is_unlocked else known
    return latest if latest.revocations.keys() >= set(names) else known


async def _written(service: Service, change: Callable[[Body], Body]) -> list[str]:
    """Saved, or why not. No disk may keep a key active."""
    saving = asyncio.ensure_future(service.keep(change))
    await asyncio.wait({saving}, timeout=SAVE_PATIENCE_S)
    if not saving.done():
        fact = "the disk does not answer"
    elif error := saving.exception():
        fact = error.message if isinstance(error, VaultError) else type(error).__name__
    else:
        return []
    return [f"the vault could not be saved: {fact}; the next unlock does not know of it"]


async def unrevoke(service: Service, call: Call) -> Frame:
    """Serve a profile again whose keys are active again; with `via` they are made so."""
    call.urgent = False
    name = check_name(call["profile"])
    profile = service.keeper.body.key_profile(name)
    key_id = profile.key.access_key_id
    revoked = revocation.covering(service.keeper.body.revocations, name, (key_id,))
    if not revoked:
        raise Usage(f'"{name}" is not revoked')
    if any(key_id in found.deleted for found in revoked.values()):
        raise Refused(f'the key of "{name}" is deleted', hint=f"run: awsvault add {name} --replace")
    change = partial(_served_again, name=name, key_id=key_id, revoked=revoked)
    if call["via"] is not None:
        signer = await _via(service, call, profile)
        user = _user(service, profile, signer.credentials, _user_name(profile))
        await call.progress(f"activating the key of {name}")
        async with service.revoker.waking(key_id):
            await asyncio.to_thread(user.set_key_active, key_id, active=True)
            await service.save(change)
    else:
        await call.progress(f"trying the key of {name}")
        await _check_active(service, profile)
        await service.save(change)
    call.audit["key"] = key_id
    notes = [f'"{other}" has the same key and is served again, too' for other in _others(revoked, name)]
    ends = max(found.asked_at for found in revoked.values()) + revocation.DENIED_AHEAD
    if any(SESSIONS in found.done for found in revoked.values()) and service.clock.now() < ends:
        service.revoker.denied(profile, ends)
        notes.append(_denied_too(ends))
    return {"profile": name, "access_key_id": key_id, "notes": notes}


async def _check_active(service: Service, profile: KeyProfile) -> None:
    """Raises AwsFailed."""
    try:
        await asyncio.to_thread(_user(service, profile, of_key(profile.key)).who_signs)
    except AwsFailed as error:
        if error.details.get("aws_code") not in UNKNOWN_KEY:
            raise
        hint = f"activate it in the IAM console, or run: awsvault revoke {profile.name} --undo --via PROFILE"
        raise AwsFailed(f'the key of "{profile.name}" is still inactive', hint=hint) from None


def _served_again(body: Body, *, name: str, key_id: str, revoked: Mapping[str, Revocation]) -> Body:
    """Without the MFA sessions that were denied everything: for hours they would be served. Raises Conflict."""
    if revocation.covering(body.revocations, name, (key_id,)) != revoked:
        raise Conflict(f'the revocation of "{name}" was changed meanwhile', hint="try again")
    for owner, found in revoked.items():
        denied = found.key_ids if SESSIONS in found.done else ()
        body = body.with_revocation(owner, None).without_mfa_sessions(denied)
    return body


def _denied_too(ends: datetime) -> str:
    return f"sessions that any key of the user makes before {iso(ends)} are denied everything, too"


def _told(
    service: Service,
    call: Call,
    body: Body,
    outcomes: Mapping[str, Outcome],
    names: Iterable[str],
    notes: list[str],
) -> Frame:
    """The answer; `body` knows of the outcomes, and the vault may be locked by now."""
    broker = service.broker_if_used
    answer = report(body, outcomes, broker.alive() if broker else (), service.clock.now(), sorted(names))
    found = answer["profiles"]
    failed = [item["profile"] for item in found if item["missing"]]
    wants_code = [name for name in failed if body.key_profile(name).mfa_serial]
    call.audit["keys"] = {key["access_key_id"]: key["became"] for item in found for key in item["keys"]}
    call.audit["failed"] = failed
    more = [f"a code may help: awsvault mfa {name}" for name in wants_code]
    return {**answer, "failed": len(failed), "notes": [*notes, *more]}


# --- what is wanted


def _asked(
    service: Service, profiles: Iterable[KeyProfile], *, delete: bool, deny: bool
) -> dict[str, Revocation]:
    body, now = service.keeper.body, service.clock.now()
    return {
        profile.name: revocation.asked(
            body.revocations.get(profile.name),
            [key.access_key_id for key in held_keys(body, profile)],
            delete=delete,
            deny=deny and not profile.is_root,
            now=now,
        )
        for profile in profiles
    }


def _with(wanted: Mapping[str, Revocation], body: Body) -> Body:
    for name, revoked in wanted.items():
        if name in body.profiles:
            body = body.with_revocation(name, revoked)
    return body


def _as_before(before: Mapping[str, Revocation], outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Keys that are out of use can write no policy: the one of last time stands, and newer sessions are not spoken of."""
    found = dict(outcomes)
    for name, outcome in outcomes.items():
        ends = {outcome.done.get(key_id) for key_id in before[name].key_ids} if name in before else set()
        if ends == {"unusable"} and SESSIONS in before[name].done:
            left = {step: failure for step, failure in outcome.failures.items() if step != SESSIONS}
            found[name] = replace(outcome, done={SESSIONS: "denied before", **outcome.done}, failures=left)
    return found


def _sharing(body: Body, profile: KeyProfile) -> list[KeyProfile]:
    """It and the profiles that own one of its keys: nobody forbids to add a key twice."""
    held = {key.access_key_id for key in held_keys(body, profile)}
    owners = [owner for owner in body.profiles.values() if isinstance(owner, KeyProfile)]
    return [owner for owner in owners if owner.key.access_key_id in held]


def _others(names: Iterable[str], name: str) -> list[str]:
    return sorted(set(names) - {name})


def _user(service: Service, profile: Profile, credentials: Credentials, name: str | None = None) -> IamUser:
    return IamUser(service.aws.iam, credentials, profile.partition, profile.region, name)


def _user_name(profile: KeyProfile) -> str:
    name = chain.user_name(profile)
    if name is None:
        raise Usage(f'whose key "{profile.name}" has is not known, or it is a root user\'s')
    return name


# --- who signs


async def _via(service: Service, call: Call, target: KeyProfile) -> Signer:
    """Another profile's rights: its key, its MFA session or its role."""
    profile = service.keeper.body.profile(check_name(call["via"]))
    _check_via(profile, target)
    service.check_served(profile)
    step = chain.session_of(service.keeper.body, profile, service.durations)
    is_same_user = isinstance(profile, KeyProfile) and profile.arn is not None and profile.arn == target.arn
    if isinstance(profile, KeyProfile) and not chain.mfa_of(step):  # a session without MFA may not ask IAM
        credentials, ends_itself = of_key(profile.key), False
    else:
        await call.progress(f"asking AWS for a session of {profile.name}")
        try:
            session = await service.broker.session(step)
        except MfaNeeded:
            raise code_needed(profile.name) from None
        credentials, ends_itself = session.credentials, is_same_user
    account = profile.account
    if account is None:
        await call.progress(f"asking AWS whose key {profile.name} has")
        account = (await asyncio.to_thread(_user(service, profile, credentials).who_signs)).account
        _check_account(profile.name, account, target)
    own_key = profile.key.access_key_id if isinstance(profile, KeyProfile) and is_same_user else None
    return Signer(credentials, own_key, ends_itself, account)


def _check_via(profile: Profile, target: KeyProfile) -> None:
    if profile.name == target.name:
        raise Usage("--via names another profile, whose rights are used")
    if target.is_root:
        raise Usage(
            "a root user's key can be revoked by itself only", hint="leave out --via, or use the console"
        )
    if profile.partition != target.partition:
        raise Usage(f'"{profile.name}" is in {profile.partition}, but "{target.name}" in {target.partition}')
    if profile.account:
        _check_account(profile.name, profile.account, target)


def _check_account(name: str, account: str, target: KeyProfile) -> None:
    if target.account and account != target.account:
        raise Usage(f'"{name}" is of account {account}, but "{target.name}" of {target.account}')
