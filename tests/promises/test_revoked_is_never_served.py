# SPDX-License-Identifier: Apache-2.0
"""A panic that is killed at any moment is finished after the next unlock, and nothing of it is served in between."""

import contextlib
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests import canary
from tests.daemons import Daemon, until
from tests.fake_aws import AccessKey, Call, FakeAws, Fault, Gate
from vaultd.core.userpolicy import DENIAL
from vaultd.wire.errors import Refused, VaultError

OWNERS = {"dev": "alice", "dev2": "alice", "ops": "bob"}
CHANGES = frozenset({"PutUserPolicy", "UpdateAccessKey", "DeleteAccessKey"})


class Fleet:
    """A real daemon with three keys of two users."""

    def __init__(self, daemon: Daemon, aws: FakeAws) -> None:
        self.daemon, self.aws = daemon, aws
        users = {name: aws.add_user(name) for name in set(OWNERS.values())}
        self.keys: dict[str, AccessKey] = {}
        for profile, owner in OWNERS.items():
            key = aws.add_key(
                users[owner], access_key_id=canary.access_key_id(profile), secret=canary.secret(profile)
            )
            key.created_at -= timedelta(days=1)
            self.keys[profile] = key
            daemon.add(profile, access_key_id=key.access_key_id, secret_access_key=key.secret, verify=True)

    def start_over(self) -> None:
        """All keys active and served again."""
        for profile, key in self.keys.items():
            key.status = "Active"
            key.user.policies.clear()
            self.daemon.call("unrevoke", profile=profile)
            self.daemon.call("get", profile=profile)

    def changes(self) -> list[Call]:
        return [call for call in self.aws.calls() if call.action in CHANGES]

    def panic(self) -> None:
        with contextlib.suppress(VaultError):  # the daemon is killed under it
            self.daemon.call("panic")

    def kill_at(self, number: int, *, acted: bool) -> None:
        """Before the call of this number is done, or after it and before its answer."""
        gate = Gate()
        self.aws.fault(Fault.delay(0), times=number)
        self.aws.fault(Fault.hold_reply(gate) if acted else Fault.hold(gate))
        panicking = threading.Thread(target=self.panic)
        panicking.start()
        assert gate.arrived.acquire(timeout=20)
        self.daemon.kill()
        gate.open()
        panicking.join(20)
        self.daemon.start()

    def is_refused(self, profile: str) -> bool:
        try:
            self.daemon.call("get", profile=profile)
        except Refused:
            return True
        return False

    def is_revoked(self) -> bool:
        """Looked at while nothing of any profile is served."""
        assert all(map(self.is_refused, self.keys))
        statuses = {found["status"] for found in self.daemon.call("list")["profiles"]}
        return statuses == {"revoked"}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with (
        FakeAws() as aws,
        contextlib.closing(Daemon(config=f'[aws]\nendpoint_url = "{aws.url}"\n')) as daemon,
    ):
        daemon.start().init()
        yield Fleet(daemon, aws)


def test_a_panic_that_is_killed_is_finished_after_the_next_unlock(fleet: Fleet) -> None:
    before = fleet.daemon.status()["instance"]
    fleet.daemon.call("panic")
    fleet.daemon.await_new_image(before)
    fleet.daemon.unlock()
    assert fleet.is_revoked()
    calls = len(fleet.changes())
    assert calls == len(fleet.keys) + len(set(OWNERS.values())), "a call without a point to die at"
    points = [(number, acted) for number in range(calls) for acted in (False, True)]
    for number, acted in points:
        fleet.start_over()
        fleet.kill_at(number, acted=acted)
        fleet.daemon.unlock()
        until(fleet.is_revoked, f"the end of a panic that died at call {number}, acted: {acted}")
        assert {"Inactive"} == {key.status for key in fleet.keys.values()}, (number, acted)
        assert all(DENIAL in key.user.policies for key in fleet.keys.values()), (number, acted)
    print(f"killed at {len(points)} points: before and after each of {calls} calls to AWS")
