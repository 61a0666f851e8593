# SPDX-License-Identifier: Apache-2.0
"""What `exec` runs is found as a shell finds it, and what it cannot run is named by env(1)'s exit statuses."""

from pathlib import Path

import pytest

from awsvault import running
from tests.canary import MARK
from vaultd.wire.errors import VaultError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The second of two directories on PATH."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/first:{tmp_path}/second")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "second"


def put(path: Path, mode: int = 0o755) -> str:
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return str(path)


def test_the_first_that_can_be_run_on_path_is_taken(folder: Path) -> None:
    put(folder.parent / "first" / "tool", 0o644)
    expected = put(folder / "tool")
    assert expected == running.find("tool")


def test_a_path_is_taken_as_it_is(folder: Path) -> None:
    put(folder / "tool")
    assert "second/tool" == running.find("second/tool")


@pytest.mark.parametrize(
    ("word", "status", "line"),
    [
        ("nothing", 127, "nothing: the command is not found"),
        ("", 127, "(what was given): the command is not found"),
        ("./nothing", 127, "nothing: the command is not found"),
        ("plain", 126, "plain: the command is not executable"),
        ("second/plain", 126, "plain: the command is not executable"),
        ("first", 127, "first: the command is not found"),
        ("/tmp", 126, "tmp: the command is not executable"),
        (MARK * 4, 127, "(what was given): the command is not found"),
        ("a\0b", 127, "(what was given): the command is not found"),
    ],
    ids=[
        "missing",
        "empty",
        "missing path",
        "mode",
        "mode by path",
        "directory",
        "directory by path",
        "long",
        "NUL",
    ],
)
def test_what_cannot_be_run_is_said_as_env_says_it(folder: Path, word: str, status: int, line: str) -> None:
    put(folder / "plain", 0o644)
    with pytest.raises(VaultError) as caught:
        running.find(word)
    assert (status, line) == (caught.value.exit_status, caught.value.line)
