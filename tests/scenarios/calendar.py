# SPDX-License-Identifier: Apache-2.0
"""A daemon on a machine whose days the test passes: both of its clocks say what a file beside its home adds."""

from tests.conftest import DaemonFactory
from tests.daemons import Daemon

DAY_S = 86_400
PREAMBLE = """
import os, sys
from datetime import timedelta
from vaultd import daemon
from vaultd.edge import clock
path = os.path.join(os.path.dirname(sys.argv[-1]), "shift")
true_now, true_boottime = clock.now, clock.boottime
def shift():
    with open(path) as file:
        return float(file.read())
daemon.Clock = lambda: clock.Clock(
    now=lambda: true_now() + timedelta(seconds=shift()), boottime=lambda: true_boottime() + shift()
)
daemon.TICK_S = 0.02
"""
NEVER_LOCKS = '[lock]\nidle = "0s"\nmax = "0s"\n'


class Calendar:
    def __init__(self, daemons: DaemonFactory, config: str = "", **environment: str) -> None:
        self.daemon: Daemon = daemons(preamble=PREAMBLE, config=NEVER_LOCKS + config, environment=environment)
        self._shift = self.daemon.home.parent / "shift"
        self._days = 0.0
        self.pass_days(0)
        self.daemon.start().init()

    def pass_days(self, days: float) -> None:
        self._days += days
        fresh = self._shift.with_suffix(".new")
        fresh.write_text(str(self._days * DAY_S), "ascii")
        fresh.replace(self._shift)
