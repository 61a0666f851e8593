# SPDX-License-Identifier: Apache-2.0
"""Drives rotations: begins them, saves each state before what follows it, goes on after locks and crashes.

Lives on the event loop's thread. The table of states is core/rotation.py's, what is done in each edge/rotation_steps.py's.
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
from vaultd.edge.rotation_asking import Progress, StartOver, TurnBack, Waits
from vaultd.edge.rotation_runs import Runs
from vaultd.edge.rotation_start import Start
from vaultd.edge.rotation_steps import Steps
from vaultd.edge.rotation_turns import Turns
from vaultd.wire.errors import AwsFailed, Locked, Refused, Usage, VaultError

RETRY_S = 60.0  # after AWS could not be reached, and until it is known what became of a lost reply
LOOK_AGAIN_S = 3_600.0  # for what only a person, or other programs, can change
DAY_S = 86_400.0
#: What AWS said of a new key until it was given up: no passing trouble.
_USELESS = {"aws_code": "InvalidClientTokenId"}
_WATCHED = ("grace", "soak")  # states that last: is what is served still good?
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
    turns: Turns = field(init=False)
    _restarted: set[str] = field(
        default_factory=set
    )  # whose grace began again, and whose new key did not work since
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.turns = Turns(self.runs.clock.boottime)

    # --- what a person asks for

    async def look(self, name: str) -> Found:
        """What AWS says of the profile's user; nothing is changed."""
        async with self._telling(name):
            return await self.steps.found(self.runs.profile(name))

    async def rotate(self, name: str, wanted: Wanted, progress: Progress) -> Rotation | None:
        """Begin a rotation, or go on with the one that is open; how far it came, None for to its end."""
        async with self._turn(name), self._telling(name):
            profile = self.runs.profile(name)
            run = self.runs.open.get(name)
            if run and wanted.replace:
                await self._replace_lost(await self._resumed(name, run), profile, wanted.replace)
                run, wanted = None, replace(wanted, replace=None)
            if run:
                await self._push(name, run, wanted)
            if run and run.back and wanted.hurry:
                # It is the key that is served which leaked: the way back comes to its end, and that one goes, too.
                run = await self._go_on(name, progress)
            if run is None:
                await self.start.begin(self.runs.profile(name), wanted, progress)
            self.turns.at_once(name)
            return await self._go_on(name, progress)

    async def _push(self, name: str, run: Rotation, wanted: Wanted) -> None:
        """What is wanted of an open rotation now, and was not before."""
        hurry, force = run.hurry or wanted.hurry, run.force or wanted.force
        if (hurry, force) != (run.hurry, run.force):
            await self.runs.move(name, run, replace(run, hurry=hurry, force=force, waits=""))

    async def roll_back(self, name: str, progress: Progress) -> Rotation | None:
        """Back to the old key; before the promotion the new one is deleted."""
        async with self._turn(name), self._telling(name):
            left = await self._rolled_back(name, progress)
            if left is None:  # a person did not want the new key: none is made by itself for a day
                self.turns.again_in(name, DAY_S)
            return left

    async def _rolled_back(self, name: str, progress: Progress) -> Rotation | None:
        self.runs.profile(name)
        run = self.runs.open.get(name)
        if run is None:
            raise Usage(f'no rotation of "{name}" is open', hint=f"run: awsvault show {name}")
        if run.state == "uncertain":
            await self._give_up(name, progress)
            return None
        if rotation.rolled_back(run, self.runs.clock.now()).promoted_at:
            run = await self._reactivated(name, run, progress)
        await self.runs.move(name, run, rotation.rolled_back(run, self.runs.clock.now()))
        self.turns.at_once(name)
        return await self._go_on(name, progress)

    async def _give_up(self, name: str, progress: Progress) -> None:
        """A person says that whatever AWS made of the lost reply is not to be looked for any more."""
        self.turns.at_once(name)
        run = await self._go_on(name, progress)
        if run and not run.waits:
            raise Refused(rotation.UNCERTAIN, hint="try again in a few minutes")
        await self.runs.move(name, run, None)

    async def _replace_lost(self, run: Rotation, profile: KeyProfile, key_id: str) -> None:
        """A person says that the key which a lost reply may have told of is to go."""
        self.start.check(await self.steps.found(profile), profile, Wanted(replace=key_id))
        await self.steps.call((await self.steps.user(profile)).delete_key, key_id)
        await self.runs.move(profile.name, run, None)
        self.runs.journal(profile.name, "deleted", key=key_id)

    # --- going on

    def tick(self) -> None:
        """Start what is due: the steps of open rotations, and those that begin by themselves. Returns at once."""
        if not self.runs.keeper.is_unlocked:
            return
        for name, run in self.runs.open.items():
            profile = self.runs.keeper.body.profiles.get(name)
            if not isinstance(profile, KeyProfile) or not self.turns.is_due(name):
                continue
            if run.state in _WATCHED or rotation.is_due(run, self.periods(profile), self.runs.clock.now()):
                self._start(name, self._go_on_alone(name))
        for profile in self._self_rotating():
            if self.turns.is_due(profile.name) and self.is_due(profile):
                self._start(profile.name, self._begin_alone(profile.name))

    @property
    def is_working(self) -> bool:
        """Is a step under way that nobody waits for?"""
        return bool(self._tasks)

    def nudge(self) -> None:
        """Something that a rotation may wait for has happened: try again at the next tick."""
        self.turns.at_once()

    def _self_rotating(self) -> list[KeyProfile]:
        body = self.runs.keeper.body
        return [
            profile
            for profile in body.profiles.values()
            if isinstance(profile, KeyProfile)
            and profile.auto_rotate == self.start.host
            and profile.name not in body.rotations
        ]

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self.turns.again_in(name, RETRY_S)  # until it says otherwise
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
            self.turns.again_in(name, (LOOK_AGAIN_S if transient else DAY_S))
            log.say(f'"{name}" could not be rotated by itself: {error.line}')
            self.runs.journal(name, "not begun", reason=error.code)

    async def _go_on(self, name: str, progress: Progress) -> Rotation | None:
        """Take every step that is due; the run as it is then, None when it is over. Raises AwsFailed, StorageFailed."""
        while True:
            self.runs.check_unlocked()
            run = self.runs.open.get(name)
            if run is None:
                self.turns.at_once(name)
                return None
            run = await self._resumed(name, run)
            profile = self.runs.profile(name)
            try:
                following = await self._next(run, profile, progress)
            except Waits as waits:
                return await self._wait(name, run, waits.text)
            except StartOver as again:
                return await self._start_over(name, run, str(again))
            except TurnBack as turn:
                following = self._turned_back(name, run, turn)
                if run.state == "created":
                    await self.runs.move(name, run, following)
                    await self._go_on(name, progress)
                    told = f"the new key does not work and is deleted again: {turn}"
                    raise AwsFailed(told, hint="", details=dict(_USELESS)) from None
            except AwsFailed as error:
                return await self._failed(name, run, profile, error)
            if following == run:
                return run
            await self.runs.move(name, run, following)

    async def _next(self, run: Rotation, profile: KeyProfile, progress: Progress) -> Rotation | None:
        """The run after what is due; as it is when nothing is, but the key that is served is looked at every hour."""
        now = self.runs.clock.now()
        if rotation.is_of_another_clock(run, now):
            return rotation.begun_again(await self.steps.watched(run, profile), now)
        if rotation.is_due(run, self.periods(profile), now):
            return await self.steps.take(run, profile, progress)
        left = rotation.due_at(run, self.periods(profile)) - now
        again_s = min(LOOK_AGAIN_S, left.total_seconds())
        self.turns.again_in(profile.name, again_s)
        if run.state not in _WATCHED or now - run.since < timedelta(seconds=RETRY_S):
            return run
        run = await self.steps.watched(run, profile)
        self._restarted.discard(profile.name)
        return replace(run, waits="")

    def _turned_back(self, name: str, run: Rotation, turn: TurnBack) -> Rotation:
        self.runs.journal(name, "rolled back", reason=str(turn))
        log.say(f'the rotation of "{name}" is rolled back: {turn}')
        return rotation.rolled_back(run, self.runs.clock.now())

    async def _start_over(self, name: str, run: Rotation, told: str) -> Rotation:
        """Once it may be a passing trouble of AWS's, and is looked at soon; twice it is something for a person."""
        waits, again_s = (told, LOOK_AGAIN_S) if name in self._restarted else ("", RETRY_S)
        self._restarted.add(name)
        reopened = replace(rotation.reopened(run, self.runs.clock.now()), waits=waits)
        await self.runs.move(name, run, reopened)
        self.turns.again_in(name, again_s)
        return reopened

    async def _resumed(self, name: str, run: Rotation) -> Rotation:
        resumed = rotation.resumed(run, self.runs.clock.now())
        if resumed is not run:
            await self.runs.move(name, run, resumed)
        return resumed

    async def _wait(self, name: str, run: Rotation, text: str) -> Rotation:
        self.turns.again_in(name, (LOOK_AGAIN_S if text else RETRY_S))
        if text == run.waits:
            return run
        waiting = replace(run, waits=text)
        await self.runs.move(name, run, waiting)
        return waiting

    async def _failed(self, name: str, run: Rotation, profile: KeyProfile, error: AwsFailed) -> Rotation:
        """What AWS refuses waits for a person; what failed is tried again."""
        if is_transient(error):
            self.turns.again_in(name, RETRY_S)
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
        async with self.turns.of(name):
            self.runs.check_unlocked()
            yield
