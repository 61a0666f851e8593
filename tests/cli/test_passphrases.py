# SPDX-License-Identifier: Apache-2.0
"""Passphrases come from a descriptor, a private file or the terminal, and from nowhere else."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from awsvault import passphrases
from awsvault.passphrases import Source
from tests.canary import MARK, PASSPHRASE
from vaultd.wire.errors import Refused, Usage, VaultError


def private(tmp_path: Path, content: bytes, mode: int = 0o600) -> str:
    path = tmp_path / "passphrase"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def piped(content: bytes) -> int:
    """A descriptor from which `content` can be read; the reader closes nothing, so pytest's process does."""
    read_end, write_end = os.pipe()
    os.write(write_end, content)
    os.close(write_end)
    return read_end


@pytest.mark.parametrize(
    "content", ["x", PASSPHRASE, f"{PASSPHRASE}\n", "p\u00e4ss w\u00f6rd \U0001f511\r\n", " spaces "]
)
def test_what_is_given_is_passed_on_as_it_is(tmp_path: Path, content: str) -> None:
    """The daemon cuts one line end; cutting one here too would cut two."""
    assert content == Source(None, private(tmp_path, content.encode())).read()
    fd = piped(content.encode())
    assert content == Source(fd, None).read()
    os.close(fd)


def test_a_pipe_is_a_file_too(tmp_path: Path) -> None:
    """`--passphrase-file <(pass show vault)`"""
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o600)
    writer = threading.Thread(target=lambda: path.write_text("x"))
    writer.start()
    assert "x" == Source(None, str(path)).read()
    writer.join()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o666, 0o601])
def test_a_file_that_others_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = private(tmp_path, PASSPHRASE.encode(), mode)
    with pytest.raises(Refused, match="is open to other users") as error:
        Source(None, path).read()
    assert f"run: chmod 600 {path}" == error.value.hint


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = private(tmp_path, PASSPHRASE.encode())
    os.chown(path, 12345, -1)
    with pytest.raises(Refused, match="belongs to uid 12345"):
        Source(None, path).read()


@pytest.mark.parametrize("path", ["/nonexistent", "/", "/dev/null", "a\0b"])
def test_what_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(Usage, match=r"cannot be read|is not a file"):
        Source(None, path).read()


@pytest.mark.parametrize("content", [b"\xff" + MARK.encode(), b"x" * 4097], ids=["not-utf8", "endless"])
def test_what_is_no_passphrase_is_refused_without_quoting_it(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(Usage) as error:
        Source(None, private(tmp_path, content)).read()
    assert MARK not in error.value.line


def test_a_descriptor_that_is_not_open_is_named() -> None:
    with pytest.raises(Usage, match="file descriptor 987 is not open"):
        Source(987, None).read()


def test_both_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="use one of --passphrase-fd or --passphrase-file"):
        Source(3, "x").read()


@pytest.mark.parametrize("ask", [passphrases.existing, passphrases.new])
def test_without_a_terminal_nothing_is_asked_and_the_flags_are_named(
    ask: Callable[[Source], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        monkeypatch.setattr("sys.stderr", nothing)
        with pytest.raises(VaultError) as error:
            ask(Source(None, None, "--this or --that"))
    assert "no terminal to ask on; use --this or --that" == error.value.line
    assert 2 == error.value.exit_status
