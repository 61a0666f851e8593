# SPDX-License-Identifier: Apache-2.0
"""A running daemon, as its clients and the machine see it: answers, their times, its memory."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Self

from vaultd.core import envelope, vault
from vaultd.core.envelope import KdfCost
from vaultd.core.keys import Key
from vaultd.core.records import Body, KeyProfile
from vaultd.core.secret import Secret
from vaultd.edge.store import LocalStore
from vaultd.wire import client, protocol

PASSPHRASE = "correct horse battery staple"
#: The least that the daemon accepts, so that the bench waits less; what a derive takes is measured and taken off.
COST = KdfCost(envelope.STRICT.min_memory_kib, envelope.STRICT.min_passes)
WAIT_S = 30.0
PROCESSES = 20


def write_vault(home: Path, profiles: int) -> None:
    """A vault with that many keys, as the daemon would have saved it."""
    now = datetime.now(UTC).replace(microsecond=0)
    created = vault.create(Secret(PASSPHRASE), cost=COST, with_recovery=True, now=now, random=os.urandom)
    body = Body({f"profile-{n}": _profile(n, now) for n in range(profiles)}, None)
    sealed = vault.seal(created.vault, body, now=now, random=os.urandom)
    home.mkdir(mode=0o700)
    (home / "vault").touch(mode=0o600)
    (home / "vault").write_bytes(sealed.data)


def saves_ms(root: Path, profiles: int, times: int) -> list[float]:
    """Saves of a vault with that many keys, without a daemon round them."""
    home = Path(tempfile.mkdtemp(dir=root)) / "home"
    write_vault(home, profiles)
    (home / "backups").mkdir(mode=0o700)
    store = LocalStore(home / "vault", home / "backups")
    data, revision = store.load()
    opened = vault.unlock(data, Secret(PASSPHRASE), envelope.STRICT)
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        sealed = vault.seal(opened, opened.body, now=datetime.now(UTC), random=os.urandom)
        revision = store.save(sealed.data, revision, verify=sealed.verify)
        taken.append((time.perf_counter() - begun) * 1000)
        opened = sealed.vault
    return taken


def _profile(number: int, now: datetime) -> KeyProfile:
    key = Key(f"AKIA{number:016d}", Secret(f"{number:040d}"), created_at=now, added_at=now)
    account = f"{number:012d}"
    return KeyProfile(
        name=f"profile-{number}",
        key=key,
        serve="key",
        partition="aws",
        account=account,
        arn=f"arn:aws:iam::{account}:user/user-{number}",
        region="eu-central-1",
        mfa_serial=None,
        verified_at=now,
        last_used_at=None,
    )


class Running:
    """`vaultd` with this home; ready when the constructor returns. Use as a context."""

    def __init__(self, command: Sequence[str], home: Path) -> None:
        self.home = home
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
            (home / "notify").unlink(missing_ok=True)
            notices.bind(str(home / "notify"))
            notices.settimeout(WAIT_S)
            environment = {"PATH": os.defpath, "HOME": str(home), "NOTIFY_SOCKET": str(home / "notify")}
            begun = time.perf_counter()
            self._process = subprocess.Popen(
                [*command, "--home", str(home)], env=environment, stderr=subprocess.DEVNULL
            )
            while b"READY=1" not in notices.recv(4096):
                pass
            self.ready_ms = (time.perf_counter() - begun) * 1000

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_reason: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(WAIT_S)

    def call(self, op: str, **fields: Any) -> protocol.Frame:
        return client.call(op, home=str(self.home), **fields)

    def timed_ms(self, op: str, **fields: Any) -> float:
        begun = time.perf_counter()
        self.call(op, **fields)
        return (time.perf_counter() - begun) * 1000

    def unlock_ms(self) -> float:
        return self.timed_ms("unlock", passphrase=PASSPHRASE)

    def lock_ms(self) -> float:
        """From asking for a lock until the next image answers."""
        instance = self.call("status")["instance"]
        begun = time.perf_counter()
        self.call("lock")
        while self.call("status")["instance"] == instance:
            pass
        return (time.perf_counter() - begun) * 1000

    def rss_mib(self) -> float:
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self._process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) / 1024

    def serial_ms(self, profile: str, times: int) -> list[float]:
        """A new connection for every answer, one after the other, as `awsvault get` does it."""
        return sorted(_ask_ms(str(self.home / "vaultd.sock"), _get(profile)) for _ in range(times))

    def at_once_ms(self, profile: str, clients: int) -> list[float]:
        """All of them connect in the same moment; each one's time until its answer.

        They come from several processes: the daemon lets one have 64 connections only.
        """
        path, share = str(self.home / "vaultd.sock"), clients // PROCESSES
        start_at = time.monotonic() + 2  # by then every process is up
        with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
            shares = [pool.submit(_crowd, path, _get(profile), share, start_at) for _ in range(PROCESSES)]
            return sorted(taken for future in shares for taken in future.result())


def _get(profile: str) -> bytes:
    return protocol.encode({"v": protocol.PROTOCOL, "op": "get", "profile": profile})


def _ask_ms(path: str, request: bytes) -> float:
    begun = time.perf_counter()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(path)
        sock.sendall(request)
        answer = sock.recv(protocol.MAX_FRAME)
    taken = (time.perf_counter() - begun) * 1000
    _check(answer)
    return taken


def _crowd(path: str, request: bytes, clients: int, start_at: float) -> list[float]:
    async def one() -> float:
        await asyncio.sleep(start_at - time.monotonic())
        begun = time.perf_counter()
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(request)
        answer = await reader.readline()
        taken = (time.perf_counter() - begun) * 1000
        writer.close()
        _check(answer)
        return taken

    async def all_of_them() -> list[float]:
        return await asyncio.gather(*(one() for _ in range(clients)))

    return asyncio.run(all_of_them())


def _check(answer: bytes) -> None:
    if not answer.startswith(protocol.GET_ANSWER):
        raise RuntimeError(f"no credentials in the answer ({len(answer)} bytes)")
