# SPDX-License-Identifier: Apache-2.0
"""`revoke` and `panic` as operations: the vault knows before AWS does, nothing revoked is served, and nothing is forgotten."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.edge.desk import PASSPHRASE, Desk, code, under_way
from tests.fake_aws import AccessKey, FakeAws, Fault, Gate
from vaultd.core.keys import Key
from vaultd.core.policy import AwsSettings, Settings
from vaultd.core.records import Body, KeyProfile
from vaultd.core.rotation import Rotation
from vaultd.core.secret import Secret
from vaultd.core.userpolicy import DENIAL
from vaultd.edge import revocation_ops, revoker
from vaultd.edge.aws import Aws
from vaultd.edge.store import LocalStore
from vaultd.wire.errors import StorageFailed

Scenario = Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[FakeAws, Aws]]:
    with FakeAws() as server:
        yield server, Aws(AwsSettings(endpoint_url=server.url), read_timeout_s=2, attempts=1)


class Office(Desk):
    """A desk with keys in it, a quarter of an hour after they were made."""

    fake: FakeAws

    async def opened(self) -> "Office":
        await super().opened()
        return self

    async def add(self, name: str, key: AccessKey, *, verify: bool = True, **fields: Any) -> None:
        given = {"access_key_id": key.access_key_id, "secret_access_key": key.secret, "serve": "session"}
        reply = await self.ask("add", profile=name, verify=verify, **{**given, **fields})
        assert "ok" == code(reply), reply

    async def status(self, name: str = "dev") -> str:
        return str((await self.ask("show", profile=name))["profile"]["status"])

    async def settled(self) -> None:
        """What `look` has begun is done."""
        while task := self.service.revoker._resuming:
            await task

    def again(self) -> "Office":
        """The next process image, still locked."""
        return office(self.home, self.fake, self.shared_aws, self.now)

    async def unlock(self) -> "Office":
        assert "ok" == code(await self.ask("unlock", passphrase=PASSPHRASE))
        await self.settled()
        return self

    def changes(self) -> list[str]:
        """The calls that changed something in AWS."""
        names = ("PutUserPolicy", "UpdateAccessKey", "DeleteAccessKey")
        return [call.action for call in self.fake.calls() if call.action in names and call.outcome == "ok"]


def office(home: Path, fake: FakeAws, aws: Aws | None, now: datetime) -> Office:
    made = Office(home, Settings(aws=AwsSettings(endpoint_url=fake.url)), now, shared_aws=aws)
    made.fake = fake
    return made


@pytest.fixture
def desk(tmp_path: Path, shared: tuple[FakeAws, Aws], fake: FakeAws) -> Office:
    (tmp_path / "config.toml").write_text(f'[aws]\nendpoint_url = "{fake.url}"\n')
    now = fake.clock.now().replace(microsecond=0) + timedelta(minutes=15)
    return office(tmp_path, fake, shared[1], now)


@pytest.fixture
def ops(fake: FakeAws) -> AccessKey:
    return fake.add_key(fake.add_user("ops"))


def of_key(key: AccessKey) -> KeyProfile:
    """As it would have been added."""
    made = key.created_at.replace(microsecond=0) - timedelta(days=1)
    kept = Key(key.access_key_id, Secret(key.secret), made, made)
    facts: dict[str, Any] = dict.fromkeys(("region", "mfa_serial", "last_used_at"))
    user = key.user
    return KeyProfile(
        str(user.name), kept, "session", "aws", user.account, user.arn, verified_at=made, **facts
    )


def run(scenario: Scenario) -> None:
    asyncio.run(scenario())


# --- revoke


def test_a_revoked_key_is_inactive_and_served_no_more(desk: Office, fake: FakeAws, key: AccessKey) -> None:
    fake.add_role("admin", key.user)

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        await desk.add("twin", key)
        await desk.ask(
            "add_role", profile="admin", source="dev", role_arn="arn:aws:iam::123456789012:role/admin"
        )
        for name in ("dev", "twin", "admin"):
            assert "ok" == code(await desk.ask("get", profile=name)), name
        reply = await desk.ask("revoke", profile="dev")
        assert {"access_key_id": key.access_key_id, "became": "inactive"} == reply["profiles"][0]["keys"][0]
        assert ("Inactive", ["UpdateAccessKey"]) == (key.status, desk.changes())
        assert ['"twin" has the same key and is served no more, either'] == reply["notes"]
        asked = len(fake.calls())
        for owner, fields in (
            ("dev", {"profile": "dev"}),
            ("twin", {"profile": "twin"}),
            ("dev", {"profile": "admin"}),
            ("dev", {"profile": "dev", "serve": "key"}),
        ):
            refused = await desk.ask("get", **fields)
            line = f'the key of "{owner}" was revoked on {desk.now:%Y-%m-%d}; run: awsvault add {owner} --replace'
            undo = f", or awsvault revoke {owner} --undo"
            assert ("refused", line + undo) == (code(refused), refused["error"]["line"])
        for op in ("console", "mfa"):
            assert code(await desk.ask(op, profile="dev")) in ("refused", "usage"), op
        assert "refused" == code(
            await desk.ask(
                "add_role", profile="b", source="dev", role_arn="arn:aws:iam::123456789012:role/admin"
            )
        )
        assert asked == len(fake.calls()), "AWS was not asked"
        assert "revoked" == await desk.status() == await desk.status("admin")

    run(scenario)


def test_what_lives_on_is_told_and_what_would_end_it(desk: Office, fake: FakeAws, key: AccessKey) -> None:
    fake.add_role("admin", key.user)
    arn = "arn:aws:iam::123456789012:role/admin"

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        await desk.ask("add_role", profile="admin", source="dev", role_arn=arn)
        for name in ("dev", "admin"):
            await desk.ask("get", profile=name)
        await desk.ask(
            "edit", profile="dev", changes={"region": "eu-west-1"}
        )  # forgets them here, not in AWS
        reply = await desk.ask("revoke", profile="dev")
        assert [("admin", "role", arn), ("dev", "session", None)] == [
            (session["profile"], session["kind"], session["role_arn"]) for session in reply["sessions"]
        ]
        assert "Revoke active sessions" in reply["sessions"][0]["ended_by"]
        assert "awsvault revoke dev --sessions --via PROFILE" == reply["sessions"][1]["ended_by"]

    run(scenario)


def test_with_sessions_the_deny_comes_first_and_only_roles_live_on(
    desk: Office, fake: FakeAws, key: AccessKey
) -> None:
    fake.add_role("admin", key.user)

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        await desk.ask(
            "add_role", profile="admin", source="dev", role_arn="arn:aws:iam::123456789012:role/admin"
        )
        await desk.ask("get", profile="dev")
        reply = await desk.ask("revoke", profile="dev", sessions=True)
        assert ["PutUserPolicy", "UpdateAccessKey"] == desk.changes()
        assert ["role"] == [session["kind"] for session in reply["sessions"]]
        assert "denied" == reply["profiles"][0]["sessions"]
        again = await desk.ask("revoke", profile="dev", sessions=True)
        assert (0, "denied before") == (again["failed"], again["profiles"][0]["sessions"]), (
            "whoever made the key active since may have newer ones"
        )
        key.status = "Active"
        again = await desk.ask("revoke", profile="dev")
        assert (0, "denied before") == (again["failed"], again["profiles"][0]["sessions"])

    run(scenario)


def test_an_mfa_session_signs_and_ends_itself_last(desk: Office, fake: FakeAws, key: AccessKey) -> None:
    device = fake.add_mfa(key.user)

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key, mfa_serial=device.serial)
        await desk.ask("mfa", profile="dev", code=device.code(fake.clock.now()))
        fake.require_mfa(key.user)
        assert 0 == (await desk.ask("revoke", profile="dev", sessions=True))["failed"]
        assert ["UpdateAccessKey", "PutUserPolicy"] == desk.changes()

    run(scenario)


def test_an_mfa_session_lives_on_until_it_is_over(desk: Office, fake: FakeAws, key: AccessKey) -> None:
    device = fake.add_mfa(key.user)

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key, mfa_serial=device.serial)
        await desk.ask("mfa", profile="dev", code=device.code(fake.clock.now()))
        (lives,) = (await desk.ask("revoke", profile="dev"))["sessions"]
        assert ("dev", "mfa") == (lives["profile"], lives["kind"])
        desk.now += timedelta(hours=13)
        assert [] == (await desk.ask("revoke", profile="dev"))["sessions"]

    run(scenario)


def test_a_code_finishes_what_a_key_alone_may_not(desk: Office, fake: FakeAws, key: AccessKey) -> None:
    device = fake.add_mfa(key.user)

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key, mfa_serial=device.serial)
        fake.require_mfa(key.user)
        reply = await desk.ask("revoke", profile="dev")
        assert (1, ["a code may help: awsvault mfa dev"]) == (reply["failed"], reply["notes"])
        assert "revoking" == await desk.status()
        assert "ok" == code(await desk.ask("mfa", profile="dev", code=device.code(fake.clock.now())))
        assert "refused" == code(await desk.ask("get", profile="dev")), "it is for the revocation only"
        await desk.settled()
        assert ("Inactive", "revoked") == (key.status, await desk.status())

    run(scenario)


def test_the_other_key_of_a_rotation_is_revoked_too(desk: Office, fake: FakeAws, key: AccessKey) -> None:
    new = fake.add_key(key.user)

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        held = desk.service.keeper.body.key_profile("dev").key
        fresh = replace(held, access_key_id=new.access_key_id, secret=Secret(new.secret))
        rotation = Rotation("0123456789abcdef", "created", desk.now, desk.now, "host:00000000", held, fresh)
        await desk.service.save(lambda body: body.with_rotation("dev", rotation))
        reply = await desk.ask("revoke", profile="dev")
        assert {"inactive"} == {found["became"] for found in reply["profiles"][0]["keys"]}
        assert {"Inactive"} == {key.status, new.status}

    run(scenario)


def test_a_key_without_the_right_is_refused_and_reminded_of_until_another_does_it(
    desk: Office, fake: FakeAws, key: AccessKey, ops: AccessKey
) -> None:
    fake.quarantine(key.user)

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        await desk.add("ops", ops)
        reply = await desk.ask("revoke", profile="dev")
        assert (1, "Active") == (reply["failed"], key.status)
        assert (
            "AWS has quarantined the user, which denies iam:UpdateAccessKey"
            in reply["profiles"][0]["missing"]
        )
        assert "refused" == code(await desk.ask("get", profile="dev"))
        (item,) = (await desk.ask("due"))["items"]
        assert ("dev", "revocation-open", True) == (item["profile"], item["what"], item["urgent"])
        assert ("awsvault revoke dev --via PROFILE", True) == (item["command"], "quarantined" in item["text"])
        assert 0 == (await desk.ask("revoke", profile="dev", via="ops"))["failed"]
        assert ("Inactive", []) == (key.status, (await desk.ask("due"))["items"])

    run(scenario)


def test_a_role_or_an_mfa_session_lends_its_rights(
    desk: Office, fake: FakeAws, key: AccessKey, ops: AccessKey
) -> None:
    fake.add_role("breakglass", ops.user)
    fake.quarantine(key.user)

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        await desk.add("ops", ops)
        arn = "arn:aws:iam::123456789012:role/breakglass"
        await desk.ask("add_role", profile="breakglass", source="ops", role_arn=arn)
        reply = await desk.ask("revoke", profile="dev", via="breakglass", sessions=True, delete=True)
        assert 0 == reply["failed"]
        assert {call.user for call in fake.calls("DeleteAccessKey")} == {
            "arn:aws:sts::123456789012:assumed-role/breakglass/ops"
        }
        await desk.ask("edit", profile="ops", changes={"mfa_serial": "arn:aws:iam::123456789012:mfa/ops"})
        reply = await desk.ask("revoke", profile="dev", via="ops")
        assert 'MFA code needed for "ops"; run: awsvault mfa ops' == reply["error"]["line"]

    run(scenario)


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"profile": "nobody"}, 'no profile "nobody"; run: awsvault list'),
        ({"profile": "admin"}, '"admin" is a role and has no key of its own; use its source: dev'),
        ({"profile": "dev", "via": "dev"}, "--via names another profile, whose rights are used"),
        ({"profile": "dev", "via": "nobody"}, 'no profile "nobody"; run: awsvault list'),
        ({"profile": "dev", "via": "far"}, '"far" is of account 999999999999, but "dev" of 123456789012'),
        ({"profile": "root", "via": "dev"}, "a root user's key can be revoked by itself only; leave out --via, or use the console"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value.values()),
)  # fmt: skip
def test_what_makes_no_sense_changes_nothing(
    desk: Office, fake: FakeAws, key: AccessKey, fields: dict[str, Any], line: str
) -> None:
    far, root = fake.add_key(fake.add_user("far", account="999999999999")), fake.add_key(fake.add_root())

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        await desk.add("far", far)
        await desk.add("root", root, allow_root=True)
        await desk.ask(
            "add_role",
            profile="admin",
            source="dev",
            role_arn="arn:aws:iam::123456789012:role/admin",
            verify=False,
        )
        reply = await desk.ask("revoke", **fields)
        assert line == reply["error"]["line"]
        assert ([], {}) == (desk.changes(), desk.service.keeper.body.revocations)

    run(scenario)


def test_root_is_revoked_by_itself_and_its_sessions_are_said_to_live_on(desk: Office, fake: FakeAws) -> None:
    root = fake.add_key(fake.add_root())

    async def scenario() -> None:
        await (await desk.opened()).add("root", root, allow_root=True)
        reply = await desk.ask("revoke", profile="root", sessions=True)
        assert (0, "no policy", "Inactive") == (
            reply["failed"],
            reply["profiles"][0]["sessions"],
            root.status,
        )

    run(scenario)


def test_a_root_key_that_is_out_of_use_leaves_nothing_to_do(desk: Office, fake: FakeAws) -> None:
    root = fake.add_key(fake.add_root())

    async def scenario() -> None:
        await (await desk.opened()).add("root", root, allow_root=True)
        await desk.service.save(
            lambda body: replace(body, profiles={"root": replace(of_key(root), name="root")})
        )
        root.status = "Inactive"
        reply = await desk.ask("revoke", profile="root", sessions=True)
        assert (0, "unusable") == (reply["failed"], reply["profiles"][0]["keys"][0]["became"])

    run(scenario)


def test_another_key_in_its_place_is_served(desk: Office, fake: FakeAws, key: AccessKey) -> None:
    new = fake.add_key(key.user)

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        fake.deny(key.user, "iam:PutUserPolicy")
        assert 1 == (await desk.ask("revoke", profile="dev", sessions=True))["failed"]
        reply = await desk.ask(
            "add",
            profile="dev",
            replace=True,
            serve="session",
            access_key_id=new.access_key_id,
            secret_access_key=new.secret,
        )
        assert ["what was left to revoke of the profile before it is forgotten: sessions"] == [
            note for note in reply["notes"] if "revoke" in note
        ]
        assert "ok" == code(await desk.ask("get", profile="dev"))

    run(scenario)


@pytest.mark.parametrize("added", ["before", "after", "unverified"])
@pytest.mark.parametrize("goes", ["remove", "add"])
def test_no_profile_serves_a_revoked_key_when_the_one_it_was_revoked_by_goes(
    desk: Office, fake: FakeAws, key: AccessKey, ops: AccessKey, added: str, goes: str
) -> None:
    fake.deny(key.user, "iam:UpdateAccessKey")
    twin: dict[str, Any] = {"serve": "key", "verify": added != "unverified"}
    other = {"access_key_id": ops.access_key_id, "secret_access_key": ops.secret, "serve": "session"}

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        if added != "after":
            await desk.add("twin", key, **twin)
        reply = await desk.ask("revoke", profile="dev")
        assert (1, 1) == (reply["failed"], len(fake.calls("UpdateAccessKey"))), "one key, one try"
        if added == "after":
            await desk.add("twin", key, **twin)
        fields = {"replace": True, **other} if goes == "add" else {}
        assert "ok" == code(await desk.ask(goes, profile="dev", **fields))
        assert "refused" == code(await desk.ask("get", profile="twin"))
        assert "revoking" == await desk.status("twin")
        fake.allow(key.user, "iam:UpdateAccessKey")
        after = await desk.again().unlock()
        assert ("Inactive", "revoked") == (key.status, await after.status("twin"))

    run(scenario)


def test_a_get_that_waits_for_aws_gets_nothing_of_a_revoked_key(
    desk: Office, fake: FakeAws, key: AccessKey
) -> None:
    gate = Gate()

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        fake.fault(Fault.hold_reply(gate), action="GetSessionToken")
        asking = await under_way(gate, desk.ask("get", profile="dev"))
        await desk.ask("revoke", profile="dev")
        gate.open()
        assert code(await asking) in ("aws-failed", "refused")

    run(scenario)


def test_a_profile_that_is_removed_meanwhile_is_revoked_all_the_same(
    desk: Office, fake: FakeAws, key: AccessKey
) -> None:
    gate = Gate()

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        fake.fault(Fault.hold(gate), action="UpdateAccessKey")
        revoking = await under_way(gate, desk.ask("revoke", profile="dev"))
        assert "ok" == code(await desk.ask("remove", profile="dev"))
        gate.open()
        reply = await revoking
        assert (0, [("dev", "inactive")]) == (
            reply["failed"],
            [(found["profile"], found["keys"][0]["became"]) for found in reply["profiles"]],
        )
        assert "Inactive" == key.status

    run(scenario)


def test_nobody_asks_what_is_being_asked_nor_what_a_revoked_key_was_used_for(
    desk: Office, fake: FakeAws, key: AccessKey
) -> None:
    gate = Gate()

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        fake.fault(Fault.hold(gate), action="UpdateAccessKey")
        revoking = await under_way(gate, desk.ask("revoke", profile="dev"))
        desk.service.revoker.look()
        assert None is desk.service.revoker._resuming
        gate.open()
        await revoking
        asked = len(fake.calls())
        for _ in range(2):
            await desk.tick(hours=0.1)
        assert asked == len(fake.calls())

    run(scenario)


def test_a_console_that_waits_for_aws_is_not_opened(desk: Office, fake: FakeAws, key: AccessKey) -> None:
    gate = Gate()

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        fake.fault(Fault.hold(gate), action="getSigninToken")
        asking = await under_way(gate, desk.ask("console", profile="dev"))
        await desk.ask("revoke", profile="dev")
        gate.open()
        assert "refused" == code(await asking)

    run(scenario)


@pytest.mark.parametrize("op", ["revoke", "panic"])
@pytest.mark.parametrize("region", ["cn-north-1", None])
def test_a_key_that_nobody_verified_is_ended_where_it_lives_or_said_to_be_unknown(
    desk: Office, fake: FakeAws, op: str, region: str | None
) -> None:
    key = fake.add_key(fake.add_user("bob", partition="aws-cn"))

    async def scenario() -> None:
        await (await desk.opened()).add("cn", key, verify=False, region=region)
        desk.now += timedelta(minutes=15)
        reply = await desk.ask(op, **({"profile": "cn"} if op == "revoke" else {}))
        after = await desk.again().unlock()
        if region:
            assert (0, "Inactive", "revoked") == (reply["failed"], key.status, await after.status("cn"))
            return
        assert (1, "Active", "revoking") == (reply["failed"], key.status, await after.status("cn"))
        assert "whether it is out of use is not known" in reply["profiles"][0]["missing"]
        assert "refused" == code(await after.ask("get", profile="cn"))

    run(scenario)


@pytest.mark.parametrize(
    ("ahead", "status"), [(timedelta(minutes=4), "revoking"), (timedelta(days=1), "revoked")]
)
def test_a_key_from_a_clock_that_was_ahead_is_not_new_for_ever(
    desk: Office, key: AccessKey, ahead: timedelta, status: str
) -> None:
    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        desk.now = key.created_at.replace(microsecond=0) - ahead
        key.status = "Inactive"
        await desk.ask("revoke", profile="dev")
        assert status == await desk.status()

    run(scenario)


@pytest.mark.parametrize("back", [False, True], ids=["", "undone after a panic"])
@pytest.mark.parametrize("mfa", [False, True])
def test_no_session_that_is_denied_everything_is_served_for_hours(
    desk: Office, fake: FakeAws, key: AccessKey, *, mfa: bool, back: bool
) -> None:
    """Nor one that the user's other key made before, or in the quarter of an hour that the deny reaches ahead."""
    second, device = fake.add_key(key.user), fake.add_mfa(key.user)

    async def session(desk: Desk) -> str:
        if mfa:
            desk.now += timedelta(minutes=1)
            fake.clock.advance(timedelta(minutes=1))
            assert "ok" == code(await desk.ask("mfa", profile="second", code=device.code(fake.clock.now())))
        return str((await desk.ask("get", profile="second"))["AccessKeyId"])

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        await desk.add("second", second, mfa_serial=device.serial if mfa else None)
        before = await session(desk)
        after: Office = desk
        if back:
            assert 0 == (await desk.ask("panic"))["failed"]
            after = await desk.again().unlock()
            second.status = "Active"
            await after.ask("unrevoke", profile="second")
        else:
            reply = await desk.ask("revoke", profile="dev", sessions=True)
            ends = desk.now + timedelta(minutes=15)
            assert [
                f"sessions that any key of the user makes before {ends:%Y-%m-%dT%H:%M:%SZ} are denied everything, too"
            ] == reply["notes"]
        assert before != (await after.ask("get", profile="second")).get("AccessKeyId")
        meanwhile = await session(after)
        after.now += timedelta(minutes=16)
        after.service.revoker.look()
        await after.settled()
        reply = await after.ask("get", profile="second")
        assert "mfa-needed" == code(reply) if mfa else meanwhile != reply["AccessKeyId"]

    run(scenario)


# --- the way back


def test_a_session_that_was_denied_everything_does_not_come_back(
    desk: Office, fake: FakeAws, key: AccessKey
) -> None:
    device = fake.add_mfa(key.user)

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key, mfa_serial=device.serial)
        await desk.ask("mfa", profile="dev", code=device.code(fake.clock.now()))
        await desk.ask("revoke", profile="dev", sessions=True)
        key.status = "Active"
        reply = await desk.ask("unrevoke", profile="dev")
        ends = desk.now + timedelta(minutes=15)
        assert [
            f"sessions that any key of the user makes before {ends:%Y-%m-%dT%H:%M:%SZ} are denied everything, too"
        ] == reply["notes"]
        assert "mfa-needed" == code(await desk.ask("get", profile="dev"))

    run(scenario)


def test_a_key_that_is_active_again_is_served_again(
    desk: Office, fake: FakeAws, key: AccessKey, ops: AccessKey
) -> None:
    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        await desk.add("ops", ops)
        assert "usage" == code(await desk.ask("unrevoke", profile="dev"))
        await desk.ask("revoke", profile="dev")
        reply = await desk.ask("unrevoke", profile="dev")
        assert 'the key of "dev" is still inactive; activate it in the IAM console' in reply["error"]["line"]
        key.status = "Active"
        assert "ok" == code(await desk.ask("unrevoke", profile="dev"))
        assert "ok" == code(await desk.ask("get", profile="dev"))
        await desk.ask("revoke", profile="dev")
        assert "ok" == code(await desk.ask("unrevoke", profile="dev", via="ops"))
        assert ("Active", "ok") == (key.status, code(await desk.ask("get", profile="dev")))
        await desk.ask("revoke", profile="dev", delete=True)
        assert "refused" == code(await desk.ask("unrevoke", profile="dev", via="ops"))

    run(scenario)


@pytest.mark.parametrize("op", ["revoke", "panic"])
@pytest.mark.parametrize("undone", ["dev", "twin"])
def test_what_is_served_again_is_every_profile_of_the_key(
    desk: Office, key: AccessKey, op: str, undone: str
) -> None:
    (other,) = {"dev", "twin"} - {undone}

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        await desk.add("twin", key)
        assert 0 == (await desk.ask(op, **({"profile": "dev"} if op == "revoke" else {})))["failed"]
        after = await desk.again().unlock()
        key.status = "Active"
        reply = await after.ask("unrevoke", profile=undone)
        assert f'"{other}" has the same key and is served again, too' in reply["notes"]
        for name in ("dev", "twin"):
            assert "ok" == code(await after.ask("get", profile=name)), name

    run(scenario)


def test_a_revocation_that_comes_meanwhile_is_not_undone(desk: Office, fake: FakeAws, key: AccessKey) -> None:
    gate = Gate()

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        await desk.ask("revoke", profile="dev")
        key.status = "Active"
        fake.fault(Fault.hold_reply(gate), action="GetCallerIdentity")
        undoing = await under_way(gate, desk.ask("unrevoke", profile="dev"))
        desk.now += timedelta(minutes=1)
        assert 0 == (await desk.ask("revoke", profile="dev"))["failed"]
        gate.open()
        assert "conflict" == code(await undoing)
        assert ("Inactive", "revoked") == (key.status, await desk.status())

    run(scenario)


def test_a_key_that_an_undo_makes_active_after_the_next_revocation_is_ended_once_more(
    desk: Office, fake: FakeAws, key: AccessKey, ops: AccessKey
) -> None:
    gate = Gate()

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        await desk.add("ops", ops)
        await desk.ask("revoke", profile="dev")
        fake.fault(Fault.hold_reply(gate), action="UpdateAccessKey")
        undoing = await under_way(gate, desk.ask("unrevoke", profile="dev", via="ops"))
        desk.now += timedelta(minutes=1)
        reply = await desk.ask("revoke", profile="dev")
        key.status = "Active"  # the one that is on its way may come last
        gate.open()
        assert "conflict" == code(await undoing)
        assert "the key was made active meanwhile" == reply["profiles"][0]["missing"]
        await desk.settled()
        assert ("Inactive", "revoked") == (key.status, await desk.status())

    run(scenario)


def test_a_client_that_undoes_hears_something_before_each_call(
    desk: Office, fake: FakeAws, key: AccessKey, ops: AccessKey
) -> None:
    """One that AWS answers slowly takes most of the minute for which a client waits in silence."""
    fake.add_role("breakglass", ops.user)

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        await desk.add("ops", ops, verify=False)
        arn = "arn:aws:iam::123456789012:role/breakglass"
        await desk.ask("add_role", profile="breakglass", source="ops", role_arn=arn, verify=False)
        for via in (None, "ops", "breakglass"):
            await desk.ask("revoke", profile="dev")
            key.status = "Inactive" if via else "Active"
            begun = len(fake.calls())
            desk.progress.clear()
            assert "ok" == code(await desk.ask("unrevoke", profile="dev", via=via))
            assert len(fake.calls()) - begun == len(desk.progress), (via, desk.progress)

    run(scenario)


def test_a_key_that_could_not_be_deleted_is_served_again_on_demand(
    desk: Office, fake: FakeAws, key: AccessKey
) -> None:
    """Who has no second profile has no other way out."""
    fake.deny(key.user, "iam:DeleteAccessKey")
    fake.deny(key.user, "iam:UpdateAccessKey")

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        assert 1 == (await desk.ask("revoke", profile="dev", delete=True))["failed"]
        reply = await desk.ask("get", profile="dev")
        assert reply["error"]["hint"].endswith("to serve it all the same: awsvault revoke dev --undo")
        assert "ok" == code(await desk.ask("unrevoke", profile="dev"))
        assert "ok" == code(await desk.ask("get", profile="dev"))
        fake.allow(key.user, "iam:DeleteAccessKey")
        assert 0 == (await desk.ask("revoke", profile="dev", delete=True))["failed"]
        reply = await desk.ask("unrevoke", profile="dev")
        assert 'the key of "dev" is deleted; run: awsvault add dev --replace' == reply["error"]["line"]

    run(scenario)


def test_a_key_that_was_made_active_in_the_console_can_be_revoked_again(
    desk: Office, fake: FakeAws, key: AccessKey
) -> None:
    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        await desk.ask("revoke", profile="dev", sessions=True)
        key.status = "Active"
        del key.user.policies[DENIAL]
        reply = await desk.ask("revoke", profile="dev", sessions=True)
        assert (0, "Inactive", True) == (reply["failed"], key.status, DENIAL in key.user.policies)

    run(scenario)


# --- the disk and the audit


class FullDisk:
    """Every save but the first `good` ones fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.good = 1_000
        real = LocalStore.save

        def save(store: LocalStore, *arguments: Any, **options: Any) -> str:
            self.good -= 1
            if self.good < 0:
                raise StorageFailed("the disk is full")
            return real(store, *arguments, **options)

        monkeypatch.setattr(LocalStore, "save", save)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FullDisk:
    return FullDisk(monkeypatch)


def test_what_the_vault_cannot_know_is_not_done(desk: Office, key: AccessKey, disk: FullDisk) -> None:
    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        disk.good = 0
        assert "storage-failed" == code(await desk.ask("revoke", profile="dev"))
        assert ([], "Active") == (desk.changes(), key.status)
        assert "ok" == code(await desk.ask("get", profile="dev"))

    run(scenario)


def test_what_was_done_and_not_written_down_is_looked_at_again(
    desk: Office, key: AccessKey, disk: FullDisk
) -> None:
    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        disk.good = 1
        reply = await desk.ask("revoke", profile="dev")
        assert ["what was done could not be written down: the disk is full"] == reply["notes"]
        assert (0, "Inactive") == (reply["failed"], key.status)
        disk.good = 1_000
        after = await desk.again().unlock()
        assert "revoked" == await after.status()

    run(scenario)


@pytest.mark.parametrize("good", [0, 1])
def test_no_full_disk_holds_up_a_panic(desk: Office, key: AccessKey, disk: FullDisk, good: int) -> None:
    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        disk.good = good
        reply = await desk.ask("panic")
        assert (0, "Inactive") == (reply["failed"], key.status)
        assert [
            "the vault could not be saved: the disk is full; the next unlock does not know of it"
        ] == reply["notes"]
        assert ["panic"] == desk.locks

    run(scenario)


def test_no_hanging_disk_holds_up_a_panic(
    desk: Office, key: AccessKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setattr(revocation_ops, "SAVE_PATIENCE_S", 0.05)
    monkeypatch.setattr(revoker, "NOTE_PATIENCE_S", 0.05)

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        monkeypatch.setattr(LocalStore, "save", lambda *_, **__: gate.wait())
        reply = await desk.ask("panic")
        assert (0, "Inactive") == (reply["failed"], key.status)
        assert "the disk does not answer" in reply["notes"][0]
        gate.open()

    run(scenario)


@pytest.mark.parametrize("op", ["revoke", "panic"])
def test_neither_waits_for_the_audit_nor_fails_for_it(
    desk: Office, key: AccessKey, op: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"profile": "dev"} if op == "revoke" else {}

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        (desk.home / "audit.jsonl").unlink()
        (desk.home / "audit.jsonl").mkdir()
        monkeypatch.setattr(desk.service.audit, "sync", lambda: asyncio.Event().wait())
        reply = await asyncio.wait_for(desk.ask(op, **fields), 10)
        assert (0, "Inactive") == (reply["failed"], key.status)

    run(scenario)


def test_the_audit_says_what_became_of_each_key(desk: Office, key: AccessKey) -> None:
    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        await desk.ask("revoke", profile="dev")
        line = desk.audit()[-1]
        assert ("revoke", "dev", "ok") == (line["op"], line["profile"], line["verdict"])
        assert {key.access_key_id: "inactive"} == line["keys"]

    run(scenario)


def test_what_is_done_is_written_down_before_a_key_ends_itself(
    desk: Office, fake: FakeAws, key: AccessKey
) -> None:
    """After a crash right then the key could not ask any more whether its user's sessions are denied."""
    gate = Gate()

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        fake.fault(Fault.hold_reply(gate), action="UpdateAccessKey")
        revoking = await under_way(gate, desk.ask("revoke", profile="dev", sessions=True))
        after = await desk.again().unlock()
        assert ("revoked", "Inactive") == (await after.status(), key.status)
        gate.open()
        await revoking

    run(scenario)


# --- panic


def test_a_panic_ends_all_keys_of_all_users_denies_their_sessions_and_locks(
    desk: Office, fake: FakeAws, key: AccessKey, ops: AccessKey
) -> None:
    second = fake.add_key(key.user)
    unverified = fake.add_key(fake.add_user("carol"))

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        await desk.add("dev2", second)
        await desk.add("ops", ops)
        await desk.add("carol", unverified, verify=False)
        await desk.ask("get", profile="dev")
        reply = await desk.ask("panic")
        assert (0, []) == (reply["failed"], reply["sessions"])
        assert ["carol", "dev", "dev2", "ops"] == [found["profile"] for found in reply["profiles"]]
        assert {"Inactive"} == {found.status for found in fake.world.keys.values()}
        assert all(DENIAL in user.policies for user in fake.world.users)
        assert 3 == desk.changes().count("PutUserPolicy"), "one a user"
        assert (["panic"], True) == (desk.locks, desk.service.draining)
        after = await desk.again().unlock()
        assert "refused" == code(await after.ask("get", profile="dev"))

    run(scenario)


def test_a_panic_may_leave_sessions_alive_and_names_them(desk: Office, key: AccessKey) -> None:
    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        await desk.ask("get", profile="dev")
        reply = await desk.ask("panic", sessions=False)
        assert ([("dev", "session")], 0) == (
            [(found["profile"], found["kind"]) for found in reply["sessions"]],
            reply["failed"],
        )
        assert ["UpdateAccessKey"] == desk.changes()

    run(scenario)


def test_from_the_first_moment_of_a_panic_nothing_is_served(
    desk: Office, fake: FakeAws, key: AccessKey
) -> None:
    gate, slow = Gate(), Gate()
    fake.add_role("admin", key.user)

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        await desk.ask(
            "add_role",
            profile="admin",
            source="dev",
            role_arn="arn:aws:iam::123456789012:role/admin",
            verify=False,
        )
        fake.fault(Fault.hold(slow), action="AssumeRole")
        fake.fault(Fault.hold(gate), action="PutUserPolicy")
        waiting = await under_way(slow, desk.ask("get", profile="admin"))
        panicking = await under_way(gate, desk.ask("panic"))
        assert "locked" == code(await waiting), "although it asked before"
        for op, fields in {
            "get": {"profile": "dev"},
            "console": {"profile": "dev"},
            "panic": {},
            "list": {},
        }.items():
            assert "locked" == code(await desk.ask(op, **fields)), op
        assert "ok" == code(await desk.ask("lock"))
        assert [] == desk.locks, "a lock comes when the panic is over"
        slow.open()
        gate.open()
        assert 0 == (await panicking)["failed"]
        assert ["panic"] == desk.locks

    run(scenario)


def test_nothing_is_added_while_a_panic_is_at_work(desk: Office, fake: FakeAws, key: AccessKey) -> None:
    """It would be a key that the panic did not see."""
    asks, denies = Gate(), Gate()
    late = fake.add_key(key.user)

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        fake.fault(Fault.hold(asks), action="GetCallerIdentity")
        fake.fault(Fault.hold(denies), action="PutUserPolicy")
        given = {"access_key_id": late.access_key_id, "secret_access_key": late.secret, "serve": "key"}
        adding = await under_way(asks, desk.ask("add", profile="late", **given))
        panicking = await under_way(denies, desk.ask("panic"))
        asks.open()
        assert "locked" == code(await adding)
        denies.open()
        await panicking

    run(scenario)


def test_a_panic_goes_on_past_failures_and_says_what_is_left(
    desk: Office, fake: FakeAws, key: AccessKey, ops: AccessKey
) -> None:
    fake.deny(key.user, "iam:UpdateAccessKey")

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        await desk.add("ops", ops)
        reply = await desk.ask("panic")
        assert (1, "Active", "Inactive") == (reply["failed"], key.status, ops.status)
        missing = {found["profile"]: found["missing"] for found in reply["profiles"]}
        assert missing["ops"] is None
        assert "iam:UpdateAccessKey" in missing["dev"]
        await desk.service.reminding.settle()
        locked = desk.again()
        assert [("dev", "revocation-open")] == [
            (item["profile"], item["what"]) for item in (await locked.ask("due"))["items"]
        ]
        fake.allow(key.user, "iam:UpdateAccessKey")
        after = await locked.unlock()
        assert ("Inactive", "revoked") == (key.status, await after.status())

    run(scenario)


def test_an_unreachable_aws_is_asked_again_and_nothing_is_served_meanwhile(
    desk: Office, fake: FakeAws, key: AccessKey
) -> None:
    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        fake.fault(Fault.reset(), times=4)
        assert 1 == (await desk.ask("panic"))["failed"]
        after = await desk.again().unlock()
        assert "revoking" == await after.status()
        assert "refused" == code(await after.ask("get", profile="dev"))
        for seconds, status in ((14, "revoking"), (2, "revoked")):
            after.booted += seconds
            after.service.revoker.look()
            await after.settled()
            assert status == await after.status()
        assert "Inactive" == key.status

    run(scenario)


def test_a_panic_is_over_in_time_whatever_aws_does(
    desk: Office, fake: FakeAws, key: AccessKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setattr(revocation_ops, "PANIC_PATIENCE_S", 0.1)

    async def scenario() -> None:
        await (await desk.opened()).add("dev", key)
        fake.fault(Fault.hold(gate), action="PutUserPolicy")
        reply = await desk.ask("panic")
        assert "AWS has not answered yet" == reply["profiles"][0]["missing"]
        assert ["panic"] == desk.locks
        gate.open()
        await asyncio.to_thread(desk.service.revoker._threads.shutdown)

    run(scenario)


def test_fifty_keys_are_revoked_in_ten_seconds_although_every_answer_takes_a_while(
    desk: Office, fake: FakeAws
) -> None:
    keys = [fake.add_key(fake.add_user(f"user{number}")) for number in range(50)]

    async def scenario() -> None:
        await desk.opened()
        await desk.service.save(lambda _: Body({str(key.user.name): of_key(key) for key in keys}))
        fake.pace.answer_s = 0.2
        begun = time.monotonic()
        reply = await desk.ask("panic")
        took = time.monotonic() - begun
        assert (50, 0) == (len(reply["profiles"]), reply["failed"])
        assert {"Inactive"} == {key.status for key in fake.world.keys.values()}
        assert took <= 10, took

    run(scenario)
