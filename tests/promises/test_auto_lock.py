# SPDX-License-Identifier: Apache-2.0
"""A vault locks itself: after an hour without use, after twelve in any case, or when its person said so.

The real daemon, with a clock that the test can put forward as a night of sleep does. Which moment follows from which
settings is tests/core/test_policy.py's table; what counts as use is tests/edge/test_vault_ops.py's.
"""

import time

import pytest

from tests.conftest import DaemonFactory
from tests.daemons import Daemon, until
from vaultd.edge import clock
from vaultd.wire.errors import Usage

HOUR = 3600

#: CLOCK_BOOTTIME plus what the file `shift` beside the home says. `{tick}`: how often the daemon looks at it unasked.
PREAMBLE = """
import os, sys
from vaultd import daemon
from vaultd.edge import clock
true, path = clock.boottime, os.path.join(os.path.dirname(sys.argv[-1]), "shift")
def shifted():
    with open(path) as file:
        return true() + float(file.read())
daemon.Clock = lambda: clock.Clock(boottime=shifted)
daemon.TICK_S = {tick}
"""
NEVER = 10_000


class Sleeper:
    """A daemon on a machine whose time the test passes."""

    def __init__(self, daemons: DaemonFactory, *, config: str = "", tick: float = 0.02) -> None:
        self.daemon: Daemon = daemons(preamble=PREAMBLE.format(tick=tick), config=config)
        self._shift = self.daemon.home.parent / "shift"
        self.hours = 0.0
        self.pass_hours(0)
        self.daemon.start().init()
        self.daemon.add("dev")

    def pass_hours(self, hours: float) -> None:
        self.hours += hours
        fresh = self._shift.with_suffix(".new")
        fresh.write_text(str(self.hours * HOUR), "ascii")
        fresh.replace(self._shift)

    def is_served(self) -> bool:
        status = self.daemon.get("dev").returncode
        assert status in (0, 3)
        return status == 0

    def has_locked_itself(self) -> bool:
        """Without anybody asking it anything."""
        until(lambda: "locking (time)" in self.daemon.log, "it locks by itself", patience_s=10)
        return not self.is_served()


def test_an_hour_without_use_locks(daemons: DaemonFactory) -> None:
    sleeper = Sleeper(daemons)
    sleeper.pass_hours(0.99)
    assert sleeper.is_served(), "and an hour begins anew"
    sleeper.pass_hours(0.99)
    assert sleeper.is_served()
    sleeper.pass_hours(1.01)
    assert sleeper.has_locked_itself()
    assert "locked" == sleeper.daemon.state()


def test_twelve_hours_lock_whatever_the_use(daemons: DaemonFactory) -> None:
    sleeper = Sleeper(daemons)
    for _ in range(13):
        sleeper.pass_hours(0.9)
        assert sleeper.is_served()
    sleeper.pass_hours(0.4)
    assert sleeper.has_locked_itself()


def test_unlock_for_a_time_means_that_time(daemons: DaemonFactory) -> None:
    sleeper = Sleeper(daemons)
    sleeper.daemon.lock_and_wait()
    sleeper.daemon.unlock(for_s=2 * HOUR)
    assert 2 * HOUR - 5 <= sleeper.daemon.status()["locks_in_s"] <= 2 * HOUR
    for _ in range(2):
        sleeper.pass_hours(0.98)
        assert sleeper.is_served(), "not used for an hour, but still within its time"
    sleeper.pass_hours(0.05)
    assert sleeper.has_locked_itself()


def test_no_time_beyond_the_longest_can_be_asked_for(daemons: DaemonFactory) -> None:
    sleeper = Sleeper(daemons)
    sleeper.daemon.lock_and_wait()
    for seconds in (12 * HOUR + 1, 59, 0, -1):
        with pytest.raises(Usage, match="--for"):
            sleeper.daemon.unlock(for_s=seconds)
        assert not sleeper.is_served()


def test_only_a_persons_commands_count_as_use_where_that_is_set(daemons: DaemonFactory) -> None:
    sleeper = Sleeper(daemons, config='[lock]\nextend = "person"\n')
    sleeper.pass_hours(0.6)
    sleeper.daemon.call("list")
    sleeper.pass_hours(0.6)
    assert sleeper.is_served(), "an hour since the last command of a person is not over"
    sleeper.pass_hours(0.6)
    assert sleeper.has_locked_itself(), "a program's `get` puts nothing off"


def test_looking_is_no_use(daemons: DaemonFactory) -> None:
    sleeper = Sleeper(daemons)
    sleeper.pass_hours(0.6)
    sleeper.daemon.status()
    sleeper.daemon.call("names")  # what shell completion asks
    sleeper.daemon.call("rotation", profile="dev")  # what `rotate --wait` asks, once a second for a week
    sleeper.pass_hours(0.6)
    assert sleeper.has_locked_itself()


def test_never_means_never(daemons: DaemonFactory) -> None:
    """The control of all the above: this clock by itself locks nothing."""
    sleeper = Sleeper(daemons, config='[lock]\nidle = "0s"\nmax = "0s"\n')
    sleeper.pass_hours(24 * 3650)
    assert sleeper.is_served()
    assert sleeper.daemon.status()["locks_in_s"] is None


def test_a_night_of_sleep_is_noticed_by_the_first_request(daemons: DaemonFactory) -> None:
    """A loop's timers do not count sleep: on waking, a request can come before the daemon has looked at the clock."""
    sleeper = Sleeper(daemons, tick=NEVER)
    sleeper.pass_hours(8)
    assert not sleeper.is_served()
    assert "locking (time)" in sleeper.daemon.log
    assert "locked" == sleeper.daemon.state()


def test_the_clock_counts_sleep() -> None:
    assert abs(clock.boottime() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1


def test_an_automatic_lock_is_a_whole_lock(daemons: DaemonFactory) -> None:
    """The same exec, with the same pid; refusals and wrong guesses are carried over."""
    sleeper = Sleeper(daemons)
    daemon = sleeper.daemon
    before = daemon.status()["instance"]
    daemon.get("unknown")
    sleeper.pass_hours(13)
    image = daemon.await_new_image(before)
    assert (daemon.pid, "locked") == (image["pid"], image["state"])
    assert ["no-such-profile"] == [refusal["code"] for refusal in image["refusals"]]
