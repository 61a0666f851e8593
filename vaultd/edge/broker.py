# SPDX-License-Identifier: Apache-2.0
"""Sessions in memory: one STS call for any number of callers, renewed ahead, never served too old, gone with their key.

Lives on the event loop's thread; only the AWS call itself runs in another. Must not know the socket, the vault file or
how long a caller is prepared to wait: one that gives up takes nothing from the others.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from vaultd.core.records import KeyProfile
from vaultd.core.sessions import REFUSAL_REMEMBERED, Credentials, Session, is_fresh, is_servable
from vaultd.edge import log
from vaultd.edge.aws import Aws
from vaultd.edge.successor import hold_signals
from vaultd.wire.errors import AwsFailed, AwsPending, Locked, VaultError

#: Calls to AWS, in threads of their own: AWS hanging must not take those that derive keys and save.
AT_ONCE = 8
#: How long to wait for a renewal while the old session could still be served; a `get` has 2.5 s.
PATIENCE_S = 2.0

_Place = tuple[str, str, int, str, str | None]  # profile name, access key id, duration, partition, region


@dataclass(slots=True)
class _Entry:
    """All that is known of one session. Once dropped it is out of the cache and nothing of it is handed out."""

    profile: KeyProfile
    duration_s: int
    session: Session | None = None
    used: bool = False  # since the session was made: what nobody uses is not renewed ahead
    pending: "asyncio.Future[Session | BaseException] | None" = None
    refusal: AwsFailed | None = None
    refused_at: datetime | None = None
    dropped: VaultError | None = None

    def servable(self, now: datetime) -> Session | None:
        return self.session if self.session and is_servable(self.session, now) else None

    def remembered_refusal(self, now: datetime) -> AwsFailed | None:
        if self.refusal is None or self.refused_at is None:
            return None
        return self.refusal if timedelta(0) <= now - self.refused_at < REFUSAL_REMEMBERED else None


class Broker:
    """Sessions for key profiles. `duration_s` may be changed at any time; it counts for the next session made."""

    def __init__(
        self,
        aws: Aws,
        clock: Callable[[], datetime],
        *,
        duration_s: int = 4 * 3600,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.duration_s = duration_s
        self._aws = aws
        self._clock = clock
        self._patience_s = patience_s
        self._entries: dict[_Place, _Entry] = {}
        self._calls: set[asyncio.Future[Session]] = set()
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="aws", initializer=hold_signals)
        self._settled = False

    async def session(self, profile: KeyProfile) -> Session:
        """A session that is good for 20 minutes, or the best there is down to 60 s. Raises AwsFailed, Locked."""
        if self._settled:
            raise Locked
        cached = self.cached(profile)
        if cached:
            return cached
        entry = self._entry(profile)
        outcome = await self._renewed(entry)
        if entry.dropped:
            raise _copy(entry.dropped)
        entry.used = True
        if isinstance(outcome, Session):
            return outcome
        last_resort = entry.servable(self._clock())
        if last_resort is None or not isinstance(outcome, AwsFailed):
            raise _copy(outcome)
        return last_resort

    def cached(self, profile: KeyProfile) -> Session | None:
        """The fresh session for which nobody has to be asked, if there is one."""
        entry = self._entries.get(self._place(profile))
        if entry is None or entry.session is None or not is_fresh(entry.session, self._clock()):
            return None
        entry.used = True
        return entry.session

    def forget(self, name: str) -> None:
        """The key of this profile is another one now: nothing made from the old one is handed out from here on."""
        changed = AwsFailed(f'the key of "{name}" was changed meanwhile', hint="try again")
        for place in [place for place in self._entries if place[0] == name]:
            _drop(self._entries.pop(place), changed)

    async def settle(self, timeout_s: float) -> None:
        """Before a lock: hand out nothing more, at once, and give calls in flight this long to end. There is no way back."""
        self._settled = True
        for entry in self._entries.values():
            _drop(entry, Locked())
        self._entries.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._calls:
            await asyncio.wait(self._calls, timeout=timeout_s)

    async def refresh_due(self) -> None:
        """Start the renewal of every session that is in use and runs low; returns without waiting for AWS."""
        now = self._clock()
        for place, entry in list(self._entries.items()):
            if entry.pending or entry.remembered_refusal(now):
                continue
            if entry.servable(now) is None:
                del self._entries[place]  # nobody asks for it any more: its secrets go
            elif entry.session and entry.used and not is_fresh(entry.session, now):
                self._start(entry)

    def _entry(self, profile: KeyProfile) -> _Entry:
        return self._entries.setdefault(self._place(profile), _Entry(profile, self.duration_s))

    def _place(self, profile: KeyProfile) -> _Place:
        return profile.name, profile.key.access_key_id, self.duration_s, profile.partition, profile.region

    async def _renewed(self, entry: _Entry) -> Session | BaseException:
        now = self._clock()
        remembered = entry.remembered_refusal(now)
        if remembered:
            return remembered
        pending = entry.pending or self._start(entry)
        # wait() and not wait_for(): a caller that is cancelled must not cancel what the others wait for.
        done, _ = await asyncio.wait({pending}, timeout=self._patience_s if entry.servable(now) else None)
        return pending.result() if done else AwsPending()

    def _start(self, entry: _Entry) -> "asyncio.Future[Session | BaseException]":
        loop = asyncio.get_running_loop()
        profile, key = entry.profile, entry.profile.key
        ask = partial(
            self._aws.session_token,
            Credentials(key.access_key_id, key.secret),
            partition=profile.partition,
            region=profile.region,
            duration_s=entry.duration_s,
        )
        entry.pending = loop.create_future()
        call = loop.run_in_executor(self._threads, ask)
        self._calls.add(call)
        call.add_done_callback(partial(self._finish, entry))
        return entry.pending

    def _finish(self, entry: _Entry, call: asyncio.Future[Session]) -> None:
        self._calls.discard(call)
        outcome = Locked() if call.cancelled() else call.exception() or call.result()
        pending, entry.pending = entry.pending, None
        if pending is None:  # dropped meanwhile: what came is for nobody
            return
        now = self._clock()
        if isinstance(outcome, Session) and not is_servable(outcome, now):
            outcome = AwsFailed("AWS gave a session that is over already", hint="check this clock")
        if isinstance(outcome, Session):
            entry.session, entry.used = outcome, False
        if isinstance(outcome, AwsFailed):
            entry.refusal, entry.refused_at = outcome, now
            if entry.servable(now):
                log.say(f'the session of "{entry.profile.name}" could not be renewed: {outcome.line}')
        pending.set_result(outcome)


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
