# SPDX-License-Identifier: Apache-2.0
"""The operations on profiles: names, list, show, add, edit, remove, and `get`, which hands credentials out."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from vaultd.core import records, sessions
from vaultd.core.records import Key, KeyProfile, Serve
from vaultd.core.sessions import Credentials, Session
from vaultd.edge import vetting
from vaultd.edge.calls import Call
from vaultd.edge.service import Service
from vaultd.wire.errors import AwsPending, Conflict, Locked, Usage
from vaultd.wire.protocol import GET_DEADLINE_S, Frame


async def names(service: Service, _call: Call) -> Frame:
    return {"names": sorted(service.keeper.body.profiles)}


async def list_profiles(service: Service, _call: Call) -> Frame:
    profiles = service.keeper.body.profiles
    return {"profiles": [_shown(service, profiles[name]) for name in sorted(profiles)]}


async def show(service: Service, call: Call) -> Frame:
    return {"profile": _shown(service, service.keeper.body.profile(records.check_name(call["profile"])))}


def _shown(service: Service, profile: KeyProfile) -> dict[str, Any]:
    """A profile as `list --json` prints it; never a secret."""
    now, rotation = service.clock.now(), service.settings.rotation
    born = profile.key.created_at or profile.key.added_at
    rotate_by = born + timedelta(seconds=rotation.max_age)
    return {
        "profile": profile.name,
        "kind": "key",
        "serve": profile.serve,
        "partition": profile.partition,
        "account": profile.account,
        "arn": profile.arn,
        "region": profile.region,
        "mfa_serial": profile.mfa_serial,
        "access_key_id": profile.key.access_key_id,
        "created_at": _iso(profile.key.created_at),
        "added_at": _iso(profile.key.added_at),
        "verified_at": _iso(profile.verified_at),
        "age_days": max(0, (now - born).days),
        "rotate_by": _iso(rotate_by),
        "last_used_at": _iso(service.last_used.get(profile.name, profile.last_used_at)),
        "status": _status(profile, now, rotate_by, timedelta(seconds=rotation.remind_before)),
        "rotation": None,
    }


def _status(profile: KeyProfile, now: datetime, rotate_by: datetime, remind_before: timedelta) -> str:
    if now >= rotate_by:
        return "overdue"
    if now >= rotate_by - remind_before:
        return "due"
    return "ok" if profile.verified_at else "unverified"


def _iso(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


async def get(service: Service, call: Call) -> bytes:
    """The credential_process answer. A session that AWS takes long to make goes on being made for the next caller."""
    profile = service.keeper.body.profile(records.check_name(call["profile"]))
    epoch = service.keeper.epoch
    if profile.serve == "key":
        credentials = Credentials(profile.key.access_key_id, profile.key.secret)
        expires_at = service.clock.now() + timedelta(seconds=service.settings.serve.lease)
        call.urgent = False
    else:
        session = service.broker.cached(profile)
        call.urgent = session is None
        if session is None:
            session = await _in_time(service.broker.session(profile))
        credentials, expires_at = session.credentials, session.expires_at
    if service.keeper.epoch != epoch:
        raise Locked
    service.last_used[profile.name] = service.clock.now()
    call.audit |= {"key": credentials.access_key_id, "serve": profile.serve, "expires": _iso(expires_at)}
    return sessions.answer(credentials, expires_at, profile.account)


async def _in_time(work: Awaitable[Session]) -> Session:
    try:
        async with asyncio.timeout(GET_DEADLINE_S):
            return await work
    except TimeoutError:
        raise AwsPending from None


async def add(service: Service, call: Call) -> Frame:
    name = records.check_name(call["profile"])
    access_key_id, secret, notes = records.check_credentials(call["access_key_id"], call["secret_access_key"])
    if not call["replace"]:
        _check_free(service, name)
    now = service.clock.now()
    profile = KeyProfile(
        name=name,
        key=Key(access_key_id, secret, created_at=None, added_at=now),
        serve=_serve(call["serve"]) or "session",
        partition="aws",
        account=None,
        arn=None,
        region=call["region"],
        mfa_serial=call["mfa_serial"],
        verified_at=None,
        last_used_at=None,
    )
    if call["verify"]:
        await call.progress("asking AWS whose key this is")
        profile, found = await _verified(service, profile, call)
        notes += found
    epoch = service.keeper.epoch

    def change(body: records.Body) -> records.Body:
        if name in body.profiles and not call["replace"]:
            raise _taken(name)
        return body.with_profile(profile)

    await service.save(change)
    if service.keeper.epoch == epoch:
        service.broker.forget(name)
    service.last_used.pop(name, None)
    call.audit["key"] = access_key_id
    return {"profile": _shown(service, profile), "notes": notes}


def _check_free(service: Service, name: str) -> None:
    if name in service.keeper.body.profiles:
        raise _taken(name)


def _taken(name: str) -> Conflict:
    return Conflict(
        f'there is a profile "{name}" already',
        hint=f"to put this key in its place: awsvault add {name} --replace",
    )


async def _verified(service: Service, profile: KeyProfile, call: Call) -> tuple[KeyProfile, list[str]]:
    verdict = await asyncio.to_thread(
        vetting.vet,
        service.aws,
        Credentials(profile.key.access_key_id, profile.key.secret),
        region=profile.region,
        serve=_serve(call["serve"]),
        mfa_serial=profile.mfa_serial,
        allow_root=call["allow_root"],
    )
    vetted = replace(
        profile,
        key=replace(profile.key, created_at=verdict.created_at),
        serve=verdict.serve,
        partition=verdict.partition,
        account=verdict.identity.account,
        arn=verdict.identity.arn,
        verified_at=service.clock.now(),
    )
    return vetted, list(verdict.notes)


def _serve(text: object) -> Serve | None:
    if text not in (None, "session", "key"):
        raise Usage("serve is session or key")
    return text


async def edit(service: Service, call: Call) -> Frame:
    """Change what can be changed without a new key; null clears."""
    name = records.check_name(call["profile"])
    changes = dict(call["changes"])
    if not changes or not changes.keys() <= {"serve", "region", "mfa_serial"}:
        raise Usage("there is nothing to change", hint="choose from --serve, --region, --mfa-serial")
    if any(not isinstance(value, str | None) for value in changes.values()):
        raise Usage("a change has the wrong type")
    if "serve" in changes and _serve(changes["serve"]) is None:
        raise Usage("serve is session or key")

    await service.save(lambda body: body.with_profile(replace(body.profile(name), **changes)))
    service.broker.forget(name)
    call.audit["changed"] = sorted(changes)
    return {"profile": _shown(service, service.keeper.body.profile(name))}


async def remove(service: Service, call: Call) -> Frame:
    """Forget the key here. It still lives in AWS, and the caller says so."""
    name = records.check_name(call["profile"])
    profile = service.keeper.body.profile(name)
    await service.save(lambda body: body.without(name))
    service.broker.forget(name)
    service.last_used.pop(name, None)
    call.audit["key"] = profile.key.access_key_id
    return {"access_key_id": profile.key.access_key_id, "account": profile.account}
