# SPDX-License-Identifier: Apache-2.0
"""A program under `awsvault exec --server`, and how long two hundred requests at once wait for the endpoint's answers."""

import contextlib
import selectors
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench import programs, running
from tests.bench.programs import Installation
from tests.bench.running import Running
from tests.fake_aws import FakeAws

PROFILE = "dev"
WAITER = 'echo "$AWS_CONTAINER_CREDENTIALS_FULL_URI $AWS_CONTAINER_AUTHORIZATION_TOKEN"; exec cat'


@dataclass(frozen=True)
class Endpoint:
    port: int
    request: bytes

    def at_once_ms(self, requests: int) -> list[float]:
        """That many connections, then that many requests; each one's time from sending it to its answer."""
        with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
            address = ("127.0.0.1", self.port)
            crowd = [stack.enter_context(socket.create_connection(address)) for _ in range(requests)]
            sent = {}
            for sock in crowd:
                selector.register(sock, selectors.EVENT_READ, sock)
                sent[sock] = time.perf_counter()
                sock.sendall(self.request)
            taken = []
            while sent:
                for key, _ in selector.select(running.WAIT_S):
                    asked: socket.socket = key.data
                    if not asked.recv(65536).startswith(b"HTTP/1.1 200 "):
                        raise RuntimeError("the endpoint refuses")
                    taken.append((time.perf_counter() - sent.pop(asked)) * 1000)
                    selector.unregister(asked)
        return taken


@contextlib.contextmanager
def vault_at_aws(installation: Installation, root: Path) -> Iterator[Running]:
    """An unlocked vault with one key whose session the stand-in for AWS makes."""
    home = root / "home-endpoint"
    running.write_vault(home, 0)
    with FakeAws() as aws:
        key = aws.add_key(aws.add_user("alice"))
        (home / "config.toml").write_text(f'[aws]\nendpoint_url = "{aws.url}"\n', "utf-8")
        with Running(installation.command("vaultd"), home) as daemon:
            daemon.call("unlock", passphrase=running.PASSPHRASE)
            secret = {"access_key_id": key.access_key_id, "secret_access_key": key.secret}
            daemon.call("add", profile=PROFILE, serve="session", verify=False, **secret)
            yield daemon


@contextlib.contextmanager
def serving(installation: Installation, home: Path) -> Iterator[Endpoint]:
    command = installation.command("awsvault", "exec", "--server", PROFILE, "--", "sh", "-c", WAITER)
    with subprocess.Popen(
        command,
        env=programs.environment(home),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        url, token = process.stdout.readline().split()
        host, _, path = url.removeprefix("http://").partition("/")
        head = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nAuthorization: {token}\r\n\r\n"
        yield Endpoint(int(host.rpartition(":")[2]), head.encode())
        process.stdin.close()
