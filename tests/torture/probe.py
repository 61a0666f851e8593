# SPDX-License-Identifier: Apache-2.0
"""Where a daemon touches the world: each call to AWS and each save, counted and named as they come.

The points of a scenario are found by playing it once and writing them down; a later run strikes at any one of them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tests.disks import announced
from vaultd.core.records import Body
from vaultd.core.sessions import Credentials
from vaultd.core.vault import Sealed
from vaultd.edge.aws import Aws
from vaultd.edge.boto import Boto
from vaultd.edge.iam import Iam
from vaultd.edge.keeper import Keeper
from vaultd.wire.errors import AwsFailed

HASTE_S = 0.15
_NEVER_ISSUED = "AKIA0000000000000000"  # what harmless questions about rights name

_Value = TypeVar("_Value")


class Killed(BaseException):
    """This process is gone. No `except` of ours may catch it, and nothing that it does afterwards counts."""


class Strike(Protocol):
    """What happens at one point. `is_slow`: the answer will not come in time, so let the time be short."""

    @property
    def is_slow(self) -> bool: ...

    def before(self, name: str) -> None: ...

    def between(self, name: str) -> None:
        """Of a save: the vault is there, and its mark is not."""

    def after(self, name: str) -> None: ...


@dataclass
class Probe:
    """Of one process. `bodies` knows what each vault file says, by its hash; all processes of a run share it."""

    bodies: dict[str, Body]
    watch: Callable[[str], None]  # called whenever something has happened
    named: Callable[[str, str], None] = lambda _action, _key_id: None  # what is done to which key
    names: list[str] = field(default_factory=list)
    at: int | None = None
    strike: Strike | None = None
    is_counting: bool = False
    is_dead: bool = False
    disk_error: Callable[[str, tuple[Any, ...]], None] | None = None

    def die(self) -> None:
        self.is_dead = True
        raise Killed

    def check_alive(self) -> None:
        if self.is_dead:
            raise Killed

    @contextmanager
    def counting(self) -> Iterator[None]:
        self.is_counting = True
        try:
            yield
        finally:
            self.is_counting = False

    def arrive(self, name: str) -> Strike | None:
        """Say that this is next; the strike, if this is its point."""
        self.check_alive()
        if not self.is_counting:
            return None
        self.names.append(name)
        return self.strike if self.at == len(self.names) - 1 else None

    def disk(self, operation: str, arguments: tuple[Any, ...]) -> None:
        """Before each operation of the file port."""
        self.check_alive()
        if self.disk_error:
            self.disk_error(operation, arguments)


class Watched(Boto):
    """The way out to AWS, with a probe in it."""

    probe: Probe

    def call(
        self,
        service: str,
        action: str,
        credentials: Credentials,
        read: Callable[[Any], _Value],
        region: str,
        **parameters: Any,
    ) -> _Value:
        key_id = str(parameters.get("AccessKeyId", ""))
        strike = self.probe.arrive(f"~{action}" if key_id == _NEVER_ISSUED else action)
        if strike:
            strike.before(action)
        self.probe.named(action, key_id)
        way = self._in_a_hurry() if strike and strike.is_slow else self
        try:
            return Boto.call(way, service, action, credentials, read, region, **parameters)
        except AwsFailed:
            self.probe.check_alive()
            raise
        finally:
            if strike:
                strike.after(action)
            self.probe.check_alive()

    def _in_a_hurry(self) -> Boto:
        """Only for this one call: on a busy machine others would be given up, too."""
        way = copy(self)
        way._timeouts, way._clients = (self._timeouts[0], HASTE_S), {}
        return way


def watched(shared: Aws, probe: Probe) -> Aws:
    """`shared` with a probe of its own: clients cost a tenth of a second, and are shared."""
    boto = copy(shared._boto)
    boto.__class__ = Watched
    assert isinstance(boto, Watched)
    boto.probe = probe
    aws = copy(shared)
    aws._boto, aws.iam = boto, Iam(boto)
    return aws


def watch_saves(keeper: Keeper, probe: Probe) -> None:
    """Count this keeper's saves, and strike at them."""
    write, reserve, save_mark = keeper._write, keeper.reserve, keeper._high_water.save
    keeper._store._files = keeper._high_water._files = announced(probe.disk)
    striking: list[tuple[Strike, str]] = []

    async def watched_write(sealed: Sealed, **options: Any) -> str:
        probe.bodies[sha256(sealed.data).hexdigest()] = sealed.vault.body
        name = f"save:{_state(sealed.vault.body)}"
        strike = probe.arrive(name)
        if strike:
            strike.before(name)
            striking.append((strike, name))
        try:
            return await write(sealed, **options)
        finally:
            striking.clear()
            if strike:
                strike.after(name)
            probe.check_alive()
            probe.watch(name)

    def watched_mark(data: bytes) -> None:
        for strike, name in striking:
            strike.between(name)
        save_mark(data)

    async def watched_reserve() -> None:
        strike = probe.arrive("reserve")
        if strike:
            strike.before("reserve")
        try:
            await reserve()
        finally:
            if strike:
                strike.after("reserve")
            probe.check_alive()

    keeper.__dict__.update(_write=watched_write, reserve=watched_reserve)
    keeper._high_water.__dict__["save"] = watched_mark


def on_disk(vault: Path, bodies: dict[str, Body]) -> Body:
    """What the last vault says that was put there."""
    return bodies[digest(vault)]


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _state(body: Body) -> str:
    run = next(iter(body.rotations.values()), None)
    if run is None:
        return "closed"
    return f"{run.state}{'+back' if run.back else ''}{'+waits' if run.waits else ''}"
