# SPDX-License-Identifier: Apache-2.0
"""MFA sessions: made with a code from a person or a stored seed, kept sealed in the vault so that a lock costs no code.

Every other session lives in the broker's memory. `get` never asks for a code: it fails, names the command, and a
notification appears once, however many programs wait.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

from vaultd.core import totp
from vaultd.core.chain import SessionStep
from vaultd.core.records import Body, KeyProfile, MfaDevice, MfaSession
from vaultd.core.secret import Secret
from vaultd.core.sessions import Credentials, Session, is_fresh, is_servable, of_key
from vaultd.edge.aws import Aws
from vaultd.wire.errors import MfaNeeded, MfaRefused

Save = Callable[[Callable[[Body], Body]], Awaitable[None]]
SEED_TRIES = 2  # a code that somebody used in this very window is refused; the next window's is not


class Mfa:
    """`body` and `save` are the vault's; `notify` tells a person that a code is wanted."""

    def __init__(
        self,
        aws: Aws,
        body: Callable[[], Body],
        save: Save,
        clock: Callable[[], datetime],
        notify: Callable[[str], None],
    ) -> None:
        self._aws = aws
        self._body = body
        self._save = save
        self._clock = clock
        self._notify = notify
        self._one_at_a_time = asyncio.Lock()  # two codes of one window are one too many

    async def session(self, step: SessionStep) -> Session:
        """The kept session, or one made with the stored seed. Raises MfaNeeded."""
        profile = self._body().key_profile(step.key.profile)
        kept = self.kept(step)
        if kept and (is_fresh(kept, self._clock()) or not profile.totp):
            return kept
        if profile.totp:
            return await self.start(step, None)
        self._notify(profile.name)
        raise code_needed(profile.name)

    def kept(self, step: SessionStep) -> Session | None:
        """The session in the vault, while it can be served; also the one of the key that this one replaces.

        So that nobody is asked for a code because a key was rotated: until the grace ends it is as good.
        """
        before = self._body().key_before(step.key.access_key_id)
        found = self._session(step)
        if not found and before:
            found = self._session(replace(step, key=replace(step.key, access_key_id=before.access_key_id)))
        return found

    async def signer(self, step: SessionStep) -> Credentials | None:
        """A session of exactly this key, kept or made with the stored seed; None when only a person has the code."""
        found = self._session(step)
        if not found and self._body().key_profile(step.key.profile).totp:
            found = await self.start(step, None)
        return found.credentials if found else None

    def _session(self, step: SessionStep) -> Session | None:
        found = self._body().mfa_sessions.get(_device(step))
        if found is None:
            return None
        session = Session(
            Credentials(found.access_key_id, found.secret, found.session_token), found.expires_at
        )
        return session if is_servable(session, self._clock()) else None

    async def start(self, step: SessionStep, code: str | None) -> Session:
        """A new session with a person's code or, without one, the stored seed's; sealed in the vault. Raises MfaRefused."""
        async with self._one_at_a_time:
            profile = self._body().key_profile(step.key.profile)
            if code is not None:
                session = await self._ask(profile, step, code)
            else:
                session = await self._ask_with_seed(profile, step)
            await self._keep(step, session)
            return session

    async def _ask_with_seed(self, profile: KeyProfile, step: SessionStep) -> Session:
        if not profile.totp:
            raise MfaNeeded(
                f'MFA code needed for "{profile.name}"', hint=f"run: awsvault mfa {profile.name} CODE"
            )
        for last in range(SEED_TRIES - 1, -1, -1):
            profile = self._body().key_profile(profile.name)
            await asyncio.sleep(totp.wait_s(self._clock(), profile.totp_last_step))
            window = totp.step_of(self._clock())
            # Written down before it is used: after a crash in between, a code is wasted and none is used twice.
            await self._save(lambda body, w=window: _with_step(body, step.key.profile, w))  # type: ignore[misc]
            try:
                return await self._ask(profile, step, totp.code(_seed(profile), window))
            except MfaRefused:
                if not last:
                    raise
        raise AssertionError("unreachable")

    async def _ask(self, profile: KeyProfile, step: SessionStep, code: str) -> Session:
        return await asyncio.to_thread(
            self._aws.session_token,
            of_key(profile.key),
            partition=profile.partition,
            region=profile.region,
            duration_s=step.duration_s,
            mfa_serial=step.mfa_serial,
            code=code,
        )

    async def _keep(self, step: SessionStep, session: Session) -> None:
        made = session.credentials
        assert made.session_token
        record = MfaSession(made.access_key_id, made.secret, made.session_token, session.expires_at)
        now = self._clock()
        await self._save(lambda body: body.with_mfa_session(_device(step), record, now))


def code_needed(name: str) -> MfaNeeded:
    """What whoever asks for this profile is told."""
    return MfaNeeded(f'MFA code needed for "{name}"', hint=f"run: awsvault mfa {name}")


def _device(step: SessionStep) -> MfaDevice:
    assert step.mfa_serial
    return step.key.access_key_id, step.mfa_serial


def _seed(profile: KeyProfile) -> Secret:
    assert profile.totp
    return profile.totp


def _with_step(body: Body, name: str, window: int) -> Body:
    return body.with_profile(replace(body.key_profile(name), totp_last_step=window))
