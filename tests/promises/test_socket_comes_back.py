# SPDX-License-Identifier: Apache-2.0
"""The daemon can be found: its socket comes back when it vanishes, and no second daemon takes it away.

One daemon holds a vault. Whoever else starts says which process that is and touches nothing.
"""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import DaemonFactory
from tests.daemons import Daemon, until
from vaultd.daemon import SOCKET_CHECK_S

WATCHFUL = "from vaultd import daemon; daemon.SOCKET_CHECK_S = 0.3"


def test_a_lost_socket_is_missed_within_seconds() -> None:
    assert SOCKET_CHECK_S <= 5


def path_of(daemon: Daemon) -> Path:
    return daemon.home / "vaultd.sock"


def start_another(daemon: Daemon) -> subprocess.CompletedProcess[str]:
    """A second daemon for the same home; it must end by itself."""
    return subprocess.run(
        daemon.argv, env=daemon.environment(), capture_output=True, text=True, check=False, timeout=20
    )


# --- it comes back


def replace_by_file(path: Path) -> None:
    path.unlink()
    path.write_text("not a socket", "ascii")


def replace_by_dead_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


def lose_directory(path: Path) -> None:
    """As logind takes /run/user/<uid> away at logout, with all that is in it, and makes an empty one at login."""
    aside = path.parent.with_name("aside")
    path.parent.rename(aside)
    path.parent.mkdir(0o700)
    for entry in aside.iterdir():
        if entry != aside / path.name:
            entry.rename(path.parent / entry.name)
    shutil.rmtree(aside)


LOSSES: list[Callable[[Path], object]] = [
    Path.unlink,
    replace_by_file,
    replace_by_dead_socket,
    lose_directory,
]


def is_served(daemon: Daemon) -> bool:
    return daemon.get("dev").returncode == 0


def test_the_socket_comes_back(daemons: DaemonFactory) -> None:
    """All the losses at once, each of a daemon of its own."""
    losses = {daemons(preamble=WATCHFUL).start(): loss for loss in LOSSES}
    locking = daemons(preamble=WATCHFUL).start()
    for daemon in (*losses, locking):
        daemon.init()
        daemon.add("dev")
    for daemon, loss in losses.items():
        loss(path_of(daemon))
    lock_without_socket(locking)
    for daemon in losses:
        until(partial(is_served, daemon), "it is found again, and still unlocked")
    assert "locked" == until(
        lambda: locking.state() != "unreachable" and locking.state(), "it is found again"
    )
    for daemon in losses:
        assert 0o600 == path_of(daemon).stat().st_mode & 0o777
        assert 1 == daemon.log.count("the socket had vanished; listening again"), "the control: it was missed"
        assert "locked" == daemon.lock_and_wait()["state"], "the new socket survives a lock"
        assert 0 == daemon.stop()
        assert not path_of(daemon).exists()


def lock_without_socket(daemon: Daemon) -> None:
    """The image after this lock inherits a listener that nobody can find."""
    with daemon.connect() as sock:
        path_of(daemon).unlink()
        sock.sendall(b'{"v":1,"op":"lock"}\n')
        assert sock.recv(100).startswith(b'{"ok":true')


# --- only one


def test_a_second_daemon_names_the_first_and_leaves_it_alone(daemon: Daemon) -> None:
    inode = path_of(daemon).stat().st_ino
    done = start_another(daemon)
    assert 5 == done.returncode
    assert f"another vaultd (pid {daemon.pid}) holds this vault" in done.stderr
    assert inode == path_of(daemon).stat().st_ino
    assert 0 == daemon.get("dev").returncode


def test_a_hung_daemon_is_not_robbed_of_its_socket(daemon: Daemon) -> None:
    """Nobody answers, but somebody holds the vault: a connect that fails proves nothing."""
    os.kill(daemon.pid, signal.SIGSTOP)
    try:
        inode = path_of(daemon).stat().st_ino
        done = start_another(daemon)
        assert (5, f"pid {daemon.pid}") == (
            done.returncode,
            done.stderr[done.stderr.index("pid") :].split(")")[0],
        )
        assert inode == path_of(daemon).stat().st_ino
    finally:
        os.kill(daemon.pid, signal.SIGCONT)
    assert 0 == daemon.get("dev").returncode


def test_the_holder_is_still_named_after_a_lock(daemon: Daemon) -> None:
    """The lock is held by the open file, which goes through the exec."""
    daemon.lock_and_wait()
    assert f"(pid {daemon.pid})" in start_another(daemon).stderr


def test_a_socket_left_by_a_killed_daemon_is_replaced(daemon: Daemon) -> None:
    daemon.kill()
    assert path_of(daemon).exists(), "the control: it left one"
    assert 5 == daemon.get("dev").returncode
    daemon.start()
    assert "locked" == daemon.state()


def test_of_many_that_start_at_once_one_serves(daemons: DaemonFactory) -> None:
    """Each finds the same stale socket; unlinking "what nobody answers on", they could unlink each other's."""
    daemon = daemons()
    for _ in range(3):
        path_of(daemon).touch()
        replace_by_dead_socket(path_of(daemon))
        rivals = [start_rival(daemon) for _ in range(6)]
        try:
            until(partial(all_but_one_have_ended, rivals), "one is left")
            [winner] = [process for process in rivals if process.poll() is None]
            assert {5} == {process.returncode for process in rivals if process is not winner}
            until(lambda: daemon.state() != "unreachable", "the one answers")
            assert winner.pid == daemon.status()["pid"]
        finally:
            for process in rivals:
                process.kill()
                process.wait()


def start_rival(daemon: Daemon) -> "subprocess.Popen[bytes]":
    null = subprocess.DEVNULL
    return subprocess.Popen(daemon.argv, env=daemon.environment(), stderr=null, start_new_session=True)


def all_but_one_have_ended(rivals: list["subprocess.Popen[bytes]"]) -> bool:
    return sum(process.poll() is None for process in rivals) == 1


# --- a place that is not ours


@pytest.mark.parametrize("mode", [0o777, 0o750, 0o701])
def test_a_directory_that_is_open_to_others_is_refused(daemons: DaemonFactory, mode: int) -> None:
    daemon = daemons()
    daemon.home.chmod(mode)
    done = start_another(daemon)
    assert 6 == done.returncode
    assert f"{daemon.home} is open to other users" in done.stderr
    assert not path_of(daemon).exists()


def test_a_symlinked_directory_is_refused(daemons: DaemonFactory) -> None:
    daemon = daemons()
    aside = daemon.home.with_name("aside")
    daemon.home.rename(aside)
    daemon.home.symlink_to(aside)
    done = start_another(daemon)
    assert 6 == done.returncode
    assert f"{daemon.home} is not a directory" in done.stderr


def test_the_socket_is_never_open_to_others(daemon: Daemon) -> None:
    assert 0o600 == path_of(daemon).stat().st_mode & 0o777
    assert 0o700 == daemon.home.stat().st_mode & 0o777
