# SPDX-License-Identifier: Apache-2.0
"""The socket that we listen on and the lock that says there is only one of us.

Sockets come from the service manager or from our own previous image, both by the LISTEN_FDS protocol
(sd_listen_fds(3)), or are bound here. A stale socket is replaced only while holding the lock: two daemons that each
unlink "what nobody answers on" can unlink each other's.
"""

import fcntl
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from vaultd.wire import paths
from vaultd.wire.errors import DaemonUnreachable, Refused

LISTENER = "vaultd"  # FileDescriptorName= in systemd/vaultd.socket
LOCK = "awsvault-lock"
CARRY = "awsvault-carry"
BACKLOG = 1024
FIRST_FD = 3  # SD_LISTEN_FDS_START


def inherited() -> dict[str, int]:
    """The fds handed to this very process, by name, now close-on-exec; the variables are used up."""
    pid, count, names = (os.environ.pop(f"LISTEN_{what}", "") for what in ("PID", "FDS", "FDNAMES"))
    if pid != str(os.getpid()) or not count.isdigit():
        return {}
    fds = range(FIRST_FD, FIRST_FD + int(count))
    for fd in fds:
        os.set_inheritable(fd, False)
    return dict(zip(names.split(":"), fds, strict=False)) if names else {LISTENER: FIRST_FD}


def take_lock(path: Path) -> int:
    """Hold the vault for this process; the fd keeps it, across exec too. Raises DaemonUnreachable naming the holder."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Refused(f"{path} cannot be opened ({error.strerror})", hint="remove it") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
        os.close(fd)
        pid = holder if holder.isdigit() else "unknown"
        raise DaemonUnreachable(
            f"another vaultd (pid {pid}) holds this vault", hint=f"run: kill {pid}"
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


@dataclass(slots=True)
class Listener:
    """A listening socket and the file that clients find it by."""

    sock: socket.socket
    path: Path
    inode: tuple[int, int] | None
    ours: bool  # bound by us, so removed by us; a service manager's socket outlives us

    def vanished(self) -> bool:
        """Is the path gone or somebody else's? logind removes /run/user/<uid> at the last logout."""
        return self.inode is None or _inode(self.path) != self.inode

    def remove(self) -> None:
        if self.ours and not self.vanished():
            self.path.unlink(missing_ok=True)


def adopt(fd: int, *, ours: bool) -> Listener:
    """A socket that another process image bound. Raises Refused when it is no listening Unix socket."""
    sock = socket.socket(fileno=fd)
    if sock.family != socket.AF_UNIX or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise Refused("the inherited socket is not a listening Unix socket")
    sock.setblocking(False)
    path = Path(os.fsdecode(sock.getsockname()))
    return Listener(sock, path, _inode(path), ours)


def bind(path: Path) -> Listener:
    """Listen on `path`, replacing what is there. Only for the holder of the lock."""
    os.makedirs(path.parent, mode=0o700, exist_ok=True)
    paths.check_private_dir(str(path.parent))
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    before = os.umask(0o177)  # bind, then chmod, would leave a moment
    try:
        sock.bind(str(path))
    finally:
        os.umask(before)
    sock.listen(BACKLOG)
    return Listener(sock, path, _inode(path), ours=True)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        info = os.lstat(path)
    except OSError:
        return None
    return info.st_dev, info.st_ino
