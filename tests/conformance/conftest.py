# SPDX-License-Identifier: Apache-2.0
"""What the tests of other people's clients install, each from its own registry: pinned by hash, and only when asked."""

import shutil
import subprocess
from pathlib import Path

import pytest

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
