# SPDX-License-Identifier: Apache-2.0
"""Everything that can happen at every point of every way a rotation can go. Minutes: `make torture`."""

from datetime import timedelta
from itertools import product

import pytest

from tests.torture import blows
from tests.torture.play import HOUR, MINUTE, Play, Stage
from tests.torture.run import everywhere, play_through, rehearse, row, strike
from tests.torture.scenarios import SCENARIOS, Scenario, lost, plain


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_nothing_at_any_point_costs_a_key(stage: Stage, scenario: Scenario) -> None:
    points, complaints = rehearse(stage, scenario)
    assert (scenario.expected, []) == (points, complaints)
    table = row(scenario.name)
    for at, _, kind in everywhere(scenario):
        table.add(at, kind, strike(stage, scenario, at, kind))
    assert [] == table.violations


SECOND = timedelta(seconds=1)
PACES = list(
    product(
        (0 * SECOND, 20 * SECOND, 60 * SECOND),
        (0 * SECOND, 30 * SECOND, 60 * SECOND),
        (0 * HOUR, 6 * HOUR),
        (0 * MINUTE, 5 * MINUTE, 15 * MINUTE),
    )
)


def test_however_late_awss_parts_learn_what_happened_no_key_is_lost(stage: Stage) -> None:
    table = row("AWS's parts learn later and later")
    for pace in PACES:
        for script in (plain, lost):

            async def at_this_pace(play: Play, script=script, pace=pace) -> None:  # type: ignore[no-untyped-def]
                new = play.fake.pace
                new.new_key, new.key_list, new.last_used, new.trail = pace
                await script(play)

            table.add(pace, script.__name__, play_through(stage, at_this_pace))
    assert [] == table.violations


def test_every_kind_of_blow_is_struck_somewhere() -> None:
    kinds = {kind for scenario in SCENARIOS for _, _, kind in everywhere(scenario)}
    assert set(blows.BLOWS) == kinds
