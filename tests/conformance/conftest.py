# SPDX-License-Identifier: Apache-2.0
"""What the tests of other people's clients begin with."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance import programs
from tests.scenarios.diary import Diary, open_diary
from tests.scenarios.vault_at_aws import alice_of


@pytest.fixture(scope="session")
def modules() -> Path:
    """What npm installs."""
    return programs.npm()


@pytest.fixture(scope="module")
def shared() -> Iterator[Diary]:
    with open_diary() as opened:
        yield opened


@pytest.fixture
def diary(shared: Diary) -> Diary:
    """An unlocked vault with nothing in it, no ~/.aws, and alice's key at AWS."""
    if "locked" == shared.stage.daemon.state():
        shared.stage.daemon.unlock()
    shared.days = 0
    shared.begin()
    shutil.rmtree(shared.stage.daemon.home.parent / "u/.aws", ignore_errors=True)
    _, shared.keys["alice"] = alice_of(shared.stage.aws, "alice")
    return shared
