# SPDX-License-Identifier: Apache-2.0
"""What the tests of other people's clients begin with, and what they install from npm: pinned by hash."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.diary import Diary, open_diary
from tests.scenarios.vault_at_aws import alice_of

HERE = Path(__file__).parent
INSTALL_S = 300


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What npm/package-lock.json names."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    folder = shutil.copytree(HERE / "npm", tmp_path_factory.mktemp("npm"), dirs_exist_ok=True)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    assert "EINTEGRITY" not in done.stderr, "what npm got is not what was pinned"
    if done.returncode:
        pytest.skip("npm cannot install here: is the registry within reach?")
    return folder / "node_modules"


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
