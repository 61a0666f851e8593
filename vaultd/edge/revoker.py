# SPDX-License-Identifier: Apache-2.0
"""Revocations in this process: who signs for which user, all users at once, and what was cut off is tried again.

Lives on the event loop's thread; the calls run in threads of their own, because AWS hanging elsewhere must not hold
them. What is saved and what is told is in edge/revocation_ops.py; the calls themselves are in edge/revoking.py.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from vaultd.core import revocation
from vaultd.core.records import Body, KeyProfile
from vaultd.core.revocation import DENIED_AHEAD, SESSIONS, Revocation
from vaultd.core.sessions import Session
from vaultd.edge import log, revocation_jobs
from vaultd.edge.aws import Aws
from vaultd.edge.clock import Clock
from vaultd.edge.iam import NO_SUCH_ENTITY
from vaultd.edge.keeper import Keeper
from vaultd.edge.revocation_jobs import of_all_keys
from vaultd.edge.revoking import Became, Failure, Job, Outcome, Signer, revoke_user
from vaultd.edge.successor import threads
from vaultd.wire.errors import AwsFailed, VaultError

AT_ONCE = 24
RESUME_PATIENCE_S = 60.0
NOTE_PATIENCE_S = 2.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 15.0, 600.0
_NEVER = float("inf")
_NO_ANSWER = "AWS has not answered yet"
_WOKEN = "the key was made active meanwhile"


@dataclass(slots=True)
class _Pause:
    """Until when an open revocation is left alone (boot time)."""

    tries: int
    until: float


class Revoker:
    """`kept` gives the MFA session of a profile, if there is one; `forget` drops its other ones."""

    def __init__(
        self,
        keeper: Keeper,
        clock: Clock,
        aws: Callable[[], Aws],
        kept: Callable[[KeyProfile], Session | None],
        forget: Callable[[str], None],
    ) -> None:
        self._keeper = keeper
        self._clock = clock
        self._aws = aws
        self._kept = kept
        self._forget = forget
        self._threads = threads(AT_ONCE, "revoke")
        self._under_way: set[str] = set()
        self._runs = 0
        self._waking: set[str] = set()  # keys that AWS is asked to make active
        self._woken: set[str] = set()  # and those that it may have made so during a run
        self._news: dict[str, Outcome] = {}
        self._writing = asyncio.Lock()
        self._denied: dict[str, datetime] = {}  # by user: until when all that AWS gives it is of no use
        self._pauses: dict[str, _Pause] = {}
        self._epoch = -1
        self._resuming: asyncio.Task[None] | None = None

    async def run(
        self, wanted: Mapping[str, Revocation], *, via: Signer | None = None, patience_s: float
    ) -> dict[str, Outcome]:
        """Do to AWS what is left of these, by profile; what takes longer than `patience_s` has failed. Saves nothing."""
        jobs = list(revocation_jobs.jobs(self._keeper.body, wanted, self._kept, via, self._clock.now()))
        loop = asyncio.get_running_loop()
        do = partial(revoke_user, self._aws().iam, now=self._clock.now)
        self._under_way |= wanted.keys()
        self._runs += 1
        try:
            calls = {
                loop.run_in_executor(
                    self._threads, partial(do, job, note=partial(self._note, loop, job))
                ): job
                for job in jobs
            }
            if calls:
                await asyncio.wait(calls, timeout=patience_s)
        finally:
            self._under_way -= wanted.keys()
            self._runs -= 1
        found = {call: self._lasting(_result(call, job)) for call, job in calls.items()}
        if not self._runs:
            self._woken.clear()
        results = {name: found[call] for call, job in calls.items() for name in job.names}
        for name, outcome in results.items():
            profile = self._keeper.body.profiles.get(name) if self._keeper.is_unlocked else None
            if outcome.done.get(SESSIONS) == "denied" and isinstance(profile, KeyProfile):
                self.denied(profile, self._clock.now() + DENIED_AHEAD)
        return results

    def denied(self, profile: KeyProfile, until: datetime) -> None:
        """What AWS gives this user until then is of no use: it is forgotten now, and once more when that is over."""
        user = _user(profile)
        self._denied[user] = max(until, self._denied.get(user, until))
        for other in _of_user(self._keeper.body, user):
            self._forget(other.name)

    def _lasting(self, outcome: Outcome) -> Outcome:
        """Without the end of keys that were made active meanwhile: which was first nobody knows."""
        awake = (self._waking | self._woken) & outcome.done.keys()
        done = {step: became for step, became in outcome.done.items() if step not in awake}
        return Outcome(done, {**outcome.failures, **dict.fromkeys(awake, Failure(_WOKEN, is_transient=True))})

    def _note(self, loop: asyncio.AbstractEventLoop, job: Job, done: Mapping[str, Became]) -> None:
        """In the job's thread: written down, but not at any price."""
        writing = self._written(dict.fromkeys(job.names, Outcome(done)))
        try:
            asyncio.run_coroutine_threadsafe(writing, loop).result(NOTE_PATIENCE_S)
        except (VaultError, TimeoutError):
            pass
        except RuntimeError:  # the loop has ended
            writing.close()

    async def _written(self, news: Mapping[str, Outcome]) -> None:
        """All that came in while the disk was busy goes into one save."""
        self._news |= news
        async with self._writing:
            found = {name: self._lasting(outcome) for name, outcome in self._news.items()}
            self._news = {}
            if found:
                await self._keeper.save(lambda body: told(body, found), backup=False)

    # --- what was cut off

    def look(self) -> None:
        """Go on with what is open, when it is time; at once after an unlock. Returns without waiting for AWS."""
        if not self._keeper.is_unlocked or self._resuming:
            return
        if self._epoch != self._keeper.epoch:
            self._epoch = self._keeper.epoch
            self._pauses.clear()
        now = self._clock.boottime()
        wanted = {
            name: revoked
            for name, revoked in _open(self._keeper.body).items()
            if name not in self._under_way and self._is_time(name, now)
        }
        over = [user for user, until in self._denied.items() if until <= self._clock.now()]
        if wanted or over:
            self._resuming = asyncio.get_running_loop().create_task(self._resume(wanted, over))

    def _is_time(self, name: str, now: float) -> bool:
        pause = self._pauses.get(name)
        return pause is None or now >= pause.until

    def tried(self, outcomes: Mapping[str, Outcome]) -> None:
        """What time does not cure is not tried again before the next unlock, or `again`."""
        for name, outcome in outcomes.items():
            if not outcome.failures:
                self._pauses.pop(name, None)
                continue
            tries = self._pauses[name].tries + 1 if name in self._pauses else 0
            wait = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(tries, 10))
            until = self._clock.boottime() + wait if outcome.is_transient else _NEVER
            self._pauses[name] = _Pause(tries, until)

    def again(self, name: str) -> None:
        """There is something new: an MFA session."""
        self._pauses.pop(name, None)
        self.look()

    @asynccontextmanager
    async def waking(self, key_id: str) -> AsyncIterator[None]:
        """Round what makes this key active: a revocation that comes meanwhile may end it too early, and then once more."""
        self._waking.add(key_id)
        try:
            yield
        except AwsFailed as error:
            if error.details.get("aws_code") == NO_SUCH_ENTITY:
                self._waking.discard(
                    key_id
                )  # nothing was made active; of all else a retry may have been done
            raise
        finally:
            if key_id in self._waking:
                self._waking.discard(key_id)
                await self._end_again(key_id)

    async def _end_again(self, key_id: str) -> None:
        if self._runs:
            self._woken.add(key_id)
        names = revocation.covering(self._keeper.body.revocations, None, (key_id,))
        if not names:
            return

        def again(body: Body) -> Body:
            for name, found in revocation.covering(body.revocations, None, (key_id,)).items():
                body = body.with_revocation(name, found.again(key_id))
            return body

        await self._keeper.save(again)
        for name in names:
            self.again(name)

    async def _resume(self, wanted: Mapping[str, Revocation], over: Collection[str]) -> None:
        try:
            for user in over:
                await self._begin_anew(user)
            outcomes = await self.run(wanted, patience_s=RESUME_PATIENCE_S)
            self.tried(outcomes)
            await self.keep(outcomes)
            for name, outcome in outcomes.items():
                end = f"not finished: {outcome.missing}" if outcome.missing else "finished"
                log.say(f'the revocation of "{name}" is {end}')
        except VaultError as error:
            log.say(f"a revocation cannot go on: {error.line}")
            self.tried({name: Outcome(failures={"": Failure(error.message, True)}) for name in wanted})
        finally:
            self._resuming = None

    async def _begin_anew(self, user: str) -> None:
        """From now on its sessions are of use again; those that it has by now are not."""
        self._denied.pop(user, None)
        for profile in _of_user(self._keeper.body, user):
            self._forget(profile.name)
        if _without_mfa(self._keeper.body, user) != self._keeper.body:
            await self._keeper.save(lambda body: _without_mfa(body, user), backup=False)

    async def keep(self, outcomes: Mapping[str, Outcome]) -> None:
        """Write down what was done. Raises StorageFailed, Locked."""
        await self._keeper.save(lambda body: told(body, outcomes))


def _open(body: Body) -> dict[str, Revocation]:
    found = {}
    for name, revoked in body.revocations.items():
        profile = body.profiles.get(name)
        if isinstance(profile, KeyProfile):
            found[name] = of_all_keys(body, profile, revoked)
    return {name: revoked for name, revoked in found.items() if revoked.left}


def told(body: Body, outcomes: Mapping[str, Outcome]) -> Body:
    """The body that knows of these outcomes."""
    for name, outcome in outcomes.items():
        revoked, profile = body.revocations.get(name), body.profiles.get(name)
        if revoked and isinstance(profile, KeyProfile):
            whole = of_all_keys(body, profile, revoked)
            body = body.with_revocation(name, whole.after(outcome.done, outcome.missing))
            if outcome.done.get(SESSIONS) == "denied":
                body = _without_mfa(body, _user(profile))
    return body


def _user(profile: KeyProfile) -> str:
    """Whose key it is; nobody else's, where AWS was not asked."""
    return profile.arn or profile.name


def _of_user(body: Body, user: str) -> list[KeyProfile]:
    owners = [profile for profile in body.profiles.values() if isinstance(profile, KeyProfile)]
    return [profile for profile in owners if _user(profile) == user]


def _without_mfa(body: Body, user: str) -> Body:
    return body.without_mfa_sessions([profile.key.access_key_id for profile in _of_user(body, user)])


def _result(call: "asyncio.Future[Outcome]", job: Job) -> Outcome:
    if not call.done():
        return Outcome(failures={step: Failure(_NO_ANSWER, is_transient=True) for step in job.left})
    error = call.exception()
    if error is None:
        return call.result()
    log.say(f"unexpected {type(error).__name__} at {log.place(error)}")
    text = f"vaultd met an unexpected {type(error).__name__}"
    return Outcome(failures={step: Failure(text, is_transient=False) for step in job.left})
