# SPDX-License-Identifier: Apache-2.0
"""One run of a scenario: a stand-in for AWS, one or two hosts with alice's key, one time for all, and a strike at one point."""

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from tests.edge.desk import PASSPHRASE
from tests.fake_aws import AccessKey, FakeAws, User
from tests.torture.checker import Checker
from tests.torture.host import Host
from tests.torture.probe import Killed, Strike, digest
from vaultd.core.policy import AwsSettings
from vaultd.core.records import Body
from vaultd.core.rotation import Rotation
from vaultd.edge.aws import Aws

ALICES_KEY = ("AKIAALICE00000000OLD", "alices0secret0of0the0old0key000000000000")
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
#: How long nothing may change before a run that waits for a person is left waiting.
PATIENCE = timedelta(hours=12)
MOST_STEPS = 400
CLOCK_IS_WRONG_FOR = timedelta(hours=3)


class WatchedAws(FakeAws):
    """Calls `watch` after everything that it did, before anybody hears of it."""

    _answered = threading.Semaphore(0)

    watch: Callable[[str], None] = staticmethod(lambda _name: None)

    def _once(self, request: Any, seen: Any, fault: Any) -> Any:
        with self._lock:
            answered = super()._once(request, seen, fault)
            self.watch(seen.action)
            self._answered.release()
            return answered

    @contextmanager
    def next_answer(self) -> Iterator[None]:
        """Until one more call was answered."""
        self._answered = threading.Semaphore(0)
        yield
        assert self._answered.acquire(timeout=10)


@dataclass
class Stage:
    """What the runs share: servers and clients cost time, and a vault with alice's key is a copy away."""

    directory: Path
    fake: WatchedAws = field(init=False)
    aws: Aws = field(init=False)
    bodies: dict[str, Body] = field(default_factory=dict)
    runs: int = 0

    def __enter__(self) -> Self:
        self.fake = WatchedAws()
        self.fake.__enter__()
        settings = AwsSettings(endpoint_url=self.fake.url)
        self.aws = Aws(settings, attempts=1)
        self.aws.warm_up()  # before it is copied for a host: else each would read botocore's models for itself
        asyncio.run(self._prepare())
        return self

    def __exit__(self, *_: object) -> None:
        self.fake.__exit__()

    @property
    def template(self) -> Path:
        return self.directory / "template"

    async def _prepare(self) -> None:
        self.template.mkdir()
        (self.template / "config.toml").write_text('[lock]\nidle = "0s"\nmax = "0s"\n')
        play = Play(self, self.aws)
        play.checker.is_looking = False
        host = await play.begin(self.template)
        assert (await host.desk.ask("init", passphrase=PASSPHRASE, recovery=False))["ok"]
        self.bodies[digest(self.template / "vault")] = host.body
        key_id, secret = ALICES_KEY
        for name, serve in (("dev", "session"), ("raw", "key")):
            fields = {"access_key_id": key_id, "secret_access_key": secret, "serve": serve}
            reply = await host.desk.ask("add", profile=name, **fields)
            assert reply.get("ok"), reply
        await host.restart()  # so that the settings are confirmed, and no later unlock saves anything
        await host.end()

    @contextmanager
    def home(self) -> Iterator[Path]:
        """A copy of the prepared vault, for one run."""
        self.runs += 1
        directory = self.directory / str(self.runs)
        shutil.copytree(self.template, directory)
        try:
            yield directory
        finally:
            shutil.rmtree(directory)


@dataclass
class Play:
    stage: Stage
    shared_aws: Aws
    alice: User = field(init=False)
    key: AccessKey = field(init=False)
    checker: Checker = field(init=False)
    hosts: list[Host] = field(default_factory=list)
    needs_person: bool = False  # somebody meddled: a run may end waiting, in words
    may_leave_orphan: bool = False  # nobody may ask CloudTrail
    is_hurry: bool = False
    loop: asyncio.AbstractEventLoop = field(init=False)
    _later: list[tuple[datetime, Callable[[], None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        fake = self.fake
        fake.start_over()
        fake.tolerates_skew = True  # botocore signs with the real clock
        self.alice = fake.add_user("alice", path="/team/")
        self.key = fake.add_key(self.alice, access_key_id=ALICES_KEY[0], secret=ALICES_KEY[1])
        self.checker = Checker(self)
        fake.watch = self.checker.look

    def listen(self) -> None:
        """Hear what the event loop has to complain of, in place of its printing it."""
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(self._trouble)

    def _trouble(self, _loop: object, trouble: dict[str, Any]) -> None:
        error = trouble.get("exception")
        if not isinstance(error, Killed):
            self.checker.complain(f"the event loop: {error or trouble['message']}")

    @property
    def fake(self) -> WatchedAws:
        return self.stage.fake

    @property
    def bodies(self) -> dict[str, Body]:
        return self.stage.bodies

    @property
    def host(self) -> Host:
        return self.hosts[0]

    async def begin(self, home: Path, strike: Strike | None = None, at: int | None = None) -> Host:
        """One more host, and what is to strike it at which point."""
        host = Host(self, home, strike=strike, at=at)
        now, booted = datetime.now(UTC).replace(microsecond=0), 1000.0
        if self.hosts:
            now, booted = self.host.desk.now, self.host.desk.booted
        await host.start(now, booted)
        self.hosts.append(host)
        return host

    async def end(self) -> None:
        self.fake.open_gates()
        for host in self.hosts:
            await host.end()

    # --- time

    def advance(self, step: timedelta) -> None:
        """On every clock there is."""
        self.fake.clock.advance(step)
        for host in self.hosts:
            host.desk.now += step
            host.desk.booted += step.total_seconds()

    def later(self, step: timedelta, what: Callable[[], None]) -> None:
        """Do this once so much time has passed."""
        self._later.append((self.fake.clock.now() + step, what))

    async def _do_what_is_due(self) -> None:
        now = self.fake.clock.now()
        due, self._later = [w for at, w in self._later if at <= now], [x for x in self._later if x[0] > now]
        for what in due:
            await asyncio.to_thread(what)

    async def pass_time(self, step: timedelta) -> None:
        """Clients ask as the daemons go on."""
        self.advance(step)
        await self._do_what_is_due()
        for host in self.hosts:
            await host.serve()
            self.checker.look("time")
            await host.tick()
            await host.serve()
        self.checker.look("tick")

    async def settle(self) -> None:
        """Until every run is over, or only a person could change anything."""
        quiet = timedelta(0)
        for _ in range(MOST_STEPS):
            if quiet >= PATIENCE or not (self._later or self._open_runs()):
                break
            before, waited = self._stand(), self._all_wait()
            step = min(self._step(host) for host in self.hosts)
            await self.pass_time(step)
            self._set_clocks_right()
            still = waited and self._all_wait() and self._stand() == before
            quiet = quiet + step if still else timedelta(0)
        else:
            self.checker.complain("it does not come to an end")
        self.checker.at_the_end()

    def _all_wait(self) -> bool:
        return all(run.waits for run in self._open_runs())

    def _open_runs(self) -> list[Rotation]:
        return [host.run for host in self.hosts if host.run]

    def _stand(self) -> list[object]:
        """Where everything stands; how often a person was told so is no progress."""
        return [(host.run and replace(host.run, waits=""), host.skew) for host in self.hosts]

    def _step(self, host: Host) -> timedelta:
        run = host.run
        if self._later:
            return MINUTE
        if run is None:
            return 24 * HOUR
        if run.waits:
            return HOUR
        if run.state in ("grace", "soak"):
            fresh = host.desk.now - run.since < 2 * HOUR or self.checker.was_meddled_with()
            return HOUR / 2 if fresh else 6 * HOUR if run.state == "grace" else 24 * HOUR
        return 3 * MINUTE

    def _set_clocks_right(self) -> None:
        for host in self.hosts:
            if host.skew and host.desk.booted - host.skewed_at > CLOCK_IS_WRONG_FOR.total_seconds():
                host.desk.now -= host.skew
                host.skew = timedelta(0)
