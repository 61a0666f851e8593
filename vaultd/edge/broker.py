# SPDX-License-Identifier: Apache-2.0
"""Sessions in memory: one call for any number of callers, renewed ahead, never served too old, gone with their key.

Lives on the event loop's thread. Must not know the socket, the vault file, which AWS call makes a session, or how long
a caller is prepared to wait: one that gives up takes nothing from the others.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from vaultd.core import backoff
from vaultd.core.backoff import Breaker, Trouble
from vaultd.core.chain import RoleStep, Step, base_of
from vaultd.core.sessions import Session, is_fresh, is_servable, renew_at
from vaultd.edge import log
from vaultd.wire.errors import AwsFailed, AwsPending, Locked, MfaNeeded, VaultError

#: How long to wait for a renewal while the old session could still be served; a `get` has 2.5 s.
PATIENCE_S = 2.0
#: Renewals ahead of need, so that 200 roles of one key don't ask at once. STS allows far more; other tools share it.
AHEAD_PER_S = 5.0

Issue = Callable[[Step, Callable[[Step], Awaitable[Session]]], Coroutine[Any, Any, Session]]


@dataclass(slots=True)
class _Entry:
    """All that is known of one session. Once dropped it is out of the cache and nothing of it is handed out."""

    step: Step
    jitter: float  # 0 to 1: sessions made together are not renewed together
    session: Session | None = None
    used: bool = False  # since the session was made: what nobody uses is not renewed ahead
    pending: "asyncio.Future[Session | BaseException] | None" = None
    trouble: Trouble | None = None
    dropped: VaultError | None = None

    def servable(self, now: datetime) -> Session | None:
        return self.session if self.session and is_servable(self.session, now) else None

    def remembered(self, now: datetime) -> AwsFailed | None:
        return self.trouble.error if self.trouble and self.trouble.holds(now) else None


@dataclass(slots=True)
class Broker:
    issue: Issue
    clock: Callable[[], datetime]
    patience_s: float = PATIENCE_S
    ahead_per_s: float = AHEAD_PER_S
    jitter: Callable[[], float] = random.random  # no secret depends on it
    _entries: dict[Step, _Entry] = field(default_factory=dict)
    _breakers: dict[tuple[str, str | None], Breaker] = field(default_factory=dict)
    _calls: set["asyncio.Task[Session]"] = field(default_factory=set)
    _lives: dict[Step, datetime] = field(
        default_factory=dict
    )  # the latest end of what was made, dropped or not
    _ahead_from: float = 0.0  # the loop's time at which the next renewal ahead may start
    _settled: bool = False

    async def session(self, step: Step) -> Session:
        """A session that is good for 20 minutes, or the best there is down to 60 s. Raises AwsFailed, Locked."""
        if self._settled:
            raise Locked
        cached = self.cached(step)
        if cached:
            return cached
        entry = self._entry(step)
        outcome = await self._renewed(entry)
        if entry.dropped:
            raise _copy(entry.dropped)
        entry.used = True
        if isinstance(outcome, Session):
            return outcome
        last_resort = entry.servable(self.clock())
        if last_resort is None or not isinstance(outcome, AwsFailed):
            raise _copy(outcome)
        return last_resort

    def cached(self, step: Step) -> Session | None:
        """The fresh session for which nobody has to be asked, if there is one."""
        entry = self._entries.get(step)
        if entry is None or entry.session is None or not is_fresh(entry.session, self.clock()):
            return None
        entry.used = True
        return entry.session

    def put(self, step: Step, session: Session) -> None:
        """A session that a person's code made: what waited for it may be asked again at once."""
        self._entry(step).session = session
        for entry in self._entries.values():
            if step in _chain(entry.step):
                entry.trouble = None

    def forget(self, name: str) -> None:
        """This profile is another one now: nothing made from the old one is handed out from here on."""
        changed = AwsFailed(f'"{name}" was changed meanwhile', hint="try again")
        for step in [step for step in self._entries if name in _names(step)]:
            _drop(self._entries.pop(step), changed)

    def alive(self) -> tuple[tuple[Step, datetime], ...]:
        """What was made here and still lives, and until when: AWS knows nothing of `forget`."""
        now = self.clock()
        self._lives = {step: ends for step, ends in self._lives.items() if ends > now}
        return tuple(self._lives.items())

    async def settle(self) -> None:
        """Before a lock: hand out nothing more, and ask AWS nothing more. There is no way back.

        A call that is under way already ends with this process image; its answer would be for nobody.
        """
        self._settled = True
        for entry in self._entries.values():
            _drop(entry, Locked())
        self._entries.clear()
        for call in self._calls:
            call.cancel()
        if self._calls:
            await asyncio.wait(self._calls)

    async def refresh_due(self) -> None:
        """Start the renewal of every session that is in use and runs low; returns without waiting for AWS."""
        now = self.clock()
        self.alive()  # so that it does not grow
        for step, entry in list(self._entries.items()):
            if entry.pending or entry.remembered(now):
                continue
            if entry.servable(now) is None:
                del self._entries[step]  # nobody asks for it any more: its secrets go
            elif entry.session and entry.used and now >= renew_at(entry.session, entry.jitter):
                entry.used = False  # asked for once, until it is used again
                self._renew_in_turn(entry)

    def _renew_in_turn(self, entry: _Entry) -> None:
        loop = asyncio.get_running_loop()
        turn = max(self._ahead_from, loop.time())
        if turn > loop.time():
            loop.call_at(turn, self._renew_ahead, entry)
        else:
            self._renew_ahead(entry)
        self._ahead_from = turn + 1 / self.ahead_per_s

    def _renew_ahead(self, entry: _Entry) -> None:
        if self._settled or entry.dropped or entry.pending or entry.session is None:
            return
        if self.clock() >= renew_at(entry.session, entry.jitter):  # nobody had to wait for it meanwhile
            self._start(entry)

    def _entry(self, step: Step) -> _Entry:
        found = self._entries.get(step)
        if found is None:
            found = self._entries[step] = _Entry(step, self.jitter())
        return found

    async def _renewed(self, entry: _Entry) -> Session | BaseException:
        now = self.clock()
        known = entry.remembered(now) or self._breaker(entry.step).refusal(now)
        if known:
            return known
        pending = entry.pending or self._start(entry)
        # wait() and not wait_for(): a caller that is cancelled must not cancel what the others wait for.
        done, _ = await asyncio.wait({pending}, timeout=self.patience_s if entry.servable(now) else None)
        return pending.result() if done else AwsPending()

    def _start(self, entry: _Entry) -> "asyncio.Future[Session | BaseException]":
        loop = asyncio.get_running_loop()
        entry.pending = loop.create_future()
        call = loop.create_task(self.issue(entry.step, self.session))
        self._calls.add(call)
        call.add_done_callback(partial(self._finish, entry))
        return entry.pending

    def _finish(self, entry: _Entry, call: "asyncio.Task[Session]") -> None:
        self._calls.discard(call)
        outcome = Locked() if call.cancelled() else call.exception() or call.result()
        pending, entry.pending = entry.pending, None
        if pending is None:  # dropped meanwhile: what came is for nobody
            return
        now = self.clock()
        if isinstance(outcome, Session) and not is_servable(outcome, now):
            outcome = AwsFailed("AWS gave a session that is over already", hint="check this clock")
        if isinstance(outcome, Session):
            entry.session, entry.used, entry.trouble = outcome, False, None
            self._lives[entry.step] = outcome.expires_at
            entry.jitter = self.jitter()
            self._breakers.pop(_place(entry.step), None)
        if isinstance(outcome, AwsFailed):
            self._note_failure(entry, outcome, now)
        pending.set_result(outcome)

    def _note_failure(self, entry: _Entry, error: AwsFailed, now: datetime) -> None:
        entry.trouble = backoff.after(error, entry.trouble, now, self.jitter)
        if not isinstance(error, MfaNeeded):  # AWS was not asked
            self._breakers[_place(entry.step)] = self._breaker(entry.step).failed(error, now, self.jitter)
        if entry.servable(now):
            log.say(f'the session of "{_name(entry.step)}" could not be renewed: {error.line}')

    def _breaker(self, step: Step) -> Breaker:
        return self._breakers.get(_place(step), Breaker())


def _place(step: Step) -> tuple[str, str | None]:
    """Where it is made: one regional STS."""
    base = base_of(step)
    return base.partition, step.region if isinstance(step, RoleStep) else base.region


def _chain(step: Step) -> Iterator[Step]:
    yield step
    while isinstance(step, RoleStep):
        step = step.source
        yield step


def _names(step: Step) -> set[str]:
    """The profiles whose settings are in it."""
    return {base_of(step).profile, *(part.profile for part in _chain(step) if isinstance(part, RoleStep))}


def _name(step: Step) -> str:
    return step.profile if isinstance(step, RoleStep) else base_of(step).profile


def _drop(entry: _Entry, why: VaultError) -> None:
    entry.dropped, entry.session = why, None
    if entry.pending and not entry.pending.done():
        entry.pending.set_result(why)
    entry.pending = None


def _copy(error: BaseException) -> BaseException:
    """One exception raised to a hundred callers would collect their hundred tracebacks."""
    if not isinstance(error, VaultError):
        return error
    return type(error)(error.message, hint=error.hint, details=dict(error.details))
