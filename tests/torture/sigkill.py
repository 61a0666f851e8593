# SPDX-License-Identifier: Apache-2.0
"""The real daemon, really killed (SIGKILL) at a call to AWS: before AWS acts, or after it and before the reply is read."""

import contextlib
import os
import signal
import threading
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.daemons import Daemon, until
from tests.fake_aws import FakeAws, User
from vaultd.wire.errors import VaultError

Moment = Literal["before", "after"]

#: Nothing is done differently but sooner.
PREAMBLE = """
from datetime import timedelta
from vaultd.core import rotation
rotation.UNCERTAIN_FOR = timedelta(seconds=1)
from vaultd.edge import rotation_steps, rotator
rotation_steps.VERIFY_PAUSE_S = 0.01
rotator.RETRY_S = 0.05
from vaultd import daemon
daemon.TICK_S = 0.05
"""


class DeadlyAws(FakeAws):
    """Kills who asks at its n-th call."""

    def arm(self, pid: int, at: int, moment: Moment) -> None:
        self._pid, self._left, self._moment = pid, at, moment
        self.struck = threading.Event()

    def _once(self, request: Any, seen: Any, fault: Any) -> Any:
        is_now = self._left == 0
        self._left -= 1
        if is_now and self._moment == "before":
            self._kill()
            raise ConnectionError("who asked is gone")
        answered = super()._once(request, seen, fault)
        if is_now:
            self._kill()
        return answered

    def _kill(self) -> None:
        self.struck.set()  # first: who asked may go on before this thread does
        os.kill(self._pid, signal.SIGKILL)

    _pid, _left = 0, -1
    _moment: Moment = "before"


@dataclass
class Victim:
    """A daemon with alice's key, rotated and killed again and again."""

    daemon: Daemon
    aws: DeadlyAws
    alice: User = field(init=False)

    def __post_init__(self) -> None:
        self.alice = self.aws.add_user("alice")
        key = self.aws.add_key(self.alice)
        self.daemon.start()
        self.daemon.init()
        halves = {"access_key_id": key.access_key_id, "secret_access_key": key.secret}
        self.daemon.add("dev", **halves, verify=True, serve="session")

    def calls_of_a_rotation(self) -> int:
        before = len(self.aws.calls())
        self.daemon.call("rotate", profile="dev", now=True)
        return len(self.aws.calls()) - before

    def rotate_and_die(self, at: int, moment: Moment) -> None:
        """Leaves one key, which is served, and no open rotation."""
        self.aws.arm(self.daemon.pid, at, moment)
        with contextlib.suppress(VaultError):
            self.daemon.call("rotate", profile="dev", now=True)
        assert self.aws.struck.is_set()
        assert self.daemon.process
        assert -signal.SIGKILL == self.daemon.process.wait(20)
        assert any(key.status == "Active" for key in self.aws.world.keys_of(self.alice))
        self.daemon.start()
        self.daemon.unlock()
        until(lambda: self._shown()["rotation"] is None, "the end of the rotation")
        served = self._shown()["access_key_id"]
        left = {key.access_key_id: key.status for key in self.aws.world.keys_of(self.alice)}
        assert {served: "Active"} == left, f"killed {moment} call {at}"
        session = self.daemon.call("get", profile="dev")
        assert served == self.aws.world.sessions[session["AccessKeyId"]].made_with

    def _shown(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.daemon.call("show", profile="dev")["profile"]
        return shown
