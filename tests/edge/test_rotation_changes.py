# SPDX-License-Identifier: Apache-2.0
"""A second key in the way, a second profile of the same key, and what a person does to a profile while its key rotates."""

import asyncio
import json
from datetime import datetime, timedelta

import pytest

from tests.edge.rotation_stage import DAY, RotationStage, play
from tests.fake_aws import Fault, IssuedSession

# --- the second key


@play
async def test_an_unknown_key_is_not_replaced(stage: RotationStage) -> None:
    await stage.begin()
    other = stage.fake.add_key(stage.alice).access_key_id
    strangers = stage.fake.add_key(stage.fake.add_user("bob")).access_key_id
    for key_id in ("AKIAUNKNOWN000000000", strangers, stage.key.access_key_id):
        told = await stage.refused(replace=key_id)
        assert (2, "alice has no other key of that id; run: awsvault rotate dev --dry-run") == told
    for text in ("", "x", "AKIA 1", "A" * 200, "\x1b[2J" * 4):
        assert (2, "--replace takes an access key id") == await stage.refused(replace=text)
    assert {stage.key.access_key_id: "Active", other: "Active"} == stage.keys
    assert None is stage.run


@play
async def test_a_key_that_is_used_is_not_replaced_until_somebody_deactivates_it(stage: RotationStage) -> None:
    await stage.begin()
    other = stage.fake.add_key(stage.alice)
    stage.fake.set_last_use(other, "s3", "eu-west-3", stage.desk.now)
    status, line = await stage.refused()
    assert (6, True) == (
        status,
        line.startswith(f"alice has two keys already: {other.access_key_id} (active"),
    )
    status, line = await stage.refused(replace=other.access_key_id)
    assert (6, True) == (status, line.endswith("; deactivate it in the IAM console first"))
    assert (None, 2) == (stage.run, len(stage.keys))
    other.status = "Inactive"
    new = (await stage.rotated(replace=other.access_key_id)).access_key_id
    assert {stage.key.access_key_id: "Active", new: "Active"} == stage.keys


@play
async def test_what_could_not_be_deleted_is_not_replaced(stage: RotationStage) -> None:
    await stage.begin()
    other = stage.fake.add_key(stage.alice).access_key_id
    stage.fake.fault(Fault.refuse(403, "AccessDenied", "no"), action="DeleteAccessKey", times=2)
    status, line = await stage.refused(replace=other)
    assert (7, None, 2) == (status, stage.run, len(stage.keys)), line


@play
async def test_another_profiles_key_is_not_replaced(stage: RotationStage) -> None:
    await stage.begin()
    other = stage.fake.add_key(stage.alice)
    await stage.add("second", other)
    status, line = await stage.refused()
    assert (6, True) == (status, line.endswith("it is another profile's in this vault: awsvault list"))
    other.status = "Inactive"
    told = await stage.refused(replace=other.access_key_id)
    assert (
        6,
        f"{other.access_key_id} is the key of another profile in this vault; run: awsvault list",
    ) == told
    assert 2 == len(stage.keys)


@play
async def test_beside_an_open_rotation_there_is_nothing_to_replace(stage: RotationStage) -> None:
    await stage.begin()
    await stage.rotated()
    told = await stage.refused(replace=stage.key.access_key_id)
    assert (2, 'a rotation of "dev" is open, and no key is in its way; run: awsvault rotate --status') == told
    assert ("grace", 2) == (stage.state(), len(stage.keys))


# --- two profiles with one key


@play
async def test_every_profile_of_a_key_gets_the_new_one(stage: RotationStage) -> None:
    await stage.begin()
    await stage.add("twin", stage.key)
    new = (await stage.rotated()).access_key_id
    assert new == (await stage.show("twin"))["access_key_id"]
    told = await stage.refused("twin")
    assert (6, 'the key of "twin" is being rotated as that of "dev"; run: awsvault rotate dev') == told
    assert (2, 'no rotation of "twin" is open; run: awsvault show twin') == await stage.refused(
        "twin", rollback=True
    )
    await stage.see_through()
    assert (None, {new: "Active"}) == (stage.run, stage.keys)
    for name in ("dev", "twin"):
        answer = await stage.desk.ask("get", profile=name)
        assert new == stage.fake.world.sessions[answer["AccessKeyId"]].made_with


@play
async def test_profiles_of_one_key_that_are_rotated_at_once_make_one_key(stage: RotationStage) -> None:
    await stage.begin()
    await stage.add("twin", stage.key)
    replies = await asyncio.gather(stage.rotate("dev"), stage.rotate("twin"))
    (error,) = [reply["error"] for reply in replies if "error" in reply]
    assert 6 == error["exit"]
    assert "is being rotated as that of" in error["line"]
    assert (1, 2) == (len(stage.fake.calls("CreateAccessKey")), len(stage.keys))


@play
async def test_sessions_that_were_ended_are_handed_out_to_no_profile(stage: RotationStage) -> None:
    """Those that the new key has made already are ended with the others."""
    await stage.begin()
    await stage.add("twin", stage.key)
    await stage.rotated()
    for name in ("dev", "twin"):
        await stage.desk.ask("get", profile=name)
    stage.desk.pass_time(timedelta(minutes=1))
    ended_at = stage.fake.clock.now() - timedelta(seconds=30)
    new = await stage.rotated(now=True, sessions=True)
    for name in ("dev", "twin"):
        answer = await stage.desk.ask("get", profile=name)
        session = stage.fake.world.sessions[answer["AccessKeyId"]]
        assert (new.access_key_id, True) == (session.made_with, session.issued_at > ended_at)


@pytest.mark.parametrize("slow_by", [timedelta(minutes=10), timedelta(0), -timedelta(minutes=10)])
@play
async def test_sessions_are_ended_by_awss_clock_whatever_ours_says(
    stage: RotationStage, slow_by: timedelta
) -> None:
    """All that were made up to then, and none that is handed out afterwards."""
    await stage.begin()
    stage.fake.clock.advance(slow_by)
    await stage.rotated()

    async def made() -> IssuedSession:
        return stage.fake.world.sessions[(await stage.desk.ask("get", profile="dev"))["AccessKeyId"]]

    older = [stage.fake.add_session(stage.key, mfa=False), await made()]
    steps = stage.desk.service.rotator.steps
    pause = steps.pause

    async def busy(seconds: float) -> None:
        older.append(await made())
        await pause(seconds)

    steps.pause = busy
    await stage.rotated(now=True, sessions=True)
    (document,) = stage.alice.policies.values()
    condition = json.loads(document)["Statement"][0]["Condition"]["DateLessThan"]
    ended = datetime.fromisoformat(condition["aws:TokenIssueTime"])
    assert 3 <= len(older)
    assert ended > max(session.issued_at for session in older)
    assert ended < (await made()).issued_at


# --- changes meanwhile


@play
async def test_a_profile_that_is_removed_takes_its_rotation_along_and_names_both_keys(
    stage: RotationStage,
) -> None:
    await stage.begin()
    new = (await stage.rotated()).access_key_id
    reply = await stage.desk.ask("remove", profile="dev")
    assert (new, [stage.key.access_key_id]) == (reply["access_key_id"], reply["other_keys"])
    await stage.see_through()
    assert {stage.key.access_key_id: "Active", new: "Active"} == stage.keys, "both live on, as it was said"
    assert [] == (await stage.desk.ask("due"))["items"]


@play
async def test_a_profile_is_not_replaced_while_its_key_rotates(stage: RotationStage) -> None:
    await stage.begin()
    new = (await stage.rotated()).access_key_id
    bob = stage.fake.add_key(stage.fake.add_user("bob"))
    halves = {"access_key_id": bob.access_key_id, "secret_access_key": bob.secret, "serve": "session"}
    error = (await stage.desk.ask("add", profile="dev", replace=True, **halves))["error"]
    assert (6, True) == (error["exit"], error["line"].startswith('a rotation of "dev" is open'))
    assert error["line"].endswith("run: awsvault rotate dev --rollback, or awsvault remove dev")
    assert ("grace", new) == (stage.state(), stage.served)


@play
async def test_an_edit_meanwhile_counts_and_hinders_nothing(stage: RotationStage) -> None:
    await stage.begin()
    new = (await stage.rotated()).access_key_id
    changes = {"serve": "key", "region": "eu-west-3", "auto_rotate": True}
    assert (await stage.desk.ask("edit", profile="dev", changes=changes)).get("ok")
    assert new == (await stage.desk.ask("get", profile="dev"))["AccessKeyId"]
    await stage.see_through()
    assert (None, {new: "Active"}) == (stage.run, stage.keys)


@play
async def test_a_profile_that_is_removed_while_its_key_is_made_leaves_no_orphan(stage: RotationStage) -> None:
    """Between the sending of CreateAccessKey and its reply: nobody could ever use the new key."""
    await stage.begin()
    start, old = stage.desk.service.rotator.start, stage.key.access_key_id

    async def remove() -> None:
        while not (start.creating and stage.run):  # noqa: ASYNC110  the reply is never so quick
            await asyncio.sleep(0)
        await stage.desk.ask("remove", profile="dev")

    reply, _ = await asyncio.gather(stage.rotate(), remove())
    assert 'the rotation of "dev" was changed meanwhile; try again' == reply["error"]["line"]
    assert {old: "Active"} == stage.keys
    assert {} == stage.desk.service.keeper.body.rotations


@play
async def test_a_rollback_of_what_is_not_open_says_so(stage: RotationStage) -> None:
    await stage.begin()
    assert (2, 'no rotation of "dev" is open; run: awsvault show dev') == await stage.refused(rollback=True)
    await stage.rotated()
    for fields in ({"now": True}, {"force": True}, {"dry_run": True}, {"replace": stage.key.access_key_id}):
        told = await stage.refused(rollback=True, **fields)
        assert (2, "a rollback goes with nothing else") == told
    await stage.desk.tick(hours=DAY + 1)
    stage.fake.deny(stage.alice, "iam:UpdateAccessKey")
    status, line = await stage.refused(rollback=True)
    assert (7, "soak") == (status, stage.state())
    assert line.startswith("iam:UpdateAccessKey is not allowed to the key ")
    assert line.endswith("awsvault help rotate has the policy")
