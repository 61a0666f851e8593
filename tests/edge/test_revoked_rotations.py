# SPDX-License-Identifier: Apache-2.0
"""A rotation that is open when its keys are revoked: no key of it is left active, and none is made or deleted meanwhile."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.edge.desk import code, under_way
from tests.edge.rotation_stage import DAY, MfaStage, RotationStage, play
from tests.fake_aws import AccessKey, FakeAws, Fault, Gate
from vaultd.edge.aws import Aws
from vaultd.edge.store import LocalStore
from vaultd.wire.errors import StorageFailed


async def making_a_key(stage: RotationStage, gate: Gate) -> "asyncio.Task[Any]":
    """A rotation whose new key is in AWS, and whose reply is on the way."""
    await stage.begin()
    stage.fake.fault(Fault.hold_reply(gate), action="CreateAccessKey")
    return await under_way(gate, stage.rotate())


@play
async def test_a_rotation_of_revoked_keys_stands_still_until_that_is_undone(stage: RotationStage) -> None:
    await stage.begin()
    new = await stage.rotated()
    await stage.add("twin", new)
    assert 0 == (await stage.desk.ask("revoke", profile="twin"))["failed"], (
        "the key before belongs to it, too"
    )
    assert {"Inactive"} == set(stage.keys.values())
    assert "refused" == code(await stage.rotate())
    looks = stage.desk.service.rotator.turns.waiting
    await stage.pass_time(hours=9 * DAY, step=6)
    assert ("grace", 2) == (stage.state(), len(stage.keys))
    assert looks == stage.desk.service.rotator.turns.waiting, "nobody tries in vain, and says so every minute"
    new.status = "Active"
    assert "ok" == code(await stage.desk.ask("unrevoke", profile="twin"))
    await stage.pass_time(hours=8 * DAY, step=6)
    assert (None, {new.access_key_id: "Active"}) == (stage.state(), stage.keys)


@play
async def test_no_rotation_begins_by_itself_with_a_revoked_key(stage: RotationStage) -> None:
    await stage.begin()
    stage.desk.service.rotator.start.host = host = "here:00000000"
    edited = await stage.desk.ask("edit", profile="dev", changes={"auto_rotate": True})
    assert ("ok", host) == (code(edited), stage.desk.service.keeper.body.key_profile("dev").auto_rotate)
    await stage.desk.ask("revoke", profile="dev")
    await stage.pass_time(hours=100 * DAY, step=DAY)
    assert 1 == len(stage.keys)
    assert [] == [line for line in stage.desk.audit() if line["op"] == "rotation"]


@play
async def test_a_key_that_aws_makes_meanwhile_is_revoked_when_its_secret_is_here(
    stage: RotationStage,
) -> None:
    gate = Gate()
    rotating = await making_a_key(stage, gate)
    assert 0 == (await stage.desk.ask("revoke", profile="dev"))["failed"]
    gate.open()
    assert "refused" == code(await rotating)
    assert ["Active", "Inactive"] == sorted(stage.keys.values())
    await stage.pass_time(
        hours=0.2, step=0.05
    )  # the new key could not sign for a new one that AWS does not know
    assert {"Inactive"} == set(stage.keys.values())


@play
async def test_a_key_that_aws_makes_during_a_panic_is_revoked_after_the_next_unlock(
    stage: RotationStage,
) -> None:
    gate = Gate()
    rotating = await making_a_key(stage, gate)
    assert 0 == (await stage.desk.ask("panic"))["failed"]
    gate.open()
    assert code(await rotating) in ("locked", "refused")
    assert ["Active", "Inactive"] == sorted(stage.keys.values())
    await stage.relocked()
    await stage.pass_time(hours=0.2, step=0.05)
    assert {"Inactive"} == set(stage.keys.values())


@play
async def test_a_new_keys_secret_is_kept_while_a_panic_is_at_work(stage: RotationStage) -> None:
    makes, denies = Gate(), Gate()
    rotating = await making_a_key(stage, makes)
    stage.fake.fault(Fault.hold(denies), action="PutUserPolicy")
    panicking = await under_way(denies, stage.desk.ask("panic"))
    makes.open()
    await rotating
    denies.open()
    await panicking
    await stage.relocked()
    assert stage.run
    assert 2 == len(stage.keys)
    assert set(stage.run.key_ids) == stage.keys.keys()


@play
async def test_no_key_is_made_during_a_panic_that_could_not_be_written_down(
    stage: RotationStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags, denies = Gate(), Gate()
    save, fails = LocalStore.save, [True]

    def failing(store: LocalStore, *arguments: Any, **options: Any) -> str:
        if fails:
            raise StorageFailed("the disk is full")
        return save(store, *arguments, **options)

    await stage.begin()
    stage.fake.fault(Fault.hold(tags), action="TagUser")
    stage.fake.fault(Fault.hold(denies), action="PutUserPolicy")
    rotating = await under_way(tags, stage.rotate())
    monkeypatch.setattr(LocalStore, "save", failing)
    panicking = await under_way(denies, stage.desk.ask("panic"))
    fails.clear()
    tags.open()
    rotated = await rotating
    denies.open()
    assert (0, "locked") == ((await panicking)["failed"], code(rotated))
    assert {stage.key.access_key_id: "Inactive"} == stage.keys


@pytest.mark.parametrize("op", ["revoke", "panic"])
@play
async def test_a_key_that_aws_makes_meanwhile_is_told_to_be_active(stage: RotationStage, op: str) -> None:
    makes, denies = Gate(), Gate()
    rotating = await making_a_key(stage, makes)
    stage.fake.fault(Fault.hold(denies), action="PutUserPolicy")
    fields = {"profile": "dev"} if op == "revoke" else {}
    revoking = await under_way(denies, stage.desk.ask(op, sessions=True, **fields))
    makes.open()
    await rotating
    denies.open()
    reply = await revoking
    told = {key["access_key_id"]: key["became"] for key in reply["profiles"][0]["keys"]}
    assert (1, stage.keys.keys()) == (reply["failed"], told.keys())
    assert {"Active": None, "Inactive": "inactive"} == {stage.keys[key_id]: told[key_id] for key_id in told}


# --- ways out


@pytest.mark.parametrize("which", ["another key", "the old key"])
@play
async def test_another_key_in_the_place_of_a_revoked_one_ends_its_rotation(
    stage: RotationStage, which: str
) -> None:
    await stage.begin()
    new = await stage.rotated()
    key = stage.key if which == "the old key" else stage.fake.add_key(stage.fake.add_user("bob"))
    assert "refused" == code(await replaced(stage, key)), "it is not revoked"
    await stage.desk.ask("revoke", profile="dev")
    asked: tuple[dict[str, Any], ...] = ({}, {"rollback": True}, {"now": True})
    for fields in asked:
        status, line = await stage.refused(**fields)
        assert (6, True) == (status, 'the key of "dev" was revoked' in line), line
    key.status = "Active"
    reply = await replaced(stage, key)
    ids = f"{stage.key.access_key_id}, {new.access_key_id}"
    assert f"the rotation of the profile before is given up, with the keys {ids}" in reply["notes"]
    assert (None, key.access_key_id) == (stage.run, stage.served)
    assert "ok" == code(await stage.desk.ask("get", profile="dev"))
    lost = {stage.key.access_key_id, new.access_key_id} - {key.access_key_id}
    assert lost == stage.desk.service.keeper.body.forgotten.keys()


@play
async def test_nothing_takes_the_place_of_a_revoked_key_while_aws_makes_its_successor(
    stage: RotationStage,
) -> None:
    """It would be an active key that nobody knows."""
    gate = Gate()
    rotating = await making_a_key(stage, gate)
    await stage.desk.ask("revoke", profile="dev")
    other = stage.fake.add_key(stage.fake.add_user("bob"))
    reply = await replaced(stage, other)
    gate.open()
    assert ("conflict", "refused") == (code(reply), code(await rotating))
    assert "ok" == code(await replaced(stage, other))


async def replaced(stage: RotationStage, key: AccessKey) -> Any:
    halves = {"access_key_id": key.access_key_id, "secret_access_key": key.secret}
    return await stage.desk.ask("add", profile="dev", replace=True, serve="session", **halves)


# --- on its way back


@pytest.fixture
def mfa_stage(tmp_path: Path, shared: tuple[FakeAws, Aws]) -> MfaStage:
    return MfaStage(tmp_path, *shared)


async def going_back(stage: MfaStage, gate: Gate, action: str) -> "asyncio.Task[Any]":
    """A rotation whose old key is inactive, and a rollback of it whose call of `action` AWS has not done yet.

    The session with MFA that signs for it outlives the keys.
    """
    await stage.with_device()
    await stage.give_code()
    await stage.rotate()
    stage.desk.pass_time(timedelta(minutes=1))
    await stage.give_code()
    await stage.desk.tick(hours=DAY + 1)
    stage.desk.pass_time(timedelta(minutes=1))
    await stage.give_code()
    await stage.desk.tick()
    assert "soak" == stage.state()
    stage.fake.fault(Fault.hold(gate), action=action)
    return await under_way(gate, stage.rotate(rollback=True))


@play
async def test_no_key_is_made_active_that_was_revoked_meanwhile(mfa_stage: MfaStage) -> None:
    stage, gate = mfa_stage, Gate()
    going = await going_back(stage, gate, "GetCallerIdentity")
    assert 0 == (await stage.desk.ask("revoke", profile="dev"))["failed"]
    asked = len(stage.fake.calls("UpdateAccessKey"))
    gate.open()
    assert "refused" == code(await going)
    assert ({"Inactive"}, asked) == (set(stage.keys.values()), len(stage.fake.calls("UpdateAccessKey")))


@play
async def test_a_key_that_aws_makes_active_after_its_revocation_is_ended_once_more(
    mfa_stage: MfaStage,
) -> None:
    stage, gate = mfa_stage, Gate()
    going = await going_back(stage, gate, "UpdateAccessKey")
    reply, ended = await stage.desk.ask("revoke", profile="dev"), set(stage.keys.values())
    gate.open()
    assert "refused" == code(await going)
    assert ({"Inactive"}, "the key was made active meanwhile") == (ended, reply["profiles"][0]["missing"])
    await stage.desk.tick()
    assert ({"Inactive"}, "revoked") == (set(stage.keys.values()), (await stage.show())["status"])


@play
async def test_a_key_that_aws_makes_active_during_its_revocation_is_not_told_to_be_ended(
    mfa_stage: MfaStage,
) -> None:
    stage, wakes, denies = mfa_stage, Gate(), Gate()
    going = await going_back(stage, wakes, "UpdateAccessKey")
    stage.fake.fault(Fault.hold(denies), action="PutUserPolicy")
    revoking = await under_way(denies, stage.desk.ask("revoke", profile="dev", sessions=True))
    ended = set(stage.keys.values())
    wakes.open()
    assert "refused" == code(await going)
    denies.open()
    assert ({"Inactive"}, 1) == (ended, (await revoking)["failed"])
    assert ("Active", "revoking") == (stage.key.status, (await stage.show())["status"])


@play
async def test_a_key_that_aws_makes_active_after_a_panic_is_ended_after_the_next_unlock(
    mfa_stage: MfaStage,
) -> None:
    stage, gate = mfa_stage, Gate()
    going = await going_back(stage, gate, "UpdateAccessKey")
    reply = await stage.desk.ask("panic", sessions=False)
    gate.open()
    assert ("locked", 1) == (code(await going), reply["failed"])
    assert ["Active", "Inactive"] == sorted(stage.keys.values())
    await stage.relocked()
    await stage.desk.tick()
    assert ({"Inactive"}, "revoked") == (set(stage.keys.values()), (await stage.show())["status"])
