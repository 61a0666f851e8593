# SPDX-License-Identifier: Apache-2.0
"""What is due when: to the second, through snoozes, and whatever the clock does."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.vaults import key_profile
from vaultd.core import canonical, rotation_terms
from vaultd.core.keys import Key
from vaultd.core.policy import RotationSettings, Settings
from vaultd.core.records import Body, KeyProfile
from vaultd.core.reminders import (
    MAX_SNOOZE,
    Entry,
    Facts,
    KeyFacts,
    Reminder,
    agenda,
    due,
    rotate_by,
)
from vaultd.core.revocation import Revocation
from vaultd.core.roles import RoleProfile
from vaultd.core.rotation import PROMOTED, Rotation, State
from vaultd.core.rows import decode, encode
from vaultd.core.secret import Secret
from vaultd.wire.errors import NoSuchProfile, Usage, VaultDamaged

BORN = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
POLICY = RotationSettings()
LAST_MOMENT = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def profile(name: str = "dev", *, born: datetime = BORN, **changes: object) -> KeyProfile:
    made = key_profile(name)
    key = Key(made.key.access_key_id, made.key.secret, born, born)
    return replace(made, key=key, **changes)  # type: ignore[arg-type]  # the fields of a KeyProfile


DEV = profile()
DEV_ID = DEV.key.access_key_id
ASKED = {DEV_ID: KeyFacts()}


def body(*profiles: KeyProfile | RoleProfile) -> Body:
    return Body({p.name: p for p in profiles or (DEV,)})


def whats(
    vault: Body, now: datetime, facts: Facts | None = None, policy: RotationSettings = POLICY
) -> list[str]:
    return [found.what for found in due(agenda(vault, policy, facts or Facts()), now)[0]]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (BORN, []),
        (BORN + 76 * DAY - SECOND, []),
        (BORN + 76 * DAY, ["rotate-due"]),
        (BORN + 90 * DAY - SECOND, ["rotate-due"]),
        (BORN + 90 * DAY, ["rotate-overdue"]),
        (BORN + 900 * DAY, ["rotate-overdue"]),
        (BORN - 900 * DAY, []),
    ],
    ids=["new", "a second before", "due", "a second before overdue", "overdue", "years", "clock set back"],
)
def test_a_key_is_due_two_weeks_ahead_and_overdue_at_ninety_days(now: datetime, expected: list[str]) -> None:
    assert expected == whats(body(), now)


@pytest.mark.parametrize(
    ("max_age", "remind_before", "first_at"),
    [
        (30 * 86_400, 5 * 86_400, 25 * DAY),
        (30 * 86_400, 0, 30 * DAY),
        (30 * 86_400, 60 * 86_400, timedelta(0)),  # always, but not before it is made
    ],
)
def test_the_settings_say_when(max_age: int, remind_before: int, first_at: timedelta) -> None:
    policy = RotationSettings(max_age=max_age, remind_before=remind_before)
    assert [] == whats(body(), BORN + first_at - SECOND, policy=policy)
    assert 1 == len(whats(body(), BORN + first_at, policy=policy))


def test_without_iams_date_age_counts_from_when_it_was_added() -> None:
    added = replace(DEV, key=replace(DEV.key, created_at=None, added_at=BORN + DAY))
    assert ["rotate-due"] == whats(body(added), BORN + 90 * DAY)
    assert ["rotate-overdue"] == whats(body(added), BORN + 91 * DAY)


@pytest.mark.parametrize(
    ("facts", "used_at"),
    [
        (Facts(ASKED), BORN),
        (Facts({DEV_ID: KeyFacts(used_at=BORN + DAY)}), BORN + DAY),
        (Facts(ASKED, {"dev": BORN + 2 * DAY}), BORN + 2 * DAY),
        (Facts({DEV_ID: KeyFacts(used_at=BORN + 3 * DAY)}, {"dev": BORN + DAY}), BORN + 3 * DAY),
        (Facts({DEV_ID: KeyFacts(used_at=BORN - 99 * DAY)}), BORN),
    ],
    ids=["never", "AWS saw it", "we handed it out", "the later of both", "used before it came to us"],
)
def test_a_key_that_nobody_used_for_45_days_is_asked_about(facts: Facts, used_at: datetime) -> None:
    assert [] == whats(body(), used_at + 45 * DAY - SECOND, facts)
    assert ["unused"] == whats(body(), used_at + 45 * DAY, facts)


def test_what_the_vault_knows_of_its_use_counts() -> None:
    used = replace(DEV, last_used_at=BORN + 10 * DAY)
    assert [] == whats(body(used), BORN + 54 * DAY, Facts(ASKED))
    assert ["unused"] == whats(body(used), BORN + 55 * DAY, Facts(ASKED))


def test_nobody_is_told_that_a_key_is_unused_before_aws_was_asked() -> None:
    """It may be in use where we don't see it."""
    assert [] == whats(body(), BORN + 60 * DAY)
    assert [] == whats(body(), BORN + 60 * DAY, Facts({"AKIAIOSFODNN7ANOTHER": KeyFacts()}))


def test_a_root_key_is_due_at_once() -> None:
    root = replace(DEV, arn="arn:aws:iam::123456789012:root")
    assert ["root-key"] == whats(body(root), BORN)


def test_a_quarantined_key_comes_first_and_no_snooze_silences_it() -> None:
    now = BORN + 80 * DAY
    facts = Facts({DEV_ID: KeyFacts(used_at=now, quarantined_at=now)})
    assert ["rotate-due"] == whats(body(), now - SECOND, facts)
    assert ["quarantined", "rotate-due"] == whats(body(), now, facts)
    assert ["quarantined"] == whats(body().with_snooze("dev", now + DAY, now), now, facts)


def test_a_role_has_no_key_that_could_be_due() -> None:
    role = RoleProfile("admin", "dev", "arn:aws:iam::123456789012:role/admin", BORN)
    assert {"dev"} == {entry.profile for entry in agenda(body(DEV, role), POLICY, Facts(ASKED))}


# --- rotations


def rotating(state: State, **facts: object) -> Body:
    new = None if state == "uncertain" else Key("AKIANEW0000000000000", Secret("n" * 40), BORN, BORN)
    promoted_at = BORN if state in PROMOTED else None
    run = Rotation(
        "0123456789abcdef", state, BORN, BORN, "host:00000000", DEV.key, new, promoted_at=promoted_at
    )
    return body().with_rotation("dev", replace(run, **facts))  # type: ignore[arg-type]  # its fields


def test_while_a_key_is_rotated_nobody_is_told_to_rotate_it() -> None:
    assert [] == whats(rotating("grace", since=BORN + 100 * DAY), BORN + 100 * DAY)


def test_a_rotation_that_waits_for_a_person_is_due_at_once() -> None:
    waiting = rotating("uncertain", waits="whose key is it")
    assert ["rotation-open"] == whats(waiting, BORN)
    assert "whose key is it" in due(agenda(waiting, POLICY, Facts()), BORN)[0][0].text(BORN)


@pytest.mark.parametrize(
    ("state", "done_by"),
    [
        ("created", timedelta(0)),
        ("grace", timedelta(hours=36)),
        ("soak", 7 * DAY),
        ("deleting", timedelta(0)),
    ],
)
def test_a_rotation_whose_step_was_not_done_an_hour_later_is_due(state: State, done_by: timedelta) -> None:
    """A locked daemon does none; and no grace is longer than the longest session, or the setting."""
    at = BORN + done_by + timedelta(hours=1)
    assert [] == whats(rotating(state), at - SECOND)
    assert ["rotation-open"] == whats(rotating(state), at)


# --- revocations


def revoked(done: bool, missing: str = "") -> Body:
    wanted = Revocation((DEV_ID,), "inactive", deny=False, asked_at=BORN)
    return body().with_revocation("dev", wanted.after((DEV_ID,) if done else (), missing))


def test_of_a_revoked_key_nobody_is_reminded_whatever_is_the_matter_with_it() -> None:
    later = BORN + 400 * DAY
    facts = Facts({DEV_ID: KeyFacts(quarantined_at=BORN)})
    assert {"rotate-overdue", "unused", "quarantined"} == set(whats(body(), later, facts))
    assert [] == whats(revoked(done=True), later, facts)
    assert ["revocation-open"] == whats(revoked(done=False), later, facts)


def test_a_revocation_that_misses_something_is_due_at_once_and_one_at_work_after_a_while() -> None:
    assert ["revocation-open"] == whats(revoked(done=False, missing="a right"), BORN)
    assert [] == whats(revoked(done=False), BORN + 59 * SECOND)
    assert ["revocation-open"] == whats(revoked(done=False), BORN + 60 * SECOND)


def test_no_snooze_silences_an_open_revocation() -> None:
    vault = revoked(done=False, missing="a right")
    assert ["revocation-open"] == whats(vault.with_snooze("dev", BORN + DAY, BORN), BORN)


# --- snooze


@pytest.mark.parametrize(
    ("until", "now", "expected"),
    [
        (95 * DAY, 94 * DAY, []),
        (95 * DAY, 95 * DAY - SECOND, []),
        (95 * DAY, 95 * DAY, ["rotate-overdue"]),
        (70 * DAY, 75 * DAY, []),
        (70 * DAY, 76 * DAY, ["rotate-due"]),
        (91 * DAY + MAX_SNOOZE, 91 * DAY, []),
        (91 * DAY + MAX_SNOOZE + SECOND, 91 * DAY, ["rotate-overdue"]),
    ],
    ids=["quiet", "a second before", "again", "nothing was due", "over", "a year", "made by a wrong clock"],
)
def test_a_snooze_holds_until_its_end(until: timedelta, now: timedelta, expected: list[str]) -> None:
    """So it does for a rotation that begins by itself."""
    vault = replace(body(), snoozed={"dev": BORN + until})
    assert expected == whats(vault, BORN + now)
    assert bool(expected) == rotation_terms.is_due(vault, DEV, Settings(), BORN + now)


def test_a_snooze_is_of_one_profile() -> None:
    now = BORN + 91 * DAY
    vault = body(DEV, profile("prod")).with_snooze("prod", now + DAY, now)
    assert ["dev"] == [found.profile for found in due(agenda(vault, POLICY, Facts()), now)[0]]


def test_snoozes_that_are_over_and_those_of_removed_profiles_go() -> None:
    vault = body(DEV, profile("prod")).with_snooze("dev", BORN + DAY, BORN)
    assert {"prod"} == vault.with_snooze("prod", BORN + 3 * DAY, BORN + 2 * DAY).snoozed.keys()
    assert {} == vault.with_snooze("dev", BORN, BORN).snoozed
    assert {} == vault.without("dev").snoozed
    with pytest.raises(NoSuchProfile):
        vault.with_snooze("other", BORN + DAY, BORN)


def test_a_snooze_is_sealed_and_only_then_written() -> None:
    vault = (
        body(DEV, profile("prod")).with_snooze("prod", BORN, BORN - DAY).with_snooze("dev", BORN, BORN - DAY)
    )
    assert vault == decode(encode(vault))
    assert [["dev", 1767268800], ["prod", 1767268800]] == canonical.decode(encode(vault))["snoozed"]
    assert b"snoozed" not in encode(body())


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [["prod", 1], ["dev", 1]],
        [["dev", 1], ["dev", 2]],
        [["9lives", 1]],
        [["dev", "1"]],
        [["dev", True]],
        [["dev"]],
        [["dev", 1, 2]],
        {"dev": 1},
        None,
    ],
    ids=str,
)
def test_snoozes_have_one_spelling(rows: object) -> None:
    document = canonical.decode(encode(body()))
    with pytest.raises(VaultDamaged):
        decode(canonical.encode({**document, "snoozed": rows}))


@pytest.mark.parametrize("name", ["9lives", "", "a b"])
def test_a_snooze_that_could_not_be_read_again_cannot_be_made(name: str) -> None:
    with pytest.raises(Usage):
        Body(snoozed={name: BORN})


# --- when to look again


@pytest.mark.parametrize(
    ("now", "look_at"),
    [
        (BORN, BORN + 45 * DAY),
        (BORN + 45 * DAY, BORN + 76 * DAY),
        (BORN + 76 * DAY, BORN + 90 * DAY),
        (BORN + 90 * DAY, None),
    ],
)
def test_the_next_change_is_known(now: datetime, look_at: datetime | None) -> None:
    assert look_at == due(agenda(body(), POLICY, Facts(ASKED)), now)[1]


def test_the_end_of_a_snooze_is_a_change() -> None:
    now = BORN + 91 * DAY
    vault = body().with_snooze("dev", now + DAY, now)
    assert now + DAY == due(agenda(vault, POLICY, Facts()), now)[1]


def test_times_at_the_end_of_time_are_no_trouble() -> None:
    """A record may hold them: whatever exists can be shown."""
    for moment in (LAST_MOMENT, LAST_MOMENT - DAY, datetime(1970, 1, 1, tzinfo=UTC)):
        vault = body(profile(born=moment))
        entries = agenda(vault, POLICY, Facts(ASKED))
        assert {entry.thing for entry in entries} == {"rotate", "unused"}
        assert all(datetime(1970, 1, 1, tzinfo=UTC) <= entry.since for entry in entries)
        due(entries, BORN)
    assert rotate_by(profile(born=LAST_MOMENT).key, POLICY) <= LAST_MOMENT


# --- what is said

SAID = BORN + 95 * DAY


@pytest.mark.parametrize(
    ("reminder", "text", "command"),
    [
        (
            Reminder("dev", "rotate-due", BORN, SAID + DAY),
            "the key is to be rotated by 2026-04-07 (1 day left)",
            "awsvault rotate dev",
        ),
        (
            Reminder("dev", "rotate-overdue", SAID - 3 * DAY),
            "the key is overdue for rotation since 2026-04-03 (3 days)",
            "awsvault rotate dev",
        ),
        (
            Reminder("dev", "unused", BORN),
            "the key counts as unused since 2026-01-01: is it needed?",
            "awsvault revoke dev",
        ),
        (
            Reminder("dev", "root-key", BORN),
            "this is a root key, which may do everything: AWS advises to have none",
            "awsvault revoke dev",
        ),
        (
            Reminder("dev", "quarantined", BORN),
            "AWS has quarantined the key's user (seen 2026-01-01): the key has leaked",
            "awsvault revoke dev",
        ),
        (
            Reminder("dev", "revocation-open", BORN),
            "the key is not revoked in all that was asked on 2026-01-01",
            "awsvault revoke dev --via PROFILE",
        ),
        (
            Reminder("dev", "revocation-open", BORN, note="the right iam:\x1b is missing"),
            "the key is not revoked in all that was asked on 2026-01-01: the right iam:? is missing",
            "awsvault revoke dev --via PROFILE",
        ),
        (
            Reminder("dev", "left-behind", BORN, note="laptop"),
            "laptop began to rotate the key on 2026-01-01: if it went through, this vault holds the old one",
            "awsvault show dev",
        ),
        (
            Reminder("dev", "left-behind", BORN),
            "another machine began to rotate the key on 2026-01-01: if it went through, this vault holds the old one",
            "awsvault show dev",
        ),
        (
            Reminder("dev", "rotation-open", BORN),
            "a rotation is open and does not go on since 2026-01-01",
            "awsvault rotate --status",
        ),
        (
            Reminder("dev", "rotation-open", BORN, note="iam:UpdateAccessKey is \x1bmissing"),
            "a rotation is open and does not go on since 2026-01-01: iam:UpdateAccessKey is ?missing",
            "awsvault rotate --status",
        ),
    ],
    ids=lambda value: value.what if isinstance(value, Reminder) else "",
)
def test_every_reminder_says_what_and_what_helps(reminder: Reminder, text: str, command: str) -> None:
    assert (text, command) == (reminder.text(SAID), reminder.command)


def test_the_most_urgent_comes_first_then_the_oldest() -> None:
    vault = body(
        profile("a", born=BORN + 10 * DAY), profile("b", born=BORN), profile("c", born=BORN + 9 * DAY)
    )
    found = due(agenda(vault, POLICY, Facts()), BORN + 90 * DAY)[0]
    assert [("b", True), ("c", False), ("a", False)] == [(r.profile, r.urgent) for r in found]


def test_an_agenda_names_leaks_first_then_the_soonest() -> None:
    prod = key_profile("prod", 1)
    facts = Facts({DEV_ID: KeyFacts(quarantined_at=BORN + 500 * DAY)})
    entries = agenda(body(prod, DEV), POLICY, facts)
    assert sorted(entry.since for entry in entries[1:]) == [entry.since for entry in entries[1:]]
    assert Entry("dev", "quarantined", BORN + 500 * DAY) == entries[0]
