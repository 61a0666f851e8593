# SPDX-License-Identifier: Apache-2.0
"""A rotation that is open when its keys are revoked: no key of it is left active, and none is made or deleted meanwhile."""

import asyncio
from typing import Any

from tests.edge.desk import code
from tests.edge.rotation_stage import DAY, RotationStage, play
from tests.fake_aws import Fault, Gate


async def making_a_key(stage: RotationStage, gate: Gate) -> "asyncio.Task[Any]":
    """A rotation whose new key is in AWS, and whose reply is on the way."""
    await stage.begin()
    stage.fake.fault(Fault.hold_reply(gate), action="CreateAccessKey")
    rotating = asyncio.create_task(stage.rotate())
    await asyncio.to_thread(gate.arrived.acquire)
    return rotating


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
    panicking = asyncio.create_task(stage.desk.ask("panic"))
    await asyncio.to_thread(denies.arrived.acquire)
    makes.open()
    await rotating
    denies.open()
    await panicking
    await stage.relocked()
    assert stage.run
    assert 2 == len(stage.keys)
    assert set(stage.run.key_ids) == stage.keys.keys()
