# SPDX-License-Identifier: Apache-2.0
"""The HTTP side: bytes to a Request, an answer to bytes, and the faults that strike on the way back."""

import contextlib
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.fake_aws.books import Clock
from tests.fake_aws.faults import Fault
from tests.fake_aws.sigv4 import Request

MAX_BODY = 1 << 20
PORTAL = "<!DOCTYPE html><html><body>Welcome to Hotel Wi-Fi</body></html>"


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer, and the fault that is to strike on the way back."""

    status: int
    body: str
    fault: Fault | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "text/xml"})


Answer = Callable[[Request], Reply]


class Listener(ThreadingHTTPServer):
    request_queue_size = 256  # a hundred clients may come at once
    daemon_threads = False  # joined by server_close: a test must not leave one behind

    def __init__(self, port: int, answer: Answer, clock: Clock) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.answer = answer
        self.clock = clock
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        self._open.discard(request)
        super().close_request(request)

    def hang_up(self) -> None:
        """End the kept-alive connections, whose threads would wait for a next request."""
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Listener
    disable_nagle_algorithm = True  # head and body are two writes: the second would wait 40 ms for an ACK

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY:
            self.close_connection = True
            return self._send(Reply(413, ""), 0)
        request = Request(self.command, self.path, self.headers.items(), self.rfile.read(length))
        reply = self.server.answer(request)
        way = reply.fault.way if reply.fault else None
        if way in ("reset", "lose-reply"):
            return self._reset()
        if way == "garbage":
            return self._send(Reply(200, PORTAL), len(PORTAL))
        half = replace(reply, body=reply.body[: len(reply.body) // 2])
        if way == "truncate":
            return self._send(half, len(half.body))
        if way == "cut":
            self.close_connection = True
            return self._send(half, len(reply.body))
        return self._send(reply, len(reply.body))

    do_GET = do_POST  # noqa: N815  the Query protocol allows both; the name is http.server's

    def _send(self, reply: Reply, length: int) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(reply.body.encode())

    def _reset(self) -> None:
        """RST instead of FIN: what a firewall or a dying load balancer does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header by AWS's clock, which a test may have moved."""
        return format_datetime(self.server.clock.now(), usegmt=True)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  http.server's own name
        """The books are the log."""
