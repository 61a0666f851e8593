# SPDX-License-Identifier: Apache-2.0
"""Connections: accept, check the uid once, read strict frames, send answers. Knows nothing of what they mean."""

import asyncio
import contextlib
import errno
import os
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from vaultd.edge import log
from vaultd.edge.listen import Listener
from vaultd.edge.peer import Peer, Peers, refusal
from vaultd.wire import protocol
from vaultd.wire.errors import Refused, Usage

MAX_CONNECTIONS = 256
MAX_PER_PROCESS = 64  # one program with a leak must not shut out the others
STALLED_S = 0.5  # without a whole frame for this long, a connection gives way when all places are taken
SEND_TIMEOUT_S = 5.0

Send = Callable[[bytes], Awaitable[None]]
Answer = Callable[[bytes, Peer, Send], Awaitable[bytes]]


@dataclass(eq=False, slots=True)
class _Connection:
    sock: socket.socket
    peer: Peer
    waiting_since: float | None = field(default_factory=time.monotonic)  # None while a request is worked on
    task: "asyncio.Task[None] | None" = None


class Server:
    """Serves one listener until `pause`; `answer` turns a frame into the reply's bytes."""

    def __init__(self, listener: Listener, answer: Answer) -> None:
        self.listener = listener
        self._answer = answer
        self._peers = Peers()
        self._connections: set[_Connection] = set()
        self._per_process: Counter[int] = Counter()
        self._accepting = False
        self._draining = False
        self._spare = _spare_fd()

    def start(self) -> None:
        if not self._accepting:
            asyncio.get_running_loop().add_reader(self.listener.sock, self._accept_all)
            self._accepting = True

    def pause(self) -> None:
        """Accept nothing more; what connects waits in the kernel's backlog."""
        if self._accepting:
            asyncio.get_running_loop().remove_reader(self.listener.sock)
            self._accepting = False

    def move(self, listener: Listener) -> None:
        """Serve another listener instead: the old one's path vanished."""
        self.pause()
        self.listener.sock.close()
        self.listener = listener
        self.start()

    def drain(self) -> None:
        """`pause`, for good, and end each connection after the answer that is under way: this image is about to end."""
        self._draining = True
        self.pause()
        for connection in list(self._connections):
            if connection.waiting_since is not None and connection.task:
                connection.task.cancel()

    async def quiet(self, timeout_s: float) -> None:
        """Wait until no request is being worked on or answered, at most `timeout_s`."""
        busy = [c.task for c in self._connections if c.waiting_since is None and c.task]
        if busy:
            await asyncio.wait(busy, timeout=timeout_s)

    def _accept_all(self) -> None:
        for _ in range(64):  # then give the loop a turn
            if len(self._connections) >= MAX_CONNECTIONS and not self._evict_stalled():
                self.pause()
                asyncio.get_running_loop().call_later(0.05, self._resume)
                return
            try:
                sock, _ = self.listener.sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._turn_away()
                return
            self._welcome(sock)

    def _resume(self) -> None:
        if not self._draining:
            self.start()

    def _evict_stalled(self) -> bool:
        """Close the connection that has kept its place the longest without asking anything."""
        now = time.monotonic()
        stalled = [
            c for c in self._connections if c.waiting_since is not None and now - c.waiting_since > STALLED_S
        ]
        if not stalled:
            return False
        oldest = min(stalled, key=lambda c: c.waiting_since or now)
        self._forget(oldest)
        if oldest.task:
            oldest.task.cancel()
        return True

    def _turn_away(self) -> None:
        """Out of fds: use the spare one to accept and close, else the listener stays readable and the loop spins."""
        if self._spare is not None:
            os.close(self._spare)
        with contextlib.suppress(OSError):
            self.listener.sock.accept()[0].close()
        self._spare = _spare_fd()
        log.say("out of file descriptors; a connection was turned away")

    def _welcome(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        peer = self._peers.identify(sock)
        if self._per_process[peer.pid] >= MAX_PER_PROCESS:
            sock.close()
            return
        connection = _Connection(sock, peer)
        self._connections.add(connection)
        self._per_process[peer.pid] += 1
        connection.task = asyncio.get_running_loop().create_task(self._converse(connection))

    def _forget(self, connection: _Connection) -> None:
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        pid = connection.peer.pid
        self._per_process[pid] -= 1
        if not self._per_process[pid]:
            del self._per_process[pid]

    async def _converse(self, connection: _Connection) -> None:
        try:
            await self._serve(connection)
        except (OSError, TimeoutError, EOFError, asyncio.CancelledError):
            pass  # the peer went away, was too slow, or we are ending: its connection is all that it loses
        finally:
            self._forget(connection)
            connection.sock.close()

    async def _serve(self, connection: _Connection) -> None:
        loop = asyncio.get_running_loop()

        async def send(data: bytes) -> None:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await loop.sock_sendall(connection.sock, data)

        reason = refusal(connection.peer.uid, os.getuid())
        if reason:
            log.say(f"refused {reason}")
            error = Refused(f"this vault belongs to uid {os.getuid()}", hint="run as that user")
            await send(protocol.encode(protocol.error_frame(error)))
            return
        rest = b""
        while True:
            line, rest = await _read_frame(connection.sock, rest)
            connection.waiting_since = None
            if line is None:
                await send(protocol.encode(protocol.error_frame(Usage("a frame is longer than 64 KiB"))))
                return
            await send(await self._answer(line, connection.peer, send))
            if self._draining:
                return
            connection.waiting_since = time.monotonic()


async def _read_frame(sock: socket.socket, data: bytes) -> tuple[bytes | None, bytes]:
    """One line and what came after it, within FRAME_TIMEOUT_S; None in place of a line that is too long."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(protocol.FRAME_TIMEOUT_S):
        pieces = bytearray(data)
        while (end := pieces.find(b"\n")) < 0:
            if len(pieces) >= protocol.MAX_FRAME:
                return None, b""
            chunk = await loop.sock_recv(sock, 65536)
            if not chunk:
                raise EOFError
            pieces += chunk
    return bytes(pieces[:end]), bytes(pieces[end + 1 :])


def _spare_fd() -> int | None:
    """None when threads at work elsewhere (the disk, AWS) took the last one: there is one again before long."""
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
