# SPDX-License-Identifier: Apache-2.0
"""However many sessions fall due at once, AWS is asked for them one after another, and before anybody must wait."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from vaultd.core.chain import KeyStep, SessionStep, Step
from vaultd.core.secret import Secret
from vaultd.core.sessions import RENEW_BELOW, Credentials, Session, is_fresh, renew_at
from vaultd.edge.broker import AHEAD_PER_S, Broker

NOW = datetime(2026, 11, 24, tzinfo=UTC)
LENGTH = timedelta(hours=1)


def step(number: int) -> Step:
    return SessionStep(KeyStep(f"p{number}", "AKIAIOSFODNN7EXAMPLE", "aws", None), 3_600)


class Place:
    """Makes sessions at once, and remembers when it was asked."""

    def __init__(self) -> None:
        self.now = NOW
        self.asked: list[float] = []
        self._changed = asyncio.Condition()

    async def until(self, count: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.asked) >= count)

    async def issue(self, _step: Step, _source: Callable[[Step], Awaitable[Session]]) -> Session:
        async with self._changed:
            self.asked.append(asyncio.get_running_loop().time())
            self._changed.notify_all()
        credentials = Credentials("ASIAIOSFODNN7EXAMPLE", Secret("s"), Secret("t"))
        return Session(credentials, self.now + LENGTH)

    def broker(self, ahead_per_s: float, jitter: float = 0.0) -> Broker:
        return Broker(self.issue, lambda: self.now, ahead_per_s=ahead_per_s, jitter=lambda: jitter)


def test_sessions_that_fall_due_together_are_renewed_in_turn() -> None:
    place = Place()
    rate, count = 200.0, 40

    async def scenario() -> None:
        broker = place.broker(rate)
        await asyncio.gather(*(broker.session(step(n)) for n in range(count)))
        assert count == len(place.asked), "who asks is answered at once"
        place.asked.clear()
        place.now += LENGTH - RENEW_BELOW - timedelta(seconds=59)
        await broker.refresh_due()
        await broker.refresh_due()  # the next tick finds them in the queue already
        await place.until(count)
        # A timer may be late, and then two come close together; none is ever early.
        assert all(at - place.asked[0] >= (n - 1) / rate for n, at in enumerate(place.asked))
        await broker.settle()

    asyncio.run(scenario())
    assert count == len(place.asked), "and each once"


def test_the_time_ahead_is_enough_for_two_hundred_roles_of_one_key() -> None:
    """Nobody is served late: the queue is worked off before the first session has less than 20 minutes."""
    session = Session(Credentials("A" * 16, Secret("s"), Secret("t")), NOW + LENGTH)
    ahead = session.expires_at - RENEW_BELOW - renew_at(session, 0.0)
    assert ahead >= timedelta(seconds=200 / AHEAD_PER_S)
    assert renew_at(session, 1.0) < renew_at(session, 0.0)
    assert is_fresh(session, renew_at(session, 0.0))


def test_a_session_that_somebody_waited_for_meanwhile_is_not_renewed_again() -> None:
    place = Place()

    async def scenario() -> None:
        broker = place.broker(20.0)
        for number in range(2):
            await broker.session(step(number))
        place.now += LENGTH - RENEW_BELOW - timedelta(seconds=59)
        await broker.refresh_due()
        place.now += timedelta(minutes=2)  # the second one's turn has not come, and it is too old to serve
        await broker.session(step(1))
        asked = len(place.asked)
        await asyncio.sleep(0.1)
        assert asked == len(place.asked)
        await broker.settle()

    asyncio.run(scenario())
