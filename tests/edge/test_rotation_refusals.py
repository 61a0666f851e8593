# SPDX-License-Identifier: Apache-2.0
"""What AWS does not allow, and keys and users that are not what they were: one line says what to do, nothing is lost."""

from datetime import timedelta
from typing import Any

import pytest

from tests.edge.rotation_stage import DAY, RotationStage, play

POLICY = "awsvault help rotate has the policy"
#: Without one of these nothing is begun; in the order in which a rotation needs them.
NEEDED = ("iam:ListAccessKeys", "iam:CreateAccessKey", "iam:UpdateAccessKey", "iam:DeleteAccessKey")
WATCHING = "iam:GetAccessKeyLastUsed"
PUSHES: tuple[dict[str, Any], ...] = ({}, {"force": True}, {"now": True})
HELPFUL = ("iam:TagUser", "iam:ListUserTags", "cloudtrail:LookupEvents", "iam:ListAttachedUserPolicies")


def untouched(stage: RotationStage) -> bool:
    old = stage.key.access_key_id
    return (old, None, {old: "Active"}) == (stage.served, stage.run, stage.keys)


# --- rights, before anything is begun


@pytest.mark.parametrize("right", NEEDED)
@play
async def test_what_is_not_allowed_is_named_and_nothing_is_begun(stage: RotationStage, right: str) -> None:
    await stage.begin()
    stage.fake.deny(stage.alice, right)
    for fields in PUSHES:
        status, line = await stage.refused(**fields)
        assert (7, True, True) == (status, right in line, POLICY in line), line
        assert untouched(stage)
    stage.fake.allow(stage.alice, right)
    await stage.rotated()


@play
async def test_who_may_not_see_uses_rotates_with_force_only(stage: RotationStage) -> None:
    await stage.begin()
    stage.fake.deny(stage.alice, WATCHING)
    status, line = await stage.refused()
    assert (7, True) == (status, line.endswith("run: awsvault rotate dev --force"))
    assert untouched(stage)
    new = (await stage.rotated(force=True)).access_key_id
    await stage.see_through()
    assert (None, {new: "Active"}) == (stage.run, stage.keys)


@pytest.mark.parametrize("right", HELPFUL)
@play
async def test_a_rotation_gets_along_without_what_only_helps(stage: RotationStage, right: str) -> None:
    await stage.begin()
    stage.fake.deny(stage.alice, right)
    new = (await stage.rotated()).access_key_id
    await stage.see_through()
    assert (None, {new: "Active"}) == (stage.run, stage.keys)


# --- rights that are taken away while the old key serves out its time


@pytest.mark.parametrize(
    ("right", "state"),
    [
        ("iam:ListAccessKeys", "grace"),
        ("iam:GetAccessKeyLastUsed", "grace"),
        ("iam:UpdateAccessKey", "deactivating"),
        ("iam:DeleteAccessKey", "deleting"),
    ],
)
@play
async def test_a_right_that_is_taken_away_holds_the_rotation_up_until_it_is_back(
    stage: RotationStage, right: str, state: str
) -> None:
    await stage.begin()
    new = (await stage.rotated()).access_key_id
    stage.fake.deny(stage.alice, right)
    await stage.see_through()
    assert (state, new, 2) == (stage.state(), stage.served, len(stage.keys))
    waits = await stage.waits()
    assert right in waits
    assert "awsvault help rotate" in waits or "awsvault rotate dev --force" in waits
    stage.fake.allow(stage.alice, right)
    await stage.see_through()
    assert (None, {new: "Active"}) == (stage.run, stage.keys)


@play
async def test_what_is_not_needed_any_more_may_go(stage: RotationStage) -> None:
    await stage.begin()
    new = (await stage.rotated()).access_key_id
    await stage.desk.tick(hours=DAY + 1)
    stage.fake.deny(stage.alice, "iam:CreateAccessKey", "iam:UpdateAccessKey", *HELPFUL)
    await stage.see_through()
    assert (None, {new: "Active"}) == (stage.run, stage.keys)


@play
async def test_a_key_that_leaked_and_may_not_be_deactivated_is_an_error(stage: RotationStage) -> None:
    """And its sessions are ended all the same."""
    await stage.begin()
    thief = stage.fake.add_session(stage.key, mfa=False)
    stage.fake.pace.key_list = timedelta(seconds=1)
    await stage.rotated()
    stage.fake.deny(stage.alice, "iam:UpdateAccessKey")
    status, line = await stage.refused(now=True, sessions=True)
    assert (7, True) == (status, line.startswith("the new key is served, but iam:UpdateAccessKey")), line
    assert POLICY in line
    assert "deactivating" == stage.state()
    assert thief.user.policies.keys() == {"awsvault-deny-older-sessions"}
    stage.fake.allow(stage.alice, "iam:UpdateAccessKey")
    assert (await stage.rotate())["rotation"] is None
    assert {stage.served: "Active"} == stage.keys


@play
async def test_sessions_that_may_not_be_ended_are_an_error_after_the_rotation(stage: RotationStage) -> None:
    await stage.begin()
    stage.fake.deny(stage.alice, "iam:PutUserPolicy")
    status, line = await stage.refused(now=True, sessions=True)
    assert 7 == status
    assert line.startswith("the old key is gone, but iam:PutUserPolicy is not allowed"), line
    assert (None, {stage.served: "Active"}) == (stage.run, stage.keys)


# --- leaked, gone, somebody else's


@play
async def test_a_quarantined_user_cannot_rotate(stage: RotationStage) -> None:
    await stage.begin()
    stage.fake.quarantine(stage.alice)
    for fields in PUSHES:
        status, line = await stage.refused(**fields)
        assert 7 == status
        assert line.startswith(
            "AWS has quarantined alice, since a key of it leaked: it may not make keys; run: "
        )
        assert untouched(stage)


@play
async def test_a_user_that_is_quarantined_in_grace_waits(stage: RotationStage) -> None:
    await stage.begin()
    new = (await stage.rotated()).access_key_id
    stage.fake.quarantine(stage.alice)
    await stage.desk.tick(hours=2 * DAY)
    assert "deactivating" == stage.state()
    assert "iam:UpdateAccessKey is not allowed" in await stage.waits()
    stage.alice.attached.clear()
    await stage.see_through()
    assert (None, {new: "Active"}) == (stage.run, stage.keys)


@play
async def test_a_user_that_is_gone_has_no_keys(stage: RotationStage) -> None:
    await stage.begin()
    stage.fake.remove_user(stage.alice)
    status, line = await stage.refused()
    assert (7, None) == (status, stage.run)
    assert "AWS does not know the key" in line
    assert "look at it in the IAM console" in line


@play
async def test_a_user_that_goes_in_grace_leaves_something_for_a_person_to_decide(
    stage: RotationStage,
) -> None:
    await stage.begin()
    new = (await stage.rotated()).access_key_id
    stage.fake.remove_user(stage.alice)
    await stage.desk.tick(hours=2 * DAY)
    assert ("grace", new) == (stage.state(), stage.served)
    waits = await stage.waits()
    assert waits.startswith(f"AWS takes neither {new} nor {stage.key.access_key_id}")
    assert "awsvault rotate dev --rollback" in waits
    assert "awsvault remove dev" in waits
    status, line = await stage.refused(rollback=True)
    assert (7, "grace") == (status, stage.state()), line
    assert (await stage.desk.ask("remove", profile="dev"))["other_keys"]
    await stage.pass_time(hours=1)


@play
async def test_a_key_that_became_somebody_elses_is_not_rotated(stage: RotationStage) -> None:
    """Ids and secrets are made up in tests only; but a user is renamed in every company."""
    await stage.begin()
    stage.alice.name = "alicia"
    status, line = await stage.refused()
    assert 6 == status
    assert "belongs to arn:aws:iam::123456789012:user/team/alicia now" in line
    assert line.endswith("run: awsvault add dev --replace")
    assert untouched(stage)


@play
async def test_a_key_that_is_not_a_users_own_is_not_touched(stage: RotationStage) -> None:
    """A second key made by a person, in every state of the first one's rotation."""
    await stage.begin()
    await stage.rotated()
    stage.fake.remove_key(stage.key)
    persons = stage.fake.add_key(stage.alice).access_key_id
    await stage.see_through()
    assert (None, {stage.served: "Active", persons: "Active"}) == (stage.run, stage.keys)
    status, line = await stage.refused()
    assert (6, f"alice has two keys already: {persons} (active, ") == (status, line.partition("made")[0])
    assert line.endswith(f"to delete it: awsvault rotate dev --replace {persons}")
