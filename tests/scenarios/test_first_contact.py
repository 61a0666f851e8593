# SPDX-License-Identifier: Apache-2.0
"""A new user: making the vault, from its own command and from the flow of others."""

import os
import stat
from pathlib import Path

import pytest

from tests import canary
from tests.conftest import DaemonFactory
from tests.daemons import AWSVAULT, Daemon
from tests.scenarios.person import CODE, at_terminal, new_passphrase, transcript, write_down_code
from tests.terminal import Terminal
from vaultd.wire.errors import Usage


def passphrase_file(tmp_path: Path, content: str = canary.PASSPHRASE) -> str:
    path = tmp_path / "passphrase"
    path.write_text(f"{content}\n")
    path.chmod(0o600)
    return str(path)


def test_init(bare_daemon: Daemon) -> None:
    with at_terminal(bare_daemon, "init") as terminal:
        new_passphrase(terminal)
        code = write_down_code(terminal)
        assert 0 == terminal.end()
    assert transcript(terminal, bare_daemon) == (
        "New passphrase: \n"
        "The same passphrase again: \n"
        "The vault is made, and unlocked. Each guess at its passphrase costs M MiB and N s.\n"
        "\n"
        "Recovery code: opens the vault when the passphrase is lost. Write it on paper; it is not shown again.\n"
        "\n"
        "    CODE\n"
        "\n"
        "To check what you wrote, group N of 9: XXXX\n"
        "To check what you wrote, group N of 9: XXXX\n"
        "Next: awsvault add PROFILE, or for keys that lie in ~/.aws: awsvault import\n"
    )
    assert "unlocked" == bare_daemon.state()
    bare_daemon.lock_and_wait()
    bare_daemon.call("recover", code=code, passphrase=canary.NEW_PASSPHRASE)


def test_a_weak_or_mistyped_passphrase_is_asked_for_again(bare_daemon: Daemon) -> None:
    with at_terminal(bare_daemon, "init", "--no-recovery") as terminal:
        new_passphrase(terminal, "short")
        terminal.expect("the passphrase is shorter than 10 characters; allow it with --allow-weak")
        terminal.answer("New passphrase: ", canary.PASSPHRASE)
        terminal.answer("The same passphrase again: ", canary.NEW_PASSPHRASE)
        terminal.expect("These two differ; once more.")
        new_passphrase(terminal)
        assert 0 == terminal.end()
    assert "Recovery code" not in terminal.screen
    bare_daemon.lock_and_wait()
    bare_daemon.unlock()


def test_a_weak_passphrase_can_be_wanted(bare_daemon: Daemon) -> None:
    with at_terminal(bare_daemon, "init", "--no-recovery", "--allow-weak") as terminal:
        new_passphrase(terminal, "short")
        assert 0 == terminal.end()


def test_a_group_that_was_written_wrong_is_asked_for_again(bare_daemon: Daemon) -> None:
    with at_terminal(bare_daemon, "init") as terminal:
        new_passphrase(terminal)
        terminal.answer(" of 9: ", "nope")
        terminal.expect("That is another one; please compare.")
        write_down_code(terminal)
        assert 0 == terminal.end()


def test_the_code_goes_to_the_terminal_wherever_output_goes(bare_daemon: Daemon, tmp_path: Path) -> None:
    log = tmp_path / "log"
    words = ["sh", "-c", f'exec "$0" init >"{log}"', str(AWSVAULT)]
    with Terminal(words, bare_daemon.environment({"AWSVAULT_HOME": str(bare_daemon.home)})) as terminal:
        new_passphrase(terminal)
        write_down_code(terminal)
        assert 0 == terminal.end()
    assert not CODE.search(log.read_text())


def test_init_without_a_terminal(bare_daemon: Daemon, tmp_path: Path) -> None:
    before = os.umask(0)
    code_file = tmp_path / "code"
    try:
        done = bare_daemon.awsvault(
            "init", "--passphrase-file", passphrase_file(tmp_path), "--recovery-file", str(code_file)
        )
    finally:
        os.umask(before)
    assert (0, b"") == (done.returncode, done.stdout)
    assert 0o600 == stat.S_IMODE(code_file.stat().st_mode)
    bare_daemon.lock_and_wait()
    bare_daemon.call("recover", code=code_file.read_text(), passphrase=canary.NEW_PASSPHRASE)


def test_a_passphrase_comes_by_descriptor(bare_daemon: Daemon) -> None:
    done = bare_daemon.awsvault(
        "init", "--passphrase-fd", "0", "--no-recovery", stdin=f"{canary.PASSPHRASE}\n".encode()
    )
    assert 0 == done.returncode
    bare_daemon.lock_and_wait()
    bare_daemon.unlock()


def test_a_code_file_that_exists_stays_and_no_vault_is_made(bare_daemon: Daemon, tmp_path: Path) -> None:
    code_file = tmp_path / "code"
    code_file.write_text("mine")
    flags = ("--passphrase-file", passphrase_file(tmp_path), "--recovery-file", str(code_file))
    done = bare_daemon.awsvault("init", *flags)
    assert (2, f"awsvault: {code_file} exists already; name a new file with --recovery-file\n".encode()) == (
        done.returncode,
        done.stderr,
    )
    assert ("mine", "no-vault") == (code_file.read_text(), bare_daemon.state())


def test_a_failed_init_leaves_no_code_file(bare_daemon: Daemon, tmp_path: Path) -> None:
    flags = (
        "--passphrase-file",
        passphrase_file(tmp_path, "short"),
        "--recovery-file",
        str(tmp_path / "code"),
    )
    assert 2 == bare_daemon.awsvault("init", *flags).returncode
    assert not (tmp_path / "code").exists()
    assert "no-vault" == bare_daemon.state()


def test_a_second_vault_is_not_made(daemon: Daemon) -> None:
    done = daemon.awsvault("init", "--passphrase-fd", "0", "--no-recovery", stdin=b"another passphrase")
    assert (1, b"awsvault: there is a vault already; run: awsvault status\n") == (
        done.returncode,
        done.stderr,
    )


@pytest.mark.parametrize("words", [("unlock",), ("add", "dev")])
def test_other_commands_offer_to_make_it(bare_daemon: Daemon, words: tuple[str, ...]) -> None:
    with at_terminal(bare_daemon, *words) as terminal:
        terminal.answer("No vault yet. Make one now? [Y/n] ", "n")
        assert 3 == terminal.end()
    assert transcript(terminal, bare_daemon).endswith("\nawsvault: no vault yet; run: awsvault init\n")


def test_unlock_makes_it_in_the_same_flow(bare_daemon: Daemon) -> None:
    with at_terminal(bare_daemon, "unlock") as terminal:
        terminal.answer("No vault yet. Make one now? [Y/n] ", "")
        new_passphrase(terminal)
        write_down_code(terminal)
        assert 0 == terminal.end()
    assert "unlocked" == bare_daemon.state()


def test_a_home_that_is_not_there_is_made_by_init_only(daemons: DaemonFactory) -> None:
    """A typing error must not grow a second vault."""
    daemon = daemons()
    daemon.home.rmdir()
    done = daemon.awsvault("unlock", "--passphrase-fd", "0")
    assert 3 == done.returncode
    assert not daemon.home.exists()
    with at_terminal(daemon, "add", "dev") as terminal:
        terminal.answer(f"There is no vault in {daemon.home}. Make one now? [Y/n] ", "n")
        assert 3 == terminal.end()
    assert not daemon.home.exists()
    daemon.home.mkdir(mode=0o700)


def test_ctrl_c_makes_nothing(bare_daemon: Daemon) -> None:
    with at_terminal(bare_daemon, "init") as terminal:
        terminal.answer("New passphrase: ", canary.PASSPHRASE)
        terminal.expect("again: ")
        terminal.press(b"\x03")
        assert 130 == terminal.end()
        assert terminal.echoes
    assert "no-vault" == bare_daemon.state()
    with pytest.raises(Usage):
        bare_daemon.call("init", passphrase="")
