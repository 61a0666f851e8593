# SPDX-License-Identifier: Apache-2.0
"""Where rotations are played: alice's key as `dev` in a vault, a strict stand-in for AWS, and one clock for both."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

from tests.edge.desk import Desk
from tests.fake_aws import AccessKey, FakeAws, User
from tests.fake_aws.devices import Device
from vaultd.core.policy import LockSettings, Settings
from vaultd.core.rotation import Rotation
from vaultd.edge.aws import Aws

DAY = 24.0  # hours
_P = ParamSpec("_P")


@dataclass
class RotationStage:
    """`desk` is the vault in use; `shared_aws` saves each test the tenth of a second that its clients cost."""

    home: Path
    fake: FakeAws
    shared_aws: Aws
    settings: Settings = field(default_factory=lambda: Settings(lock=LockSettings(idle=0, max=0)))
    desk: Desk = field(init=False)
    alice: User = field(init=False)
    key: AccessKey = field(init=False)

    async def begin(self, *, partition: str = "aws", root: bool = False, **fields: Any) -> None:
        """alice's only key is in the vault, or the root user's; `fields` are those of `add`."""
        self.fake.start_over()
        self.fake.tolerates_skew = True  # botocore signs with the real clock
        self.alice = (
            self.fake.add_root(partition=partition)
            if root
            else self.fake.add_user("alice", path="/team/", partition=partition)
        )
        self.key = self.fake.add_key(self.alice)
        now = datetime.now(UTC).replace(microsecond=0)
        self.desk = Desk(self.home, self.settings, now, shared_aws=self.shared_aws, fake=self.fake)
        await self.desk.opened()
        await self.add("dev", self.key, **fields)

    async def add(self, name: str, key: AccessKey, **fields: Any) -> None:
        halves = {"access_key_id": key.access_key_id, "secret_access_key": key.secret, "serve": "session"}
        reply = await self.desk.ask("add", profile=name, **{**halves, **fields})
        assert reply.get("ok"), reply

    async def rotate(self, name: str = "dev", **fields: Any) -> Any:
        return await self.desk.ask("rotate", profile=name, **fields)

    async def rotated(self, **fields: Any) -> AccessKey:
        """The new key, which is served now."""
        reply = await self.rotate(**fields)
        assert reply.get("ok"), reply
        return self.fake.world.keys[self.served]

    async def refused(self, name: str = "dev", **fields: Any) -> tuple[int, str]:
        """Exit status and line of a rotation that must be refused."""
        error = (await self.rotate(name, **fields))["error"]
        assert error["line"].isprintable()
        return error["exit"], error["line"]

    async def show(self, name: str = "dev") -> Any:
        return (await self.desk.ask("show", profile=name))["profile"]

    async def waits(self) -> str:
        """For what, as `rotate --status` and `due` both say; "" when it does not."""
        text = (await self.show())["rotation"]["waits"] or ""
        (item,) = [
            item for item in (await self.desk.ask("due"))["items"] if item["what"] == "rotation-open"
        ] or [{"text": ""}]
        assert item["text"].endswith(text)
        return text

    async def pass_time(self, *, hours: float, step: float = 1.0) -> None:
        """The daemon's timer goes on meanwhile."""
        while hours > 0:
            await self.desk.tick(hours=min(step, hours))
            hours -= step

    async def see_through(self) -> None:
        """Past the grace, past the soak, and once more: what had to wait is tried again within the hour."""
        for hours in (DAY + 1, 7 * DAY + 1, 2):
            await self.desk.tick(hours=hours)

    async def relocked(self) -> None:
        """Locked and unlocked, or crashed and started: nothing but the files goes over."""
        self.desk = self.desk.relocked()
        reply = await self.desk.ask("unlock", passphrase="correct horse battery")
        assert reply.get("ok"), reply

    @property
    def run(self) -> Rotation | None:
        return self.desk.service.keeper.body.rotations.get("dev")

    def state(self) -> str | None:
        return self.run.state if self.run else None

    @property
    def served(self) -> str:
        """The id of the key that `dev` serves."""
        return self.desk.service.keeper.body.key_profile("dev").key.access_key_id

    @property
    def keys(self) -> dict[str, str]:
        """alice's keys in AWS, by id, and their status."""
        return {key.access_key_id: key.status for key in self.fake.world.keys_of(self.alice)}

    def calls(self, action: str) -> int:
        """How often AWS did this for somebody."""
        return sum(call.outcome == "ok" for call in self.fake.calls(action))


class MfaStage(RotationStage):
    """alice may do nothing without a code of her device."""

    device: Device

    async def begin(self, **changes: Any) -> None:
        await super().begin()
        self.device = self.fake.add_mfa(self.alice)
        self.fake.require_mfa(self.alice)
        if changes:
            assert (await self.desk.ask("edit", profile="dev", changes=changes)).get("ok")

    async def with_device(self, **changes: Any) -> None:
        await self.begin()
        fields = {"mfa_serial": self.device.serial, **changes}
        assert (await self.desk.ask("edit", profile="dev", changes=fields)).get("ok")

    async def give_code(self) -> None:
        reply = await self.desk.ask("mfa", profile="dev", code=self.device.code(self.fake.clock.now()))
        assert reply.get("ok"), reply

    async def served_id(self) -> str:
        answer = await self.desk.ask("get", profile="dev")
        assert "AccessKeyId" in answer, answer
        return str(answer["AccessKeyId"])


def play(test: Callable[_P, Coroutine[Any, Any, None]]) -> Callable[_P, None]:
    """An async test, in a loop of its own, which must have had nothing to complain of."""

    async def watched(*args: _P.args, **kwargs: _P.kwargs) -> list[dict[str, Any]]:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
        await test(*args, **kwargs)
        return complaints

    @wraps(test)
    def played(*args: _P.args, **kwargs: _P.kwargs) -> None:
        assert [] == asyncio.run(watched(*args, **kwargs))

    return played


MINUTE = timedelta(minutes=1)
