# SPDX-License-Identifier: Apache-2.0
"""Many locks later the daemon is what it was: same pid, same descriptors, same size, same environment.

A lock is an exec: what is not closed on the way accumulates, and a signal in the middle of it meets a process without
handlers.
"""

import contextlib
import os
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import procfs
from tests.campaign import times
from tests.conftest import DaemonFactory
from tests.daemons import WARM, Daemon, until
from vaultd.wire import protocol

# Of two daemons at once, one a core. Each unlock loads the library for AWS, so the one that is used costs twice as much.
LOCKS_USED = times(100, 20)
LOCKS_PESTERED = times(100, 40)
GROWTH_KIB = 25  # a lock; what two images differ in by chance is twice that


def expected_descriptors(daemon: Daemon) -> Counter[str]:
    """All that an idle daemon has open."""
    return Counter(
        {
            "/dev/null": 3,  # stdin, stdout, and the spare that keeps accept going when descriptors run out
            str(daemon.home / "vaultd.log"): 1,
            str(daemon.home / "vault.lock"): 1,
            "socket": 3,  # the listener, and the event loop's pair that wakes it
            "anon_inode:[eventpoll]": 1,
        }
    )


def check_descriptors(daemon: Daemon, extra: Counter[str] | None = None) -> None:
    expected = expected_descriptors(daemon) + (extra or Counter())
    try:
        until(lambda: procfs.descriptors(daemon.pid) == expected, "the expected descriptors", patience_s=5)
    except AssertionError:
        assert expected == procfs.descriptors(daemon.pid)


def lock_again_and_again(daemon: Daemon, locks: int, between: Callable[[], None]) -> list[int]:
    """So many locks with `between` before each; the resident size after each, in KiB."""
    environment = procfs.environment(daemon.pid)
    sizes = []
    for _ in range(locks):
        between()
        image = daemon.lock_and_wait()
        assert ("locked", daemon.pid) == (image["state"], image["pid"])
        check_descriptors(daemon)
        sizes.append(procfs.resident_kib(daemon.pid))
    assert environment == procfs.environment(daemon.pid)
    return sizes


def check_flat(sizes: list[int]) -> None:
    part = len(sizes) // 3
    growth = statistics.median(sizes[-part:]) - statistics.median(sizes[:part])
    assert growth < GROWTH_KIB * (len(sizes) - part), f"{growth:.0f} KiB in {len(sizes)} locks"


@procfs.needs_root
def test_nothing_grows_over_many_locks(daemons: DaemonFactory) -> None:
    used, pestered = daemons(entry=[str(WARM)]).start(), daemons(entry=[str(WARM)]).start()
    for daemon in (used, pestered):
        check_descriptors(daemon)
        daemon.init()
        daemon.add("dev")
        daemon.lock_and_wait()

    def use() -> None:
        used.unlock()
        assert "SecretAccessKey" in used.ask(b'{"v":1,"op":"get","profile":"dev"}\n')

    with OpenConnections(pestered) as clients, hangups(pestered.pid), ThreadPoolExecutor(2) as threads:
        jobs = [
            threads.submit(lock_again_and_again, used, LOCKS_USED, use),
            threads.submit(lock_again_and_again, pestered, LOCKS_PESTERED, clients.renew),
        ]
        for job in jobs:
            check_flat(job.result())


class OpenConnections(contextlib.ExitStack):
    """Connections that are open when a lock comes: silent, in mid-frame, and with an answer that nobody reads."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__()
        self._daemon = daemon

    def renew(self) -> None:
        self.close()
        for sent in (b"", b'{"v":1,"op":"sta', b'{"v":1,"op":"status"}\n' * 50):
            self.enter_context(self._daemon.connect()).sendall(sent)


@contextlib.contextmanager
def hangups(pid: int) -> Iterator[None]:
    """SIGHUP all the time: it falls into every part of a lock, and must end none of them."""
    over = threading.Event()

    def pester() -> None:
        while not over.wait(0.02):
            os.kill(pid, signal.SIGHUP)

    thread = threading.Thread(target=pester)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# --- what a library leaves open or goes on doing in its threads

LEAKY = """
import ctypes, os, threading
ctypes.CDLL(None).inotify_init()  # not close-on-exec, as watchdog's
def churn():
    while True:
        fd = os.open(os.devnull, os.O_RDONLY)
        if fd > 9:  # the lowest numbers belong to what lives as long as the process
            os.close(fd)
threading.Thread(target=churn, daemon=True).start()
"""


@procfs.needs_root
def test_what_a_library_left_open_or_goes_on_opening_does_not_reach_the_next_image(
    daemons: DaemonFactory,
) -> None:
    daemon = daemons(preamble=LEAKY).start()
    for _ in range(8):
        daemon.lock_and_wait()
        inotify = procfs.descriptors(daemon.pid)["anon_inode:inotify"]
        assert 1 == inotify, "the one of this image"


def test_a_connection_is_not_left_hanging_by_a_lock(daemon: Daemon) -> None:
    """A client must see the end at once, not wait for a time-out."""
    with daemon.connect() as silent, daemon.connect() as half:
        half.sendall(b'{"v":1,"op":"sta')
        daemon.lock_and_wait()
        silent.settimeout(2)
        half.settimeout(2)
        assert b"" == silent.recv(100)
        assert b"" == half.recv(100)


# --- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_a_lock_still_ends_the_daemon_cleanly(
    daemons: DaemonFactory, number: signal.Signals
) -> None:
    """Sent from 0 to 200 ms after the request: before the exec, in it, while the new image loads, and after that."""
    delays = [0.02 * step for step in range(11)]

    def run(delay: float) -> tuple[float, int, bool]:
        daemon = daemons().start()
        with daemon.connect() as sock:
            sock.sendall(protocol.encode(protocol.request("lock")))
            time.sleep(delay)  # the moment is what is tested
            os.kill(daemon.pid, number)
            assert daemon.process
            return delay, daemon.process.wait(10), (daemon.home / "vaultd.sock").exists()

    with ThreadPoolExecutor(2) as threads:
        ends = list(threads.map(run, delays))
    assert [(delay, 0, False) for delay in delays] == ends


def test_no_thread_takes_a_signal_away_from_the_one_that_waits_for_it(daemon: Daemon) -> None:
    """Held back by the main thread only, a signal would go to another one, and be gone with it at the exec."""
    threads = [
        Path(entry.path) for entry in os.scandir(f"/proc/{daemon.pid}/task") if entry.name != str(daemon.pid)
    ]
    assert threads, "the control: something was saved in a thread"
    for thread in threads:
        held = next(
            line for line in (thread / "status").read_text("ascii").splitlines() if line.startswith("SigBlk")
        )
        assert int(held.split()[1], 16) >> (signal.SIGTERM - 1) & 1, thread
