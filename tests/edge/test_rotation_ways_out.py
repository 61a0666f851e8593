# SPDX-License-Identifier: Apache-2.0
"""From every state that a rotation can be in, some command or some time leads out, and costs no key."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.edge.desk import PASSPHRASE, code
from tests.edge.rotation_stage import DAY, RotationStage, play
from tests.fake_aws import Fault
from vaultd.core.records import Body
from vaultd.wire.errors import AwsFailed, VaultDamaged

YEAR = timedelta(days=365)


@play
async def test_the_old_key_comes_back_even_when_it_was_about_to_be_deleted(stage: RotationStage) -> None:
    """The new key went in the soak, and a person did as the reminder says."""
    await stage.begin()
    new = await stage.rotated()
    await stage.desk.tick(hours=DAY + 1)
    stage.fake.remove_key(new)
    await stage.desk.tick(hours=2)
    assert f"activate {stage.key.access_key_id} in the IAM console" in await stage.waits(), "within the hour"
    await stage.desk.tick(hours=7 * DAY)
    assert "deleting" == stage.state()
    stage.key.status = "Active"
    assert "ok" == code(await stage.rotate(rollback=True))
    assert stage.key.access_key_id == stage.served
    await stage.see_through()
    assert (None, {stage.key.access_key_id: "Active"}) == (stage.run, stage.keys)


@play
async def test_what_is_deleted_does_not_come_back(stage: RotationStage) -> None:
    """DeleteAccessKey was done, and its reply lost; then somebody changes his mind."""
    await stage.begin()
    new = await stage.rotated()
    await stage.desk.tick(hours=DAY + 1)
    stage.fake.fault(Fault.lose_reply(), action="DeleteAccessKey")
    await stage.desk.tick(hours=7 * DAY + 1)
    assert ("deleting", {new.access_key_id: "Active"}) == (stage.state(), stage.keys)
    status, _ = await stage.refused(rollback=True)
    assert (7, new.access_key_id) == (status, stage.served)
    await stage.see_through()
    assert (None, {new.access_key_id: "Active"}) == (stage.run, stage.keys)


@play
async def test_a_key_that_a_person_gives_up_makes_room_for_a_new_one(stage: RotationStage) -> None:
    await stage.begin()
    stage.fake.deny(stage.alice, "cloudtrail:LookupEvents")
    stage.fake.fault(Fault.lose_reply(), action="CreateAccessKey")
    await stage.refused()
    _, line = await stage.refused()
    (lost,) = stage.keys.keys() - {stage.key.access_key_id}
    assert f"awsvault rotate dev --replace {lost}" in line
    new = await stage.rotated(replace=lost)
    assert {stage.key.access_key_id: "Active", new.access_key_id: "Active"} == stage.keys
    assert new.access_key_id != lost


@play
async def test_a_key_that_is_being_rotated_away_is_not_added_again(stage: RotationStage) -> None:
    """As from a file that was forgotten: it would work for a day, and then be deleted under whoever uses it."""
    await stage.begin()
    new = await stage.rotated()
    halves = {"access_key_id": stage.key.access_key_id, "secret_access_key": stage.key.secret}
    reply = await stage.desk.ask("add", profile="second", **halves)
    assert "refused" == code(reply)
    assert 'as that of "dev"' in reply["error"]["line"]
    await stage.add("third", new)


@play
async def test_a_new_key_that_some_region_does_not_take_waits_for_a_person_and_fills_no_disk(
    stage: RotationStage,
) -> None:
    """IAM lists it active; STS where it is used says that it does not know it, as in a region that is off."""
    await stage.begin()
    await stage.rotated()
    stage.fake.fault(
        Fault.refuse(403, "InvalidClientTokenId", "no"), action="GetCallerIdentity", times=100_000
    )
    saves = stage.desk.service.keeper.vault.envelope.generation
    for _ in range(60 * 4):
        await stage.desk.tick(hours=1 / 60)
    own = 1  # of when the key was used, once a day
    assert 2 + own == stage.desk.service.keeper.vault.envelope.generation - saves
    assert (await stage.waits()).endswith("if that stays so: awsvault rotate dev --rollback")
    await stage.desk.tick(hours=3 * DAY)
    assert {"Active"} == set(stage.keys.values())
    stage.fake.mend()
    await stage.desk.tick(hours=2)
    assert ("", "soak") == (await stage.waits(), stage.state()), (
        "our own questions with the old key are no use"
    )


@play
async def test_a_secret_is_saved_although_the_first_try_failed_in_an_unknown_way(
    stage: RotationStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.begin()
    runs = stage.desk.service.rotator.runs
    move = type(runs).move
    failed: list[object] = []

    async def fails_once(*args: object, **kwargs: object) -> None:
        after = args[3]
        if getattr(after, "state", "") == "created" and not failed:
            failed.append(after)
            raise VaultDamaged("the disk gives back something else than was written")
        await move(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(type(runs), "move", fails_once)
    new = await stage.rotated()
    assert (1, "grace") == (len(failed), stage.state())
    assert new.access_key_id == stage.served != stage.key.access_key_id


@play
async def test_a_claim_that_is_passed_over_is_no_leave_to_end_a_key_that_is_used(
    stage: RotationStage,
) -> None:
    await stage.begin()
    stage.alice.tags["awsvault-rotation"] = (
        f"0123456789abcdef laptop:aaaaaaaa {stage.desk.now:%Y-%m-%dT%H:%M:%SZ}"
    )
    _, line = await stage.refused()
    assert line.endswith("awsvault rotate dev --force")
    await stage.rotated(force=True)
    stage.desk.pass_time(timedelta(hours=12))
    stage.fake.set_last_use(stage.key, "s3", "eu-west-3", stage.desk.now)
    await stage.see_through()
    assert ("grace", {"Active"}) == (stage.state(), set(stage.keys.values()))
    assert "by s3 in eu-west-3" in await stage.waits()
    await stage.rotate(force=True)
    assert "soak" == stage.state(), "said again, it counts for that"


@play
async def test_a_region_that_only_others_reach_holds_no_rotation_up(stage: RotationStage) -> None:
    await stage.begin()
    stage.fake.set_last_use(stage.key, "s3", "ap-southeast-9", stage.desk.now)
    steps = stage.desk.service.rotator.steps
    aws = steps.iam

    class NoWayThere:
        """From this machine."""

        def who_am_i(self, *args: Any, region: str | None, **kwargs: Any) -> Any:
            if region == "ap-southeast-9":
                raise AwsFailed("cannot reach sts.ap-southeast-9", details={"aws_code": "unreachable"})
            return aws().who_am_i(*args, region=region, **kwargs)

        def __getattr__(self, name: str) -> Any:
            return getattr(aws(), name)

    steps.iam = NoWayThere  # type: ignore[assignment]
    await stage.rotated()
    assert "grace" == stage.state()


async def under_a_clock_ahead(stage: RotationStage) -> None:
    """The daemon started with it, and AWS refused what it signed; then it was put right."""
    stage.desk = stage.desk.relocked()
    stage.desk.now += YEAR
    await stage.desk.ask("unlock", passphrase=PASSPHRASE)
    for action in ("ListAccessKeys", "GetCallerIdentity"):
        stage.fake.fault(Fault.refuse(403, "RequestTimeTooSkewed", "no"), action=action, times=1)
    await stage.desk.tick()
    stage.fake.mend()
    stage.desk.now -= YEAR


@play
async def test_a_soak_under_a_clock_that_was_ahead_ends_in_its_time(stage: RotationStage) -> None:
    await stage.begin()
    new = await stage.rotated()
    await stage.desk.tick(hours=DAY + 1)
    await under_a_clock_ahead(stage)
    assert stage.desk.service.keeper.body.rotations["dev"].since > stage.desk.now
    await stage.pass_time(hours=6 * DAY, step=0.5)
    assert ("soak", 2) == (stage.state(), len(stage.keys)), "no week has passed"
    await stage.pass_time(hours=2 * DAY, step=0.5)
    assert (None, {new.access_key_id: "Active"}) == (stage.run, stage.keys)


@play
async def test_a_lost_reply_under_a_clock_that_was_ahead_is_asked_about_in_its_time(
    stage: RotationStage,
) -> None:
    await stage.begin()
    stage.fake.deny(stage.alice, "cloudtrail:LookupEvents")
    stage.fake.fault(Fault.lose_reply(), action="CreateAccessKey")
    await stage.refused()

    def as_when_killed(body: Body) -> Body:
        return body.with_rotation("dev", replace(body.rotations["dev"], state="intent"))

    await stage.desk.service.keeper.save(as_when_killed)
    await under_a_clock_ahead(stage)
    assert "uncertain" == stage.state()
    await stage.desk.tick(hours=0.75)
    assert "--replace" in (await stage.refused())[1]


@play
async def test_a_key_that_never_works_is_tried_again_after_a_day_only(stage: RotationStage) -> None:
    await stage.begin()
    stage.desk.service.rotator.start.host = "here:00000000"
    await stage.desk.ask("edit", profile="dev", changes={"auto_rotate": True})
    stage.desk.pass_time(timedelta(days=80))
    stage.fake.pace.new_key = timedelta(days=1000)
    await stage.pass_time(hours=DAY - 1)
    assert 1 == stage.calls("CreateAccessKey")


@play
async def test_after_a_persons_no_none_begins_by_itself_for_a_day(stage: RotationStage) -> None:
    await stage.begin()
    stage.desk.service.rotator.start.host = "here:00000000"
    await stage.desk.ask("edit", profile="dev", changes={"auto_rotate": True})
    stage.fake.deny(stage.alice, "cloudtrail:LookupEvents")
    stage.fake.fault(Fault.lose_reply(), action="CreateAccessKey")
    stage.desk.pass_time(timedelta(days=80))
    await stage.pass_time(hours=2)
    (lost,) = stage.keys.keys() - {stage.key.access_key_id}
    assert "ok" == code(await stage.rotate(rollback=True))
    stage.fake.remove_key(stage.fake.world.keys[lost])
    await stage.pass_time(hours=DAY - 3)
    assert (None, 1) == (stage.run, len(stage.fake.calls("CreateAccessKey")))
