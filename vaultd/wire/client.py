# SPDX-License-Identifier: Apache-2.0
"""The client's end of the socket, for every command but `get` (which must not import json: see awsvault/get.py)."""

import os
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

from vaultd.wire import paths, protocol
from vaultd.wire.errors import DaemonHung, DaemonUnreachable, ProtocolMismatch, Refused, Usage

CONNECT_TIMEOUT_S = 2.0
REPLY_TIMEOUT_S = 60.0  # longest silence between two lines of an answer; long work sends progress


class Connection:
    """One request and its answer. Knows the daemon's uid before it sends a byte."""

    def __init__(self, home: str | None, timeout_s: float = REPLY_TIMEOUT_S) -> None:
        self._socket = connect(home)
        self._socket.settimeout(timeout_s)
        self._buffer = b""

    def send(self, frame: protocol.Frame) -> None:
        self._socket.sendall(protocol.encode(frame))

    def line(self) -> bytes:
        """The next line. Raises EOFError when the daemon is gone, DaemonHung when it is silent for too long."""
        while b"\n" not in self._buffer:
            if len(self._buffer) > protocol.MAX_FRAME:
                raise ProtocolMismatch
            try:
                chunk = self._socket.recv(protocol.MAX_FRAME)
            except TimeoutError:
                raise DaemonHung from None
            if not chunk:
                raise EOFError
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def answer(self, on_progress: Callable[[str], None]) -> protocol.Frame:
        """The whole answer to what was sent, its long lists joined. Raises EOFError when it never began."""
        earlier: dict[str, list[Any]] = {}
        started = False
        while True:
            try:
                frame = protocol.decode(self.line())
            except Usage:
                raise ProtocolMismatch from None
            except (EOFError, ConnectionError):
                if started:
                    raise DaemonUnreachable(
                        "vaultd ended in the middle of its answer", hint="try again"
                    ) from None
                raise EOFError from None
            started = True
            if "progress" in frame:
                on_progress(str(frame["progress"]))
            elif "more" in frame:
                for name, items in frame["more"].items():
                    earlier.setdefault(name, []).extend(items)
            else:
                return protocol.join_more(frame, earlier) if earlier else frame

    def close(self) -> None:
        self._socket.close()


def connect(home: str | None) -> socket.socket:
    """Connect to the first socket of paths.socket_dirs that somebody of our uid listens on."""
    paths.need_home(home)
    for directory in paths.socket_dirs(home):
        path = paths.socket_path(directory)
        try:
            paths.check_private_dir(directory)
        except FileNotFoundError:
            continue
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(CONNECT_TIMEOUT_S)
        try:
            sock.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            sock.close()
            continue
        except OSError:  # a full backlog (EAGAIN) or a time-out: somebody listens and does not accept
            sock.close()
            raise DaemonHung from None
        if peer_uid(sock) != os.getuid():
            sock.close()
            raise Refused(f"{path} is served by another user", hint="remove it, then run: awsvault unlock")
        return sock
    raise paths.unreachable(home)


def peer_uid(sock: socket.socket) -> int:
    """The uid of the process at the other end of a connected Unix socket."""
    if sys.platform != "linux":
        # macOS and BSD: struct xucred {u_int version; uid_t uid; ...} by LOCAL_PEERCRED at level SOL_LOCAL. Not run.
        version, uid = struct.unpack_from("=Ii", sock.getsockopt(0, 1, 76))
        if version != 0:
            raise Refused("this system's peer credentials have an unknown form")
        return int(uid)
    return int(
        struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))[1]
    )


def call(
    op: str,
    *,
    home: str | None = None,
    on_progress: Callable[[str], None] = lambda _text: None,
    timeout_s: float = REPLY_TIMEOUT_S,
    **fields: Any,
) -> protocol.Frame:
    """Ask the daemon and return its answer. Raises what the daemon answers, NoVault or DaemonUnreachable.

    A daemon that locks replaces itself, and a connection that it had accepted then ends before the first byte of an
    answer. One retry cures that, for operations that may be done twice. The others carry a request id, by which the
    daemon refuses to do one twice (PROTOCOL.md, "Retries").
    """
    if op not in IDEMPOTENT:
        fields["request"] = os.urandom(16).hex()
    frame = protocol.request(op, **fields)
    attempts = 2 if op in IDEMPOTENT else 1
    for _ in range(attempts):
        connection = Connection(home, timeout_s)
        try:
            connection.send(frame)
            reply = connection.answer(on_progress)
        except (EOFError, ConnectionError):
            continue
        finally:
            connection.close()
        protocol.raise_error(reply)
        return reply
    raise DaemonUnreachable("vaultd ended before it answered", hint="try again")


#: Operations that may be asked twice when the daemon ended before the first byte of its answer.
IDEMPOTENT = frozenset(
    {"status", "names", "region", "list", "show", "get", "lock", "unlock", "rotation", "probe", "due"}
)
