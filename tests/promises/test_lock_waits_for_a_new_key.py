# SPDX-License-Identifier: Apache-2.0
"""A lock hands out nothing more at once, and waits for one thing: the reply to CreateAccessKey, whose secret is shown once."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.daemons import until
from tests.fake_aws import Fault, Gate
from tests.scenarios.vault_at_aws import Stage, open_stage
from vaultd.wire.errors import DaemonUnreachable, Locked, VaultError


def begin_to_rotate(stage: Stage, pool: ThreadPoolExecutor, gate: Gate) -> "Future[Any]":
    stage.aws.fault(Fault.hold_reply(gate), action="CreateAccessKey")
    rotation = pool.submit(stage.daemon.call, "rotate", profile="dev")
    until(lambda: stage.aws.calls("CreateAccessKey"), "the call that makes a key")
    return rotation


def held(stage: Stage) -> set[str | None]:
    run = stage.daemon.call("show", profile="dev")["profile"]["rotation"]
    return {run["old_key"], run["new_key"]} if run else set()


@pytest.mark.parametrize("way", ["lock", "stop"])
def test_the_reply_of_create_access_key_is_sealed_before_a_lock(way: str) -> None:
    with open_stage() as stage, ThreadPoolExecutor(2) as pool:
        gate = Gate()
        rotation = begin_to_rotate(stage, pool, gate)
        before = stage.daemon.status()["instance"]
        if way == "lock":
            assert ["AWS is making a new key: it is put into the vault first"] == stage.daemon.call("lock")[
                "notes"
            ]
            with pytest.raises((Locked, DaemonUnreachable)):
                stage.daemon.call("get", profile="dev")
            assert (before, "locked") == (stage.daemon.status()["instance"], stage.daemon.status()["state"])
            gate.open()
            stage.daemon.await_new_image(before)
        else:
            ended = pool.submit(stage.daemon.stop)
            gate.open()
            assert 0 == ended.result(20)
            stage.daemon.start()
        with pytest.raises(VaultError):
            rotation.result(20)
        stage.daemon.unlock()
        assert set(stage.aws.world.keys) == held(stage), "both keys that AWS has are in the vault"
