# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests that need the daemon itself. Whatever a test starts here ends with it, however it ends.

Every home is searched for secrets before it is removed, and so is what every test printed (canary.py): the suite as a
whole is the test of that promise.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any

import hypothesis
import pytest

from tests import canary
from tests.daemons import Daemon

# The same examples in every run, and no time limit for one: a busy machine must not make a test fail.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=True)
hypothesis.settings.load_profile("suite")

DaemonFactory = Callable[..., Daemon]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that prints a secret fails. One that fails anyway may show its own."""
    report = yield
    if report.passed and canary.found_in(report.capstdout + report.capstderr + report.caplog):
        report.outcome = "failed"
        report.longrepr = "a secret stands in what the test, or a process that it started, has printed"
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several processes (`make test`) tells the one that prints the summary what it has searched."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["searched"] = dict(canary.SEARCHED)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    canary.SEARCHED.update(getattr(node, "workeroutput", {}).get("searched", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if canary.SEARCHED:
        found = "{homes} homes with {files} files ({bytes} bytes)".format(**canary.SEARCHED)
        terminalreporter.write_line(f"searched for secrets in the clear: {found}")


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
