# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end of the socket.

The uid is the authentication. Everything else (executable, parents) is evidence for people who read the audit: a
process of the same uid can fake all of it. A parent's command line may carry other programs' secrets, so only its
executable, its plain words before the first option and the number of its arguments are kept.
"""

import os
import re
import select
import socket
import struct
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

OVERFLOW_UID = 65534  # what the kernel shows for a uid of another user namespace: could be anybody
_SO_PEERPIDFD = 77  # asm-generic/socket.h, Linux 6.5; no constant in Python yet
_MAX_PARENTS = 8
_PLAIN_WORD = re.compile(
    r"[A-Za-z0-9._/-]{1,32}\Z"
)  # long or punctuated words may be secrets: a key has 40 characters
_CACHE = 256
_SHELLS = frozenset(
    {"sh", "dash", "bash", "zsh", "fish", "busybox"}
)  # most SDKs run the hook through one (R17)


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    started: int  # clock ticks since boot: with the pid, a name that is not reused
    exe: str | None
    words: tuple[str, ...]
    arguments: int


@dataclass(frozen=True, slots=True)
class Peer:
    uid: int
    pid: int
    process: Process | None = None  # None when it was gone before we looked
    parents: tuple[Process, ...] = field(default=())

    @property
    def program(self) -> str:
        """The program that wants credentials, for people: the caller's nearest parent that is no shell."""
        for process in (*self.parents, self.process):
            if process and process.exe and os.path.basename(process.exe) not in _SHELLS:
                return " ".join((os.path.basename(process.exe), *process.words))
        return f"pid {self.pid}"

    def record(self) -> dict[str, Any]:
        """As the audit writes it down."""
        facts: dict[str, Any] = {"uid": self.uid, "pid": self.pid}
        if self.process:
            facts |= {"started": self.process.started, "exe": self.process.exe}
        if self.parents:
            facts["parents"] = [asdict(parent) for parent in self.parents]
        return facts


def refusal(uid: int, own_uid: int) -> str | None:
    """Why a peer of this uid is turned away; None when it may speak.

    Root is no barrier (it can read our memory), but `sudo aws ...` would be served by accident otherwise.
    """
    if uid == OVERFLOW_UID:
        return "a process of another user namespace"
    if uid != own_uid:
        return f"uid {uid}"
    return None


class Peers:
    """Looks callers up; remembers the parents, which are the same for thousands of calls."""

    def __init__(self) -> None:
        self._seen: dict[tuple[int, int], Process] = {}

    def identify(self, sock: socket.socket) -> Peer:
        """The credentials and, on Linux, the ancestry of the process that connected."""
        if sys.platform != "linux":
            from vaultd.wire.client import peer_uid

            return Peer(peer_uid(sock), 0)  # LOCAL_PEERPID would add the pid; not run on macOS
        pid, uid, _gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if refusal(uid, os.getuid()):
            return Peer(uid, pid)
        pidfd = _peer_pidfd(sock, pid)
        try:
            process, parents = self._ancestry(pid)
            if pidfd is None or _exited(pidfd):
                process, parents = None, ()  # the pid may be somebody else's by now
        finally:
            if pidfd is not None:
                os.close(pidfd)
        return Peer(uid, pid, process, parents)

    def _ancestry(self, pid: int) -> tuple[Process | None, tuple[Process, ...]]:
        """The process and its parents up to its terminal's session leader, at most _MAX_PARENTS."""
        chain: list[Process] = []
        while pid > 1 and len(chain) <= _MAX_PARENTS:
            stat = _stat(pid)
            if stat is None or (chain and stat.started > chain[-1].started):
                break  # a parent that is younger than its child is a reused pid
            chain.append(self._process(pid, stat))
            if stat.session == pid:
                break
            pid = stat.parent
        return (chain[0], tuple(chain[1:])) if chain else (None, ())

    def _process(self, pid: int, stat: "_Stat") -> Process:
        key = (pid, stat.started)
        if key not in self._seen:
            if len(self._seen) >= _CACHE:
                del self._seen[next(iter(self._seen))]
            words, count = _words(pid)
            self._seen[key] = Process(pid, stat.started, _exe(pid), words, count)
        return self._seen[key]


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    session: int
    started: int


def _stat(pid: int) -> _Stat | None:
    try:
        data = _read(f"/proc/{pid}/stat")
        fields = data[data.rindex(b")") + 2 :].split()
        return _Stat(int(fields[1]), int(fields[3]), int(fields[19]))
    except (OSError, ValueError, IndexError):
        return None


def _exe(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None  # not dumpable, or gone


def _words(pid: int) -> tuple[tuple[str, ...], int]:
    try:
        arguments = _read(f"/proc/{pid}/cmdline").decode("utf-8", "replace").rstrip("\0").split("\0")
    except OSError:
        return (), 0
    words: list[str] = []
    for argument in arguments[1:]:
        if argument.startswith("-") or not _PLAIN_WORD.match(argument):
            break
        words.append(argument)
    return tuple(words), len(arguments) - 1


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 65536)
    finally:
        os.close(fd)


def _peer_pidfd(sock: socket.socket, pid: int) -> int | None:
    """A handle on the very process that connected; before Linux 6.5 on the one that has its pid now."""
    try:
        return int(struct.unpack("i", sock.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD, 4))[0])
    except OSError:
        pass
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def _exited(pidfd: int) -> bool:
    poll = select.poll()  # select() cannot take an fd over 1023
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
