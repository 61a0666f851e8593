# SPDX-License-Identifier: Apache-2.0
"""Two hosts with copies of one vault harm neither each other's keys nor anybody's."""

from datetime import timedelta

import pytest

from tests.torture.hosts import meet, wake
from tests.torture.play import HOUR, Stage
from tests.torture.run import row
from tests.torture.scenarios import ROTATE

#: Up to the promotion; the calls only.
CALLS = [
    (at, name)
    for at, name in ROTATE.targets()
    if at <= ROTATE.expected.index("save:grace") and not (name.startswith("save:") or name == "reserve")
]
SAVES = [(at, name) for at, name in ROTATE.targets() if name.startswith("save:") and name != "save:closed"]


@pytest.mark.parametrize("with_clients", [True, False], ids=["used by both", "used by nobody"])
def test_two_hosts_that_rotate_at_once_leave_no_key_behind(stage: Stage, *, with_clients: bool) -> None:
    table = row(f"two hosts at once, {'used by both' if with_clients else 'used by nobody'}")
    for first, _ in CALLS:
        for second, _ in CALLS[::2]:
            table.add(first, str(second), meet(stage, first, second, with_clients=with_clients))
    assert [] == table.violations


@pytest.mark.parametrize("last_used", [0 * HOUR, 6 * HOUR], ids=["at once", "late"])
def test_a_host_that_wakes_with_an_older_copy_harms_no_key(stage: Stage, last_used: timedelta) -> None:
    table = row(f"an older copy wakes, uses known after {last_used}")
    for at, name in SAVES:
        for hours in (0, 2, 26, 9 * 24):
            table.add(name, str(hours), wake(stage, at, hours * HOUR, last_used=last_used))
    assert [] == table.violations
