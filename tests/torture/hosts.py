# SPDX-License-Identifier: Apache-2.0
"""Two hosts with copies of one vault: both rotate at once, or one wakes up with an older copy of the other's rotation."""

import asyncio
import shutil
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from tests.torture.play import HOUR, Play, Stage

PATIENCE_S = 20.0


@dataclass
class Halt:
    """Stops a host just before one of its calls, until it may go on."""

    is_slow: bool = False
    arrived: threading.Event = field(default_factory=threading.Event)
    goes_on: threading.Event = field(default_factory=threading.Event)

    def before(self, name: str) -> None:
        if name.startswith("save:") or name == "reserve":
            return  # on the loop's thread, where the other host lives, too
        self.arrived.set()
        assert self.goes_on.wait(PATIENCE_S)

    async def waited(self) -> None:
        """Until the host is there."""
        await asyncio.to_thread(self.arrived.wait, PATIENCE_S)

    def between(self, name: str) -> None:
        """Only calls."""

    def after(self, name: str) -> None:
        """Only before."""


def meet(stage: Stage, first_at: int, second_at: int, *, with_clients: bool) -> list[str]:
    """The first halts before its point, the second goes on to its own, then the first to its end, then the second."""
    with stage.home() as home, stage.home() as other:
        play = Play(stage, stage.aws)
        play.needs_person = True  # somebody uses the key of the host left behind
        asyncio.run(_meet(play, (home, first_at), (other, second_at), with_clients=with_clients))
        return play.checker.complaints


async def _meet(play: Play, first: tuple[Path, int], second: tuple[Path, int], *, with_clients: bool) -> None:
    play.listen()
    halts = [Halt(), Halt()]
    for halt, (home, at) in zip(halts, (first, second), strict=True):
        host = await play.begin(home, halt, at)
        host.clients = host.clients if with_clients else []
        await host.serve()
    tasks: list[asyncio.Task[object]] = []
    try:
        for host, halt in zip(play.hosts, halts, strict=True):
            task = asyncio.ensure_future(host.ask("rotate", profile="dev"))
            tasks.append(task)
            await asyncio.wait({task, asyncio.ensure_future(halt.waited())}, return_when="FIRST_COMPLETED")
        for halt, task in zip(halts, tasks, strict=True):
            halt.goes_on.set()
            await task
        await play.settle()
    finally:
        for halt in halts:
            halt.goes_on.set()
            halt.arrived.set()  # what waits for it must not outlive the run
        await play.end()


@dataclass
class Copy:
    """Copies the vault to another machine just after one of its saves."""

    play: Play
    target: Path
    made_at: datetime | None = None
    is_slow: bool = False

    def before(self, name: str) -> None:
        """Only after."""

    def between(self, name: str) -> None:
        """Only after."""

    def after(self, _name: str) -> None:
        shutil.rmtree(self.target)
        # What is being written at this moment is gone at the next.
        shutil.copytree(self.play.host.home, self.target, ignore=shutil.ignore_patterns("*.tmp"))
        self.made_at = self.play.fake.clock.now()


def wake(stage: Stage, at: int, sleep: timedelta, *, last_used: timedelta) -> list[str]:
    """The second host unlocks with the vault as it was after this save of the first, so long after it."""
    with stage.home() as home, stage.home() as other:
        play = Play(stage, stage.aws)
        play.needs_person = True
        play.fake.pace.last_used = last_used
        asyncio.run(_wake(play, home, other, at, sleep))
        return play.checker.complaints


async def _wake(play: Play, home: Path, other: Path, at: int, sleep: timedelta) -> None:
    play.listen()
    copy = Copy(play, other)
    await play.begin(home, copy, at)
    await play.host.serve()
    try:
        await play.host.ask("rotate", profile="dev")
        await play.host.serve()
        while copy.made_at is None or play.fake.clock.now() - copy.made_at < sleep:
            await play.pass_time(HOUR if play.host.run and play.host.run.state == "grace" else 8 * HOUR)
        second = await play.begin(other)
        second.clients = []
        await play.settle()
    finally:
        await play.end()
