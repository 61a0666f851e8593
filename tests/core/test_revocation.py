# SPDX-License-Identifier: Apache-2.0
"""What is wanted of a revoked key, what of it is done, in which order the rest goes, and that it is served no more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.vaults import key_profile
from vaultd.core import canonical
from vaultd.core.records import Body
from vaultd.core.revocation import SESSIONS, Revocation, asked, check_served, order
from vaultd.core.rows import decode, encode
from vaultd.wire.errors import FormatTooNew, Refused, Usage, VaultDamaged

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
A, B = "AKIAAAAAAAAAAAAAAAAA", "AKIABBBBBBBBBBBBBBBB"
PLAIN = Revocation((A,), "inactive", deny=False, asked_at=NOW)
WHOLE = Revocation((A, B), "inactive", deny=True, asked_at=NOW)


# --- the order


@pytest.mark.parametrize(
    ("own_key", "ends_itself", "expected"),
    [
        (A, False, (SESSIONS, B, A)),
        (B, False, (SESSIONS, A, B)),
        (None, True, (A, B, SESSIONS)),
        (None, False, (SESSIONS, A, B)),
    ],
    ids=["by the one key", "by the other", "by a session of the user", "by somebody else"],
)
def test_who_signs_can_sign_what_comes_after(
    own_key: str | None, expected: tuple[str, ...], *, ends_itself: bool
) -> None:
    assert expected == order({A, B, SESSIONS}, own_key=own_key, ends_itself=ends_itself)


def test_only_what_is_left_is_ordered() -> None:
    assert (B,) == order({B}, own_key=B, ends_itself=True)
    assert (SESSIONS,) == order({SESSIONS}, own_key=B, ends_itself=False)
    assert () == order((), own_key=None, ends_itself=False)


# --- what is left


def test_what_is_done_is_no_more_left_and_nothing_is_missing_then() -> None:
    assert {A, B, SESSIONS} == WHOLE.left
    half = WHOLE.after({A, SESSIONS, "AKIASOMEBODYELSES000"}, "the right iam:UpdateAccessKey is missing")
    assert {B} == half.left
    assert (A, SESSIONS) == half.done
    assert "the right iam:UpdateAccessKey is missing" == half.missing
    done = half.after({B}, "too late")
    assert set() == done.left
    assert "" == done.missing


def test_what_is_missing_fits() -> None:
    assert "x" * 300 == PLAIN.after((), "x" * 4_000).missing


def test_a_key_that_a_rotation_brought_is_left_too() -> None:
    assert {B} == PLAIN.after({A}, "").with_keys([B]).left


# --- asked again


def test_what_was_asked_first_is_not_taken_back() -> None:
    first = asked(None, [A], delete=True, deny=True, now=NOW)
    again = asked(first, [A], delete=False, deny=False, now=NOW + timedelta(days=1))
    assert ("deleted", True, NOW + timedelta(days=1)) == (again.wanted, again.deny, again.asked_at)


def test_an_inactive_key_is_looked_at_again_and_a_deleted_one_is_not() -> None:
    """Somebody may have made it active in the console meanwhile."""
    inactive = PLAIN.after({A}, "")
    assert {A} == asked(inactive, [A], delete=False, deny=False, now=NOW).left
    assert {A} == asked(inactive, [A], delete=True, deny=False, now=NOW).left
    deleted = replace(PLAIN, wanted="deleted").after({A}, "")
    assert set() == asked(deleted, [A], delete=False, deny=False, now=NOW).left


def test_who_asks_for_the_deny_again_means_newer_sessions() -> None:
    denied = WHOLE.after({SESSIONS}, "")
    assert SESSIONS not in asked(denied, [A, B], delete=False, deny=False, now=NOW).left
    assert SESSIONS in asked(denied, [A, B], delete=False, deny=True, now=NOW).left


# --- served no more


@pytest.mark.parametrize("name", ["dev", "twin"])
def test_neither_the_profile_nor_another_with_its_key_is_served(name: str) -> None:
    with pytest.raises(Refused) as caught:
        check_served({"dev": PLAIN.after({A}, "")}, name, A)
    assert caught.value.line == (
        'the key of "dev" was revoked on 2026-11-24; '
        "run: awsvault add dev --replace, or awsvault revoke dev --undo"
    )


def test_each_profile_of_a_revoked_key_is_told_its_own_way_out() -> None:
    done = PLAIN.after({A}, "")
    with pytest.raises(Refused) as caught:
        check_served({"dev": done, "twin": done}, "twin", A)
    assert 'the key of "twin" was revoked' in caught.value.line
    with pytest.raises(Refused) as caught:
        check_served({"dev": replace(done, wanted="deleted")}, "twin", A)
    assert "run: awsvault add dev --replace" == caught.value.hint, "no undo brings it back"


def test_what_is_not_done_yet_is_not_served_either() -> None:
    with pytest.raises(Refused) as caught:
        check_served({"dev": PLAIN.after((), "the right x is missing")}, "dev", B)
    assert caught.value.line == (
        'the key of "dev" is being revoked since 2026-11-24: the right x is missing; '
        "run: awsvault revoke dev --via PROFILE; to serve it all the same: awsvault revoke dev --undo"
    )


def test_others_are_served() -> None:
    check_served({"dev": PLAIN}, "prod", B)


# --- how it is kept


def body(*revoked: Revocation) -> Body:
    found = Body().with_profile(key_profile("dev")).with_profile(key_profile("prod", 1))
    for name, revocation in zip(("prod", "dev"), revoked, strict=False):
        found = found.with_revocation(name, revocation)
    return found


def test_a_revocation_is_sealed_and_only_then_written() -> None:
    whole = body(WHOLE.after({SESSIONS, B}, "why"), PLAIN)
    assert whole == decode(encode(whole))
    assert [
        ["dev", [A], "inactive", False, 1795521600, [], ""],
        ["prod", [A, B], "inactive", True, 1795521600, [B, SESSIONS], "why"],
    ] == canonical.decode(encode(whole))["revocations"]
    assert b"revocations" not in encode(body())


def test_it_goes_with_its_profile() -> None:
    assert {"prod"} == body(WHOLE, PLAIN).without("dev").revocations.keys()
    assert {} == body(WHOLE).with_revocation("prod", None).revocations


ROW = ["dev", [A], "inactive", False, 1795521600, [], ""]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (1, []), (1, [B, A]), (1, [A, A]), (1, ["x"]), (1, A), (1, [7]),
        (2, "active"), (2, None),
        (3, 0), (3, None),
        (4, -1), (4, "now"), (4, None),
        (5, [B]), (5, [SESSIONS]), (5, [A, A]), (5, A), (5, None),
        (6, None), (6, 7), (6, "x" * 301),
        (0, "not a name?"),
    ],
    ids=str,
)  # fmt: skip
def test_a_row_of_another_form_is_damage(column: int, value: object) -> None:
    row = [*ROW[:column], value, *ROW[column + 1 :]]
    with pytest.raises(VaultDamaged):
        decode(canonical.encode({"profiles": [], "settings_hash": None, "revocations": [row]}))


def test_a_longer_row_is_a_newer_ones() -> None:
    with pytest.raises(FormatTooNew):
        decode(canonical.encode({"profiles": [], "settings_hash": None, "revocations": [[*ROW, 1]]}))


@pytest.mark.parametrize(
    "rows", [[], [ROW, ROW], [["prod", *ROW[1:]], ROW]], ids=["none", "twice", "unsorted"]
)
def test_there_is_one_spelling(rows: list[object]) -> None:
    with pytest.raises(VaultDamaged):
        decode(canonical.encode({"profiles": [], "settings_hash": None, "revocations": rows}))


@pytest.mark.parametrize(
    "facts",
    [
        {"key_ids": ()},
        {"key_ids": (B, A)},
        {"wanted": "gone"},
        {"done": (SESSIONS,)},
        {"done": (B,)},
        {"missing": "x" * 301},
    ],
    ids=str,
)
def test_what_is_no_revocation_is_not_made(facts: dict[str, object]) -> None:
    with pytest.raises(Usage):
        replace(PLAIN, **facts)  # type: ignore[arg-type]  # wrong on purpose
