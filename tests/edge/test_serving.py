# SPDX-License-Identifier: Apache-2.0
"""Roles, codes and the console: what is handed out, at what price, and what a person is told when it cannot be."""

import asyncio
from typing import Any

import pytest

from tests.edge.desk import PASSPHRASE, Desk, at_aws, code, under_way
from tests.fake_aws import AccessKey, FakeAws, Fault, Gate
from vaultd.edge.aws import Aws

POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'
ADMIN = "arn:aws:iam::123456789012:role/admin"


class Office(Desk):
    """A desk with alice's key in it, and AWS's clock."""

    aws: FakeAws
    key: AccessKey

    async def alice(self, **edits: Any) -> "Office":
        await self.opened()
        fields = {"access_key_id": self.key.access_key_id, "secret_access_key": self.key.secret}
        assert "ok" == code(await self.ask("add", profile="alice", serve="session", **fields))
        if edits:
            assert "ok" == code(await self.ask("edit", profile="alice", changes=edits))
        return self

    async def role(self, name: str = "admin", source: str = "alice", **fields: Any) -> Any:
        arn = f"arn:aws:iam::123456789012:role/{name}"
        return await self.ask("add_role", profile=name, source=source, **{"role_arn": arn, **fields})

    def made(self, action: str) -> int:
        return sum(call.outcome == "ok" for call in self.aws.calls(action))

    def again(self) -> "Office":
        """The next process image, unlocked."""
        return office(self, self.aws, self.key)


def office(desk: Desk, aws: FakeAws, key: AccessKey) -> Office:
    placed = at_aws(desk, aws)
    made = Office(placed.home, placed.settings, placed.now, shared_aws=desk.shared_aws)
    made.aws, made.key = aws, key
    return made


@pytest.fixture
def alice(desk: Desk, shared: tuple[FakeAws, Aws], fake: FakeAws, key: AccessKey) -> Office:
    (desk.home / "config.toml").write_text(f'[aws]\nendpoint_url = "{fake.url}"\n')
    desk.shared_aws = shared[1]
    return office(desk, fake, key)


# --- roles


def test_a_role_is_assumed_in_the_daemon_with_all_that_was_said_of_it(alice: Office) -> None:
    user = alice.key.user
    alice.aws.add_role(
        "admin", user, external_id="xid", allows_tags=True, allows_source_identity=True, max_session_s=7_200
    )

    async def scenario() -> None:
        await alice.alice()
        kept = await alice.role(
            external_id="xid",
            duration_s=7_200,
            tags={"team": "eu"},
            transitive_tags=["team"],
            source_identity="alice",
            policy=POLICY,
            region="eu-west-1",
        )
        assert "ok" == code(kept), kept
        answer = await alice.ask("get", profile="admin")
        assert "123456789012" == answer["AccountId"]
        asked = alice.aws.calls("AssumeRole")[-1]
        call = asked.terms
        assert ("xid", 7_200, {"team": "eu"}, "alice", "eu-west-1") == (
            call.external_id,
            call.duration_s,
            dict(call.tags),
            call.source_identity,
            asked.region,
        )
        shown = (await alice.ask("show", profile="admin"))["profile"]
        assert ("role", "alice", ADMIN, "ok") == (
            shown["kind"],
            shown["source"],
            shown["role_arn"],
            shown["status"],
        )

    asyncio.run(scenario())


def test_a_hundred_callers_of_a_cold_role_are_one_call(alice: Office) -> None:
    alice.aws.add_role("admin", alice.key.user)

    async def scenario() -> None:
        await alice.alice()
        await alice.role(verify=False)
        answers = await asyncio.gather(*(alice.ask("get", profile="admin") for _ in range(100)))
        assert 1 == len({answer["AccessKeyId"] for answer in answers})
        assert 1 == alice.made("AssumeRole")

    asyncio.run(scenario())


def test_the_session_name_is_the_users_as_trust_policies_want(alice: Office) -> None:
    alice.aws.add_role("admin", alice.key.user, named_after_user=True)

    async def scenario() -> None:
        await alice.alice()
        assert "ok" == code(await alice.role())
        assert "aws-failed" == code(
            await alice.ask("add_role", profile="b", source="alice", role_arn=ADMIN, session_name="bob")
        )

    asyncio.run(scenario())


def test_a_role_that_aws_refuses_is_not_kept_and_says_who_which_and_what(alice: Office) -> None:
    alice.aws.add_role("admin", "arn:aws:iam::123456789012:user/bob")

    async def scenario() -> None:
        await alice.alice()
        reply = await alice.role()
        assert ("aws-failed", 7) == (code(reply), reply["error"]["exit"])
        for word in ("user/alice", "role/admin", "sts:AssumeRole"):
            assert word in reply["error"]["line"]
        assert ["alice"] == (await alice.ask("names"))["names"]

    asyncio.run(scenario())


def test_a_chain_of_roles_works_and_says_that_it_lasts_an_hour(alice: Office) -> None:
    first = alice.aws.add_role("first", alice.key.user, max_session_s=7_200)
    alice.aws.add_role("second", first, max_session_s=7_200)

    async def scenario() -> None:
        await alice.alice()
        await alice.role("first", duration_s=7_200)
        reply = await alice.role("second", source="first", duration_s=7_200)
        assert any("an hour at most" in note for note in reply["notes"])
        assert (await alice.ask("get", profile="second"))["SessionToken"]
        assert [7_200, 3_600] == [
            call.terms.duration_s for call in alice.aws.calls("AssumeRole") if call.outcome == "ok"
        ]

    asyncio.run(scenario())


def test_a_circle_and_an_unknown_source_are_refused_at_the_change(alice: Office) -> None:
    alice.aws.add_role("first", alice.key.user)

    async def scenario() -> None:
        await alice.alice()
        await alice.role("first")
        await alice.role("second", source="first", verify=False)
        reply = await alice.ask("edit", profile="first", changes={"source": "second"})
        assert ("usage", 2) == (code(reply), reply["error"]["exit"])
        assert "circle: first -> second -> first" in reply["error"]["line"]
        assert "no-such-profile" == code(await alice.role("third", source="nobody"))
        assert "alice" == (await alice.ask("show", profile="first"))["profile"]["source"]

    asyncio.run(scenario())


def test_what_roles_are_assumed_from_is_not_removed_under_them(alice: Office) -> None:
    async def scenario() -> None:
        await alice.alice()
        await alice.role(verify=False)
        reply = await alice.ask("remove", profile="alice")
        assert '"alice" is what these roles are assumed from: admin' == reply["error"]["message"]
        assert "ok" == code(await alice.ask("remove", profile="admin"))
        assert "ok" == code(await alice.ask("remove", profile="alice"))

    asyncio.run(scenario())


def test_a_role_serves_sessions_only_and_a_key_its_key_once_when_asked(alice: Office) -> None:
    alice.aws.add_role("admin", alice.key.user)

    async def scenario() -> None:
        await alice.alice()
        await alice.role()
        assert "usage" == code(await alice.ask("get", profile="admin", serve="key"))
        once = await alice.ask("get", profile="alice", serve="key")
        assert (alice.key.access_key_id, None) == (once["AccessKeyId"], once.get("SessionToken"))
        await alice.ask("edit", profile="alice", changes={"serve": "key"})
        assert (await alice.ask("get", profile="alice", serve="session"))["SessionToken"]
        assert "usage" == code(await alice.ask("get", profile="alice", serve="both"))

    asyncio.run(scenario())


def test_a_narrowed_key_serves_federated_sessions_and_no_roles(alice: Office) -> None:
    read_only = "arn:aws:iam::aws:policy/ReadOnlyAccess"

    async def scenario() -> None:
        await alice.alice(policy_arns=[read_only])
        assert (await alice.ask("get", profile="alice"))["SessionToken"]
        assert 1 == alice.made("GetFederationToken")
        refused = await alice.ask("get", profile="alice", serve="key")
        assert ("refused", 6) == (code(refused), refused["error"]["exit"])
        assert "narrowed" in (await alice.role())["error"]["line"]
        await alice.ask("edit", profile="alice", changes={"policy_arns": None})
        await alice.role(verify=False)
        reply = await alice.ask("edit", profile="alice", changes={"policy_arns": [read_only]})
        assert "narrowed" in reply["error"]["line"]

    asyncio.run(scenario())


# --- codes


def test_without_a_code_get_fails_at_once_and_names_the_command(alice: Office) -> None:
    device = alice.aws.add_mfa(alice.key.user)
    alice.aws.add_role("admin", alice.key.user, needs_mfa=True)

    async def scenario() -> None:
        await alice.alice(mfa_serial=device.serial)
        kept = await alice.role()
        assert "not tried yet: it needs an MFA code first" == kept["notes"][-1]
        for name in ("alice", "admin"):
            reply = await alice.ask("get", profile=name)
            assert f'MFA code needed for "{name}"; run: awsvault mfa {name}' == reply["error"]["line"]
            assert ("mfa-needed", 7) == (code(reply), reply["error"]["exit"])
        assert 0 == alice.made("AssumeRole")

    asyncio.run(scenario())


def test_one_code_serves_every_profile_of_the_key_and_survives_a_lock(alice: Office) -> None:
    device = alice.aws.add_mfa(alice.key.user)
    alice.aws.add_role("admin", alice.key.user, needs_mfa=True)

    async def scenario() -> None:
        await alice.alice(mfa_serial=device.serial)
        await alice.role()
        await alice.ask("get", profile="admin")  # its refusal is remembered, and must not outlive the code
        backups = len(list((alice.home / "backups").iterdir()))
        reply = await alice.ask("mfa", profile="admin", code=device.code(alice.now))
        assert ("alice", "ok") == (reply.get("profile"), code(reply))
        assert backups == len(list((alice.home / "backups").iterdir()))
        first = (await alice.ask("get", profile="alice"))["AccessKeyId"]
        assert (await alice.ask("get", profile="admin"))["SessionToken"]
        next_image = alice.again()
        await next_image.ask("unlock", passphrase=PASSPHRASE)
        assert first == (await next_image.ask("get", profile="alice"))["AccessKeyId"]
        assert 1 == sum(
            call.outcome == "ok" and call.terms.duration_s == 43_200
            for call in alice.aws.calls("GetSessionToken")
        )

    asyncio.run(scenario())


@pytest.mark.parametrize("wrong", ["12345", "1234567", "12345a", "", "\u0661\u0662\u0663\u0664\u0665\u0666"])
def test_what_is_no_code_is_not_sent(alice: Office, wrong: str) -> None:
    device = alice.aws.add_mfa(alice.key.user)

    async def scenario() -> None:
        await alice.alice(mfa_serial=device.serial)
        before = len(alice.aws.calls("GetSessionToken"))
        assert "usage" == code(await alice.ask("mfa", profile="alice", code=wrong))
        assert before == len(alice.aws.calls("GetSessionToken"))

    asyncio.run(scenario())


def test_a_wrong_code_and_a_wrong_serial_are_told_apart_and_change_nothing(alice: Office) -> None:
    device = alice.aws.add_mfa(alice.key.user)

    async def scenario() -> None:
        await alice.alice(mfa_serial=device.serial)
        good = device.code(alice.now)
        wrong = f"{(int(good) + 1) % 1_000_000:06}"
        assert "mfa-refused" == code(await alice.ask("mfa", profile="alice", code=wrong))
        assert "ok" == code(await alice.ask("mfa", profile="alice", code=good))
        kept = (await alice.ask("show", profile="alice"))["profile"]["mfa_expires_at"]
        assert "mfa-refused" == code(await alice.ask("mfa", profile="alice", code=good)), "no code twice"
        assert kept == (await alice.ask("show", profile="alice"))["profile"]["mfa_expires_at"]
        await alice.ask(
            "edit", profile="alice", changes={"mfa_serial": "arn:aws:iam::123456789012:mfa/nobody"}
        )
        reply = await alice.ask("mfa", profile="alice", code="123456")
        assert "mfa/nobody" in reply["error"]["line"]
        assert "mfa-needed" == code(await alice.ask("mfa", profile="alice")), "there is no seed"

    asyncio.run(scenario())


def test_a_stored_seed_needs_no_person_and_gives_no_code_twice(alice: Office) -> None:
    device = alice.aws.add_mfa(alice.key.user)
    alice.aws.add_role("admin", alice.key.user, needs_mfa=True)

    async def scenario() -> None:
        await alice.alice(mfa_serial=device.serial, totp=device.base32)
        await alice.role()
        answers = await asyncio.gather(*(alice.ask("get", profile=name) for name in ["alice", "admin"] * 10))
        assert {"ok"} == {code(answer) for answer in answers}
        assert 1 == len(device.spent)
        shown = (await alice.ask("show", profile="alice"))["profile"]
        assert (True, True) == (shown["totp"], bool(shown["mfa_expires_at"]))
        assert device.base32 not in str(shown)

    asyncio.run(scenario())


def test_a_seed_that_is_none_is_refused_and_goes_with_its_device(alice: Office) -> None:
    device = alice.aws.add_mfa(alice.key.user)

    async def scenario() -> None:
        await alice.alice()
        assert "usage" == code(await alice.ask("edit", profile="alice", changes={"totp": device.base32}))
        await alice.ask("edit", profile="alice", changes={"mfa_serial": device.serial})
        reply = await alice.ask("edit", profile="alice", changes={"totp": "not base32!"})
        assert "base32" in reply["error"]["line"]
        assert "not base32!" not in str(reply)
        await alice.ask(
            "edit", profile="alice", changes={"totp": device.base32, "mfa_process": ["ykman", "code"]}
        )
        shown = (await alice.ask("edit", profile="alice", changes={"mfa_serial": None}))["profile"]
        assert (False, []) == (shown["totp"], shown["mfa_process"])

    asyncio.run(scenario())


def test_a_lock_during_an_assume_role_hands_nothing_out(alice: Office) -> None:
    alice.aws.add_role("admin", alice.key.user)
    gate = Gate()

    async def scenario() -> None:
        await alice.alice()
        await alice.role(verify=False)
        alice.aws.fault(Fault.hold(gate), action="AssumeRole")
        asking = await under_way(gate, alice.ask("get", profile="admin"))
        alice.service.lock("asked")
        await alice.service.broker.settle()
        gate.open()
        assert "locked" == code(await asking)

    asyncio.run(scenario())


# --- the console


def test_the_console_is_signed_in_to_by_a_role_or_a_federated_key(alice: Office) -> None:
    alice.aws.add_role("admin", alice.key.user)

    async def scenario() -> None:
        await alice.alice()
        await alice.role()
        by_role = await alice.ask("console", profile="admin", destination="/s3/home")
        by_key = await alice.ask("console", profile="alice")
        assert ("AssumeRole", "GetFederationToken") == (by_role["by"], by_key["by"])
        assert all("SigninToken=" in reply["url"] for reply in (by_role, by_key))
        assert "s3" in by_role["url"]
        reply = await alice.ask("console", profile="admin", destination="https://evil.example/")
        assert ("usage", 2) == (code(reply), reply["error"]["exit"])

    asyncio.run(scenario())
