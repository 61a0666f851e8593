# SPDX-License-Identifier: Apache-2.0
"""A panic or a revocation that is killed at any moment is finished after the next unlock, and serves nothing in between."""

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
            if self.is_refused(profile):
                self.daemon.call("unrevoke", profile=profile)
            self.daemon.call("get", profile=profile)

    def changes(self) -> list[Call]:
        return [call for call in self.aws.calls() if call.action in CHANGES]

    def ask(self, op: str, fields: dict[str, object]) -> None:
        with contextlib.suppress(VaultError):  # the daemon is killed under it
            self.daemon.call(op, **fields)

    def kill_at(self, number: int, op: str, *, acted: bool, **fields: object) -> None:
        """Before the call of this number is done, or after it and before its answer."""
        gate = Gate()
        self.aws.fault(Fault.delay(0), times=number)
        self.aws.fault(Fault.hold_reply(gate) if acted else Fault.hold(gate))
        asking = threading.Thread(target=self.ask, args=(op, fields))
        asking.start()
        assert gate.arrived.acquire(timeout=20)
        self.daemon.kill()
        gate.open()
        asking.join(20)
        self.daemon.start()

    def is_refused(self, profile: str) -> bool:
        try:
            self.daemon.call("get", profile=profile)
        except Refused:
            return True
        return False

    def is_ended(self, profile: str) -> bool:
        """In AWS, and told so; looked at while it is not served."""
        assert self.is_refused(profile)
        (shown,) = [found for found in self.daemon.call("list")["profiles"] if found["profile"] == profile]
        key = self.keys[profile]
        gone = key.access_key_id not in self.aws.world.keys
        return shown["status"] == "revoked" and (gone or key.status == "Inactive")

    def is_revoked(self) -> bool:
        """Looked at while nothing of any profile is served."""
        assert all(map(self.is_refused, self.keys))
        statuses = {found["status"] for found in self.daemon.call("list")["profiles"]}
        return statuses == {"revoked"}


@contextlib.contextmanager
def open_fleet() -> Iterator[Fleet]:
    with (
        FakeAws() as aws,
        contextlib.closing(Daemon(config=f'[aws]\nendpoint_url = "{aws.url}"\n')) as daemon,
    ):
        daemon.start().init()
        yield Fleet(daemon, aws)


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with open_fleet() as fleet:
        yield fleet


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
        fleet.kill_at(number, "panic", acted=acted)
        fleet.daemon.unlock()
        until(fleet.is_revoked, f"the end of a panic that died at call {number}, acted: {acted}")
        assert {"Inactive"} == {key.status for key in fleet.keys.values()}, (number, acted)
        assert all(DENIAL in key.user.policies for key in fleet.keys.values()), (number, acted)
    print(f"killed at {len(points)} points: before and after each of {calls} calls to AWS")


def test_a_revocation_that_is_killed_is_finished_after_the_next_unlock(fleet: Fleet) -> None:
    fleet.start_over()
    before = len(fleet.changes())
    fleet.daemon.call("revoke", profile="dev", sessions=True)
    calls = [call.action for call in fleet.changes()[before:]]
    assert calls == ["PutUserPolicy", "UpdateAccessKey"], "a call without a point to die at"
    for number in range(len(calls)):
        for acted in (False, True):
            fleet.start_over()
            fleet.kill_at(number, "revoke", acted=acted, profile="dev", sessions=True)
            fleet.daemon.unlock()
            until(
                lambda: fleet.is_ended("dev"),
                f"the end of a revocation that died at {calls[number]}, {acted}",
            )
            assert DENIAL in fleet.keys["dev"].user.policies, (number, acted)
            assert fleet.keys["dev2"].status == fleet.keys["ops"].status == "Active"
            assert not fleet.is_refused("ops")


def test_a_deletion_that_is_killed_stays_open_until_somebody_sees_that_the_key_is_gone() -> None:
    """AWS says the same of an inactive key that signs as of a deleted one: the key itself cannot know."""
    with open_fleet() as fleet:
        for profile, acted in (("dev", False), ("dev2", True)):
            fleet.kill_at(0, "revoke", acted=acted, profile=profile, delete=True)
            until(lambda: fleet.keys[profile].access_key_id not in fleet.aws.world.keys, "AWS deletes it")  # noqa: B023
            fleet.daemon.unlock()
            assert not fleet.is_ended(profile)
            fleet.daemon.call("revoke", profile=profile, delete=True, via="ops")
            assert fleet.is_ended(profile)
