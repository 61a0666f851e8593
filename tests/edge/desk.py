# SPDX-License-Identifier: Apache-2.0
"""The handlers in one process, for tests that ask them anything: the real keeper on a real directory with a weak key derivation, a clock that the test moves, and AWS
as tests/fake_aws.
"""

import asyncio
import functools
import json
import os
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.fake_aws import FakeAws, Gate
from tests.weak_daemon import BOUNDS, COST
from vaultd.core.policy import AwsSettings, Settings
from vaultd.edge.audit import Audit
from vaultd.edge.aws import Aws
from vaultd.edge.clock import Clock
from vaultd.edge.handlers import Handlers
from vaultd.edge.keeper import Keeper
from vaultd.edge.notify import Notifier
from vaultd.edge.peer import Peer
from vaultd.edge.places import places
from vaultd.edge.service import Service
from vaultd.edge.store import HighWater, LocalStore
from vaultd.wire import protocol

PASSPHRASE = "correct horse battery"
KEY = {
    "access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}
ME = Peer(0, 1)

#: One for all desks that never ask AWS, which each unlock makes ready to be asked: a tenth of a second.
_unasked = functools.cache(Aws)


def aws_at(settings: AwsSettings) -> Aws:
    return Aws(settings) if settings.endpoint_url else _unasked(settings)


@dataclass
class Desk:
    """The handlers as daemon.py wires them, but for the loop, the socket and the exec."""

    home: Path
    settings: Settings = field(default_factory=Settings)
    now: datetime = datetime(2026, 11, 24, 12, tzinfo=UTC)
    booted: float = 1000.0
    desktop: bool = False
    shared_aws: Aws | None = None  # making its clients costs each test a tenth of a second
    fake: FakeAws | None = None  # whose clock goes along
    locks: list[str] = field(default_factory=list)
    progress: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        where = places(str(self.home))
        where.backups.mkdir(exist_ok=True)
        clock = Clock(lambda: self.now, lambda: self.booted)
        keeper = Keeper(
            LocalStore(where.vault, where.backups),
            HighWater(where.high_water),
            bounds=BOUNDS,
            now=clock.now,
            history_exists=lambda: any(where.backups.iterdir()),
        )
        self.service = Service(
            places=where,
            clock=clock,
            keeper=keeper,
            audit=Audit(where.audit, fsync=False),
            settings=self.settings,
            make_aws=lambda settings: self.shared_aws or aws_at(settings.aws),
            cost=COST,
            succeed=self.locks.append,
            notifier=Notifier(clock.boottime, enabled=lambda: self.desktop),
            pause=self._pause,
        )
        self.handlers = Handlers(self.service)

    async def send(self, data: bytes) -> None:
        self.progress.append(json.loads(data)["progress"])

    async def _pause(self, seconds: float) -> None:
        self.pass_time(timedelta(seconds=seconds))

    def pass_time(self, step: timedelta) -> None:
        """On every clock there is."""
        self.now += step
        self.booted += step.total_seconds()
        if self.fake:
            self.fake.clock.advance(step)

    async def tick(self, *, hours: float = 0) -> None:
        """The daemon's timer, after so long; all that it began is done."""
        self.pass_time(timedelta(hours=hours))
        reminding = self.service.reminding
        await reminding.tick()
        while asking := reminding._inspector._asking:
            await asking
        await reminding.settle()
        if self.service.keeper.is_unlocked:
            self.service.rotator.tick()
        while rotating := list(self.service.rotator._tasks):
            await asyncio.gather(*rotating)
        self.service.revoker.look()
        while resuming := self.service.revoker._resuming:
            await resuming

    async def raw(self, line: bytes) -> Any:
        return json.loads(await self.handlers.answer(line, ME, self.send))

    async def ask(self, op: str, **fields: Any) -> Any:
        return await self.raw(protocol.encode(protocol.request(op, **fields)))

    async def opened(self) -> "Desk":
        assert (await self.ask("init", passphrase=PASSPHRASE, recovery=False))["ok"]
        return self

    def relocked(self) -> "Desk":
        """The next process image: nothing goes over but the files and the reminders that were given."""
        after = Desk(
            self.home, self.settings, self.now, self.booted, self.desktop, self.shared_aws, self.fake
        )
        after.service.reminding.resume(json.loads(json.dumps(self.service.reminding.carry())))
        self.end()
        return after

    def end(self) -> None:
        """As the end of a process closes what it has open."""
        if self.service.audit._fd is not None:
            os.close(self.service.audit._fd)
            self.service.audit._fd = None

    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.home / "audit.jsonl").read_text().splitlines()]


async def under_way(gate: Gate, asking: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    """What is asked, from the moment on at which a fault holds its call to AWS."""
    task = asyncio.create_task(asking)
    await asyncio.to_thread(gate.arrived.acquire)
    return task


def at_aws(desk: Desk, aws: FakeAws) -> Desk:
    return Desk(
        desk.home,
        replace(desk.settings, aws=AwsSettings(endpoint_url=aws.url)),
        now=datetime.now(UTC).replace(microsecond=0),
    )


def code(reply: Any) -> str:
    return str(reply["error"]["code"]) if "error" in reply else "ok"
