# SPDX-License-Identifier: Apache-2.0
"""The operations that hand something out: `get`, `mfa` (which makes it possible) and `console`."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from vaultd.core import chain, sessions
from vaultd.core.chain import FederationStep, KeyStep, Step
from vaultd.core.fields import check_name
from vaultd.core.records import KeyProfile, Profile
from vaultd.core.roles import RoleProfile
from vaultd.core.sessions import Credentials, Session, of_key
from vaultd.edge.calls import Call
from vaultd.edge.mfa import code_needed
from vaultd.edge.service import Service
from vaultd.edge.shown import iso
from vaultd.wire.errors import AwsPending, MfaNeeded, Refused, Usage
from vaultd.wire.protocol import GET_DEADLINE_S, Frame

MFA_CODE_LENGTH = 6
#: Signing in to the console as a key's user: a federated session may do what the user may, cut to these policies.
_EVERYTHING = "arn:{partition}:iam::aws:policy/AdministratorAccess"


async def get(service: Service, call: Call) -> bytes:
    """The credential_process answer. A session that AWS takes long to make goes on being made for the next caller."""
    profile = service.keeper.body.profile(check_name(call["profile"]))
    service.check_served(profile)
    epoch = service.keeper.epoch
    if _serves_key(profile, call["serve"]):
        credentials, expires_at = _leased(service, profile)
        call.urgent = False
    else:
        session = await _session(service, call, profile)
        credentials, expires_at = session.credentials, session.expires_at
    service.keeper.check_epoch(epoch)
    service.last_used[profile.name] = service.clock.now()
    call.audit |= {
        "key": credentials.access_key_id,
        "serve": "session" if credentials.session_token else "key",
        "expires": iso(expires_at),
    }
    return sessions.answer(credentials, expires_at, profile.account)


def _serves_key(profile: Profile, asked: object) -> bool:
    """Is the long-term key itself handed out? Only where the profile says so, or its owner for this one time."""
    if asked not in (None, "session", "key"):
        raise Usage("serve is session or key")
    if isinstance(profile, RoleProfile):
        if asked == "key":
            raise Usage(
                f'"{profile.name}" is a role and has no key', hint=f"use its source: {profile.source}"
            )
        return False
    if asked == "key" and profile.narrowed:
        raise Refused(f'"{profile.name}" is narrowed by a policy: its key is not handed out')
    return (asked or profile.serve) == "key"


def _leased(service: Service, profile: Profile) -> tuple[Credentials, datetime]:
    assert isinstance(profile, KeyProfile)
    lease = timedelta(seconds=service.settings.serve.lease)
    return of_key(profile.key), service.clock.now() + lease


async def _session(service: Service, call: Call, profile: Profile) -> Session:
    step = chain.session_of(service.keeper.body, profile, service.durations)
    session = service.broker.cached(step)
    call.urgent = session is None
    if session:
        return session
    try:
        async with asyncio.timeout(GET_DEADLINE_S):
            return await service.broker.session(step)
    except TimeoutError:
        raise AwsPending from None
    except MfaNeeded:
        raise code_needed(profile.name) from None


async def mfa(service: Service, call: Call) -> Frame:
    """Start an MFA session ahead of use, with a code or the stored seed; it serves every profile of that key."""
    profile = service.keeper.body.profile(check_name(call["profile"]))
    step = chain.mfa_of(chain.session_of(service.keeper.body, profile, service.durations))
    if step is None:
        raise Usage(
            f'"{profile.name}" has no MFA device', hint=f"run: awsvault edit {profile.name} --mfa-serial ARN"
        )
    code = call["code"]
    if code is not None and not (code.isascii() and code.isdigit() and len(code) == MFA_CODE_LENGTH):
        raise Usage(f"an MFA code is {MFA_CODE_LENGTH} digits")
    revoked = service.keeper.body.revocations.get(step.key.profile)
    if not (revoked and revoked.left):  # what is left to revoke may need just this session
        service.check_served(profile)
    epoch = service.keeper.epoch
    session = await service.mfa.start(step, code)
    service.keeper.check_epoch(epoch)
    service.broker.put(step, session)
    service.revoker.again(step.key.profile)
    service.notifier.forget(step.key.profile)
    service.rotator.nudge()
    call.audit |= {"key": session.credentials.access_key_id, "expires": iso(session.expires_at)}
    return {"profile": step.key.profile, "expires_at": iso(session.expires_at), "notes": []}


async def console(service: Service, call: Call) -> Frame:
    """A URL that signs a browser in. The sign-in endpoint takes no GetSessionToken session, so a key is federated."""
    profile = service.keeper.body.profile(check_name(call["profile"]))
    service.check_served(profile)
    step = _console_step(service, profile)
    if call["duration_s"] is not None and (isinstance(step, FederationStep) or chain.is_chained(step)):
        raise Usage(
            "AWS lets only a role that a key assumes choose how long the console session is",
            hint="leave out --duration",
        )
    epoch = service.keeper.epoch
    try:
        session = await service.broker.session(step)
    except MfaNeeded:
        raise code_needed(profile.name) from None
    url = await asyncio.to_thread(
        service.aws.signin_url,
        session,
        partition=profile.partition,
        region=profile.region or service.settings.aws.region,
        destination=call["destination"],
        duration_s=call["duration_s"],
    )
    service.keeper.check_epoch(epoch)
    service.check_served(profile)
    service.last_used[profile.name] = service.clock.now()
    call.audit |= {"key": session.credentials.access_key_id, "expires": iso(session.expires_at)}
    by = "GetFederationToken" if isinstance(step, FederationStep) else "AssumeRole"
    return {"url": url, "expires_at": iso(session.expires_at), "by": by}


def _console_step(service: Service, profile: Profile) -> Step:
    if isinstance(profile, KeyProfile) and not profile.narrowed:
        everything = _EVERYTHING.format(partition=profile.partition)
        profile = replace(
            profile, serve="session", mfa_serial=None, totp=None, mfa_process=(), policy_arns=(everything,)
        )
    step = chain.session_of(service.keeper.body, profile, service.durations)
    assert not isinstance(step, KeyStep)
    return step
