# SPDX-License-Identifier: Apache-2.0
"""`awsvault daemon`, with the daemon as it is installed: no vault is made here, so nothing costs a key derivation."""

import os
from collections.abc import Iterator

import pytest

from awsvault import launch
from tests.conftest import DaemonFactory
from tests.daemons import Daemon

NO_MANAGER = {"PATH": "/nonexistent"}


@pytest.fixture
def home(daemons: DaemonFactory) -> Iterator[Daemon]:
    """A home without a daemon; one that a command starts there ends with the test."""
    daemon: Daemon = daemons()
    try:
        yield daemon
    finally:
        launch.stop(str(daemon.home))


def test_start_restart_logs_and_stop(home: Daemon) -> None:
    done = home.awsvault("daemon", "start")
    first = home.status()["pid"]
    assert (0, f"vaultd runs (pid {first}); there is no vault yet.\n".encode()) == (
        done.returncode,
        done.stderr,
    )
    assert first == launch.holder(str(home.home))
    assert 0 == home.awsvault("daemon", "start").returncode
    assert first == home.status()["pid"]
    assert 0 == home.awsvault("daemon", "restart").returncode
    second = home.status()["pid"]
    assert first != second
    assert 0 == home.awsvault("lock").returncode
    assert b"vaultd: locking (asked)" in home.awsvault("daemon", "logs").stdout
    done = home.awsvault("daemon", "stop")
    assert (0, b"vaultd has ended.\n") == (done.returncode, done.stderr)
    assert launch.holder(str(home.home)) is None
    assert "unreachable" == home.state()
    assert b"vaultd was not running.\n" == home.awsvault("daemon", "stop").stderr


def test_the_daemon_is_nobodys_child_and_holds_nothing_of_its_starter(home: Daemon) -> None:
    """A pipe held open would hang whoever waits for its end (R18); a terminal would end it at logout."""
    assert 0 == home.awsvault("daemon", "start").returncode
    pid = int(home.status()["pid"])
    assert pid == os.getsid(pid)
    targets = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)]
    assert ["/dev/null", "/dev/null", str(home.home / "vaultd.log")] == targets


def test_unlock_starts_the_daemon(home: Daemon) -> None:
    done = home.awsvault("unlock")
    assert (3, b"awsvault: no vault yet; run: awsvault init\n") == (done.returncode, done.stderr)
    assert "no-vault" == home.state()


@pytest.mark.parametrize(
    "words", [("list",), ("get", "dev"), ("status",), ("lock",), ("add", "dev", "--stdin")]
)
def test_nothing_else_starts_one(home: Daemon, words: tuple[str, ...]) -> None:
    home.awsvault(*words)
    assert launch.holder(str(home.home)) is None


def test_a_daemon_that_cannot_start_says_why(home: Daemon) -> None:
    (home.home / "vault.lock").mkdir()
    done = home.awsvault("daemon", "start")
    assert 6 == done.returncode
    assert f"awsvault: {home.home}/vault.lock cannot be opened".encode() in done.stderr
    assert 1 == done.stderr.count(b"\n")


def test_without_a_manager_there_is_nothing_to_uninstall(home: Daemon) -> None:
    done = home.awsvault("daemon", "uninstall", extra=NO_MANAGER)
    assert (0, b"No units are installed.\n") == (done.returncode, done.stderr)


def test_an_empty_environment_is_enough(home: Daemon) -> None:
    """As under cron: no HOME, no XDG_RUNTIME_DIR, hardly a PATH."""
    import subprocess

    from tests.daemons import AWSVAULT

    words = [str(AWSVAULT), "--home", str(home.home)]
    for command, status in (
        (["daemon", "start"], 0),
        (["status"], 0),
        (["list"], 3),
        (["daemon", "stop"], 0),
    ):
        done = subprocess.run([*words, *command], env={}, capture_output=True, check=False)
        assert status == done.returncode, done.stderr


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PYTHONPATH", "/nonexistent"),
        ("PYTHONSTARTUP", "/etc/passwd"),
        ("PYTHONDEVMODE", ""),
        ("PYTHONWARNINGS", "error"),
        ("PYTHONOPTIMIZE", "2"),
    ],
)
def test_hostile_python_variables_reach_neither_end(home: Daemon, variable: str, value: str) -> None:
    done = home.awsvault("daemon", "start", extra={variable: value})
    assert (0, 1) == (done.returncode, done.stderr.count(b"\n"))
    pid = home.status()["pid"]
    with open(f"/proc/{pid}/environ", "rb") as environment:
        assert variable.encode() not in environment.read()
