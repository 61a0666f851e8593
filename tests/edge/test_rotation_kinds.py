# SPDX-License-Identifier: Apache-2.0
"""Whose key it is and how it is served makes no difference: every kind of profile is rotated to the end."""

from datetime import timedelta
from typing import Any

import pytest

from tests.edge.rotation_stage import DAY, RotationStage, play

POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'


@pytest.mark.parametrize(
    ("place", "fields"),
    [
        ({}, {"region": "eu-central-1"}),
        ({"partition": "aws-cn"}, {"region": "cn-northwest-1"}),
        ({"partition": "aws-us-gov"}, {"region": "us-gov-west-1"}),
        ({"root": True}, {"allow_root": True}),
        ({}, {"serve": "key"}),
        ({}, {"verify": False}),
    ],
    ids=["aws", "china", "government", "root", "serves its key", "not verified"],
)
@play
async def test_a_key_is_rotated_to_the_end(
    stage: RotationStage, place: dict[str, Any], fields: dict[str, Any]
) -> None:
    await stage.begin(**place, **fields)
    new = (await stage.rotated()).access_key_id
    shown = await stage.show()
    assert ("grace", stage.alice.arn) == (shown["rotation"]["state"], shown["arn"])
    assert shown["verified_at"]
    await stage.see_through()
    assert (None, {new: "Active"}) == (stage.run, stage.keys)
    partition = place.get("partition", "aws")
    regions = {call.region for call in stage.fake.calls() if call.access_key_id == new}
    assert all(region and region.startswith({"aws": ""}.get(partition, partition[4:])) for region in regions)


@play
async def test_a_narrowed_profile_stays_narrowed(stage: RotationStage) -> None:
    await stage.begin()
    await stage.desk.ask("edit", profile="dev", changes={"policy": POLICY})
    new = await stage.rotated()
    answer = await stage.desk.ask("get", profile="dev")
    session = stage.fake.world.sessions[answer["AccessKeyId"]]
    assert ("federated", new.access_key_id) == (session.kind, session.made_with)
    await stage.see_through()
    assert (None, {new.access_key_id: "Active"}) == (stage.run, stage.keys)
    assert (await stage.show())["policy"]


@play
async def test_a_role_has_no_key_and_says_whose_to_rotate(stage: RotationStage) -> None:
    await stage.begin()
    role = stage.fake.add_role("admin", stage.alice)
    await stage.desk.ask("add_role", profile="admin", source="dev", role_arn=role.arn)
    for fields in ({}, {"dry_run": True}, {"now": True}, {"rollback": True}):
        told = await stage.refused("admin", **fields)
        hint = "rotate its source: awsvault rotate dev"
        assert (2, f'"admin" is a role and has no key of its own; {hint}') == told
    assert (4, 'no profile "nobody"; run: awsvault list') == await stage.refused("nobody")


@play
async def test_a_role_is_assumed_with_the_new_key(stage: RotationStage) -> None:
    await stage.begin()
    role = stage.fake.add_role("admin", stage.alice)
    await stage.desk.ask("add_role", profile="admin", source="dev", role_arn=role.arn)
    new = await stage.rotated()
    answer = await stage.desk.ask("get", profile="admin")
    assert new.access_key_id == stage.fake.world.sessions[answer["AccessKeyId"]].made_with


# --- clients that hold the key itself


@play
async def test_a_client_that_goes_on_with_the_old_key_keeps_it_alive(stage: RotationStage) -> None:
    """It asked once, and wrote the key down somewhere: nothing is done to it until a person says so."""
    await stage.begin(serve="key")
    new = (await stage.rotated()).access_key_id
    old = stage.key
    used_at = stage.desk.now + timedelta(hours=3)
    stage.fake.set_last_use(old, "dynamodb", "eu-west-3", used_at)
    for _ in range(3):
        await stage.desk.tick(hours=DAY)
    assert ("grace", {old.access_key_id: "Active", new: "Active"}) == (stage.state(), stage.keys)
    waits = await stage.waits()
    assert (
        f"the old key was used on {used_at:%Y-%m-%d at %H:%M} UTC by dynamodb in eu-west-3; "
        "to go on all the same: awsvault rotate dev --force"
    ) == waits
    again = await stage.rotate()
    assert waits == again["rotation"]["waits"], "asked again it says the same"
    assert "soak" == (await stage.rotate(force=True))["rotation"]["state"]
    await stage.see_through()
    assert (None, {new: "Active"}) == (stage.run, stage.keys)


@play
async def test_a_client_that_moves_to_the_new_key_lets_the_old_one_go(stage: RotationStage) -> None:
    await stage.begin(serve="key")
    new = (await stage.rotated()).access_key_id
    stage.fake.set_last_use(stage.key, "s3", "us-east-1", stage.desk.now + timedelta(minutes=50))
    await stage.see_through()
    assert (None, {new: "Active"}) == (stage.run, stage.keys), "within the lease it had got before"


@play
async def test_a_use_in_the_soak_stops_the_deletion(stage: RotationStage) -> None:
    """An inactive key that is tried counts as used: something broke, and a rollback mends it."""
    await stage.begin(serve="key")
    await stage.rotated()
    await stage.desk.tick(hours=DAY + 1)
    assert "soak" == stage.state()
    stage.fake.set_last_use(stage.key, "s3", "eu-west-3", stage.desk.now)
    await stage.desk.tick(hours=7 * DAY + 1)
    assert "deleting" == stage.state()
    assert "by s3 in eu-west-3" in await stage.waits()
