# SPDX-License-Identifier: Apache-2.0
"""The table at the end of `make torture`."""

from collections.abc import Iterator

import pytest

from tests.torture.play import Stage
from tests.torture.run import TABLE


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("torture")) as stage:
        yield stage


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(
        f"\n{'scenario':44} {'points':>6} {'faults':>6} {'runs':>6} {'violations':>10}"
    )
    for row in TABLE:
        counts = f"{len(row.points):6} {len(row.kinds):6} {row.runs:6} {len(row.violations):10}"
        terminalreporter.write_line(f"{row.scenario:44} {counts}")
    runs, violations = sum(row.runs for row in TABLE), sum(len(row.violations) for row in TABLE)
    terminalreporter.write_line(f"{'in all':44} {'':6} {'':6} {runs:6} {violations:10}")
