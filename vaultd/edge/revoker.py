# SPDX-License-Identifier: Apache-2.0
"""Revocations in this process: who signs for which user, all users at once, and what was cut off is tried again.

Lives on the event loop's thread; the calls run in threads of their own, because AWS hanging elsewhere must not hold
them. What is saved and what is told is in edge/revocation_ops.py; the calls themselves are in edge/revoking.py.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from vaultd.core import chain, reminders
from vaultd.core.keys import Key
from vaultd.core.records import Body, KeyProfile
from vaultd.core.revocation import KNOWN_AFTER, Revocation
from vaultd.core.sessions import Session, of_key
from vaultd.edge import log
from vaultd.edge.aws import Aws
from vaultd.edge.clock import Clock
from vaultd.edge.keeper import Keeper
from vaultd.edge.revoking import Became, Failure, Job, Outcome, Signer, Target, revoke_user
from vaultd.edge.successor import threads
from vaultd.wire.errors import VaultError

AT_ONCE = 24
RESUME_PATIENCE_S = 60.0
NOTE_PATIENCE_S = 2.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 15.0, 600.0
_NEVER = float("inf")
_NO_ANSWER = "AWS has not answered yet"


@dataclass(slots=True)
class _Pause:
    """Until when an open revocation is left alone (boot time)."""

    tries: int
    until: float


class Revoker:
    """`kept` gives the MFA session of a profile, if there is one."""

    def __init__(
        self,
        keeper: Keeper,
        clock: Clock,
        aws: Callable[[], Aws],
        kept: Callable[[KeyProfile], Session | None],
    ) -> None:
        self._keeper = keeper
        self._clock = clock
        self._aws = aws
        self._kept = kept
        self._threads = threads(AT_ONCE, "revoke")
        self._under_way: set[str] = set()
        self._news: dict[str, Outcome] = {}
        self._writing = asyncio.Lock()
        self._pauses: dict[str, _Pause] = {}
        self._epoch = -1
        self._resuming: asyncio.Task[None] | None = None

    async def run(
        self, wanted: Mapping[str, Revocation], *, via: Signer | None = None, patience_s: float
    ) -> dict[str, Outcome]:
        """Do to AWS what is left of these, by profile; what takes longer than `patience_s` has failed. Saves nothing."""
        jobs = list(_jobs(self._keeper.body, wanted, self._kept, via, self._clock.now()))
        loop = asyncio.get_running_loop()
        do = partial(revoke_user, self._aws().iam, now=self._clock.now)
        self._under_way |= wanted.keys()
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
        return {name: _result(call, job) for call, job in calls.items() for name in job.names}

    def _note(self, loop: asyncio.AbstractEventLoop, job: Job, done: Mapping[str, Became]) -> None:
        """In the job's thread: written down, but not at any price."""
        writing = self._written({name: Outcome(done) for name in job.names})
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
            found, self._news = self._news, {}
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
        if wanted:
            self._resuming = asyncio.get_running_loop().create_task(self._resume(wanted))

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

    async def _resume(self, wanted: Mapping[str, Revocation]) -> None:
        try:
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
    return body


def held_keys(body: Body, profile: KeyProfile) -> tuple[Key, ...]:
    """All that the vault holds of a profile's keys: its own first, then those of a rotation of it, whoever began it."""
    found = {profile.key.access_key_id: profile.key}
    for name, run in body.rotations.items():
        if name == profile.name or profile.key.access_key_id in run.key_ids:
            found |= {key.access_key_id: key for key in (run.old, run.new) if key} | found
    return tuple(found.values())


def of_all_keys(body: Body, profile: KeyProfile, revoked: Revocation) -> Revocation:
    """A rotation that was under way may have brought one more."""
    return revoked.with_keys([key.access_key_id for key in held_keys(body, profile)])


def _result(call: "asyncio.Future[Outcome]", job: Job) -> Outcome:
    if not call.done():
        return Outcome(failures={step: Failure(_NO_ANSWER, is_transient=True) for step in job.left})
    error = call.exception()
    if error is None:
        return call.result()
    log.say(f"unexpected {type(error).__name__} at {log.place(error)}")
    text = f"vaultd met an unexpected {type(error).__name__}"
    return Outcome(failures={step: Failure(text, is_transient=False) for step in job.left})


def _jobs(
    body: Body,
    wanted: Mapping[str, Revocation],
    kept: Callable[[KeyProfile], Session | None],
    via: Signer | None,
    now: datetime,
) -> Iterator[Job]:
    """One for each user: no key may be ended while it is needed for another one, or for the policy."""
    found = [body.profiles.get(name) for name in wanted]
    for profiles in _by_user([profile for profile in found if isinstance(profile, KeyProfile)]):
        first, names = profiles[0], tuple(profile.name for profile in profiles)
        left = frozenset[str]().union(*(wanted[name].left for name in names))
        if left:
            held = [key for profile in profiles for key in held_keys(body, profile)]
            keys = list({key.access_key_id: key for key in held}.values())
            targets = _targets([wanted[name] for name in names], keys, now)
            signers = (via,) if via else tuple(_own_signers(profiles, keys, kept))
            user = chain.user_name(first)
            yield Job(
                names,
                first.partition,
                first.region,
                user,
                is_verified=first.arn is not None,
                left=left,
                targets=targets,
                signers=signers,
            )


def _by_user(profiles: list[KeyProfile]) -> Iterable[list[KeyProfile]]:
    """Of one user, or with one key; first those of whom AWS said whose they are."""
    known = {profile.key.access_key_id: profile.arn for profile in profiles if profile.arn}
    users: dict[str, list[KeyProfile]] = {}
    for profile in sorted(profiles, key=lambda profile: profile.arn is None):
        key_id = profile.key.access_key_id
        users.setdefault(profile.arn or known.get(key_id) or key_id, []).append(profile)
    return users.values()


def _targets(wanted: list[Revocation], keys: list[Key], now: datetime) -> dict[str, Target]:
    held = {key.access_key_id: key for key in keys}
    found: dict[str, Target] = {}
    for revoked in sorted(wanted, key=lambda revoked: revoked.wanted == "deleted"):  # the stronger one counts
        for key_id in revoked.key_ids:
            key = held.get(key_id)
            is_new = key is not None and now - reminders.born(key) < KNOWN_AFTER
            found[key_id] = Target(revoked.wanted, is_new, of_key(key) if key else None)
    return found


def _own_signers(
    profiles: list[KeyProfile], keys: list[Key], kept: Callable[[KeyProfile], Session | None]
) -> Iterator[Signer]:
    """MFA sessions first: policies that ask for MFA refuse the key, and none refuse what has it."""
    for profile in profiles:
        session = kept(profile)
        if session:
            yield Signer(session.credentials, ends_itself=True)
    for key in keys:
        yield Signer(of_key(key), own_key=key.access_key_id)
