# SPDX-License-Identifier: Apache-2.0
"""A rotation that is killed, locked or cut off from AWS at any point costs no key (issue 4).

The points are found by playing the rotation once and writing down what it does to the world; tests/torture does more
of this, at more of them: `make torture`.
"""

from collections.abc import Iterator

import pytest

from tests.conftest import DaemonFactory
from tests.torture import blows
from tests.torture.hosts import meet, wake
from tests.torture.play import HOUR, Stage
from tests.torture.run import Row, everywhere, rehearse, strike
from tests.torture.scenarios import HURRY, SCENARIOS, Scenario
from tests.torture.sigkill import PREAMBLE, DeadlyAws, Victim

#: A scenario, the name of a point, which one of that name, and what happens there: one for each guard of the engine
#: that kills and lost replies do not need.
PICKED = [
    ("rotate", "CreateAccessKey", 0, "locked after"),
    ("rotate", "CreateAccessKey", 0, "locked, and the disk full for long"),
    ("rotate", "CreateAccessKey", 0, "locked, and the save not confirmed"),
    ("rotate", "CreateAccessKey", 0, "a person makes a key before"),
    ("rotate", "GetAccessKeyLastUsed", 2, "a person deactivates the new key before"),
    ("rotate", "GetCallerIdentity", 7, "refused as unknown"),
    ("rotate", "GetCallerIdentity", 7, "a person deletes the new key before"),
    ("--rollback in soak", "UpdateAccessKey", 1, "killed after"),
    ("a lost reply", "LookupEvents", 0, "a person makes a key before"),
]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("torture")) as stage:
        yield stage


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_side_effect_of_a_rotation_is_known(stage: Stage, scenario: Scenario) -> None:
    """One that is added is a point to strike at: it belongs into the table of tests/torture/scenarios.py."""
    assert (scenario.expected, []) == rehearse(stage, scenario)


def test_a_rotation_killed_or_cut_off_at_any_point_costs_no_key(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = {*blows.KILLS, *blows.LOST, "killed between"}
    kills, losses = Row("kills"), Row("lost replies")
    for at, name, kind in everywhere(HURRY, kinds):
        row = kills if kind.startswith("killed") else losses
        row.add((at, name, kind), kind, strike(stage, HURRY, at, kind))
    assert [] == [*kills.violations, *losses.violations]
    assert len(kills.points) >= 40
    with capsys.disabled():
        print(f"\n{len(kills.points)} crash points and {len(losses.points)} lost replies, no key lost")


@pytest.mark.parametrize(("name", "point", "number", "kind"), PICKED)
def test_nor_does_anything_else_that_happens_at_the_worst_moment(
    stage: Stage, name: str, point: str, number: int, kind: str
) -> None:
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == name)
    at = [at for at, found in enumerate(scenario.expected) if found == point][number]
    assert strike(stage, scenario, at, kind) == []


def test_two_hosts_that_rotate_at_once_leave_no_key_behind(stage: Stage) -> None:
    create = HURRY.expected.index("CreateAccessKey")
    assert [] == meet(stage, create, create, with_clients=False)


def test_a_host_that_wakes_with_a_copy_of_the_others_intent_touches_no_key(stage: Stage) -> None:
    intent = HURRY.expected.index("save:intent")
    assert [] == wake(stage, intent, 2 * HOUR, last_used=6 * HOUR)


def test_a_daemon_really_killed_ends_its_rotation_when_it_is_started_again(daemons: DaemonFactory) -> None:
    """SIGKILL, right before and after AWS made the key, and after it ended the old one."""
    calls = [name for name in HURRY.expected if not name.startswith(("save:", "reserve"))]
    create, delete = calls.index("CreateAccessKey"), calls.index("DeleteAccessKey")
    with DeadlyAws() as aws:
        victim = Victim(daemons(preamble=PREAMBLE, config=f'[aws]\nendpoint_url = "{aws.url}"\n'), aws)
        assert len(calls) == victim.calls_of_a_rotation()
        victim.rotate_and_die(create, "before")
        victim.rotate_and_die(create, "after")
        victim.rotate_and_die(delete, "after")
