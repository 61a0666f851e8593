# SPDX-License-Identifier: Apache-2.0
"""The operation `rotate`: the plan, a rotation up to its promotion, a push, the way back."""

from datetime import timedelta
from typing import Any

from vaultd.core import userpolicy
from vaultd.core.fields import check_name
from vaultd.core.keys import ACCESS_KEY_ID
from vaultd.core.preflight import Found, Wanted
from vaultd.core.records import Body, KeyProfile
from vaultd.core.refusals import span
from vaultd.core.roles import RoleProfile
from vaultd.core.rotation import PROMOTED, UNCERTAIN
from vaultd.edge.calls import Call
from vaultd.edge.service import Service
from vaultd.edge.shown import iso, rotation_shown, shown
from vaultd.wire.errors import AwsFailed, Usage, VaultError
from vaultd.wire.protocol import Frame, error_frame

#: A denial of older sessions holds for those that are made while it is written, and for what AWS's clocks differ.
AHEAD = timedelta(seconds=4)


async def rotate(service: Service, call: Call) -> Frame:
    """Begin a rotation or go on with the open one, and say how far it came; `dry_run` says what would be done."""
    name = check_name(call["profile"])
    profile = _key_profile(service.keeper.body, name)
    wanted = _wanted(call)
    if call["dry_run"]:
        return {"plan": await _plan(service, profile, wanted)}
    epoch = service.keeper.epoch
    notes: list[str] = []
    if call["rollback"]:
        await service.rotator.roll_back(name, call.progress)
    else:
        notes = await _rotated(service, name, wanted, call)
    service.keeper.check_epoch(epoch)
    profile = service.keeper.body.key_profile(name)
    call.audit["key"] = profile.key.access_key_id
    return {"profile": shown(service, profile), "rotation": rotation_shown(service, profile), "notes": notes}


async def rotation(service: Service, call: Call) -> Frame:
    """How far it is. Asked once a second by who waits for its end, so it extends nothing."""
    profile = _key_profile(service.keeper.body, check_name(call["profile"]))
    return {"rotation": rotation_shown(service, profile)}


def _key_profile(body: Body, name: str) -> KeyProfile:
    """Raises NoSuchProfile, Usage."""
    profile = body.profile(name)
    if isinstance(profile, RoleProfile):
        raise Usage(
            f'"{name}" is a role and has no key of its own',
            hint=f"rotate its source: awsvault rotate {profile.source}",
        )
    return profile


def _wanted(call: Call) -> Wanted:
    key_id = call["replace"]
    if key_id is not None and not ACCESS_KEY_ID.match(key_id):
        raise Usage("--replace takes an access key id")
    if call["rollback"] and (key_id or call["now"] or call["force"] or call["dry_run"]):
        raise Usage("a rollback goes with nothing else")
    if call["sessions"] and not call["now"]:
        raise Usage("older sessions are ended only for a key that leaked: add --now")
    return Wanted(replace=key_id, force=call["force"], hurry=call["now"])


async def _rotated(service: Service, name: str, wanted: Wanted, call: Call) -> list[str]:
    """Notes on what else was done. Raises AwsFailed when the new key is not served, or less was done than was asked for."""
    failures: list[AwsFailed] = []
    try:
        run = await service.rotator.rotate(name, wanted, call.progress)
    except AwsFailed as error:
        run = service.keeper.body.rotations.get(name) if service.keeper.is_unlocked else None
        if run is None or run.state not in PROMOTED:
            raise
        hint = "vaultd goes on by itself; awsvault rotate --status"
        failures.append(AwsFailed(error.message, hint=hint, details=dict(error.details)))
    else:
        if run and (run.state not in PROMOTED or (run.waits and (run.hurry or run.force))):
            hint = "" if run.waits else "vaultd finds out; awsvault rotate --status"
            failures.append(AwsFailed(run.waits or UNCERTAIN, hint=hint))
        if run and run.state not in PROMOTED:
            raise failures[0]
    notes = await _end_sessions(service, name, failures) if call["sessions"] else []
    if failures:
        raise _halfway(failures, is_over=run is None)
    return notes


def _halfway(failures: list[AwsFailed], *, is_over: bool) -> AwsFailed:
    """What was not done, after what was."""
    done = "the old key is gone" if is_over else "the new key is served"
    first, *more = failures
    also = "; the sessions made before were not ended" if more else ""
    return AwsFailed(f"{done}, but {first.message}{also}", hint=first.hint, details=dict(first.details))


async def _end_sessions(service: Service, name: str, failures: list[AwsFailed]) -> list[str]:
    """All that were made before this moment, by AWS's clock; what is handed out from here on is none of them."""
    profile = service.keeper.body.key_profile(name)
    key_id = profile.key.access_key_id
    user = await service.rotator.steps.user(profile)
    if user.name is None:
        return ["the root user has no policy that could end its sessions: they live for 36 h at most"]
    steps = service.rotator.steps
    try:
        moment = await steps.call(service.aws.time, user.partition, user.region)
        await steps.call(user.put_policy, userpolicy.DENIAL, userpolicy.denial(moment + AHEAD))
    except AwsFailed as error:
        hint = error.hint or "who else can do it: awsvault help revoke"
        failures.append(AwsFailed(error.message, hint=hint, details=dict(error.details)))
        return []
    await _forget_ended(service, key_id)
    await steps.pause(AHEAD.total_seconds() + 1)  # until that is over on every clock of AWS's
    await _forget_ended(service, key_id)  # what a program had us make meanwhile is ended, too
    return [
        "sessions that the user's keys made before this moment are denied everything; those of roles live on"
    ]


async def _forget_ended(service: Service, key_id: str) -> None:
    await service.save(lambda body: body.without_mfa_sessions((key_id,)))
    service.rotator.runs.forget_sessions(key_id)


async def _plan(service: Service, profile: KeyProfile, wanted: Wanted) -> dict[str, Any]:
    """What would be done, which rights are proven, missing, unknown, and what stands against it."""
    found = await service.rotator.look(profile.name)
    refusal = _refusal(service, profile, found, wanted)
    held = service.rotator.runs.held()
    periods = service.rotator.periods(profile)
    return {
        "user": found.user,
        "account": found.identity.account,
        "keys": [
            {
                "access_key_id": key.key_id,
                "active": key.listed.active,
                "created_at": iso(key.listed.created_at),
                "last_used_at": iso(key.last_used.at) if key.last_used else None,
                "last_used_by": f"{key.last_used.service} in {key.last_used.region}"
                if key.last_used
                else None,
                "ours": key.key_id in held,
            }
            for key in found.keys
        ],
        "rights": dict(found.rights),
        "notes": found.notes(),
        "steps": _steps(profile, wanted, periods.grace, periods.soak),
        "refusal": error_frame(refusal)["error"] if refusal else None,
        "open": rotation_shown(service, profile),
    }


def _refusal(service: Service, profile: KeyProfile, found: Found, wanted: Wanted) -> VaultError | None:
    try:
        service.rotator.start.check(found, profile, wanted)
    except VaultError as error:
        return error
    return None


def _steps(profile: KeyProfile, wanted: Wanted, grace: timedelta, soak: timedelta) -> list[str]:
    old = profile.key.access_key_id
    replaced = [f"delete the key {wanted.replace}"] if wanted.replace else []
    times = ["at once", "at once"] if wanted.hurry else [f"after {span(grace)}", f"after {span(soak)} more"]
    return [
        *replaced,
        "make a new key, and save it",
        "try it until it works everywhere",
        "serve it in place of the old one",
        f"{times[0]}: deactivate the old key {old}, unless something still uses it",
        f"{times[1]}: delete the old key",
    ]
