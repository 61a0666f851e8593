# SPDX-License-Identifier: Apache-2.0
"""Replace this process image by a fresh one: how a vault is locked.

Python cannot wipe memory: after dropping every reference 50 of 50 secrets were still readable in /proc/PID/mem;
after exec none was (security.md section 3). So the kernel throws the address space away. The pid, the socket with
its backlog and the lock survive; what the next image must know, and is no secret, goes over in a sealed memfd.
"""

import contextlib
import fcntl
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

from vaultd.edge import listen

EXEC_FAILED = 75  # EX_TEMPFAIL: the service manager starts a new one, and keeps the socket
_CARRY_LIMIT = 256 * 1024


def exec_self(
    argv: list[str], environment: Mapping[str, str], fds: Mapping[str, int], carry: Mapping[str, Any]
) -> NoReturn:
    """Become `argv` with exactly `fds` (by name) and `carry`; ends the process when that fails.

    Going on after a failed exec would be a lock that does not lock.
    """
    try:
        hold_signals()
        names = [*fds, listen.CARRY]
        _hand_over([*fds.values(), _write_carry(carry)])
        handed = {
            "LISTEN_PID": str(os.getpid()),
            "LISTEN_FDS": str(len(names)),
            "LISTEN_FDNAMES": ":".join(names),
        }
        os.execve(argv[0], argv, {**environment, **handed})
    finally:
        os._exit(EXEC_FAILED)


def hold_signals() -> None:
    """Keep signals from this thread. One between the exec and the new image's handlers would kill it; held, it waits.

    The mask survives exec. Every other thread holds them from its start, or the kernel would choose that one.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def threads(at_once: int, name: str) -> ThreadPoolExecutor:
    """A pool whose threads hold signals; they are started as they are needed."""
    return ThreadPoolExecutor(at_once, name, initializer=hold_signals)


def _hand_over(fds: list[int]) -> None:
    """Make them 3, 4, 5...; everything else closes at the exec.

    Every fd is marked again: watchdog's inotify fd is not close-on-exec by itself, and leaked one a lock (measured).
    """
    for fd in _open_fds():
        with contextlib.suppress(OSError):  # closed since: threads that wait for AWS go on until the exec
            os.set_inheritable(fd, False)
    beyond = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, listen.FIRST_FD + len(fds)) for fd in fds]
    for target, fd in enumerate(beyond, listen.FIRST_FD):
        os.dup2(fd, target, inheritable=True)


def _open_fds() -> list[int]:
    directory = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"  # macOS: not run
    return [fd for fd in map(int, os.listdir(directory)) if fd >= listen.FIRST_FD]


def _write_carry(carry: Mapping[str, Any]) -> int:
    data = json.dumps(carry).encode()
    if sys.platform != "linux":
        with tempfile.TemporaryFile() as file:  # macOS has no memfd; nothing in it is secret. Not run
            file.write(data)
            file.flush()
            return os.dup(file.fileno())
    fd = os.memfd_create("awsvault-carry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def read_carry(fd: int) -> dict[str, Any]:
    """What the previous image left, {} for a first start (-1); closes `fd`."""
    if fd < 0:
        return {}
    try:
        data = os.pread(fd, _CARRY_LIMIT, 0)
    finally:
        os.close(fd)
    carry = json.loads(data)
    return carry if isinstance(carry, dict) else {}
