# SPDX-License-Identifier: Apache-2.0
"""What the units count on: the inherited socket, READY, STATUS, WATCHDOG and STOPPING, through any number of locks.

No service manager runs here: the tests hand over the socket and read the notifications as systemd does
(sd_listen_fds(3), sd_notify(3)), and once with systemd's own systemd-socket-activate.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests import canary
from tests.conftest import DaemonFactory
from tests.daemons import WAIT_WHEN_ASKED, Daemon, until
from vaultd.wire import protocol
from vaultd.wire.errors import SettingsChanged, WrongPassphrase


class Manager:
    """The service manager's ear: NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(str(path))
        self._sock.setblocking(False)
        self.heard: list[str] = []

    def listen(self) -> list[str]:
        """Everything that was said up to now, one assignment each."""
        try:
            while True:
                self.heard += self._sock.recv(4096).decode("ascii").splitlines()
        except BlockingIOError:
            return self.heard

    def count(self, line: str) -> int:
        return self.listen().count(line)

    def await_more(self, line: str, than: int) -> None:
        until(lambda: self.count(line) > than, f"{line} for the {than + 1}th time")

    def close(self) -> None:
        self._sock.close()


@pytest.fixture
def watched(daemons: DaemonFactory) -> Iterator[tuple[Daemon, Manager]]:
    """A daemon, not started yet, with NOTIFY_SOCKET and a watchdog of 300 ms; it looks at itself more often than usual."""
    daemon = daemons(preamble="from vaultd import daemon; daemon.TICK_S = 0.05")
    path = daemon.home.parent / "notify"
    daemon.daemon_environment |= {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "300000"}
    manager = Manager(path)
    yield daemon, manager
    manager.close()


# --- notifications


def test_ready_means_that_it_answers(watched: tuple[Daemon, Manager]) -> None:
    daemon, manager = watched
    daemon.start(answers=lambda: "READY=1" in manager.listen())
    assert "no-vault" == daemon.status()["state"]
    assert {"STATUS=no-vault", f"MAINPID={daemon.pid}"} <= set(manager.heard)


def test_the_manager_hears_of_every_lock(watched: tuple[Daemon, Manager]) -> None:
    daemon, manager = watched
    daemon.start().init()
    manager.await_more("STATUS=unlocked", than=0)
    for locks in (1, 2):
        daemon.lock_and_wait()
        assert 1 + locks == manager.count("READY=1"), "every image says that it is ready"
        assert "STATUS=locked" == [line for line in manager.heard if line.startswith("STATUS=")][-1]
        daemon.unlock()
    assert {f"MAINPID={daemon.pid}"} == {line for line in manager.heard if line.startswith("MAINPID")}
    assert 0 == manager.count("STOPPING=1"), "a lock is no stop"


def test_the_watchdog_is_fed_through_a_lock(watched: tuple[Daemon, Manager]) -> None:
    daemon, manager = watched
    daemon.start()
    manager.await_more("WATCHDOG=1", than=2)
    daemon.lock_and_wait()
    manager.await_more("WATCHDOG=1", than=manager.count("WATCHDOG=1") + 1)


def test_a_stopped_daemon_does_not_feed_the_watchdog(watched: tuple[Daemon, Manager]) -> None:
    """The control of the test above, and the point of a watchdog."""
    daemon, manager = watched
    daemon.start()
    os.kill(daemon.pid, signal.SIGSTOP)
    until(lambda: "T (stopped)" in Path(f"/proc/{daemon.pid}/status").read_text("utf-8"), "it stopped")
    before = manager.count("WATCHDOG=1")
    with pytest.raises(AssertionError, match="in vain"):
        until(lambda: manager.count("WATCHDOG=1") > before, "food", patience_s=0.4)


def test_a_watchdog_that_is_meant_for_another_process_is_not_fed(watched: tuple[Daemon, Manager]) -> None:
    daemon, manager = watched
    daemon.daemon_environment["WATCHDOG_PID"] = "1"
    daemon.start()
    with pytest.raises(AssertionError, match="in vain"):
        until(lambda: manager.count("WATCHDOG=1"), "food", patience_s=0.4)


def test_sigterm_is_announced_and_ends_it_with_0(watched: tuple[Daemon, Manager]) -> None:
    daemon, manager = watched
    daemon.start().init()
    assert 0 == daemon.stop()
    assert 1 == manager.count("STOPPING=1")
    assert not (daemon.home / "vaultd.sock").exists()


def test_a_manager_that_is_gone_does_not_matter(daemons: DaemonFactory) -> None:
    daemon = daemons(environment={"NOTIFY_SOCKET": "/nonexistent/notify"}).start()
    daemon.init()
    assert "locked" == daemon.lock_and_wait()["state"]


def wrong_guess(daemon: Daemon) -> None:
    """From now on an unlock waits first: time to do something in the middle of it."""
    before = daemon.lock_and_wait()["instance"]
    with pytest.raises(WrongPassphrase):
        daemon.unlock(canary.NEW_PASSPHRASE)
    daemon.await_new_image(before)


UNLOCK = protocol.encode(protocol.request("unlock", passphrase=canary.PASSPHRASE))


def test_sigterm_lets_an_answer_under_way_arrive(daemons: DaemonFactory) -> None:
    daemon = daemons(preamble=WAIT_WHEN_ASKED).start()
    daemon.init()
    wrong_guess(daemon)
    with daemon.connect() as sock, sock.makefile("rb") as replies:
        sock.sendall(UNLOCK)
        assert "progress" in protocol.decode(replies.readline())
        assert 0 == daemon.stop()
        assert replies.readline().startswith((b'{"ok":true', b'{"error":')), (
            "not the mere end of the connection"
        )


# --- the inherited socket


HAND_OVER = """
import os, sys
fd, program = int(sys.argv[1]), sys.argv[2:]
os.dup2(fd, 3, inheritable=True)
os.environ["LISTEN_PID"] = os.environ.get("LISTEN_PID", str(os.getpid()))
os.execv(program[0], program)
"""


def activate(daemon: Daemon, sock: socket.socket, **listen: str) -> Daemon:
    """Start it as systemd starts a service with a socket: fd 3, LISTEN_FDS, LISTEN_PID."""
    daemon.daemon_environment |= {"LISTEN_FDS": "1", **listen}
    daemon.pass_fds = (sock.fileno(),)
    daemon.prefix = (*daemon.prefix, sys.executable, "-I", "-c", HAND_OVER, str(sock.fileno()))
    return daemon


@pytest.fixture
def listening(daemons: DaemonFactory) -> Iterator[tuple[Daemon, socket.socket]]:
    daemon = daemons()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(str(daemon.home / "vaultd.sock"))
        sock.listen()
        yield daemon, sock


@pytest.mark.parametrize("names", [{"LISTEN_FDNAMES": "vaultd"}, {}], ids=["named", "unnamed"])
def test_an_inherited_socket_is_served_through_locks_and_left_in_place(
    listening: tuple[Daemon, socket.socket], names: dict[str, str]
) -> None:
    daemon, sock = listening
    inode = (daemon.home / "vaultd.sock").stat().st_ino
    activate(daemon, sock, **names).start().init()
    daemon.add("dev")
    for _ in range(3):
        daemon.lock_and_wait()
        daemon.unlock()
        assert 0 == daemon.get("dev").returncode
    assert 0 == daemon.stop()
    assert inode == (daemon.home / "vaultd.sock").stat().st_ino, "it is the manager's"


def test_who_connected_before_the_start_is_answered(listening: tuple[Daemon, socket.socket]) -> None:
    daemon, sock = listening
    with daemon.connect() as early:
        early.sendall(b'{"v":1,"op":"status"}\n')
        activate(daemon, sock).start()
        assert early.recv(100).startswith(b'{"ok":true,"state":"no-vault"')


def test_sockets_that_are_meant_for_another_process_are_not_taken(
    listening: tuple[Daemon, socket.socket],
) -> None:
    """LISTEN_* is inherited by everything that a service starts; only LISTEN_PID says whom it means."""
    daemon, sock = listening
    path = daemon.home / "vaultd.sock"
    inode = path.stat().st_ino
    activate(daemon, sock, LISTEN_PID="1").start(
        answers=lambda: path.exists() and path.stat().st_ino != inode
    )
    assert "no-vault" == daemon.state(), "it has bound one of its own"


def test_what_is_no_listening_socket_is_refused(daemons: DaemonFactory) -> None:
    daemon = daemons()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        activate(daemon, ours)
        done = subprocess.run(
            daemon.argv,
            env=daemon.environment(daemon.daemon_environment),
            pass_fds=daemon.pass_fds,
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
    assert (6, "vaultd: the inherited socket is not a listening Unix socket\n") == (
        done.returncode,
        done.stderr,
    )


@pytest.mark.skipif(
    not shutil.which("systemd-socket-activate"), reason="systemd-socket-activate is not installed"
)
def test_systemds_own_activation_works(watched: tuple[Daemon, Manager]) -> None:
    daemon, manager = watched
    path = daemon.home / "vaultd.sock"
    passed = [
        f"--setenv={name}={value}" for name, value in daemon.environment(daemon.daemon_environment).items()
    ]
    daemon.prefix = ("systemd-socket-activate", f"--listen={path}", "--fdname=vaultd", *passed)
    daemon.start()
    assert daemon.status()["pid"] == daemon.pid
    daemon.init()
    daemon.lock_and_wait()
    assert 2 == manager.count("READY=1")
    assert 0 == daemon.stop()


# --- SIGHUP


def lease_of(daemon: Daemon) -> timedelta:
    expires = json.loads(daemon.get("dev").stdout)["Expiration"]
    return datetime.strptime(expires, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) - datetime.now(UTC)


def hang_up(daemon: Daemon) -> None:
    before = daemon.log.count("settings")
    os.kill(daemon.pid, signal.SIGHUP)
    until(
        lambda: daemon.log.count("settings") > before or daemon.log.count("config.toml") > 0,
        "the settings are read",
    )


def test_sighup_reads_the_settings_again_but_not_the_guarded_ones(daemon: Daemon) -> None:
    """Whoever can write config.toml could else send secrets elsewhere, or keep the vault open for ever."""
    daemon.lock_and_wait()
    daemon.unlock()  # the first one after `init`, which confirms the settings as they are
    assert timedelta(minutes=59) < lease_of(daemon) <= timedelta(hours=1)
    daemon.configure(
        '[serve]\nlease = "3h"\n[lock]\nidle = "10h"\n[aws]\nendpoint_url = "https://elsewhere.example"\n'
    )
    hang_up(daemon)
    assert timedelta(minutes=179) < lease_of(daemon) <= timedelta(hours=3)
    assert daemon.status()["locks_in_s"] <= 3600

    before = daemon.lock_and_wait()["instance"]
    with pytest.raises(SettingsChanged) as caught:
        daemon.unlock()
    assert caught.value.details["changes"] == [
        "[aws] endpoint_url = https://elsewhere.example",
        "[lock] idle = 36000",
    ]
    assert "locked" == daemon.await_new_image(before)["state"]
    daemon.unlock(accept_settings=True)
    assert 3600 < daemon.status()["locks_in_s"] <= 36000


def test_settings_that_make_no_sense_leave_those_that_were(daemon: Daemon) -> None:
    daemon.configure('[serve]\nleese = "3h"\n')
    hang_up(daemon)
    assert timedelta(minutes=59) < lease_of(daemon) <= timedelta(hours=1)
    assert ["config.toml line 2: [serve] leese is no setting; there are lease"] == [
        warning for warning in daemon.status()["warnings"] if "config" in warning
    ]
