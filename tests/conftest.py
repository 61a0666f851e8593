# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests that need the daemon itself. Whatever a test starts here ends with it, however it ends.

Every home is searched for secrets before it is removed (canary.py): the suite as a whole is the test of that promise.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import hypothesis
import pytest

from tests.daemons import Daemon

# The same examples in every run, and no time limit for one: a busy machine must not make a test fail.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.load_profile("suite")

DaemonFactory = Callable[..., Daemon]


@pytest.fixture
def daemons() -> Iterator[DaemonFactory]:
    """Make any number of daemons, not started yet: `daemons(config=..., uid=..., entry=...)`."""
    with ExitStack() as stack:

        def make(**options: object) -> Daemon:
            made = Daemon(**options)  # type: ignore[arg-type]  # passed through as they are
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def bare_daemon(daemons: DaemonFactory) -> Daemon:
    """Running; there is no vault yet."""
    return daemons().start()


@pytest.fixture
def daemon(bare_daemon: Daemon) -> Daemon:
    """Running and unlocked, with the key profile `dev` (served as it is, AWS not asked)."""
    bare_daemon.init()
    bare_daemon.add("dev")
    return bare_daemon
