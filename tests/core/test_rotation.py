# SPDX-License-Identifier: Apache-2.0
"""The table of rotation: what is due when, what a crash leaves, and when a key is proven ours."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.vaults import key_profile
from vaultd.core import rotation as table
from vaultd.core.keys import Key
from vaultd.core.records import Body
from vaultd.core.rotation import Periods, Rotation, Settlement, State
from vaultd.core.rows import decode, encode
from vaultd.core.secret import Secret
from vaultd.wire.errors import Usage

NOW = datetime(2026, 11, 24, tzinfo=UTC)
HOUR = timedelta(hours=1)
PERIODS = Periods(grace=24 * HOUR, soak=168 * HOUR)
OLD = Key("AKIAOLD0000000000000", Secret("o" * 40), NOW, NOW)
NEW = Key("AKIANEW0000000000000", Secret("n" * 40), NOW, NOW)


def run(state: State, **facts: object) -> Rotation:
    known = (OLD.access_key_id,)
    promoted = NOW if state in table.PROMOTED else None
    new = None if state in ("intent", "uncertain") else NEW
    begun = Rotation("0123456789abcdef", state, NOW, NOW, "host:00000000", OLD, new, known, promoted)
    return replace(begun, **facts)  # type: ignore[arg-type]  # the fields of a Rotation


@pytest.mark.parametrize(
    ("state", "hurry", "due"),
    [
        ("uncertain", False, NOW),
        ("created", False, NOW),
        ("verified", False, NOW),
        ("grace", False, NOW + 24 * HOUR),
        ("grace", True, NOW),
        ("deactivating", False, NOW),
        ("soak", False, NOW + 168 * HOUR),
        ("soak", True, NOW),
        ("deleting", False, NOW),
    ],
)
def test_only_grace_and_soak_wait_and_not_in_a_hurry(state: State, due: datetime, *, hurry: bool) -> None:
    assert due == table.due_at(run(state, hurry=hurry), PERIODS)


def test_an_intent_that_is_found_again_is_uncertain() -> None:
    """Nobody knows any more whether CreateAccessKey was sent."""
    assert "uncertain" == table.resumed(run("intent"), NOW).state
    for state in ("created", "grace", "deleting"):
        assert run(state) == table.resumed(run(state), NOW)


@pytest.mark.parametrize("state", ["created", "verified"])
def test_before_promotion_a_rollback_undoes_the_new_key(state: State) -> None:
    assert "undoing" == table.rolled_back(run(state), NOW).state


@pytest.mark.parametrize("state", ["grace", "deactivating", "soak"])
def test_after_promotion_a_rollback_exchanges_the_keys_and_begins_a_grace(state: State) -> None:
    back = table.rolled_back(run(state, hurry=True, force=True), NOW + HOUR)
    assert ("grace", NEW, OLD, True, NOW + HOUR) == (back.state, back.old, back.new, back.back, back.since)
    assert (False, False) == (back.hurry, back.force), "the new key's users get their time, too"


def test_a_promotion_is_told_by_the_key_and_not_by_the_time() -> None:
    """The clock has whole seconds, and it may be set back: a rollback may come at the very time of the promotion."""
    verified, grace = run("verified"), table.promoted(run("verified"), NOW)
    assert not table.is_promotion(run("created"), verified)
    assert table.is_promotion(verified, grace)
    assert not table.is_promotion(grace, grace.at("deactivating", NOW))
    assert table.is_promotion(grace, table.rolled_back(grace, NOW))
    assert not table.is_promotion(grace, table.reopened(grace, NOW + HOUR))
    assert table.is_promotion(None, grace)


def test_a_grace_that_begins_again_counts_no_use_from_before() -> None:
    again = table.reopened(run("soak"), NOW + 30 * HOUR)
    assert ("grace", NOW + 30 * HOUR) == (again.state, again.since)
    assert not table.used_since(again, NOW + 30 * HOUR + timedelta(minutes=1), HOUR)


@pytest.mark.parametrize("state", ["intent", "uncertain"])
def test_where_there_is_no_way_back_it_says_so(state: State) -> None:
    with pytest.raises(Usage):
        table.rolled_back(run(state), NOW)


@pytest.mark.parametrize(
    ("listed", "proven", "minutes", "expected"),
    [
        (("X",), ("X",), 0, Settlement("delete", ("X",))),
        (("X",), (), 29, Settlement("wait", ("X",))),
        (("X",), (), 30, Settlement("ask", ("X",))),
        (("X",), None, 0, Settlement("ask", ("X",))),
        (("X",), ("Y",), 60, Settlement("ask", ("X",))),
        ((), ("X",), 0, Settlement("wait", ())),  # it may not be listed yet
        ((), (), 29, Settlement("wait", ())),
        ((), (), 30, Settlement("none", ())),
        ((), None, 30, Settlement("none", ())),
    ],
)
def test_a_lost_key_is_ours_to_delete_only_with_proof(
    listed: tuple[str, ...], proven: tuple[str, ...] | None, minutes: int, expected: Settlement
) -> None:
    found = (OLD.access_key_id, *listed)
    assert expected == table.settled(run("uncertain"), found, proven, NOW + timedelta(minutes=minutes))


def test_what_was_listed_before_is_never_a_candidate() -> None:
    known = run("uncertain", known=(OLD.access_key_id, "THEIRS"))
    found = (OLD.access_key_id, "THEIRS")
    assert "delete" != table.settled(known, found, ("THEIRS",), NOW).verdict
    assert () == table.strangers(known, found)


@pytest.mark.parametrize(("minutes", "used"), [(-60, False), (0, False), (75, False), (76, True)])
def test_a_use_after_what_was_handed_out_keeps_the_old_key(minutes: int, *, used: bool) -> None:
    """An hour's lease, and a quarter of an hour for AWS's clock."""
    later = run("soak", since=NOW + 24 * HOUR)
    assert used == table.used_since(later, NOW + timedelta(minutes=minutes), HOUR)
    assert not table.used_since(later, None, HOUR)


@pytest.mark.parametrize(
    ("minutes", "tagged", "used", "ours"),
    [
        (0, False, False, True),
        (-15, False, False, True),
        (30, False, False, True),
        (-16, False, False, False),
        (31, False, False, False),
        (0, True, False, False),
        (0, False, True, False),
    ],
)
def test_a_key_that_somebody_labelled_or_used_or_of_another_time_is_not_ours(
    minutes: int, *, tagged: bool, used: bool, ours: bool
) -> None:
    made_at = NOW + timedelta(minutes=minutes)
    assert ours == table.could_be_ours(run("uncertain"), made_at, is_tagged=tagged, is_used=used)


@pytest.mark.parametrize("state", sorted(table.STATES))
def test_an_open_rotation_is_kept_in_every_state(state: State) -> None:
    body = Body().with_profile(key_profile("dev")).with_rotation("dev", run(state, waits="for a code"))
    assert body == decode(encode(body))
    assert {} == body.with_rotation("dev", None).rotations == body.without("dev").rotations


@pytest.mark.parametrize(
    "facts",
    [
        {"run": "xyz"},
        {"state": "dancing"},
        {"state": "grace", "promoted_at": NOW, "new": None},
        {"state": "intent"},
        {"state": "grace"},
        {"promoted_at": NOW},
        {"host": "a host"},
        {"waits": "x" * 301},
    ],
)
def test_what_is_no_rotation_is_not_made(facts: dict[str, object]) -> None:
    with pytest.raises(Usage):
        replace(run("created"), **facts)  # type: ignore[arg-type]  # wrong on purpose
