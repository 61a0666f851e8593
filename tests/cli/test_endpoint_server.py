# SPDX-License-Identifier: Apache-2.0
"""The endpoint's loop: who shares a question, what happens when the daemon is slow, gone or replaced, and time-outs."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from awsvault.endpoint import server
from awsvault.endpoint.messages import Place
from awsvault.endpoint.server import Question, Server
from tests.daemons import until
from tests.scripted import SESSION, ScriptedDaemon
from vaultd.wire import protocol
from vaultd.wire.errors import Locked

TOKEN = "0" * 64
LOCKED = protocol.encode(protocol.error_frame(Locked()))


class Endpoint:
    """A server in a thread of the test."""

    def __init__(self, home: Path) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        self.port = int(self._listener.getsockname()[1])
        watched, self._end = os.pipe()
        place = Place(self.port, "dev", TOKEN.encode())
        self.server = Server(self._listener, watched, place, lambda: Question(str(home), "dev"))
        self._watched = watched
        self._thread = threading.Thread(target=self.server.run)
        self._thread.start()

    def send(self, data: bytes | None = None) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        sock.sendall(self.request if data is None else data)
        return sock

    @property
    def request(self) -> bytes:
        return f"GET /creds/dev HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: {TOKEN}\r\n\r\n".encode()

    def ask(self, data: bytes | None = None) -> bytes:
        with self.send(data) as sock:
            return b"".join(iter(lambda: sock.recv(65536), b""))

    def close(self) -> None:
        os.close(self._end)  # the program ends
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._listener.close()
        os.close(self._watched)


Start = Callable[..., tuple[ScriptedDaemon, Endpoint]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """A daemon with these answers, and an endpoint before it; times are cut short."""
    for name in ("HEAD_TIMEOUT_S", "LINGER_S", "SWEEP_S"):
        monkeypatch.setattr(server, name, 0.05)
    with contextlib.ExitStack() as stack:

        def make(*answers: bytes | None) -> tuple[ScriptedDaemon, Endpoint]:
            tmp_path.chmod(0o700)
            daemon = stack.enter_context(contextlib.closing(ScriptedDaemon(tmp_path, list(answers))))
            return daemon, stack.enter_context(contextlib.closing(Endpoint(tmp_path)))

        yield make


def test_each_answer_is_asked_for(start: Start) -> None:
    daemon, endpoint = start(SESSION, SESSION, LOCKED)
    statuses = [endpoint.ask().split(b" ")[1] for _ in range(3)]
    assert ([b"200", b"200", b"400"], 3) == (statuses, daemon.asked)


def test_those_that_come_during_a_question_share_the_next_one(start: Start) -> None:
    """Not the one under way: it was asked before they came, and a lock may lie between."""
    daemon, endpoint = start(SESSION, LOCKED)
    daemon.may_answer.clear()
    first = endpoint.send()
    until(lambda: daemon.asked == 1, "the first question")
    others = [endpoint.send() for _ in range(50)]
    late = endpoint.ask(b"nonsense\r\n\r\n")  # answered meanwhile, and after the others were read
    assert late.startswith(b"HTTP/1.1 400 ")
    daemon.may_answer.set()
    with contextlib.ExitStack() as stack:
        for sock in (first, *others):
            stack.enter_context(sock)
        assert first.recv(20).startswith(b"HTTP/1.1 200")
        assert {b"HTTP/1.1 400"} == {sock.recv(12) for sock in others}
    assert 2 == daemon.asked


def test_a_daemon_that_replaces_itself_is_asked_again(start: Start) -> None:
    daemon, endpoint = start(b"", SESSION)
    assert endpoint.ask().startswith(b"HTTP/1.1 200 ")
    assert 2 == daemon.asked


@pytest.mark.parametrize(
    "answers", [(b"", b"", SESSION), (SESSION[:30], SESSION)], ids=["twice", "half an answer"]
)
def test_what_is_cut_off_otherwise_is_an_error(start: Start, answers: tuple[bytes, ...]) -> None:
    _, endpoint = start(*answers)
    answer = endpoint.ask()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"DaemonUnreachable" in answer


def test_a_daemon_that_stays_silent_is_given_up(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "CLIENT_DEADLINE_S", 0.05)
    _, endpoint = start(None, SESSION)
    assert b"DaemonHung" in endpoint.ask()
    assert endpoint.ask().startswith(b"HTTP/1.1 200 "), "and the next one is asked anew"


def test_an_answer_without_an_end_is_given_up(start: Start) -> None:
    _, endpoint = start(b"x" * (protocol.MAX_FRAME + 1))
    assert b"ProtocolMismatch" in endpoint.ask()


def test_without_a_daemon_it_says_so(start: Start) -> None:
    daemon, endpoint = start(SESSION)
    daemon.close()
    assert b"vaultd is not running" in endpoint.ask() or b"no vault" in endpoint.ask()


@pytest.mark.parametrize("sent", [b"", b"GET /"], ids=["nothing", "half"])
def test_a_head_that_does_not_come_is_not_waited_for(start: Start, sent: bytes) -> None:
    _, endpoint = start(SESSION)
    assert endpoint.ask(sent).startswith(b"HTTP/1.1 408 ")


def test_a_head_that_is_too_long_is_refused(start: Start) -> None:
    daemon, endpoint = start(SESSION)
    assert endpoint.ask(b"GET / HTTP/1.1\r\nX: " + b"x" * 9_000).startswith(b"HTTP/1.1 431 ")
    long = endpoint.request.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * 9_000 + b"\r\n\r\n")
    assert endpoint.ask(long).startswith(b"HTTP/1.1 431 ")
    assert 0 == daemon.asked


def test_the_oldest_makes_room(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_TIMEOUT_S", 60)
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 3)
    _, endpoint = start(SESSION)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(endpoint.send(b"GET")) for _ in range(5)]
        assert endpoint.ask().startswith(b"HTTP/1.1 200 ")
        assert [b""] * 3 == [sock.recv(10) for sock in silent[:3]]
        silent[4].sendall(endpoint.request[3:])
        assert silent[4].recv(20).startswith(b"HTTP/1.1 200")


def test_a_refusal_reaches_who_is_still_sending(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that is closed with unread bytes is reset, and takes the answer with it."""
    monkeypatch.setattr(server, "LINGER_S", 10)
    _, endpoint = start(SESSION)
    for _ in range(20):
        body = endpoint.request.replace(b"GET", b"POST") + b"x" * 500_000
        assert endpoint.ask(body).startswith(b"HTTP/1.1 405 ")


def pour(sock: socket.socket) -> None:
    for _ in range(10_000):
        sock.sendall(b"x" * 1_000_000)


def test_who_goes_on_sending_is_cut_off(start: Start) -> None:
    _, endpoint = start(SESSION)
    with (
        endpoint.send(b"POST / HTTP/1.1\r\n\r\n") as sock,
        pytest.raises((BrokenPipeError, ConnectionResetError)),
    ):
        pour(sock)


def test_one_that_hangs_up_while_it_waits_costs_nobody_an_answer(start: Start) -> None:
    daemon, endpoint = start(SESSION, SESSION)
    daemon.may_answer.clear()
    endpoint.send().close()
    until(lambda: daemon.asked == 1, "the question")
    waiting = endpoint.send()
    daemon.may_answer.set()
    with waiting:
        assert waiting.recv(20).startswith(b"HTTP/1.1 200")
