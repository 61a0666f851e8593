# SPDX-License-Identifier: Apache-2.0
"""The manual page says what the command says, and roff has nothing to complain of."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

from awsvault.app import COMMANDS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "cli/man/awsvault.1"


def test_the_page_is_not_older_than_the_command() -> None:
    spec = importlib.util.spec_from_file_location("man", ROOT / ".ci/man.py")
    assert spec
    assert spec.loader
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert generator.page() == PAGE.read_text("utf-8"), "run: make man"


def test_every_command_is_in_it() -> None:
    text = PAGE.read_text("utf-8").replace("\\-", "-")
    assert [] == [name for name in COMMANDS if f"\n.SS {name}\n" not in text]


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_roff_reads_it_without_a_warning() -> None:
    words = ["groff", "-man", "-Tutf8", "-ww", "-z", str(PAGE)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
