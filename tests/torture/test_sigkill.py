# SPDX-License-Identifier: Apache-2.0
"""A daemon really killed at every call to AWS of a rotation ends it when it is started again."""

from collections.abc import Iterator

import pytest

from tests.conftest import DaemonFactory
from tests.torture.run import row
from tests.torture.sigkill import PREAMBLE, DeadlyAws, Moment, Victim


@pytest.fixture
def victim(daemons: DaemonFactory) -> Iterator[Victim]:
    with DeadlyAws() as aws:
        yield Victim(daemons(preamble=PREAMBLE, config=f'[aws]\nendpoint_url = "{aws.url}"\n'), aws)


def test_a_daemon_killed_at_any_call_ends_its_rotation(victim: Victim) -> None:
    table = row("SIGKILL of the daemon, rotate --now")
    moments: tuple[Moment, ...] = ("before", "after")
    for at in range(victim.calls_of_a_rotation()):
        for moment in moments:
            victim.rotate_and_die(at, moment)
            table.add(at, moment, [])
