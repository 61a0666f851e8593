# SPDX-License-Identifier: Apache-2.0
"""Keys come in on evidence, are served as decided, and go out only as their profile says."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from tests.edge.desk import KEY, PASSPHRASE, Desk, at_aws, code, under_way
from tests.fake_aws import FakeAws, Fault, Gate
from vaultd.core.rotation import Rotation


def test_add_decides_by_evidence_how_a_key_is_served(desk: Desk, aws: FakeAws) -> None:
    desk = at_aws(desk, aws)
    users = {name: aws.add_user(name) for name in ("plain", "admin", "nosts")}
    keys = {name: aws.add_key(user) for name, user in users.items()}
    aws.set_last_use(keys["admin"], "iam", "us-east-1", datetime(2026, 11, 1, tzinfo=UTC))
    aws.deny(users["nosts"], "sts:GetSessionToken")

    async def add(name: str, **more: Any) -> Any:
        key = keys[name]
        return await desk.ask(
            "add", profile=name, access_key_id=key.access_key_id, secret_access_key=key.secret, **more
        )

    async def scenario() -> None:
        await desk.opened()
        reply = await add("plain")
        assert ("session", "ok") == (reply["profile"]["serve"], reply["profile"]["status"])
        assert "arn:aws:iam::123456789012:user/plain" == reply["profile"]["arn"]
        assert reply["profile"]["created_at"]
        assert "key" == (await add("nosts"))["profile"]["serve"]
        undecided = await add("admin")
        assert ("serve-undecided", 2) == (code(undecided), undecided["error"]["exit"])
        assert {"last_used_service": "iam", "proposal": "key"}.items() <= undecided["error"][
            "details"
        ].items()
        assert ["nosts", "plain"] == (await desk.ask("names"))["names"]
        assert "key" == (await add("admin", serve="key"))["profile"]["serve"]
        assert "aws-failed" == code(await add("nosts", serve="session", replace=True))

    asyncio.run(scenario())


def test_root_keys_are_refused_unless_asked_for(desk: Desk, aws: FakeAws) -> None:
    desk = at_aws(desk, aws)
    key = aws.add_key(aws.add_root())
    fields = {"access_key_id": key.access_key_id, "secret_access_key": key.secret}

    async def scenario() -> None:
        await desk.opened()
        reply = await desk.ask("add", profile="root", **fields)
        assert ("refused", 6) == (code(reply), reply["error"]["exit"])
        assert "--allow-root" in reply["error"]["line"]
        assert [] == (await desk.ask("names"))["names"]
        assert "ok" == code(await desk.ask("add", profile="root", allow_root=True, **fields))

    asyncio.run(scenario())


def test_a_wrong_secret_is_not_kept(desk: Desk, aws: FakeAws) -> None:
    desk = at_aws(desk, aws)
    key = aws.add_key(aws.add_user("alice"))

    async def scenario() -> None:
        await desk.opened()
        reply = await desk.ask(
            "add", profile="dev", access_key_id=key.access_key_id, secret_access_key=KEY["secret_access_key"]
        )
        assert "aws-failed" == code(reply)
        assert KEY["secret_access_key"] not in json.dumps(reply)
        assert [] == (await desk.ask("names"))["names"]

    asyncio.run(scenario())


def test_get_gives_a_session_and_asks_aws_once(desk: Desk, aws: FakeAws) -> None:
    desk = at_aws(desk, aws)
    key = aws.add_key(aws.add_user("alice"))

    async def scenario() -> None:
        await desk.opened()
        await desk.ask("add", profile="dev", access_key_id=key.access_key_id, secret_access_key=key.secret)
        before = len(aws.calls("GetSessionToken"))
        answers = await asyncio.gather(*(desk.ask("get", profile="dev") for _ in range(20)))
        assert 1 == len(aws.calls("GetSessionToken")) - before
        assert 1 == len({json.dumps(answer) for answer in answers})
        assert answers[0]["SessionToken"]
        assert key.secret not in json.dumps(answers)
        lines = [line for line in desk.audit() if line["op"] == "get"]
        assert {answers[0]["AccessKeyId"]} == {line["key"] for line in lines}
        assert {answers[0]["Expiration"]} == {line["expires"] for line in lines}

    asyncio.run(scenario())


def test_get_does_not_wait_longer_than_its_deadline_and_the_call_goes_on(
    desk: Desk, aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaultd.edge.serving.GET_DEADLINE_S", 0.05)
    desk, gate = at_aws(desk, aws), Gate()
    key = aws.add_key(aws.add_user("alice"))

    async def scenario() -> None:
        await desk.opened()
        await desk.ask("add", profile="dev", access_key_id=key.access_key_id, secret_access_key=key.secret)
        before = len(aws.calls("GetSessionToken"))
        aws.fault(Fault.hold(gate), action="GetSessionToken")
        reply = await desk.ask("get", profile="dev")
        assert ("aws-pending", 7) == (code(reply), reply["error"]["exit"])
        assert "still waiting for AWS; try again" == reply["error"]["line"]
        gate.open()
        monkeypatch.setattr("vaultd.edge.serving.GET_DEADLINE_S", 5)
        assert (await desk.ask("get", profile="dev"))["SessionToken"]
        assert 1 == len(aws.calls("GetSessionToken")) - before

    asyncio.run(scenario())


def test_a_lock_during_the_call_to_aws_hands_nothing_out(desk: Desk, aws: FakeAws) -> None:
    desk, gate = at_aws(desk, aws), Gate()
    key = aws.add_key(aws.add_user("alice"))

    async def scenario() -> None:
        await desk.opened()
        await desk.ask("add", profile="dev", access_key_id=key.access_key_id, secret_access_key=key.secret)
        aws.fault(Fault.hold(gate), action="GetSessionToken")
        asking = await under_way(gate, desk.ask("get", profile="dev"))
        desk.service.lock("asked")
        gate.open()
        assert "locked" == code(await asking)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("age", "status"),
    [
        (timedelta(0), "unverified"),
        (timedelta(days=75, hours=23), "unverified"),
        (timedelta(days=76), "due"),
        (timedelta(days=90), "overdue"),
    ],
)
def test_list_tells_when_a_key_is_due(desk: Desk, age: timedelta, status: str) -> None:
    async def scenario() -> None:
        await desk.opened()
        await desk.ask("add", profile="dev", verify=False, **KEY)
        desk.now += age
        desk.service.extend()
        (found,) = (await desk.ask("list"))["profiles"]
        assert (status, age.days) == (found["status"], found["age_days"])
        assert "2027-02-22T12:00:00Z" == found["rotate_by"]
        assert KEY["secret_access_key"] not in json.dumps(found)
        assert {
            "profile", "kind", "serve", "account", "arn", "access_key_id", "created_at", "age_days", "rotate_by",
            "last_used_at", "status", "rotation",
        } <= found.keys()  # fmt: skip

    asyncio.run(scenario())


def test_list_tells_of_an_open_rotation_and_of_a_snooze(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        await desk.ask("add", profile="dev", verify=False, **KEY)
        old = desk.service.keeper.body.key_profile("dev").key
        new = replace(old, access_key_id="AKIANEW0000000000000")
        run = Rotation(
            "0123456789abcdef",
            "grace",
            desk.now,
            desk.now,
            "host:00000000",
            old,
            new,
            promoted_at=desk.now,
            waits="a person",
        )
        await desk.service.save(lambda body: body.with_rotation("dev", run))
        await desk.ask("snooze", profile="dev", for_s=3_600)
        (found,) = (await desk.ask("list"))["profiles"]
        shown = found["rotation"]
        assert ("grace", "a person", "2026-11-24T12:00:00Z") == (
            shown["state"],
            shown["waits"],
            shown["since"],
        )
        assert "2026-11-25T12:00:00Z" == shown["next_at"], "the default grace"
        assert (KEY["access_key_id"], new.access_key_id) == (shown["old_key"], shown["new_key"])
        assert KEY["secret_access_key"] not in str(found)
        assert "2026-11-24T13:00:00Z" == found["snoozed_until"]
        desk.now += timedelta(hours=1)
        assert None is (await desk.ask("list"))["profiles"][0]["snoozed_until"]

    asyncio.run(scenario())


def test_edit_changes_what_it_names_and_nothing_else(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        before = (await desk.ask("add", profile="dev", verify=False, region="eu-west-1", **KEY))["profile"]
        changed = (await desk.ask("edit", profile="dev", changes={"serve": "key", "region": None}))["profile"]
        assert before | {"serve": "key", "region": None} == changed
        for bad in ({}, {"account": "1"}, {"serve": "both"}, {"serve": None}, {"region": 5}):
            assert "usage" == code(await desk.ask("edit", profile="dev", changes=bad)), bad
        assert "no-such-profile" == code(await desk.ask("edit", profile="nobody", changes={"serve": "key"}))

    asyncio.run(scenario())


def test_remove_forgets_the_key_and_says_which_it_was(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        await desk.ask("add", profile="dev", verify=False, serve="key", **KEY)
        assert KEY["access_key_id"] == (await desk.ask("remove", profile="dev"))["access_key_id"]
        assert "no-such-profile" == code(await desk.ask("get", profile="dev"))
        assert "no-such-profile" == code(await desk.ask("remove", profile="dev"))

    asyncio.run(scenario())


def test_the_time_of_use_goes_into_the_vault_with_the_next_save(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        await desk.ask("add", profile="dev", verify=False, serve="key", **KEY)
        await desk.ask("get", profile="dev")
        await desk.ask("add", profile="other", verify=False, serve="key", **KEY)
        reopened = desk.relocked()
        await reopened.ask("unlock", passphrase=PASSPHRASE)
        assert (
            "2026-11-24T12:00:00Z" == (await reopened.ask("show", profile="dev"))["profile"]["last_used_at"]
        )

    asyncio.run(scenario())


def test_the_last_save_that_holds_a_removed_key_is_never_pruned(desk: Desk) -> None:
    """AWS shows no secret twice, and the key lives on there."""

    async def scenario() -> None:
        await desk.opened()
        await desk.ask("add", profile="dev", verify=False, **KEY)
        held = sha256((desk.home / "vault").read_bytes()).hexdigest()[:16]
        await desk.ask("remove", profile="dev")
        await desk.ask(
            "add", profile="other", verify=False, **{**KEY, "access_key_id": "AKIAOTHER00000000000"}
        )
        for number in range(12):
            await desk.ask("edit", profile="other", changes={"region": f"eu-west-{number}"})
        kept = [path.name[-16:] for path in (desk.home / "backups").iterdir()]
        assert held in kept
        assert 12 > len(kept), "the others are pruned"

    asyncio.run(scenario())


def test_a_key_stays_in_the_partition_that_it_was_verified_in(desk: Desk, aws: FakeAws) -> None:
    desk = at_aws(desk, aws)
    key = aws.add_key(aws.add_user("alice"))
    halves = {"access_key_id": key.access_key_id, "secret_access_key": key.secret}
    line = "cn-north-1 is in aws-cn, but the key in aws"

    async def scenario() -> None:
        await desk.opened()
        assert "aws-failed" == code(await desk.ask("add", profile="dev", region="cn-north-1", **halves))
        await desk.ask("add", profile="dev", **halves)
        reply = await desk.ask("edit", profile="dev", changes={"region": "cn-north-1"})
        assert ("usage", line) == (code(reply), reply["error"]["line"])
        assert "ok" == code(await desk.ask("edit", profile="dev", changes={"region": "eu-west-3"}))
        assert "ok" == code(await desk.ask("edit", profile="dev", changes={"region": None}))

    asyncio.run(scenario())


def test_a_key_that_nobody_verified_lives_where_its_region_lies(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        for region, partition in (("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), (None, "aws")):
            reply = await desk.ask("add", profile="dev", verify=False, region=region, replace=True, **KEY)
            assert partition == reply["profile"]["partition"]
        reply = await desk.ask("edit", profile="dev", changes={"region": "cn-north-1"})
        assert "aws-cn" == reply["profile"]["partition"]
        reply = await desk.ask("edit", profile="dev", changes={"region": None})
        assert "aws-cn" == reply["profile"]["partition"], "no region says nothing"

    asyncio.run(scenario())
