# SPDX-License-Identifier: Apache-2.0
"""Moves bytes between programs and the daemon: one thread, one selector, nothing kept.

Each answer was asked of the daemon after its request had come in, so a lock or a changed profile counts at once. Requests
that come in while a question is under way share the next one: two hundred at once cost the daemon two questions.
It ends when the program that it serves ends, and does not know what stands in the bytes (messages.py).
"""

import contextlib
import selectors
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from awsvault.endpoint import messages
from awsvault.endpoint.messages import Place
from vaultd.wire import client, protocol
from vaultd.wire.errors import DaemonHung, DaemonUnreachable, ProtocolMismatch, VaultError

MAX_CONNECTIONS = 400  # below the usual limit of 1024 descriptors; the oldest makes room
HEAD_TIMEOUT_S = 5.0
LINGER_S = 1.0  # for a client that still sends what nobody wants: closing at once could cost it our answer
SWEEP_S = 0.5
ACCEPT_AT_ONCE = 64
QUESTIONS_PER_ANSWER = (
    2  # a daemon that locks replaces itself: what ended before the first byte is asked once more
)


@dataclass(eq=False, slots=True)
class Connection:
    """One request of one program. `deadline` is for its head to be whole, then for the client to hang up."""

    sock: socket.socket
    deadline: float
    received: bytes = b""
    state: str = "reading"  # then "waiting" for the daemon, or "closing"
    is_watched: bool = False


class Question:
    """One `get` asked of the daemon. Feed it when its socket has something; `reply` is there when it is over."""

    def __init__(self, home: str | None, profile: str) -> None:
        self._home = home
        self._request = protocol.encode(protocol.request("get", profile=profile, serve="session"))
        self._tries_left = QUESTIONS_PER_ANSWER
        self._received = b""
        self.sock: socket.socket | None = None
        self.deadline = time.monotonic() + protocol.CLIENT_DEADLINE_S
        self.reply: bytes | None = None
        self._ask()

    def _ask(self) -> None:
        self._tries_left -= 1
        try:
            self.sock = client.connect(self._home)
            self.sock.setblocking(False)
            self.sock.sendall(self._request)
        except VaultError as error:
            self._end(messages.reply_of_error(error))
        except OSError:
            self._again()

    def feed(self) -> None:
        """Read what there is; `sock` may be another one afterwards."""
        assert self.sock
        try:
            chunk = self.sock.recv(protocol.MAX_FRAME)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        self._received += chunk
        if self._received.endswith(b"\n"):
            self._end(messages.reply_of(self._received))
        elif len(self._received) > protocol.MAX_FRAME:
            self._end(messages.reply_of_error(ProtocolMismatch()))
        elif not chunk:
            self._again()

    def _again(self) -> None:
        self._close()
        if self._received or not self._tries_left:
            self._end(
                messages.reply_of_error(
                    DaemonUnreachable("vaultd ended before it answered", hint="try again")
                )
            )
            return
        self._ask()

    def give_up(self) -> None:
        self._end(messages.reply_of_error(DaemonHung()))

    def _end(self, reply: bytes) -> None:
        self._close()
        self.reply = reply

    def _close(self) -> None:
        if self.sock:
            self.sock.close()
            self.sock = None


class Server:
    """`ask` starts a question; `watched` becomes readable when the program has ended."""

    def __init__(
        self, listener: socket.socket, watched: int, place: Place, ask: Callable[[], Question]
    ) -> None:
        self._listener = listener
        self._place = place
        self._ask = ask
        self._watched = watched
        self._connections: dict[Connection, None] = {}  # oldest first
        self._waiting: list[Connection] = []  # for the next question
        self._asked: list[Connection] = []  # for the one under way
        self._question: Question | None = None
        self._question_sock: socket.socket | None = None
        self._next_sweep = 0.0
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Serve until the program ends."""
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._watched, selectors.EVENT_READ)
        try:
            self._serve()
        finally:
            for connection in list(self._connections):
                self._drop(connection)
            self._selector.close()

    def _serve(self) -> None:
        while True:
            events = self._selector.select(SWEEP_S if self._connections else None)
            for key, _mask in events:
                if key.fd == self._watched:
                    return
                if callable(key.data):
                    key.data()
                else:
                    self._read(key.data)
            self._begin_question()
            self._sweep()

    # --- programs

    def _accept(self) -> None:
        """Most requests are there whole when they are accepted, and never need the selector."""
        for _ in range(ACCEPT_AT_ONCE):
            try:
                sock, _address = self._listener.accept()
            except OSError:  # nobody more, or one that is gone again
                return
            sock.setblocking(False)
            if len(self._connections) >= MAX_CONNECTIONS:
                self._drop(next(iter(self._connections)))
            connection = Connection(sock, time.monotonic() + HEAD_TIMEOUT_S)
            self._connections[connection] = None
            self._read(connection)

    def _read(self, connection: Connection) -> None:
        try:
            chunk = connection.sock.recv(messages.MAX_HEAD)
        except BlockingIOError:
            self._watch(connection)
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._drop(connection)
        elif connection.state == "reading":
            connection.received += chunk
            self._look(connection)

    def _look(self, connection: Connection) -> None:
        head, end, _body = connection.received.partition(b"\r\n\r\n")
        if len(head) > messages.MAX_HEAD:
            self._refuse(connection, messages.error_reply(431, "TooLarge", "the request is too large"))
        elif not end:
            self._watch(connection)
        elif refusal := messages.refusal_of(head, self._place):
            self._refuse(connection, refusal)
        else:
            connection.state = "waiting"
            self._waiting.append(connection)

    def _answer(self, connection: Connection, reply: bytes) -> None:
        """Any answer fits the empty send buffer of a fresh socket, so it is out before the socket is closed."""
        with contextlib.suppress(OSError):
            connection.sock.send(reply)
        self._drop(connection)

    def _refuse(self, connection: Connection, reply: bytes) -> None:
        """Answer one that may still be sending: to close now would throw away the answer with what it sends."""
        connection.state = "closing"
        connection.deadline = time.monotonic() + LINGER_S
        try:
            connection.sock.send(reply)
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(connection)
            return
        self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        if not connection.is_watched:
            self._selector.register(connection.sock, selectors.EVENT_READ, connection)
            connection.is_watched = True

    def _drop(self, connection: Connection) -> None:
        if connection not in self._connections:
            return
        del self._connections[connection]
        if connection.is_watched:
            self._selector.unregister(connection.sock)
        connection.sock.close()

    def _sweep(self) -> None:
        """End what has had its time."""
        now = time.monotonic()
        if now < self._next_sweep:
            return
        self._next_sweep = now + SWEEP_S
        if self._question and now > self._question.deadline:
            self._question.give_up()
            self._follow_question()
        for connection in [one for one in self._connections if now > one.deadline]:
            if connection.state == "reading":
                self._refuse(connection, messages.error_reply(408, "TooSlow", "the request took too long"))
            elif connection.state == "closing":
                self._drop(connection)

    # --- the daemon

    def _begin_question(self) -> None:
        """One at a time. Whoever came in before it is sent gets its answer."""
        while self._waiting and self._question is None:
            self._asked, self._waiting = self._waiting, []
            self._question = self._ask()
            self._follow_question()

    def _feed_question(self) -> None:
        if self._question:
            self._question.feed()
            self._follow_question()

    def _follow_question(self) -> None:
        """Listen to the socket that the question has now; hand its reply on when it has one."""
        question = self._question
        assert question
        if question.sock is not self._question_sock:
            if self._question_sock:
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(self._question_sock)
            if question.sock:
                self._selector.register(question.sock, selectors.EVENT_READ, self._feed_question)
            self._question_sock = question.sock
        if question.reply is None:
            return
        self._question = None
        for connection in self._asked:
            if connection in self._connections:
                self._answer(connection, question.reply)
        self._asked = []
