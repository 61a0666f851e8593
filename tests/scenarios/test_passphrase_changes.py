# SPDX-License-Identifier: Apache-2.0
"""A new passphrase, for those who know the old one, and for those who kept the recovery code."""

from pathlib import Path

import pytest

from tests import canary
from tests.daemons import Daemon
from tests.scenarios.person import at_terminal, new_passphrase, transcript, write_down_code
from vaultd.wire.errors import WrongPassphrase


@pytest.fixture
def code(bare_daemon: Daemon) -> str:
    """The recovery code of a vault that is locked now."""
    code = bare_daemon.init()
    bare_daemon.lock_and_wait()
    return code


def private(path: Path, content: str) -> str:
    path.write_text(content)
    path.chmod(0o600)
    return str(path)


def test_passwd(daemon: Daemon) -> None:
    with at_terminal(daemon, "passwd") as terminal:
        terminal.answer("Old passphrase: ", canary.PASSPHRASE)
        new_passphrase(terminal, "short")
        new_passphrase(terminal, canary.NEW_PASSPHRASE)
        assert 0 == terminal.end()
    assert transcript(terminal, daemon).endswith(
        "Copies of the vault elsewhere still open with the old one.\n"
    )
    daemon.lock_and_wait()
    daemon.unlock(canary.NEW_PASSPHRASE)


def test_passwd_of_a_locked_vault_by_files(daemon: Daemon, tmp_path: Path) -> None:
    daemon.lock_and_wait()
    flags = (
        "--passphrase-file",
        private(tmp_path / "old", f"{canary.PASSPHRASE}\n"),
        "--new-passphrase-file",
        private(tmp_path / "new", f"{canary.NEW_PASSPHRASE}\n"),
    )
    assert 0 == daemon.awsvault("passwd", *flags).returncode
    daemon.lock_and_wait()
    daemon.unlock(canary.NEW_PASSPHRASE)


def test_passwd_without_the_old_one_changes_nothing(daemon: Daemon, tmp_path: Path) -> None:
    before = (daemon.home / "vault").read_bytes()
    new = private(tmp_path / "new", canary.NEW_PASSPHRASE)
    done = daemon.awsvault(
        "passwd", "--passphrase-fd", "0", "--new-passphrase-file", new, stdin=b"not this one"
    )
    assert (1, b"awsvault: wrong passphrase; try again, or run: awsvault recover\n") == (
        done.returncode,
        done.stderr,
    )
    assert before == (daemon.home / "vault").read_bytes()


def test_recover(bare_daemon: Daemon, code: str) -> None:
    with at_terminal(bare_daemon, "recover") as terminal:
        terminal.answer("Recovery code: ", f"{code[:-1]}U")
        new_passphrase(terminal, canary.NEW_PASSPHRASE)
        terminal.answer("Recovery code: ", code.lower().replace("-", " "))
        new_passphrase(terminal, "short")
        terminal.expect("the passphrase is shorter than 10 characters")
        new_passphrase(terminal, canary.NEW_PASSPHRASE)
        terminal.expect("The old code and the old passphrase open it no more.")
        fresh = write_down_code(terminal)
        assert 0 == terminal.end()
    assert code != fresh
    assert code not in terminal.screen
    bare_daemon.lock_and_wait()
    with pytest.raises(WrongPassphrase):
        bare_daemon.unlock(canary.PASSPHRASE)


def test_recover_by_files(bare_daemon: Daemon, code: str, tmp_path: Path) -> None:
    flags = (
        "--code-file",
        private(tmp_path / "code", f"{code}\n"),
        "--passphrase-file",
        private(tmp_path / "new", canary.NEW_PASSPHRASE),
        "--recovery-file",
        str(tmp_path / "fresh"),
    )
    assert 0 == bare_daemon.awsvault("recover", *flags).returncode
    assert code != (tmp_path / "fresh").read_text().strip()
    bare_daemon.lock_and_wait()
    bare_daemon.unlock(canary.NEW_PASSPHRASE)


def test_recover_with_another_code_changes_nothing(bare_daemon: Daemon, code: str, tmp_path: Path) -> None:
    before = (bare_daemon.home / "vault").read_bytes()
    new = private(tmp_path / "new", canary.NEW_PASSPHRASE)
    flags = ("--code-fd", "0", "--passphrase-file", new, "--recovery-file", str(tmp_path / "fresh"))
    wrong = ("0000-" * 8 + "0000").encode()
    assert 2 == bare_daemon.awsvault("recover", *flags, stdin=wrong).returncode
    assert not (tmp_path / "fresh").exists()
    assert before == (bare_daemon.home / "vault").read_bytes()
