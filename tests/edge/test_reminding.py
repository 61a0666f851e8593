# SPDX-License-Identifier: Apache-2.0
"""What is due is known from the open vault, and while it is locked from an agenda that nobody has to trust."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.edge.desk import KEY, PASSPHRASE, Desk, code
from vaultd.core import agenda
from vaultd.core.policy import AwsSettings, ReminderSettings, RotationSettings, Settings
from vaultd.core.records import Body
from vaultd.edge.aws import Aws
from vaultd.wire.errors import Locked

DAY = 24.0  # hours


def never_locks(**changes: Any) -> Settings:
    usual = Settings()
    return replace(usual, lock=replace(usual.lock, idle=0, max=0), **changes)


@pytest.fixture(scope="module")
def aws() -> Aws:
    """Which nobody asks anything."""
    return Aws(AwsSettings())


@pytest.fixture
def desk(tmp_path: Path, aws: Aws) -> Desk:
    return Desk(tmp_path, never_locks(), shared_aws=aws)


async def relocked(desk: Desk) -> Desk:
    """The image after a lock, which ends what this one has begun."""
    await desk.service.reminding.settle()
    return desk.relocked()


async def add(desk: Desk, *names: str) -> None:
    for name in names:
        assert "ok" == code(await desk.ask("add", profile=name, verify=False, serve="key", **KEY))


async def due(desk: Desk) -> Any:
    """What is due by name, or why nobody can tell."""
    reply = await desk.ask("due")
    return [(item["profile"], item["what"]) for item in reply["items"]] if "items" in reply else code(reply)


def file(desk: Desk) -> Path:
    return desk.home / "agenda.json"


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.removeprefix("vaultd: ") for line in capsys.readouterr().err.splitlines()]


# --- what is due


def test_what_is_due_comes_with_its_date_words_and_command(desk: Desk) -> None:
    async def scenario() -> None:
        await add(await desk.opened(), "dev")
        assert [] == await due(desk)
        await desk.tick(hours=80 * DAY)
        assert {
            "ok": True,
            "items": [
                {
                    "profile": "dev",
                    "what": "rotate-due",
                    "since": "2027-02-08T12:00:00Z",
                    "by": "2027-02-22T12:00:00Z",
                    "urgent": False,
                    "text": "the key is to be rotated by 2027-02-22 (10 days left)",
                    "command": "awsvault rotate dev",
                }
            ],
        } == await desk.ask("due")
        assert "due" == (await desk.ask("list"))["profiles"][0]["status"]

    asyncio.run(scenario())


def test_a_locked_vault_knows_what_is_due(desk: Desk) -> None:
    """All dates are worked out ahead: what was not due at the lock comes to be due while locked."""

    async def scenario() -> None:
        await add(await desk.opened(), "dev", "prod")
        locked = await relocked(desk)
        assert [] == await due(locked)
        await locked.tick(hours=76 * DAY)
        assert [("dev", "rotate-due"), ("prod", "rotate-due")] == await due(locked)
        await locked.tick(hours=14 * DAY)
        assert [("dev", "rotate-overdue"), ("prod", "rotate-overdue")] == await due(locked)

    asyncio.run(scenario())


def test_a_clock_that_was_wrong_leaves_nothing_behind(desk: Desk) -> None:
    async def scenario() -> None:
        await add(await desk.opened(), "dev")
        await desk.tick(hours=400 * DAY)
        assert [("dev", "rotate-overdue")] == await due(desk)
        await desk.tick(hours=-400 * DAY)
        assert [] == await due(desk)
        assert [] == await due(await relocked(desk))

    asyncio.run(scenario())


def test_without_a_vault_nothing_is_due_whatever_an_agenda_says(desk: Desk) -> None:
    file(desk).write_bytes(agenda.encode([]))
    assert "no-vault" == asyncio.run(due(desk))


def test_other_ages_count_as_soon_as_the_settings_say_so(desk: Desk) -> None:
    async def scenario() -> None:
        await add(await desk.opened(), "dev")
        await desk.tick(hours=20 * DAY)
        desk.service.use_settings(never_locks(rotation=RotationSettings(max_age=30 * 86_400)))
        assert [("dev", "rotate-due")] == await due(desk)

    asyncio.run(scenario())


# --- the agenda


def test_the_agenda_follows_every_change_and_is_ours_alone(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        for op, fields, names in (
            ("add", {"profile": "dev", "verify": False, "serve": "key", **KEY}, ["dev"]),
            ("add", {"profile": "prod", "verify": False, "serve": "key", **KEY}, ["dev", "prod"]),
            ("remove", {"profile": "dev"}, ["prod"]),
        ):
            assert "ok" == code(await desk.ask(op, **fields))
            await desk.service.reminding.settle()  # as the end of this image does
            assert names == [entry.profile for entry in agenda.decode(file(desk).read_bytes())]
        assert 0o600 == file(desk).stat().st_mode & 0o777

    asyncio.run(scenario())


def test_the_agenda_is_not_written_again_for_nothing(desk: Desk) -> None:
    async def scenario() -> None:
        await add(await desk.opened(), "dev")
        await desk.tick()
        before = file(desk).stat()
        for op, fields in (
            ("list", {}),
            ("get", {"profile": "dev"}),
            ("edit", {"profile": "dev", "changes": {"region": "eu-west-1"}}),
        ):
            await desk.ask(op, **fields)
            await desk.tick(hours=2)
        fresh = await relocked(desk)
        await fresh.ask("unlock", passphrase=PASSPHRASE)
        await fresh.tick()
        after = file(desk).stat()
        assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)

    asyncio.run(scenario())


def test_a_person_may_want_no_agenda(desk: Desk) -> None:
    async def scenario() -> None:
        await add(await desk.opened(), "dev")
        await desk.tick(hours=100 * DAY)
        assert file(desk).exists()
        desk.service.use_settings(never_locks(reminders=ReminderSettings(while_locked=False)))
        await desk.tick()
        assert not file(desk).exists()
        assert [("dev", "rotate-overdue")] == await due(desk)
        locked = await relocked(desk)
        locked.service.use_settings(desk.service.settings)
        file(desk).write_bytes(agenda.encode([]))
        assert "locked" == await due(locked)
        assert not file(desk).exists(), "an agenda from before goes"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text("{"),
        lambda path: path.write_text('{"agenda":1,"entries":[["$(reboot)","unused",1,null,null]]}'),
        lambda path: path.write_bytes(b" " * (agenda.MAX_BYTES + 1)),
        lambda path: (path.rename(path.with_name("elsewhere")), path.symlink_to("elsewhere")),
        lambda path: (path.unlink(), os.mkfifo(path)),  # type: ignore[func-returns-value]  # wanted for what they do
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: os.chown(path, 65533, 65533) if os.getuid() == 0 else path.write_text(""),
    ],
    ids=["no JSON", "no name", "too long", "a link", "a fifo", "a directory", "somebody else's"],
)
def test_an_odd_agenda_is_ignored_with_one_line(
    desk: Desk, spoil: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        await add(await desk.opened(), "dev")
        await desk.tick()
        locked = await relocked(desk)
        spoil(file(desk))
        capsys.readouterr()
        for _ in range(3):
            await locked.tick(hours=40 * DAY)
            assert "locked" == await due(locked)
        (line,) = said(capsys)
        assert line.startswith("the agenda is ignored until the next unlock (")
        assert "reboot" not in line

    asyncio.run(scenario())


def test_an_agenda_that_is_missing_is_no_news(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        await desk.opened()
        await desk.service.reminding.settle()
        file(desk).unlink()
        locked = await relocked(desk)
        await locked.tick()
        assert "locked" == await due(locked)
        assert [] == said(capsys)

    asyncio.run(scenario())


def test_what_changes_while_an_agenda_cannot_be_written_counts(desk: Desk) -> None:
    def max_age(days: int) -> None:
        settings = desk.service.settings
        desk.service.settings = replace(settings, rotation=RotationSettings(max_age=days * 86_400))

    async def scenario() -> None:
        file(desk).mkdir()
        await add(await desk.opened(), "dev")
        desk.now += timedelta(days=2)
        reminding = desk.service.reminding
        await reminding.settle()
        max_age(60)
        reminding.look()
        await asyncio.sleep(0)  # that is being worked out now
        max_age(1)
        assert [("dev", "rotate-overdue")] == await due(desk)

    asyncio.run(scenario())


def test_an_agenda_that_cannot_be_written_fails_nothing(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        file(desk).mkdir()
        await add(await desk.opened(), "dev", "prod")
        await desk.tick(hours=100 * DAY)
        assert [("dev", "rotate-overdue"), ("prod", "rotate-overdue")] == await due(desk)
        lines = [line for line in said(capsys) if "agenda" in line]
        assert 1 == len(lines)
        file(desk).rmdir()
        await desk.tick(hours=2)
        assert file(desk).is_file(), "it is tried again"

    asyncio.run(scenario())


def test_ten_thousand_profiles_do_not_hold_up_the_loop(desk: Desk) -> None:
    """The agenda is worked out in another thread."""
    from tests.vaults import key_profile

    async def scenario() -> None:
        await desk.opened()
        many = Body({f"p{n}": key_profile(f"p{n}", n) for n in range(10_000)})
        await desk.service.keeper.save(lambda _: many, backup=False)
        before = desk.service.reminding._entries
        desk.service.reminding.look()
        assert before is desk.service.reminding._entries
        assert [] == await due(desk)
        assert 10_000 == len(desk.service.reminding._entries)
        assert agenda.MAX_ENTRIES == len(agenda.decode(file(desk).read_bytes()))

    asyncio.run(scenario())


def test_a_lock_wins_over_a_question_under_way(desk: Desk) -> None:
    async def scenario() -> None:
        await add(await desk.opened(), "dev")
        await desk.tick(hours=100 * DAY)
        desk.service.use_settings(never_locks())  # so that there is something to work out
        asked = asyncio.create_task(desk.service.reminding.due())
        await asyncio.sleep(0)
        desk.service.lock("test")
        with pytest.raises(Locked):
            await asked

    asyncio.run(scenario())


# --- snooze


def test_a_snooze_silences_one_profile_also_while_locked(desk: Desk) -> None:
    async def scenario() -> None:
        await add(await desk.opened(), "dev", "prod")
        await desk.tick(hours=80 * DAY)
        reply = await desk.ask("snooze", profile="dev", for_s=7 * 86_400)
        assert {"ok": True, "profile": "dev", "until": "2027-02-19T12:00:00Z"} == reply
        assert [("prod", "rotate-due")] == await due(desk)
        locked = await relocked(desk)
        assert [("prod", "rotate-due")] == await due(locked)
        await locked.tick(hours=7 * DAY)
        assert [("dev", "rotate-due"), ("prod", "rotate-due")] == await due(locked)

    asyncio.run(scenario())


def test_a_snooze_is_ended_by_none(desk: Desk) -> None:
    async def scenario() -> None:
        await add(await desk.opened(), "dev")
        await desk.tick(hours=80 * DAY)
        await desk.ask("snooze", profile="dev", for_s=86_400)
        assert None is (await desk.ask("snooze", profile="dev", for_s=0))["until"]
        assert [("dev", "rotate-due")] == await due(desk)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("profile", "for_s", "expected"),
    [
        ("dev", 365 * 86_400, "ok"),
        ("dev", 365 * 86_400 + 1, "usage"),
        ("dev", -1, "usage"),
        ("nobody", 60, "no-such-profile"),
        ("$(reboot)", 60, "usage"),
        ("admin", 60, "usage"),
    ],
)
def test_a_snooze_has_bounds(desk: Desk, profile: str, for_s: int, expected: str) -> None:
    async def scenario() -> None:
        await add(await desk.opened(), "dev")
        role = {"source": "dev", "role_arn": "arn:aws:iam::123456789012:role/admin", "verify": False}
        await desk.ask("edit", profile="dev", changes={"serve": "session"})
        assert "ok" == code(await desk.ask("add_role", profile="admin", **role))
        assert expected == code(await desk.ask("snooze", profile=profile, for_s=for_s))

    asyncio.run(scenario())


def test_a_snooze_pushes_no_backup_out(desk: Desk) -> None:
    async def scenario() -> None:
        await add(await desk.opened(), "dev")
        before = sorted(path.name for path in (desk.home / "backups").iterdir())
        for hour in range(12):
            assert "ok" == code(await desk.ask("snooze", profile="dev", for_s=3_600 * (hour + 1)))
        assert before == sorted(path.name for path in (desk.home / "backups").iterdir())

    asyncio.run(scenario())


# --- the journal


def test_the_journal_is_told_once_a_day_also_through_locks(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        await add(await desk.opened(), "dev")
        await desk.tick(hours=95 * DAY)
        line = "reminder: dev: the key is overdue for rotation since 2027-02-22 (5 days); run: awsvault rotate dev"
        assert [line] == said(capsys)
        for _ in range(23):
            await desk.tick(hours=1)
        locked = await relocked(desk)
        await locked.tick()
        assert [] == said(capsys)
        await locked.tick(hours=1)
        assert [line.replace("5 days", "6 days")] == said(capsys)

    asyncio.run(scenario())


def test_the_journal_is_not_flooded(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        await add(await desk.opened(), *(f"p{number}" for number in range(8)))
        await desk.tick(hours=95 * DAY)
        lines = said(capsys)
        assert 6 == len(lines)
        assert "reminder: 3 more; run: awsvault due" == lines[-1]

    asyncio.run(scenario())


def test_what_comes_to_be_due_by_itself_is_told_when_it_does(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the tick, although the timer looks at the whole agenda only now and then."""

    async def scenario() -> None:
        await add(await desk.opened(), "dev")
        await desk.tick(hours=76 * DAY - 0.05)
        await desk.tick(hours=0.049)
        assert [] == said(capsys)
        await desk.tick(hours=0.001)
        assert 1 == len(said(capsys))

    asyncio.run(scenario())
