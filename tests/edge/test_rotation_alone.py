# SPDX-License-Identifier: Apache-2.0
"""`edit --auto-rotate`: the one recorded machine begins a rotation by itself, when it is due, and does not nag."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.edge.rotation_stage import DAY, RotationStage, play
from tests.fake_aws import FakeAws, Fault
from vaultd.core.policy import LockSettings, RotationSettings, Settings
from vaultd.edge.aws import Aws

MAX_AGE, REMIND = 90, 14
DUE = MAX_AGE - REMIND  # days


class LonelyStage(RotationStage):
    async def begin(self, **changes: object) -> None:
        await super().begin()
        assert (await self.desk.ask("edit", profile="dev", changes={"auto_rotate": True, **changes})).get(
            "ok"
        )

    def tries(self) -> int:
        """Rotations that could not begin, by the audit."""
        return sum(line.get("verdict") == "not begun" for line in self.desk.audit())


@pytest.fixture
def stage(tmp_path: Path, shared: tuple[FakeAws, Aws]) -> LonelyStage:
    return LonelyStage(tmp_path, *shared)


@play
async def test_a_key_rotates_by_itself_when_it_is_due_and_not_before(stage: LonelyStage) -> None:
    await stage.begin()
    assert (await stage.show())["auto_rotate"]
    await stage.desk.tick(hours=DUE * DAY - 1)
    assert (None, 0) == (stage.run, stage.calls("CreateAccessKey"))
    await stage.desk.tick(hours=2)
    new = stage.served
    assert ("grace", True) == (stage.state(), new != stage.key.access_key_id)
    await stage.see_through()
    assert (None, {new: "Active"}) == (stage.run, stage.keys)
    await stage.desk.tick(hours=DAY)
    assert 1 == stage.calls("CreateAccessKey")


@play
async def test_without_a_word_no_key_rotates_by_itself(stage: LonelyStage) -> None:
    await stage.begin(auto_rotate=False)
    assert not (await stage.show())["auto_rotate"]
    await stage.desk.tick(hours=(MAX_AGE + 10) * DAY)
    assert (None, 0) == (stage.run, stage.calls("CreateAccessKey"))


@play
async def test_another_machine_with_a_copy_of_the_vault_leaves_it_alone(stage: LonelyStage) -> None:
    await stage.begin()
    keeper = stage.desk.service.keeper
    there = replace(keeper.body.key_profile("dev"), auto_rotate="laptop:89abcdef")
    await keeper.save(lambda body: body.with_profile(there))
    await stage.desk.tick(hours=(MAX_AGE + 10) * DAY)
    assert (None, 0) == (stage.run, stage.calls("CreateAccessKey"))
    assert "rotate-overdue" == (await stage.desk.ask("due"))["items"][0]["what"]
    assert "laptop" == (await stage.show())["auto_rotate_elsewhere"]
    await stage.desk.ask("edit", profile="dev", changes={"auto_rotate": True})
    assert None is (await stage.show())["auto_rotate_elsewhere"]


@play
async def test_a_locked_vault_begins_at_the_next_unlock(stage: LonelyStage) -> None:
    await stage.begin()
    stage.desk = stage.desk.relocked()
    await stage.desk.tick(hours=DUE * DAY + 1)
    assert 0 == stage.calls("CreateAccessKey")
    await stage.relocked()
    await stage.desk.tick()
    assert "grace" == stage.state()


@play
async def test_a_snooze_puts_it_off(stage: LonelyStage) -> None:
    await stage.begin()
    await stage.desk.tick(hours=(DUE - 1) * DAY)
    assert (await stage.desk.ask("snooze", profile="dev", for_s=3 * 86_400)).get("ok")
    await stage.desk.tick(hours=2 * DAY)
    assert None is stage.run
    await stage.desk.tick(hours=DAY + 1)
    assert "grace" == stage.state()


@play
async def test_what_is_refused_is_tried_once_a_day_and_goes_well_the_day_after(stage: LonelyStage) -> None:
    await stage.begin()
    stage.fake.deny(stage.alice, "iam:DeleteAccessKey")
    await stage.desk.tick(hours=DUE * DAY + 1)
    for _ in range(23):
        await stage.desk.tick(hours=1)
    assert (1, None, 1) == (stage.tries(), stage.run, len(stage.keys))
    await stage.desk.tick(hours=2)
    assert 2 == stage.tries()
    assert "rotate-due" == (await stage.desk.ask("due"))["items"][0]["what"], "a person is reminded meanwhile"
    stage.fake.allow(stage.alice, "iam:DeleteAccessKey")
    await stage.desk.tick(hours=DAY + 1)
    assert (2, "grace") == (stage.tries(), stage.state())


@play
async def test_what_failed_is_tried_again_within_the_hour(stage: LonelyStage) -> None:
    await stage.begin()
    stage.fake.fault(Fault.unavailable(), action="ListAccessKeys")
    await stage.desk.tick(hours=DUE * DAY + 1)
    assert (1, None) == (stage.tries(), stage.run)
    await stage.desk.tick(hours=1)
    assert "grace" == stage.state()


@play
async def test_after_a_rollback_nothing_begins_before_the_new_key_is_gone(stage: LonelyStage) -> None:
    """Something did not work with it: who rolled it back has grace and soak to find out what."""
    await stage.begin()
    await stage.desk.tick(hours=DUE * DAY + 1)
    assert "grace" == stage.state()
    assert (await stage.rotate(rollback=True)).get("ok")
    for hours in (DAY + 1, 7 * DAY - 2):
        await stage.desk.tick(hours=hours)
        assert ("soak", stage.key.access_key_id) == (stage.state(), stage.served)
    assert 1 == stage.calls("CreateAccessKey")


@play
async def test_profiles_of_one_key_that_rotate_by_themselves_make_one_key(stage: LonelyStage) -> None:
    await stage.begin()
    await stage.add("twin", stage.key)
    await stage.desk.ask("edit", profile="twin", changes={"auto_rotate": True})
    await stage.desk.tick(hours=DUE * DAY + 1)
    assert 1 == len(stage.fake.calls("CreateAccessKey"))
    assert stage.served == (await stage.show("twin"))["access_key_id"] != stage.key.access_key_id


@play
async def test_a_person_who_rotates_at_that_moment_begins_no_second_one(stage: LonelyStage) -> None:
    await stage.begin()
    stage.desk.pass_time(timedelta(days=DUE + 1))
    stage.desk.service.rotator.tick()
    reply = await stage.rotate()
    assert "grace" == reply["rotation"]["state"]
    await asyncio.gather(*stage.desk.service.rotator._tasks)
    assert 1 == len(stage.fake.calls("CreateAccessKey"))


@play
async def test_a_limit_of_few_days_rotates_a_key_only_when_nothing_is_left_of_the_one_before(
    stage: LonelyStage,
) -> None:
    """`max_age` shorter than grace and soak: each rotation is ended before the next begins."""
    rotation = RotationSettings(max_age=2 * 86_400, remind_before=86_400)
    stage.settings = Settings(lock=LockSettings(idle=0, max=0), rotation=rotation)
    await stage.begin()
    for _ in range(10):
        await stage.desk.tick(hours=2 * DAY)
        assert len(stage.keys) <= 2
    assert 2 == stage.calls("CreateAccessKey")
