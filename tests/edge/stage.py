# SPDX-License-Identifier: Apache-2.0
"""What the tests of the broker play on: a stand-in for AWS, our side of it, and one clock for both."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.fake_aws import AccessKey, FakeAws, Fault, Gate
from vaultd.core import chain
from vaultd.core.chain import Durations, KeyStep, SessionStep, Step
from vaultd.core.keys import Key
from vaultd.core.records import Body, KeyProfile, Profile
from vaultd.core.secret import Secret
from vaultd.core.sessions import Credentials, Session
from vaultd.edge.aws import Aws
from vaultd.edge.broker import Broker
from vaultd.edge.issuer import Issuer
from vaultd.wire.errors import MfaNeeded

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
Test = Callable[["Stage"], Coroutine[Any, Any, None]]


class Stage:
    """A stand-in for AWS, our side of it, and one clock for both."""

    def __init__(self, fake: FakeAws, aws: Aws) -> None:
        fake.start_over()
        fake.tolerates_skew = True  # botocore signs with the real clock
        self.fake = fake
        self.aws = aws
        self.alice = fake.add_user("alice")
        self.key = fake.add_key(self.alice)
        self.profile = profile_of(self.key)

    def advance(self, step: timedelta) -> None:
        self.fake.clock.advance(step)

    @property
    def made(self) -> int:
        """How many times STS was asked."""
        return len(self.fake.calls("GetSessionToken"))

    @asynccontextmanager
    async def broker(
        self, *, duration_s: int = 4 * 3600, patience_s: float = 5.0
    ) -> AsyncIterator["Sessions"]:
        sessions = Sessions(self, duration_s, patience_s)
        try:
            yield sessions
        finally:
            self.fake.open_gates()
            await sessions.broker.settle()
            # A lock abandons its calls; the next test must not find them in the books of the stand-in that it shares.
            await asyncio.to_thread(sessions.issuer._threads.shutdown)

    async def arrival(self, gate: Gate) -> None:
        """Until a call is under way."""
        assert await asyncio.to_thread(gate.arrived.acquire, timeout=10)


class Sessions:
    """The broker as the daemon uses it: by profile. A profile that it is asked about is the vault's from then on."""

    def __init__(self, stage: Stage, duration_s: int, patience_s: float) -> None:
        self.body = Body()
        self.duration_s = duration_s
        self.issuer = Issuer(stage.aws, self._key, _no_code)
        self.broker = Broker(
            self.issuer.issue,
            stage.fake.clock.now,
            patience_s=patience_s,
            ahead_per_s=1e9,
            jitter=lambda: 0.0,
        )
        self.forget = self.broker.forget
        self.settle = self.broker.settle
        self.refresh_due = self.broker.refresh_due

    def step(self, profile: Profile) -> Step:
        self.body = self.body.with_profile(profile)
        return chain.session_of(self.body, profile, Durations(self.duration_s, 3600, 43_200))

    async def session(self, profile: Profile) -> Session:
        return await self.broker.session(self.step(profile))

    def cached(self, profile: Profile) -> Session | None:
        return self.broker.cached(self.step(profile))

    def _key(self, step: KeyStep) -> Credentials:
        key = self.body.key_profile(step.profile).key
        return Credentials(key.access_key_id, key.secret)


async def _no_code(_step: SessionStep) -> Session:
    raise MfaNeeded


def profile_of(key: AccessKey, name: str = "dev", region: str | None = None) -> KeyProfile:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    kept = Key(key.access_key_id, Secret(key.secret), created_at=None, added_at=now)
    facts: dict[str, Any] = dict.fromkeys(("account", "arn", "mfa_serial", "verified_at", "last_used_at"))
    return KeyProfile(name, kept, serve="session", partition="aws", region=region, **facts)


def play(test: Test) -> Callable[[Stage], None]:
    """An async test, in a loop of its own, which must have had nothing to complain of."""

    async def watched(stage: Stage) -> list[dict[str, Any]]:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
        await test(stage)
        return complaints

    def played(stage: Stage) -> None:
        assert [] == asyncio.run(watched(stage))

    played.__name__, played.__doc__ = test.__name__, test.__doc__
    return played


def made_with(stage: Stage, session: Session) -> str:
    return stage.fake.world.sessions[session.credentials.access_key_id].made_with


FAULTS = [
    Fault.internal(),
    Fault.unavailable(),
    Fault.throttling(),
    Fault.reset(),
    Fault.truncate(),
    Fault.cut(),
    Fault.garbage(),
    Fault.lose_reply(),
    Fault.refuse(403, "AccessDenied", "no"),
]
