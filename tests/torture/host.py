# SPDX-License-Identifier: Apache-2.0
"""One machine with a vault: its daemon, which can be killed and locked at any point, and the programs that it serves."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.edge.desk import PASSPHRASE, Desk
from tests.fake_aws import Fault
from tests.torture.probe import Killed, Probe, Strike, on_disk, watch_saves, watched
from vaultd.core.keys import Key
from vaultd.core.policy import LockSettings, Settings
from vaultd.core.records import Body, KeyProfile
from vaultd.core.rotation import Rotation

if TYPE_CHECKING:
    from tests.torture.play import Play

SETTINGS = Settings(lock=LockSettings(idle=0, max=0))
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
#: botocore asks again from 15 minutes before the end, and goes on with what it has when that fails.
ASKS_BEFORE_END = timedelta(minutes=15)


class Seat(Desk):
    """A desk whose pauses are everybody's: there is one time."""

    play: "Play"

    def pass_time(self, step: timedelta) -> None:
        self.play.advance(step)


@dataclass
class Client:
    """A program that keeps what it was given until it runs out."""

    profile: str
    key_id: str = ""
    expires_at: datetime = NEVER

    async def refresh(self, host: "Host") -> None:
        """Ask when it is time to, as the SDKs do; what fails is tried again the next time."""
        if self.key_id and host.desk.now < self.expires_at - ASKS_BEFORE_END:
            return
        reply = await host.desk.ask("get", profile=self.profile)
        if "AccessKeyId" in reply:
            self.key_id = reply["AccessKeyId"]
            self.expires_at = datetime.fromisoformat(reply["Expiration"])


@dataclass
class Host:
    """`probe` is of the process that runs now; those before it are dead."""

    play: "Play"
    home: Path
    clients: list[Client] = field(default_factory=lambda: [Client("dev"), Client("raw")])
    desk: Seat = field(init=False)
    probe: Probe = field(init=False)
    skew: timedelta = timedelta(0)  # of its clock
    skewed_at: float = 0.0  # boot time
    points: list[str] = field(default_factory=list)  # of the processes before
    strike: Strike | None = None
    at: int | None = None  # the point that it strikes at
    _closing: "asyncio.Task[None] | None" = None

    # --- the process

    async def start(self, now: datetime, booted: float) -> None:
        """A new process, unlocked. Nothing goes over but the files."""
        self.probe = Probe(self.play.bodies, self.play.checker.look, self._names)
        self.probe.strike = self.strike
        self.probe.at = None if self.at is None else self.at - len(self.points)
        aws = watched(self.play.shared_aws, self.probe)
        self.desk = Seat(self.home, SETTINGS, now, booted, shared_aws=aws)
        self.desk.play = self.play
        self.desk.service.succeed = self._begin_to_close
        watch_saves(self.desk.service.keeper, self.probe)
        if (self.home / "vault").exists():
            reply = await self.desk.ask("unlock", passphrase=PASSPHRASE)
            assert reply.get("ok"), reply

    def _names(self, action: str, key_id: str) -> None:
        """Just before a call. AWS takes no signature from a clock that is a day off."""
        if self.skew:
            wrong = Fault.refuse(403, "SignatureDoesNotMatch", "Signature expired")
            self.play.fake.fault(wrong, action=action)
        self.play.checker.is_done_to(self, action, key_id)

    async def restart(self) -> None:
        """After a crash or a lock."""
        await self.end()
        self.points += self.probe.names
        await self.start(self.desk.now, self.desk.booted)

    async def end(self) -> None:
        """All that this process was doing stops."""
        self.probe.is_dead = True
        service = self.desk.service
        if self._closing:
            await asyncio.gather(self._closing, return_exceptions=True)
            self._closing = None
        tasks = [*service.rotator._tasks, *([service._warming] if service._warming else [])]
        await asyncio.gather(*tasks, return_exceptions=True)
        service.rotator.steps._threads.shutdown()
        if service.broker_if_used:
            service.broker.issue.__self__._threads.shutdown()  # type: ignore[attr-defined]  # an Issuer's method

    def lock(self) -> None:
        """As a person does it at this very moment; what is under way goes on until it notices. On the loop's thread."""
        self.desk.service.lock("torture")

    def _begin_to_close(self, _reason: str) -> None:
        self._closing = asyncio.get_running_loop().create_task(self._close())

    async def _close(self) -> None:
        """As daemon.py does it, but for the exec."""
        await self.desk.service.rotator.start.sealed()
        self.desk.service.keeper.close()

    async def _recover(self) -> None:
        if self.probe.is_dead or self.desk.service.draining:
            await self.restart()

    # --- what is asked of it

    async def ask(self, op: str, **fields: Any) -> Any:
        """The reply; None when the process did not live to give it."""
        reply = None
        try:
            with self.probe.counting():
                reply = await self.desk.ask(op, **fields)
        except Killed:
            assert self.probe.is_dead
        self.probe.disk_error = None
        await self._recover()
        return reply

    async def tick(self) -> None:
        """The daemon's timer; all that it began is done."""
        rotator = self.desk.service.rotator
        try:
            with self.probe.counting():
                rotator.tick()
                while tasks := list(rotator._tasks):
                    await asyncio.gather(*tasks)
        except Killed:
            assert self.probe.is_dead
        self.probe.disk_error = None
        await self._recover()

    async def serve(self) -> None:
        """Its clients ask for what they need."""
        for client in self.clients:
            await client.refresh(self)

    # --- what it knows

    @property
    def body(self) -> Body:
        """In memory."""
        return self.desk.service.keeper.body

    @property
    def saved(self) -> Body:
        """On the disk."""
        return on_disk(self.home / "vault", self.play.bodies)

    @property
    def run(self) -> Rotation | None:
        return self.body.rotations.get("dev")

    def held(self) -> dict[str, Key]:
        """The keys in the last vault that was saved."""
        body = self.saved
        keys = [p.key for p in body.profiles.values() if isinstance(p, KeyProfile)]
        for run in body.rotations.values():
            keys += [run.old, *([run.new] if run.new else [])]
        return {key.access_key_id: key for key in keys}

    def served(self) -> str | None:
        """The id of the key that whoever asks now gets, or gets a session of; None while it is locked."""
        keeper = self.desk.service.keeper
        if not keeper.is_unlocked or self.desk.service.draining or self.probe.is_dead:
            return None
        return keeper.body.key_profile("dev").key.access_key_id
