# SPDX-License-Identifier: Apache-2.0
"""Runs: once without a blow to find the points, then once for each point and each thing that can happen there."""

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.torture import blows
from tests.torture.blows import Blow
from tests.torture.play import Play, Stage
from tests.torture.scenarios import Scenario, Script


@dataclass
class Row:
    """Of the table that `make torture` prints."""

    scenario: str
    points: set[object] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)
    runs: int = 0
    violations: list[str] = field(default_factory=list)

    def add(self, point: object, kind: str, complaints: list[str] | None) -> None:
        """One run; None when there was nothing to strike at."""
        if complaints is None:
            return
        self.points.add(point)
        self.kinds.add(kind)
        self.runs += 1
        self.violations += [f"{self.scenario}, {point}, {kind}: {text}" for text in complaints]


TABLE: list[Row] = []


def row(name: str) -> Row:
    """A new one in the table."""
    TABLE.append(Row(name))
    return TABLE[-1]


def rehearse(stage: Stage, scenario: Scenario) -> tuple[list[str], list[str]]:
    """The points in order, and what was wrong."""
    with stage.home() as home:
        play = Play(stage, stage.aws)
        asyncio.run(_played(play, scenario.script, home))
        return [*play.host.points, *play.host.probe.names], play.checker.complaints


def play_through(stage: Stage, script: Script) -> list[str]:
    """What went wrong without any blow."""
    with stage.home() as home:
        play = Play(stage, stage.aws)
        asyncio.run(_played(play, script, home))
        return play.checker.complaints


def strike(stage: Stage, scenario: Scenario, at: int, kind: str) -> list[str] | None:
    """What went wrong; None when there was nothing to strike at."""
    with stage.home() as home:
        play = Play(stage, stage.aws)
        blow = Blow(kind, play)
        asyncio.run(_played(play, scenario.script, home, blow, at))
        assert blow.struck, f"{scenario.name}: point {at} was not reached"
        return None if blow.idle else play.checker.complaints


async def _played(
    play: Play, script: Script, home: Path, blow: Blow | None = None, at: int | None = None
) -> None:
    play.listen()
    await play.begin(home, blow, at)
    try:
        await script(play)
    except AssertionError as error:
        play.checker.complain(f"it came to a stop: {error}")
    finally:
        await play.end()


def everywhere(scenario: Scenario, kinds: Collection[str] | None = None) -> Iterator[tuple[int, str, str]]:
    """Each point to strike at, its name, and each thing that can happen there."""
    for at, name in scenario.targets():
        for kind in blows.of(name):
            if kinds is None or kind in kinds:
                yield at, name, kind
