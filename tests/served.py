# SPDX-License-Identifier: Apache-2.0
"""A program under `awsvault exec --server` that waits until it is told to end, and its container endpoint from outside."""

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests import procfs
from tests.daemons import AWSVAULT, Daemon, until

WAITER = 'echo "$AWS_CONTAINER_CREDENTIALS_FULL_URI $AWS_CONTAINER_AUTHORIZATION_TOKEN"; exec cat'


@dataclass
class Served:
    """`process` is the program; it ends when its stdin does."""

    process: "subprocess.Popen[str]"
    pid: int  # of the endpoint
    port: int
    path: str
    token: str = field(repr=False)

    def head(self, *lines: str, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
        """What a well-behaved SDK sends; each of `lines` replaces the header of its name or is added."""
        headers = {"host": f"Host: 127.0.0.1:{self.port}", "authorization": f"Authorization: {self.token}"}
        headers |= {line.partition(":")[0].lower(): line for line in lines}
        return "\r\n".join([f"{method} {self.path} {version}", *headers.values(), "", ""]).encode("latin-1")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=15)

    def ask(self, data: bytes | None = None) -> bytes:
        """Everything that comes back until the endpoint hangs up."""
        with self.connect() as sock:
            sock.sendall(self.head() if data is None else data)
            return b"".join(iter(lambda: sock.recv(65536), b""))

    def status(self, data: bytes | None = None) -> int:
        return int(self.ask(data).split(b" ", 2)[1])

    def has_ended(self) -> bool:
        return procfs.has_ended(self.pid)

    def await_end(self) -> None:
        until(self.has_ended, "the endpoint ends with its program", patience_s=5)


@contextlib.contextmanager
def serving(daemon: Daemon, profile: str = "dev", *options: str, program: str = WAITER) -> Iterator[Served]:
    before = set(endpoints(daemon))
    process = subprocess.Popen(
        [*daemon.prefix, str(AWSVAULT), "exec", "--server", *options, profile, "--", "sh", "-c", program],
        env=daemon.environment({"AWSVAULT_HOME": str(daemon.home)}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        url, token = process.stdout.readline().split()
        (pid,) = set(endpoints(daemon)) - before
        address, _, path = url.removeprefix("http://").partition("/")
        yield Served(process, pid, int(address.rpartition(":")[2]), f"/{path}", token)
    finally:
        process.kill()
        process.communicate()


def endpoints(daemon: Daemon) -> list[int]:
    """The pids of this daemon's endpoints."""
    needle = b"awsvault.endpoint\0--home\0" + os.fsencode(daemon.home) + b"\0"
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if needle in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found
