# SPDX-License-Identifier: Apache-2.0
"""Drives rotations: begins them, saves each state before what follows it, goes on after locks and crashes.

Lives on the event loop's thread. One turn at a time for each profile; the table of states is core/rotation.py's, what
is done in each edge/rotation_steps.py's. Must not know the socket. Times to try again are kept in memory only: a new
process image tries at once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from vaultd.core import preflight, rotation
from vaultd.core.backoff import is_transient
from vaultd.core.preflight import Found, Wanted
from vaultd.core.records import KeyProfile
from vaultd.core.refusals import DENIED
from vaultd.core.rotation import Periods, Rotation
from vaultd.edge import log
from vaultd.edge.rotation_runs import Runs
from vaultd.edge.rotation_start import Start
from vaultd.edge.rotation_steps import Progress, StartOver, Steps, TurnBack, Waits
from vaultd.wire.errors import AwsFailed, Locked, Refused, Usage, VaultError

RETRY_S = 60.0  # after AWS could not be reached, and until it is known what became of a lost reply
LOOK_AGAIN_S = 3_600.0  # for what only a person, or other programs, can change
DAY_S = 86_400.0
ROOM_FOR_WAITS = rotation.MAX_WAITS - 60  # characters: an error may say it after how far the rotation came


async def _silent(_text: str) -> None:
    """Nobody watches."""


@dataclass(slots=True)
class Rotator:
    runs: Runs
    steps: Steps
    start: Start
    periods: Callable[[KeyProfile], Periods]
    is_due: Callable[[KeyProfile], bool]  # for those that rotate by themselves
    _turns: dict[str, asyncio.Lock] = field(default_factory=dict)
    _look_at: dict[str, float] = field(default_factory=dict)  # boot time
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    # --- what a person asks for

    async def look(self, name: str) -> Found:
        """What AWS says of the profile's user; nothing is changed."""
        async with self._telling(name):
            return await self.steps.found(self.runs.profile(name))

    def check(self, found: Found, profile: KeyProfile, wanted: Wanted) -> None:
        """Raise what stands against beginning, or against what is wanted of the rotation that is open."""
        run = self.runs.open.get(profile.name)
        if run is None:
            self.start.check(found, profile, wanted)
        elif wanted.replace:
            self._check_lost(run, found, profile, wanted.replace)

    def _check_lost(self, run: Rotation, found: Found, profile: KeyProfile, key_id: str) -> None:
        """Only of a key that a lost reply may have told of there is a question whose it is. Raises Usage, Refused."""
        hint = "run: awsvault rotate --status"
        if run.new:
            raise Usage(f'a rotation of "{profile.name}" is open, and no key is in its way', hint=hint)
        if key_id not in rotation.strangers(run, found.key_ids):
            raise Usage(f"{key_id} is not the key that is in question", hint=hint)
        self.start.check(found, profile, Wanted(replace=key_id, force=True))

    async def rotate(self, name: str, wanted: Wanted, progress: Progress) -> Rotation | None:
        """Begin a rotation, or go on with the one that is open; how far it came, None for to its end."""
        async with self._turn(name), self._telling(name):
            profile = self.runs.profile(name)
            run = self.runs.open.get(name)
            if run and wanted.replace:
                await self._replace_lost(await self._resumed(name, run), profile, wanted.replace)
                run = None
            if run:
                await self._push(name, run, wanted)
            if run and run.back and wanted.hurry:
                # It is the key that is served which leaked: the way back comes to its end, and that one goes, too.
                run = await self._go_on(name, progress)
                profile = self.runs.profile(name)
            if run is None:
                await self.start.begin(profile, wanted, progress)
            self._look_at.pop(name, None)
            return await self._go_on(name, progress)

    async def _push(self, name: str, run: Rotation, wanted: Wanted) -> None:
        """What is wanted of an open rotation now, and was not before."""
        hurry, force = run.hurry or wanted.hurry, run.force or wanted.force
        if (hurry, force) != (run.hurry, run.force):
            await self.runs.move(name, run, replace(run, hurry=hurry, force=force, waits=""))

    async def roll_back(self, name: str, progress: Progress) -> Rotation | None:
        """Back to the old key; before the promotion the new one is deleted."""
        async with self._turn(name), self._telling(name):
            run = self.runs.open.get(name)
            if run is None:
                raise Usage(f'no rotation of "{name}" is open', hint=f"run: awsvault show {name}")
            if run.state == "uncertain":
                await self._give_up(name, progress)
                return None
            if rotation.rolled_back(run, self.runs.clock.now()).promoted_at:
                run = await self._reactivated(name, run, progress)
            await self.runs.move(name, run, rotation.rolled_back(run, self.runs.clock.now()))
            self._look_at.pop(name, None)
            return await self._go_on(name, progress)

    async def _give_up(self, name: str, progress: Progress) -> None:
        """A person says that whatever AWS made of the lost reply is not to be looked for any more."""
        self._look_at.pop(name, None)
        run = await self._go_on(name, progress)
        if run is None:
            return
        if not run.waits:
            raise Refused(rotation.UNCERTAIN, hint="try again in a few minutes")
        await self.runs.move(name, run, None)

    async def _replace_lost(self, run: Rotation, profile: KeyProfile, key_id: str) -> None:
        """A person says that the key which a lost reply may have told of is to go."""
        self._check_lost(run, await self.steps.found(profile), profile, key_id)
        await self.steps.call((await self.steps.user(profile)).delete_key, key_id)
        await self.runs.move(profile.name, run, None)
        self.runs.journal(profile.name, "deleted", key=key_id)

    # --- going on

    def tick(self) -> None:
        """Start what is due: the steps of open rotations, and those that begin by themselves. Returns at once."""
        if not self.runs.keeper.is_unlocked:
            return
        now, boottime = self.runs.clock.now(), self.runs.clock.boottime()
        for name, run in self.runs.open.items():
            profile = self.runs.keeper.body.profiles.get(name)
            if not isinstance(profile, KeyProfile) or not self._is_idle(name, boottime):
                continue
            if run.state == "grace" or rotation.due_at(run, self.periods(profile)) <= now:
                self._start(name, self._go_on_alone(name))
        for profile in self._self_rotating():
            if self._is_idle(profile.name, boottime) and self.is_due(profile):
                self._start(profile.name, self._begin_alone(profile.name))

    @property
    def is_working(self) -> bool:
        """Is a step under way that nobody waits for?"""
        return bool(self._tasks)

    def nudge(self) -> None:
        """Something that a rotation may wait for has happened: try again at the next tick."""
        self._look_at.clear()

    def _self_rotating(self) -> list[KeyProfile]:
        body = self.runs.keeper.body
        return [
            profile
            for profile in body.profiles.values()
            if isinstance(profile, KeyProfile)
            and profile.auto_rotate == self.start.host
            and profile.name not in body.rotations
        ]

    def _is_idle(self, name: str, boottime: float) -> bool:
        turn = self._turns.get(name)
        return boottime >= self._look_at.get(name, 0.0) and not (turn and turn.locked())

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._look_at[name] = self.runs.clock.boottime() + RETRY_S  # until it says otherwise
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _go_on_alone(self, name: str) -> None:
        try:
            async with self._turn(name):
                await self._go_on(name, _silent)
        except Locked:
            return
        except VaultError as error:
            log.say(f'the rotation of "{name}" does not go on: {error.line}')

    async def _begin_alone(self, name: str) -> None:
        try:
            await self.rotate(name, Wanted(), _silent)
        except Locked:
            return
        except VaultError as error:
            transient = isinstance(error, AwsFailed) and is_transient(error)
            self._look_at[name] = self.runs.clock.boottime() + (LOOK_AGAIN_S if transient else DAY_S)
            log.say(f'"{name}" could not be rotated by itself: {error.line}')
            self.runs.journal(name, "not begun", reason=error.code)

    async def _go_on(self, name: str, progress: Progress) -> Rotation | None:
        """Take every step that is due; the run as it is then, None when it is over. Raises AwsFailed, StorageFailed."""
        while True:
            self.runs.check_unlocked()
            run = self.runs.open.get(name)
            if run is None:
                self._look_at.pop(name, None)
                return None
            run = await self._resumed(name, run)
            profile = self.runs.profile(name)
            try:
                following = await self._next(run, profile, progress)
            except Waits as waits:
                return await self._wait(name, run, waits.text)
            except StartOver:
                return await self._start_over(name, run)
            except TurnBack as turn:
                following = self._turned_back(name, run, turn)
                if run.state == "created":
                    await self.runs.move(name, run, following)
                    await self._go_on(name, progress)
                    told = f"the new key does not work and is deleted again: {turn}"
                    raise AwsFailed(told, hint="") from None
            except AwsFailed as error:
                return await self._failed(name, run, profile, error)
            if following == run:
                return run
            await self.runs.move(name, run, following)

    async def _next(self, run: Rotation, profile: KeyProfile, progress: Progress) -> Rotation | None:
        """The run after what is due; as it is when nothing is, but in grace the new key is looked at every hour."""
        now = self.runs.clock.now()
        left = rotation.due_at(run, self.periods(profile)) - now
        if left <= timedelta(0):
            return await self.steps.take(run, profile, progress)
        again_s = min(LOOK_AGAIN_S, left.total_seconds())
        self._look_at[profile.name] = self.runs.clock.boottime() + again_s
        if run.state != "grace" or now - run.since < timedelta(seconds=RETRY_S):
            return run
        await self.steps.watch(run, profile)
        return replace(run, waits="")

    def _turned_back(self, name: str, run: Rotation, turn: TurnBack) -> Rotation:
        self.runs.journal(name, "rolled back", reason=str(turn))
        log.say(f'the rotation of "{name}" is rolled back: {turn}')
        return rotation.rolled_back(run, self.runs.clock.now())

    async def _start_over(self, name: str, run: Rotation) -> Rotation:
        reopened = rotation.reopened(run, self.runs.clock.now())
        await self.runs.move(name, run, reopened)
        self._look_at[name] = self.runs.clock.boottime() + RETRY_S
        return reopened

    async def _resumed(self, name: str, run: Rotation) -> Rotation:
        resumed = rotation.resumed(run, self.runs.clock.now())
        if resumed is not run:
            await self.runs.move(name, run, resumed)
        return resumed

    async def _wait(self, name: str, run: Rotation, text: str) -> Rotation:
        self._look_at[name] = self.runs.clock.boottime() + (LOOK_AGAIN_S if text else RETRY_S)
        if text == run.waits:
            return run
        waiting = replace(run, waits=text)
        await self.runs.move(name, run, waiting)
        return waiting

    async def _failed(self, name: str, run: Rotation, profile: KeyProfile, error: AwsFailed) -> Rotation:
        """What AWS refuses waits for a person; what failed is tried again."""
        if is_transient(error):
            self._look_at[name] = self.runs.clock.boottime() + RETRY_S
            raise error
        told = await self._told(error, profile)
        return await self._wait(name, run, told.line_within(ROOM_FOR_WAITS))

    @asynccontextmanager
    async def _telling(self, name: str) -> AsyncIterator[None]:
        """What AWS denies says who can give what is missing."""
        try:
            yield
        except AwsFailed as error:
            raise await self._told(error, self.runs.profile(name)) from None

    async def _told(self, error: AwsFailed, profile: KeyProfile) -> AwsFailed:
        is_denied = error.details.get("aws_code") in DENIED
        signer = await self.steps.sign(profile) if is_denied and profile.mfa_serial else None
        return preflight.with_way_out(error, profile, has_session=bool(signer and signer.session_token))

    async def _reactivated(self, name: str, run: Rotation, progress: Progress) -> Rotation:
        """The old key works again. Saved first: after a crash in between it is active, and was used by us."""
        reopened = rotation.reopened(run, self.runs.clock.now())
        await self.runs.move(name, run, reopened)
        try:
            await self.steps.reactivate(reopened, self.runs.profile(name), progress)
        except Waits as waits:
            raise AwsFailed(f"the old key does not work: {waits.text}") from None
        except AwsFailed as error:
            if not is_transient(error):  # it is as it was
                await self.runs.move(name, reopened, run)
            raise
        return reopened

    # --- turns, and the lock

    @asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        async with self._turns.setdefault(name, asyncio.Lock()):
            self.runs.check_unlocked()
            yield
