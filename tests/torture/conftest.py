# SPDX-License-Identifier: Apache-2.0
"""The table at the end of `make torture`, whichever process a test ran in."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.torture.play import Stage
from tests.torture.run import TABLE

_LINE = "{:44} {:>6} {:>6} {:>6} {:>10}"
_told: list[Any] = []  # what _LINE takes


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("torture")) as stage:
        yield stage


@pytest.fixture(autouse=True)
def _rows_in_the_report(record_property: Callable[[str, object], None]) -> Iterator[None]:
    before = len(TABLE)
    yield
    for row in TABLE[before:]:
        record_property("row", (row.scenario, len(row.points), len(row.kinds), row.runs, len(row.violations)))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "teardown":
        _told.extend(value for name, value in report.user_properties if name == "row")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line("\n" + _LINE.format("scenario", "points", "faults", "runs", "violations"))
    for row in _told:
        terminalreporter.write_line(_LINE.format(*row))
    runs, violations = sum(row[3] for row in _told), sum(row[4] for row in _told)
    terminalreporter.write_line(_LINE.format("in all", "", "", runs, violations))
