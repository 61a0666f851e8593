# SPDX-License-Identifier: Apache-2.0
"""A rotation from its plan to the deletion of the old key: nothing is without a working key at any moment."""

from datetime import timedelta

from tests.edge.rotation_stage import DAY, MINUTE, RotationStage, play


@play
async def test_the_old_key_is_active_for_a_day_inactive_for_a_week_and_then_gone(
    stage: RotationStage,
) -> None:
    await stage.begin()
    old = stage.key.access_key_id
    new = (await stage.rotated()).access_key_id
    assert new != old
    assert {old: "Active", new: "Active"} == stage.keys
    await stage.pass_time(hours=DAY - 1)
    assert {old: "Active", new: "Active"} == stage.keys
    await stage.pass_time(hours=2)
    assert ("soak", {old: "Inactive", new: "Active"}) == (stage.state(), stage.keys)
    await stage.pass_time(hours=7 * DAY - 2, step=6)
    assert {old: "Inactive", new: "Active"} == stage.keys
    await stage.pass_time(hours=2)
    assert (None, {new: "Active"}) == (stage.state(), stage.keys)
    states = [line["verdict"] for line in stage.desk.audit() if line["op"] == "rotation"]
    assert "intent created verified grace deactivating soak deleting closed".split() == states


@play
async def test_what_is_handed_out_is_made_with_the_new_key(stage: RotationStage) -> None:
    await stage.begin()
    await stage.desk.ask("get", profile="dev")
    new = await stage.rotated()
    answer = await stage.desk.ask("get", profile="dev")
    assert new.access_key_id == stage.fake.world.sessions[answer["AccessKeyId"]].made_with


@play
async def test_a_key_that_aws_takes_late_is_served_only_then(stage: RotationStage) -> None:
    await stage.begin()
    stage.fake.pace.new_key = stage.fake.pace.key_list = timedelta(seconds=60)
    before = stage.desk.now
    await stage.rotated()
    assert stage.desk.now - before >= timedelta(seconds=70), "three successes over ten seconds"


@play
async def test_a_dry_run_changes_nothing_and_says_what_would_be_done(stage: RotationStage) -> None:
    await stage.begin()
    stage.fake.deny(stage.alice, "cloudtrail:LookupEvents", "iam:TagUser")
    plan = (await stage.rotate(dry_run=True))["plan"]
    assert ("alice", None, None) == (plan["user"], plan["refusal"], plan["open"])
    assert "proven" == plan["rights"]["iam:DeleteAccessKey"]
    assert ("missing", "unknown") == (
        plan["rights"]["cloudtrail:LookupEvents"],
        plan["rights"]["iam:CreateAccessKey"],
    )
    assert ["cloudtrail:LookupEvents"] == [note.partition(" ")[0] for note in plan["notes"]]
    assert 5 == len(plan["steps"])
    assert (None, 1) == (stage.run, len(stage.keys))


@play
async def test_rotate_now_leaves_one_key_and_can_end_older_sessions(stage: RotationStage) -> None:
    await stage.begin()
    thief = stage.fake.add_session(stage.key, mfa=False)
    stage.desk.pass_time(MINUTE)
    new = (await stage.rotated(now=True, sessions=True)).access_key_id
    assert (None, {new: "Active"}) == (stage.state(), stage.keys)
    assert thief.user.policies.keys() == {"awsvault-deny-older-sessions"}


@play
async def test_after_a_rollback_the_old_key_is_served_and_the_new_one_goes(stage: RotationStage) -> None:
    await stage.begin()
    old = stage.key.access_key_id
    new = (await stage.rotated()).access_key_id
    await stage.pass_time(hours=DAY + 1)
    assert {old: "Inactive", new: "Active"} == stage.keys
    assert (await stage.rotate(rollback=True)).get("ok")
    assert (old, "grace", {old: "Active", new: "Active"}) == (stage.served, stage.state(), stage.keys)
    await stage.pass_time(hours=9 * DAY, step=12)
    assert (None, {old: "Active"}) == (stage.state(), stage.keys)


@play
async def test_rotate_now_after_a_rollback_leaves_neither_key(stage: RotationStage) -> None:
    """The one that is served is the one that leaked; the one that was not wanted is no way out."""
    await stage.begin()
    before = {stage.key.access_key_id, (await stage.rotated()).access_key_id}
    assert (await stage.rotate(rollback=True)).get("ok")
    newest = (await stage.rotated(now=True)).access_key_id
    assert (None, {newest: "Active"}, newest) == (stage.state(), stage.keys, stage.served)
    assert newest not in before


@play
async def test_a_rollback_in_the_second_of_the_promotion_serves_the_old_key(stage: RotationStage) -> None:
    await stage.begin()
    new = (await stage.rotated()).access_key_id
    stage.desk.service.pause = stage.desk.service.rotator.steps.pause = no_time
    assert (await stage.rotate(rollback=True)).get("ok")
    assert (stage.key.access_key_id, "grace") == (stage.served, stage.state())
    await stage.see_through()
    assert (None, {stage.key.access_key_id: "Active"}, True) == (stage.run, stage.keys, new not in stage.keys)


async def no_time(_seconds: float) -> None:
    """A clock of whole seconds may stand."""


@play
async def test_a_locked_vault_goes_on_at_the_next_unlock(stage: RotationStage) -> None:
    await stage.begin()
    new = (await stage.rotated()).access_key_id
    stage.desk.pass_time(timedelta(days=30))
    await stage.relocked()
    await stage.desk.tick()
    assert "soak" == stage.state()
    stage.desk.pass_time(timedelta(days=30))
    await stage.relocked()
    await stage.desk.tick()
    assert (None, {new: "Active"}) == (stage.state(), stage.keys)
