# SPDX-License-Identifier: Apache-2.0
"""Users who may do nothing without MFA: one code is enough for a rotation, `get` asks for none because of it."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.edge.rotation_stage import DAY, MfaStage, play
from tests.fake_aws import FakeAws
from vaultd.edge.aws import Aws

RUN_MFA = "run: awsvault mfa dev"


@pytest.fixture
def stage(tmp_path: Path, shared: tuple[FakeAws, Aws]) -> MfaStage:
    return MfaStage(tmp_path, *shared)


@play
async def test_without_a_device_in_the_vault_it_says_how_to_name_one(stage: MfaStage) -> None:
    await stage.begin()
    status, line = await stage.refused()
    assert (7, None, 1) == (status, stage.run, len(stage.keys))
    assert line.endswith("where MFA is what is missing: awsvault edit dev --mfa-serial ARN"), line


@play
async def test_without_a_code_it_says_how_to_give_one(stage: MfaStage) -> None:
    await stage.with_device()
    for fields in ({}, {"dry_run": True}, {"now": True}):
        status, line = await stage.refused(**fields)  # type: ignore[arg-type]  # fields of the operation
        assert (7, None, 1) == (status, stage.run, len(stage.keys))
        assert line.endswith(f"; {RUN_MFA}"), line
    error = (await stage.rotate())["error"]
    assert "AccessDenied" == error["details"]["aws_code"], (
        "by this the command knows that it may ask for a code"
    )


@play
async def test_a_right_that_is_missing_with_mfa_too_is_no_matter_of_a_code(stage: MfaStage) -> None:
    await stage.with_device()
    await stage.give_code()
    stage.fake.deny(stage.alice, "iam:DeleteAccessKey")
    status, line = await stage.refused()
    assert (7, True) == (status, line.startswith("a rotation needs iam:DeleteAccessKey for alice"))
    assert "awsvault mfa" not in line


@play
async def test_one_code_serves_everything_up_to_the_promotion_and_get_asks_for_none(stage: MfaStage) -> None:
    await stage.with_device()
    await stage.give_code()
    session = await stage.served_id()
    stage.fake.pace.new_key = timedelta(seconds=30)
    new = (await stage.rotated()).access_key_id
    assert ("grace", new) == (stage.state(), stage.served)
    assert ["ok"] == [call.outcome for call in stage.fake.calls("GetSessionToken") if call.terms.mfa_serial]
    assert session == await stage.served_id(), "of the old key, and as good as ever in its grace"
    await stage.relocked()
    assert session == await stage.served_id()
    (created,) = stage.fake.calls("CreateAccessKey")
    assert session == created.access_key_id


@play
async def test_a_step_after_the_promotion_waits_for_the_code_that_it_needs(stage: MfaStage) -> None:
    await stage.with_device()
    await stage.give_code()
    new = (await stage.rotated()).access_key_id
    await stage.desk.tick(hours=DAY + 13)
    assert ("grace", {stage.key.access_key_id: "Active", new: "Active"}) == (stage.state(), stage.keys)
    waits = await stage.waits()
    assert "iam:ListAccessKeys is not allowed" in waits
    assert waits.endswith(f"; {RUN_MFA}")
    reply = await stage.desk.ask("get", profile="dev")
    assert "mfa-needed" == reply["error"]["code"], "its twelve hours were over, rotation or not"
    await stage.give_code()
    await stage.desk.tick()
    assert ("soak", "Inactive") == (stage.state(), stage.keys[stage.key.access_key_id])
    assert "" == await stage.waits()
    await stage.desk.tick(hours=7 * DAY + 1)
    assert ("deleting", True) == (stage.state(), (await stage.waits()).endswith(RUN_MFA))
    await stage.relocked()
    await stage.give_code()
    await stage.desk.tick()
    assert (None, {new: "Active"}) == (stage.run, stage.keys)


@play
async def test_with_a_stored_seed_nobody_is_asked_for_anything(stage: MfaStage) -> None:
    await stage.begin()
    await stage.desk.ask("edit", profile="dev", changes={"mfa_serial": stage.device.serial})
    seed = {"totp": stage.device.base32}
    assert (await stage.desk.ask("edit", profile="dev", changes=seed)).get("ok")
    new = (await stage.rotated()).access_key_id
    await stage.see_through()
    assert (None, {new: "Active"}) == (stage.run, stage.keys)


@play
async def test_a_key_that_leaked_is_rotated_with_one_code_and_deleted_with_the_next(stage: MfaStage) -> None:
    await stage.with_device()
    await stage.give_code()
    status, line = await stage.refused(now=True)
    assert (7, "grace") == (status, stage.state())
    assert line.startswith("the new key is served, but ")
    assert line.endswith(RUN_MFA)
    stage.desk.pass_time(timedelta(seconds=60))
    await stage.give_code()
    await stage.desk.tick()
    assert (None, {stage.served: "Active"}) == (stage.run, stage.keys)


@play
async def test_ended_sessions_are_not_handed_out_any_more(stage: MfaStage) -> None:
    await stage.with_device()
    await stage.give_code()
    await stage.refused(now=True)
    stage.desk.pass_time(timedelta(seconds=60))
    await stage.give_code()
    ended = await stage.served_id()
    stage.desk.pass_time(timedelta(seconds=60))
    reply = await stage.rotate(now=True, sessions=True)
    assert reply.get("ok"), reply
    assert {"awsvault-deny-older-sessions", "require-mfa"} == stage.alice.policies.keys()
    again = await stage.desk.ask("get", profile="dev")
    assert ended != again.get("AccessKeyId")
    assert "mfa-needed" == again["error"]["code"]
