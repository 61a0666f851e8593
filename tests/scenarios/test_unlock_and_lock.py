# SPDX-License-Identifier: Apache-2.0
"""Opening and closing the vault, by those who know the passphrase and by those who don't."""

import contextlib
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from awsvault import launch
from tests import canary
from tests.conftest import DaemonFactory
from tests.daemons import Daemon
from tests.scenarios.person import at_terminal, transcript
from vaultd.wire import protocol
from vaultd.wire.errors import ProtocolMismatch


@pytest.fixture
def locked(daemon: Daemon) -> Daemon:
    daemon.lock_and_wait()
    return daemon


def test_unlock(locked: Daemon) -> None:
    with at_terminal(locked, "unlock") as terminal:
        terminal.answer("Passphrase: ", canary.PASSPHRASE)
        assert 0 == terminal.end()
    assert transcript(terminal, locked) == "Passphrase: \nThe vault is unlocked; it locks in 1 h.\n"


def test_unlock_for_a_while(locked: Daemon) -> None:
    with at_terminal(locked, "unlock", "--for", "30m") as terminal:
        terminal.answer("Passphrase: ", canary.PASSPHRASE)
        assert 0 == terminal.end()
    assert "it locks in 30 min." in terminal.screen


@pytest.mark.parametrize(
    ("time", "line"), [("10s", "--for must be at least 1 min"), ("2d", "--for is longer than")]
)
def test_unlock_for_an_odd_while(locked: Daemon, time: str, line: str) -> None:
    done = locked.awsvault("unlock", "--for", time, "--passphrase-fd", "0", stdin=canary.PASSPHRASE.encode())
    assert 2 == done.returncode
    assert line.encode() in done.stderr


def test_unlocked_already(daemon: Daemon) -> None:
    done = daemon.awsvault("unlock", "--for", "5m")
    assert (0, b"The vault is unlocked already. --for counts from the next unlock.\n") == (
        done.returncode,
        done.stderr,
    )


def test_a_wrong_passphrase_may_be_tried_again(locked: Daemon) -> None:
    with at_terminal(locked, "unlock") as terminal:
        terminal.answer("Passphrase: ", "not this one")
        terminal.expect("wrong passphrase; try again")
        terminal.answer("Passphrase: ", canary.PASSPHRASE)
        assert 0 == terminal.end()
    assert "unlocked" == locked.state()


def test_three_wrong_ones_are_enough(locked: Daemon) -> None:
    with at_terminal(locked, "unlock") as terminal:
        for _ in range(3):
            terminal.answer("Passphrase: ", "not this one")
        assert 1 == terminal.end()
    assert terminal.screen.endswith("\nawsvault: wrong passphrase; try again, or run: awsvault recover\n")
    assert "locked" == locked.state()


def test_a_program_gets_one_try(locked: Daemon) -> None:
    done = locked.awsvault("unlock", "--passphrase-fd", "0", stdin=b"not this one\n")
    assert (1, b"awsvault: wrong passphrase; try again, or run: awsvault recover\n") == (
        done.returncode,
        done.stderr,
    )


def test_without_a_terminal_the_flags_are_named(locked: Daemon) -> None:
    done = locked.awsvault("unlock")
    line = b"awsvault: no terminal to ask on; use --passphrase-fd or --passphrase-file\n"
    assert (2, line) == (done.returncode, done.stderr)


def test_changed_settings_are_shown_and_confirmed(locked: Daemon) -> None:
    locked.unlock()
    locked.lock_and_wait()
    locked.configure('[aws]\nendpoint_url = "http://127.0.0.1:1"\n')
    done = locked.awsvault("unlock", "--passphrase-fd", "0", stdin=canary.PASSPHRASE.encode())
    assert 6 == done.returncode
    assert b"run: awsvault unlock --accept-settings" in done.stderr
    with at_terminal(locked, "unlock") as terminal:
        terminal.answer("Passphrase: ", canary.PASSPHRASE)
        terminal.answer("Go on with these settings? [y/N] ", "")
        assert 6 == terminal.end()
    with at_terminal(locked, "unlock") as terminal:
        terminal.answer("Passphrase: ", canary.PASSPHRASE)
        terminal.answer("Go on with these settings? [y/N] ", "y")
        assert 0 == terminal.end()
    assert transcript(terminal, locked) == (
        "Passphrase: \n"
        "config.toml changed since it was last confirmed. It says now:\n"
        "    [aws] endpoint_url = http://127.0.0.1:1\n"
        "Go on with these settings? [y/N] y\n"
        "the changed settings are confirmed\n"
        "The vault is unlocked; it locks in 1 h.\n"
    )


def test_settings_are_accepted_by_a_flag(locked: Daemon) -> None:
    locked.unlock()
    locked.lock_and_wait()
    locked.configure('[lock]\nidle = "2h"\n')
    flags = ("--accept-settings", "--passphrase-fd", "0")
    assert 0 == locked.awsvault("unlock", *flags, stdin=canary.PASSPHRASE.encode()).returncode


@pytest.fixture
def older(daemon: Daemon) -> Daemon:
    """Locked, and somebody put an older vault back."""
    before = (daemon.home / "vault").read_bytes()
    daemon.add("second")
    daemon.lock_and_wait()
    (daemon.home / "vault").write_bytes(before)
    return daemon


def test_an_older_vault_is_opened_by_those_who_say_so(older: Daemon) -> None:
    before = (older.home / "vault").read_bytes()
    with at_terminal(older, "unlock") as terminal:
        terminal.answer("Passphrase: ", canary.PASSPHRASE)
        assert 8 == terminal.end()
    assert "run: awsvault unlock --accept-older-vault" in terminal.screen
    with at_terminal(older, "unlock", "--accept-older-vault") as terminal:
        terminal.answer("Type the word older to open it: ", "yes")
        assert 2 == terminal.end()
    assert before == (older.home / "vault").read_bytes()
    with at_terminal(older, "unlock", "--accept-older-vault") as terminal:
        terminal.answer("Type the word older to open it: ", "older")
        terminal.answer("Passphrase: ", canary.PASSPHRASE)
        assert 0 == terminal.end()
    assert ["dev"] == older.call("names")["names"]


def test_a_program_says_yes_to_an_older_vault(older: Daemon) -> None:
    flags = ("--accept-older-vault", "--passphrase-fd", "0")
    done = older.awsvault("unlock", *flags, stdin=canary.PASSPHRASE.encode())
    assert (2, b"awsvault: no terminal to confirm --accept-older-vault on; use --yes\n") == (
        done.returncode,
        done.stderr,
    )
    assert 0 == older.awsvault("unlock", *flags, "--yes", stdin=canary.PASSPHRASE.encode()).returncode


def test_a_damaged_vault_says_what_helps(locked: Daemon) -> None:
    path = locked.home / "vault"
    path.write_bytes(path.read_bytes()[:-1])
    before = path.read_bytes()
    done = locked.awsvault("unlock", "--passphrase-fd", "0", stdin=canary.PASSPHRASE.encode())
    assert 8 == done.returncode
    assert 1 == done.stderr.count(b"\n")
    assert before == path.read_bytes()


# --- lock


def test_lock(daemon: Daemon) -> None:
    before = daemon.status()["instance"]
    done = daemon.awsvault("lock")
    assert (0, b"", b"The vault is locked.\n") == (done.returncode, done.stdout, done.stderr)
    after = daemon.status()
    assert "locked" == after["state"]
    assert before != after["instance"]


def test_a_locked_vault_is_locked_again(locked: Daemon) -> None:
    before = locked.status()["instance"]
    assert 0 == locked.awsvault("lock").returncode
    assert before != locked.status()["instance"]


def test_what_is_not_running_is_locked(daemon: Daemon) -> None:
    daemon.stop()
    assert 0 == daemon.awsvault("lock").returncode


def test_a_daemon_that_cannot_be_reached_is_not_called_locked(daemon: Daemon) -> None:
    """Its socket is gone and it may hold keys: exit 0 would be a lie."""
    os.kill(daemon.pid, signal.SIGSTOP)  # or it would make its socket anew
    (daemon.home / "vaultd.sock").unlink()
    try:
        done = daemon.awsvault("lock")
        line = f"awsvault: vaultd (pid {daemon.pid}) does not answer and may hold keys; run: awsvault daemon stop\n"
        assert (5, line.encode()) == (done.returncode, done.stderr)
    finally:
        os.kill(daemon.pid, signal.SIGCONT)


def test_get_and_list_say_how_to_unlock(locked: Daemon) -> None:
    for words in (
        ("get", "dev"),
        ("list",),
        ("show", "dev"),
        ("edit", "dev", "--serve", "key"),
        ("remove", "dev", "--yes"),
    ):
        done = locked.awsvault(*words)
        assert (3, b"", b"awsvault: vault is locked; run: awsvault unlock\n") == (
            done.returncode,
            done.stdout,
            done.stderr,
        )
    locked.stop()
    done = locked.awsvault("list")
    line = b"awsvault: vault is locked (vaultd is not running); run: awsvault unlock\n"
    assert (5, line) == (done.returncode, done.stderr)


# --- other daemons


@contextlib.contextmanager
def strange_daemon(home: Path, answer: bytes) -> Iterator[None]:
    """Something that listens, reads one request and answers this."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(home / "vaultd.sock"))
        listener.listen(8)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    "answer",
    [protocol.encode(protocol.error_frame(ProtocolMismatch())), b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    ids=["newer", "not-vaultd"],
)
def test_another_program_on_the_socket_is_named(daemons: DaemonFactory, answer: bytes) -> None:
    daemon = daemons()
    with strange_daemon(daemon.home, answer):
        for words in (("status",), ("unlock",), ("list",)):
            done = daemon.awsvault(*words)
            assert (5, f"awsvault: {ProtocolMismatch().line}\n") == (done.returncode, done.stderr.decode())


def test_status(daemon: Daemon) -> None:
    daemon.awsvault("get", "nope")
    done = daemon.awsvault("status")
    shown = done.stdout.decode()
    assert (0, b"") == (done.returncode, done.stderr)
    idle, latest = "(1 h|59 min .*)", "(12 h|11 h 59 min)"  # a second may pass on the way
    assert re.match(f"vault     unlocked; locks in {idle} when unused, at the latest in {latest}  ", shown)
    assert f"  ({daemon.home}/vault)\nprofiles  1\n" in shown
    assert 'get nope: no profile "nope"; run: awsvault list' in shown


def test_status_as_json(daemon: Daemon) -> None:
    found = json.loads(daemon.awsvault("status", "--json").stdout)
    assert ("unlocked", 1, []) == (found["state"], found["profiles"], found["refusals"])
    daemon.stop()
    done = daemon.awsvault("status", "--json")
    assert (5, {"state": "daemon-unreachable"}) == (done.returncode, json.loads(done.stdout))


def test_a_hung_daemon_can_be_ended(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts, by its backlog, and never answers; SIGTERM waits for a loop that stands still."""
    monkeypatch.setattr(launch, "STOP_TIMEOUT_S", 0.2)
    os.kill(daemon.pid, signal.SIGSTOP)
    assert launch.stop(str(daemon.home))
    assert daemon.process
    assert -signal.SIGKILL == daemon.process.wait(10)
    assert not launch.stop(str(daemon.home))
