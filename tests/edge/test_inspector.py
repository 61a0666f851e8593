# SPDX-License-Identifier: Apache-2.0
"""AWS is asked about each key at most once a day, in nobody's way, and what it says becomes a reminder."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.edge.desk import PASSPHRASE, Desk, code
from tests.fake_aws import AccessKey, FakeAws, Fault, Gate, LastUse
from vaultd.core.keys import Key
from vaultd.core.policy import LockSettings, Settings
from vaultd.core.records import KeyProfile
from vaultd.core.secret import Secret
from vaultd.edge.aws import Aws
from vaultd.edge.inspector import PAUSE_S, SETTLE_S
from vaultd.wire.errors import StorageFailed

DAY = 24.0  # hours
HOUR = timedelta(hours=1)
SETTLED = SETTLE_S / 3_600
ASKS = "GetAccessKeyLastUsed"


@pytest.fixture
def aws(fake: FakeAws) -> FakeAws:
    return fake


@pytest.fixture
def desk(tmp_path: Path, shared: tuple[FakeAws, Aws]) -> Desk:
    now = datetime.now(UTC).replace(microsecond=0)  # the stand-in's
    return Desk(tmp_path, Settings(lock=LockSettings(idle=0, max=0)), now, shared_aws=shared[1])


async def add(desk: Desk, aws: FakeAws, *names: str, verified: bool = True) -> list[AccessKey]:
    """A user of each name, and the profile of his key."""
    keys = [aws.add_key(aws.add_user(name)) for name in names]
    for name, key in zip(names, keys, strict=True):
        await keep(desk, name, key, verified=verified)
    return keys


async def keep(desk: Desk, name: str, key: AccessKey, *, verified: bool = True) -> None:
    """As `add` does it; AWS is asked about that by other tests."""
    kept = Key(key.access_key_id, Secret(key.secret), desk.now, desk.now)
    verified_at = desk.now if verified else None
    facts: Any = {"region": None, "mfa_serial": None, "verified_at": verified_at, "last_used_at": None}
    profile = KeyProfile(name, kept, "session", "aws", key.user.account, key.user.arn, **facts)
    await desk.service.save(lambda body: body.with_profile(profile))


async def pass_time(desk: Desk, *, ticks: int = 1, hours: float = 0.0) -> None:
    for _ in range(ticks):
        await desk.tick(hours=hours)


def asked(aws: FakeAws) -> list[str]:
    """The keys that AWS was asked about."""
    return [str(call.target) for call in aws.calls(ASKS)]


async def due(desk: Desk) -> list[tuple[str, str]]:
    return [(item["profile"], item["what"]) for item in (await desk.ask("due"))["items"]]


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    lines = [line.removeprefix("vaultd: ") for line in capsys.readouterr().err.splitlines()]
    return [line for line in lines if not line.startswith("reminder: ")]


def test_nobody_is_asked_right_after_an_unlock(desk: Desk, aws: FakeAws) -> None:
    """First come the programs that waited for it."""

    async def scenario() -> None:
        await add(await desk.opened(), aws, "dev")
        await pass_time(desk)
        await desk.tick(hours=SETTLED - 0.001)
        assert [] == asked(aws)
        await desk.tick(hours=0.001)
        assert 1 == len(asked(aws))

    asyncio.run(scenario())


def test_one_key_at_a_time_and_each_once_a_day(desk: Desk, aws: FakeAws) -> None:
    async def scenario() -> None:
        keys = await add(await desk.opened(), aws, "a", "b", "c")
        await pass_time(desk)
        await desk.tick(hours=SETTLED)
        for number in (1, 2, 3):
            assert number == len(asked(aws))
            await desk.tick(hours=0.002)
        await pass_time(desk, ticks=22, hours=1)
        assert sorted(asked(aws)) == sorted(key.access_key_id for key in keys)
        await pass_time(desk, ticks=6, hours=1)
        assert sorted(asked(aws)) == sorted(2 * [key.access_key_id for key in keys])

    asyncio.run(scenario())


def test_a_lock_does_not_make_anybody_ask_again(desk: Desk, aws: FakeAws) -> None:
    async def scenario() -> None:
        await add(await desk.opened(), aws, "dev")
        await pass_time(desk)
        await desk.tick(hours=SETTLED)
        assert 1 == len(asked(aws))
        for _ in range(3):
            desk_after = desk.relocked()
            await desk_after.ask("unlock", passphrase="correct horse battery")
            await pass_time(desk_after, ticks=5, hours=1)
        assert 1 == len(asked(aws))

    asyncio.run(scenario())


def test_what_a_key_was_used_for_is_shown_and_outlives_a_lock(desk: Desk, aws: FakeAws) -> None:
    async def scenario() -> None:
        (key,) = await add(await desk.opened(), aws, "dev")
        key.last_use = LastUse("iam", "us-east-1", desk.now - HOUR)
        await pass_time(desk)
        await desk.tick(hours=SETTLED)
        assert "iam" == (await desk.ask("show", profile="dev"))["profile"]["used_in_aws_for"]
        after = desk.relocked()
        await after.ask("unlock", passphrase="correct horse battery")
        assert "iam" == (await after.ask("show", profile="dev"))["profile"]["used_in_aws_for"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("days_ago", "expected"),
    [(None, [("dev", "unused")]), (44, []), (46, [("dev", "unused")])],
    ids=["never used", "used lately", "used long ago"],
)
def test_a_key_that_nothing_uses_is_asked_about(
    desk: Desk, aws: FakeAws, days_ago: int | None, expected: list[tuple[str, str]]
) -> None:
    async def scenario() -> None:
        (key,) = await add(await desk.opened(), aws, "dev")
        await pass_time(desk)
        key.last_use = None
        if days_ago is not None:
            key.last_use = LastUse("s3", "eu-west-1", desk.now + timedelta(days=60 - days_ago))
        await pass_time(desk, ticks=2, hours=30 * DAY)
        assert expected == await due(desk)

    asyncio.run(scenario())


def test_a_key_in_quarantine_is_due_at_once_and_until_it_is_out(desk: Desk, aws: FakeAws) -> None:
    async def scenario() -> None:
        (key,) = await add(await desk.opened(), aws, "dev")
        await pass_time(desk)
        await desk.tick(hours=SETTLED)
        assert [] == await due(desk)
        aws.quarantine(key.user)
        await desk.tick(hours=DAY)
        first_seen = desk.now
        assert [("dev", "quarantined")] == await due(desk)
        assert [("dev", "quarantined")] == await due(desk.relocked()), "the agenda says so"
        await desk.tick(hours=DAY)
        (item,) = (await desk.ask("due"))["items"]
        assert (f"{first_seen:%Y-%m-%dT%H:%M:%SZ}", True) == (item["since"], item["urgent"])
        aws.deny(key.user, "iam:ListAttachedUserPolicies")
        await desk.tick(hours=DAY)
        assert [("dev", "quarantined")] == await due(desk), "not seen is not gone"
        aws.allow(key.user, "iam:ListAttachedUserPolicies")
        key.user.attached.clear()
        await desk.tick(hours=DAY)
        assert [] == await due(desk)

    asyncio.run(scenario())


def test_what_may_not_be_asked_stays_unknown_in_silence(
    desk: Desk, aws: FakeAws, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        (key,) = await add(await desk.opened(), aws, "dev")
        aws.deny(key.user, f"iam:{ASKS}", "iam:ListAttachedUserPolicies")
        await pass_time(desk)
        await pass_time(desk, ticks=48, hours=1)
        assert 2 == len(asked(aws))
        assert [] == said(capsys)

    asyncio.run(scenario())


@pytest.mark.parametrize("action", [ASKS, "ListAttachedUserPolicies"])
def test_an_aws_out_of_reach_is_left_alone_for_an_hour_and_mentioned_once(
    desk: Desk, aws: FakeAws, action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def tries() -> int:
        return len(aws.calls(action))

    async def scenario() -> None:
        await add(await desk.opened(), aws, "dev")
        aws.fault(Fault.unavailable(), action=action, times=2)
        await pass_time(desk)
        await desk.tick(hours=SETTLED)
        tried = tries()
        await pass_time(desk, ticks=5, hours=0.1)
        assert tried == tries()
        await desk.tick(hours=PAUSE_S / 3_600)
        assert 2 * tried == tries()
        (line,) = said(capsys)
        assert line.startswith("AWS does not say when keys were used: ")
        await pass_time(desk, ticks=2, hours=1)
        assert [] == said(capsys)
        await pass_time(desk, ticks=4, hours=1)
        assert 2 * tried + 1 == tries(), "answered: that is enough for a day"

    asyncio.run(scenario())


def test_an_answer_that_is_none_of_awss_counts_as_one_for_the_day(
    desk: Desk, aws: FakeAws, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        await add(await desk.opened(), aws, "dev")
        aws.fault(Fault.refuse(400, "InvalidAction", "no such thing here"), action=ASKS, times=2)
        await pass_time(desk)
        await pass_time(desk, ticks=20, hours=1)
        assert (1, 1) == (len(asked(aws)), len(said(capsys)))
        await desk.tick(hours=60 * DAY)
        assert "unused" not in {what for _, what in await due(desk)}, "nobody knows"

    asyncio.run(scenario())


def test_a_key_that_its_owner_kept_from_aws_is_not_asked_about(desk: Desk, aws: FakeAws) -> None:
    async def scenario() -> None:
        await add(await desk.opened(), aws, "dev", verified=False)
        await pass_time(desk)
        await pass_time(desk, ticks=30, hours=1)
        assert [] == aws.calls()

    asyncio.run(scenario())


def test_profiles_of_one_key_are_one_question(desk: Desk, aws: FakeAws) -> None:
    async def scenario() -> None:
        (key,) = await add(await desk.opened(), aws, "dev")
        await keep(desk, "same", key)
        await pass_time(desk)
        await pass_time(desk, ticks=10, hours=0.1)
        assert 1 == len(asked(aws))
        await desk.tick(hours=50 * DAY)
        await desk.tick()
        assert [("dev", "unused"), ("same", "unused")] == await due(desk)

    asyncio.run(scenario())


def test_a_replaced_key_is_another_question(desk: Desk, aws: FakeAws) -> None:
    async def scenario() -> None:
        (old,) = await add(await desk.opened(), aws, "dev")
        await pass_time(desk)
        await desk.tick(hours=SETTLED)
        new = aws.add_key(old.user)
        await keep(desk, "dev", new)
        await pass_time(desk, ticks=3, hours=0.1)
        assert [old.access_key_id, new.access_key_id] == asked(aws)

    asyncio.run(scenario())


def test_a_root_key_has_no_user_with_policies(desk: Desk, aws: FakeAws) -> None:
    async def scenario() -> None:
        await desk.opened()
        await keep(desk, "root", aws.add_key(aws.add_root()))
        await pass_time(desk)
        await desk.tick(hours=SETTLED)
        assert [ASKS] == [call.action for call in aws.calls()]
        assert [("root", "root-key")] == await due(desk)

    asyncio.run(scenario())


def test_an_answer_that_is_late_holds_nobody_up_and_after_a_lock_is_for_nobody(
    desk: Desk, aws: FakeAws
) -> None:
    async def scenario() -> None:
        await add(await desk.opened(), aws, "dev", "prod")
        gate = Gate()
        aws.fault(Fault.hold(gate), action=ASKS)
        await pass_time(desk)
        desk.booted += SETTLE_S
        await desk.service.reminding.tick()
        assert await asyncio.to_thread(gate.arrived.acquire, timeout=10)
        assert "ok" == code(await desk.ask("list"))
        inspector = desk.service.reminding._inspector
        asking = inspector._asking
        desk.booted += 3_600
        await desk.service.reminding.tick()
        assert asking is inspector._asking, "one question at a time"
        assert asking
        desk.service.lock("test")
        aws.open_gates()
        await asking
        assert {} == inspector.facts

    asyncio.run(scenario())


def test_answers_come_through_a_lock_as_they_were(desk: Desk, aws: FakeAws) -> None:
    async def scenario() -> None:
        used, leaked = await add(await desk.opened(), aws, "used", "leaked")
        used.last_use = LastUse("s3", "eu-west-1", datetime(2026, 2, 3, tzinfo=UTC))
        aws.quarantine(leaked.user)
        await pass_time(desk)
        await pass_time(desk, ticks=3, hours=0.1)
        facts = desk.service.reminding._inspector.facts
        assert {used.access_key_id, leaked.access_key_id} == facts.keys()
        assert facts == desk.relocked().service.reminding._inspector.facts

    asyncio.run(scenario())


LAPTOP = "laptop.example:0123abcd"


def rotates_there(aws: FakeAws, desk: Desk, key: AccessKey, host: str = LAPTOP) -> AccessKey:
    """What another machine does first: the tag, and a new key."""
    key.user.tags["awsvault-rotation"] = f"{'0' * 16} {host} {desk.now + HOUR:%Y-%m-%dT%H:%M:%SZ}"
    new = aws.add_key(key.user)
    new.created_at = desk.now + HOUR
    return new


async def left_behind(desk: Desk, *, hours: float = DAY + SETTLED) -> list[str]:
    await pass_time(desk, hours=hours, ticks=2)
    items = (await desk.ask("due"))["items"]
    return [item["text"] for item in items if item["what"] == "left-behind"]


def test_a_copy_of_the_vault_on_another_machine_learns_that_it_was_left_behind(
    desk: Desk, aws: FakeAws
) -> None:
    async def scenario() -> None:
        (key,) = await add(await desk.opened(), aws, "dev")
        rotates_there(aws, desk, key, desk.service.rotator.start.host)
        assert [] == await left_behind(desk)
        rotates_there(aws, desk, key)
        (text,) = await left_behind(desk)
        assert text.startswith("laptop.example began to rotate the key on ")
        after = desk.relocked()
        assert "left-behind" in {item["what"] for item in (await after.ask("due"))["items"]}
        assert key.access_key_id == desk.service.keeper.body.key_profile("dev").key.access_key_id
        aws.remove_key(key)
        assert [text] == await left_behind(desk), "nobody can see it any more"

    asyncio.run(scenario())


@pytest.mark.parametrize("became", ["not made", "inactive", "older"])
def test_a_rotation_there_that_came_to_nothing_leaves_nobody_behind(
    desk: Desk, aws: FakeAws, became: str
) -> None:
    """It was refused, rolled back before its promotion or after; or the other key has nothing to do with it."""

    async def scenario() -> None:
        (key,) = await add(await desk.opened(), aws, "dev")
        new = rotates_there(aws, desk, key)
        match became:
            case "not made":
                aws.remove_key(new)
            case "inactive":
                new.status = "Inactive"
            case _:
                new.created_at = desk.now - HOUR
        assert [] == await left_behind(desk)
        if became != "not made":
            aws.deny(key.user, "iam:ListAccessKeys")
            assert 1 == len(await left_behind(desk)), "what is not known is said as far as it is"

    asyncio.run(scenario())


# --- our own questions, which AWS counts as uses


@pytest.fixture
def months(tmp_path: Path, aws: FakeAws, shared: tuple[FakeAws, Aws]) -> Desk:
    """One clock for both sides."""
    aws.tolerates_skew = True  # botocore signs with the real one
    now = datetime.now(UTC).replace(microsecond=0)
    return Desk(tmp_path, Settings(lock=LockSettings(idle=0, max=0)), now, shared_aws=shared[1], fake=aws)


async def days(desk: Desk, count: int, *, restarts: bool) -> Desk:
    """Each with a look at AWS in the morning; `restarts`: the machine is switched off at night."""
    for _ in range(count):
        if restarts:
            desk = restarted(desk)
            assert "ok" == code(await desk.ask("unlock", passphrase=PASSPHRASE))
            desk.service.use_settings(desk.settings)  # as no config.toml says
        await desk.tick(hours=12)
        await pass_time(desk, ticks=3, hours=2 * SETTLED)
        await desk.tick(hours=12 - 6 * SETTLED)
    return desk


def restarted(desk: Desk) -> Desk:
    """Nothing goes over but the files."""
    desk.end()
    return Desk(desk.home, desk.settings, desk.now, desk.booted, shared_aws=desk.shared_aws, fake=desk.fake)


async def unused(desk: Desk) -> bool:
    return ("dev", "unused") in await due(desk)


def somebody_uses(aws: FakeAws, desk: Desk, key: AccessKey, service: str) -> None:
    aws.world.keys[key.access_key_id].uses.append(LastUse(service, "us-east-1", desk.now))


@pytest.mark.parametrize("restarts", [False, True])
def test_our_own_questions_are_no_use_of_a_key(months: Desk, aws: FakeAws, *, restarts: bool) -> None:
    async def scenario() -> None:
        desk = await months.opened()
        await add(desk, aws, "dev")
        desk = await days(desk, 44, restarts=restarts)
        assert not await unused(desk)
        desk = await days(desk, 2, restarts=restarts)
        assert await unused(desk)
        assert None is (await desk.ask("show", profile="dev"))["profile"]["used_in_aws_at"]

    asyncio.run(scenario())


@pytest.mark.parametrize("service", ["s3", "iam", "sts"])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_use_by_somebody_counts_for_45_days(
    months: Desk, aws: FakeAws, service: str, *, restarts: bool
) -> None:
    """AWS tells of it once only: the day after, our question is the last use."""

    async def scenario() -> None:
        desk = await months.opened()
        (key,) = await add(desk, aws, "dev")
        desk = await days(desk, 5, restarts=restarts)
        somebody_uses(aws, desk, key, service)
        desk = await days(desk, 44, restarts=restarts)
        assert not await unused(desk)
        desk = await days(desk, 2, restarts=restarts)
        assert await unused(desk)

    asyncio.run(scenario())


@pytest.mark.parametrize("restarts", [False, True])
def test_a_session_that_we_served_is_a_use(months: Desk, aws: FakeAws, *, restarts: bool) -> None:
    async def scenario() -> None:
        desk = await months.opened()
        await add(desk, aws, "dev")
        desk = await days(desk, 5, restarts=restarts)
        assert "AccessKeyId" in await desk.ask("get", profile="dev")
        desk = await days(desk, 44, restarts=restarts)
        assert not await unused(desk)
        desk = await days(desk, 2, restarts=restarts)
        assert await unused(desk)

    asyncio.run(scenario())


def test_a_day_without_a_moment_to_keep_what_was_learnt_is_no_use(months: Desk, aws: FakeAws) -> None:
    """One look a day: there is always a key to ask about."""

    async def scenario() -> None:
        desk = await months.opened()
        await add(desk, aws, "dev")
        await desk.tick()
        await pass_time(desk, ticks=44, hours=DAY)
        assert not await unused(desk)
        await pass_time(desk, ticks=2, hours=DAY)
        assert await unused(desk)

    asyncio.run(scenario())


def test_what_was_learnt_is_kept_once_a_day_without_a_backup(months: Desk, aws: FakeAws) -> None:
    async def scenario() -> None:
        desk = await months.opened()
        await add(desk, aws, "a", "b", "c")
        await desk.tick()

        def kept() -> tuple[int, int]:
            vault = desk.service.keeper.vault
            return vault.envelope.generation, len(list((desk.home / "backups").iterdir()))

        before, backups = kept()
        await pass_time(desk, ticks=40, hours=1)
        assert (before + 2, backups) == kept()

    asyncio.run(scenario())


def test_a_disk_that_is_full_is_left_alone_for_an_hour_and_mentioned_once(
    months: Desk, aws: FakeAws, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        desk = await months.opened()
        await add(desk, aws, "dev")
        await desk.tick()
        tries = []

        def full(*_args: object, **_kwargs: object) -> str:
            tries.append(desk.now)
            raise StorageFailed("the disk is full", hint="make room")

        store: Any = desk.service.keeper._store
        save, store.save = store.save, full
        await pass_time(desk, ticks=10, hours=0.1)
        assert 1 == len(tries)
        await desk.tick(hours=1)
        assert (2, 1) == (len(tries), len(said(capsys)))
        store.save = save
        await desk.tick(hours=1.1)
        assert (2, []) == (len(tries), said(capsys))
        assert desk.now - HOUR > (desk.service.keeper.body.key_profile("dev").verified_at or desk.now)

    asyncio.run(scenario())
