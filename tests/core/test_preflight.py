# SPDX-License-Identifier: Apache-2.0
"""What stands against a rotation before it begins: each refusal says what was found and what to do next."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultd.core import preflight
from vaultd.core.preflight import HELPFUL, NEEDED, TAG, WATCHING, Claim, Found, FoundKey, Wanted
from vaultd.core.replies import Identity, LastUsed, ListedKey
from vaultd.wire.errors import AwsFailed, Refused, Usage, VaultError

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HERE, THERE = "desk:00000000", "laptop:89abcdef"
OURS, OTHER = "AKIAOURS000000000000", "AKIAOTHER00000000000"
ALICE = Identity("123456789012", "arn:aws:iam::123456789012:user/team/alice", "AIDAALICE")
USED = LastUsed("s3", "eu-west-1", datetime(2026, 11, 3, 9, tzinfo=UTC))
RUN = "0123456789abcdef"


def key(key_id: str, used: LastUsed | None = None, *, active: bool = True, told: bool = True) -> FoundKey:
    made = datetime(2025, 2, 1, tzinfo=UTC)
    return FoundKey(ListedKey(key_id, active, made), used, is_told=told)


def found(*others: FoundKey, **facts: object) -> Found:
    rights = dict.fromkeys((*NEEDED, WATCHING, *HELPFUL), "proven")
    return Found(ALICE, (key(OURS, USED), *others), **{"rights": rights, **facts})  # type: ignore[arg-type]


def without(*rights: str) -> Found:
    return found(rights={**found().rights, **dict.fromkeys(rights, "missing")})


def check(what: Found, wanted: Wanted = Wanted(), held: tuple[str, ...] = (OURS,)) -> None:  # noqa: B008  frozen
    preflight.check(what, "dev", OURS, held, HERE, wanted, NOW)


def refusal(what: Found, wanted: Wanted = Wanted(), held: tuple[str, ...] = (OURS,)) -> tuple[type, str]:  # noqa: B008
    with pytest.raises(VaultError) as caught:
        check(what, wanted, held)
    return type(caught.value), caught.value.line


def test_a_user_with_one_key_and_every_right_may_rotate() -> None:
    check(found())
    assert [] == found().notes()


# --- two keys

UNTOLD_KEY = f"{OTHER} (active, made 2025-02-01, last use unknown)"
USED_KEY = f"{OTHER} (active, made 2025-02-01, last used 2026-11-03 by s3 in eu-west-1)"
DEACTIVATE = f"if nothing needs it, deactivate it, then: awsvault rotate dev --replace {OTHER}"
DELETE = f"to delete it: awsvault rotate dev --replace {OTHER}"


@pytest.mark.parametrize(
    ("other", "shown", "way_out"),
    [
        (key(OTHER, USED), USED_KEY, DEACTIVATE),
        (key(OTHER), f"{OTHER} (active, made 2025-02-01, never used)", DELETE),
        (key(OTHER, told=False), UNTOLD_KEY, DEACTIVATE),
        (key(OTHER, USED, active=False), USED_KEY.replace("active", "inactive"), DELETE),
        (key(OTHER, active=False, told=False), UNTOLD_KEY.replace("active", "inactive"), DELETE),
    ],
    ids=["used", "never used", "untold", "inactive", "inactive and untold"],
)
def test_a_second_key_refuses_and_says_which_how_old_and_last_used_when(
    other: FoundKey, shown: str, way_out: str
) -> None:
    assert (Refused, f"alice has two keys already: {shown}; {way_out}") == refusal(found(other))


def test_a_second_key_of_another_profile_is_named_as_such() -> None:
    kind, line = refusal(found(key(OTHER)), held=(OURS, OTHER))
    assert Refused is kind
    assert line.endswith("it is another profile's in this vault: awsvault list")


def test_a_second_key_after_another_machines_rotation_says_which_machine_and_when() -> None:
    told = Claim(RUN, THERE, NOW - timedelta(days=3))
    _, line = refusal(found(key(OTHER), claim=told))
    assert line.startswith(f"alice has two keys already; laptop rotated on 2026-11-21: {OTHER} (")


@pytest.mark.parametrize(
    "other", [key(OTHER), key(OTHER, USED, active=False)], ids=["never used", "inactive"]
)
def test_a_key_that_nothing_needs_may_be_replaced(other: FoundKey) -> None:
    check(found(other), Wanted(replace=OTHER))


@pytest.mark.parametrize(
    ("other", "wanted", "held", "kind", "line"),
    [
        (
            key(OTHER, USED),
            OTHER,
            (OURS,),
            Refused,
            f"not deleted: {USED_KEY}; deactivate it in the IAM console first",
        ),
        (
            key(OTHER, told=False),
            OTHER,
            (OURS,),
            Refused,
            f"not deleted: {UNTOLD_KEY}; deactivate it in the IAM console first",
        ),
        (
            key(OTHER),
            "AKIAUNKNOWN000000000",
            (OURS,),
            Usage,
            "alice has no other key of that id; run: awsvault rotate dev --dry-run",
        ),
        (
            key(OTHER),
            OURS,
            (OURS,),
            Usage,
            "alice has no other key of that id; run: awsvault rotate dev --dry-run",
        ),
        (
            key(OTHER, active=False),
            OTHER,
            (OURS, OTHER),
            Refused,
            f"{OTHER} is the key of another profile in this vault; run: awsvault list",
        ),
    ],
    ids=["in use", "use untold", "unknown", "the profile's own", "another profile's"],
)
def test_no_key_is_deleted_that_something_may_need(
    other: FoundKey, wanted: str, held: tuple[str, ...], kind: type, line: str
) -> None:
    for force in (False, True):
        assert (kind, line) == refusal(found(other), Wanted(replace=wanted, force=force), held)


def test_a_key_that_iam_does_not_list_is_not_rotated() -> None:
    kind, line = refusal(replace(found(), keys=(key(OTHER),)))
    assert (AwsFailed, True) == (
        kind,
        line.startswith("IAM does not list the key of dev among those of alice"),
    )


# --- rights


@pytest.mark.parametrize("right", NEEDED)
def test_what_could_not_be_ended_is_not_begun(right: str) -> None:
    for wanted in (Wanted(), Wanted(force=True), Wanted(hurry=True)):
        kind, line = refusal(without(right), wanted)
        assert AwsFailed is kind
        assert line.startswith(f"a rotation needs {right} for alice, which is not allowed; ")
        assert line.endswith("awsvault help rotate has the policy")


def test_all_missing_rights_are_named_at_once() -> None:
    assert f"a rotation needs {', '.join(NEEDED)} for alice" in refusal(without(*NEEDED))[1]


def test_not_to_see_whether_the_old_key_is_used_takes_a_word_of_a_person() -> None:
    kind, line = refusal(without(WATCHING))
    assert AwsFailed is kind
    assert line.endswith("allow it, or run: awsvault rotate dev --force")
    check(without(WATCHING), Wanted(force=True))
    check(without(WATCHING), Wanted(hurry=True))
    assert [f"{WATCHING} is not allowed: whether something still uses the old key cannot be seen"] == without(
        WATCHING
    ).notes()


@pytest.mark.parametrize("right", HELPFUL)
def test_what_only_helps_is_missed_with_a_note(right: str) -> None:
    check(without(right))
    assert [f"{right} is not allowed: {HELPFUL[right]}"] == without(right).notes()


def test_what_could_not_be_asked_for_is_tried() -> None:
    check(found(rights={"iam:CreateAccessKey": "unknown"}))


def test_a_quarantined_user_is_told_so_before_anything_else() -> None:
    told = replace(without(*NEEDED), is_quarantined=True)
    for wanted in (Wanted(), Wanted(force=True), Wanted(hurry=True)):
        kind, line = refusal(told, wanted)
        assert AwsFailed is kind
        assert line.startswith("AWS has quarantined alice, since a key of it leaked")


# --- the tag of another machine


@pytest.mark.parametrize(
    ("host", "age_h", "stops"),
    [
        (HERE, 0.0, False),
        (THERE, 0.0, True),
        (THERE, 23.9, True),
        (THERE, 24.0, False),
        (THERE, -23.9, True),
        (THERE, -24.0, False),
        (THERE, 24.0 * 365, False),
        (THERE, -24.0 * 365 * 500, False),
    ],
    ids=["own", "now", "yesterday", "older", "fast clock", "future", "last year", "forged for ever"],
)
def test_another_machines_rotation_stops_this_one_for_a_day(host: str, age_h: float, *, stops: bool) -> None:
    claim = Claim(RUN, host, NOW - timedelta(hours=age_h))
    assert stops == preflight.stops(claim, HERE, NOW)
    if not stops:
        check(found(claim=claim))
        return
    kind, line = refusal(found(claim=claim))
    assert Refused is kind
    assert line.startswith(f"laptop began to rotate a key of alice on {claim.at:%Y-%m-%d at %H:%M} UTC; ")
    assert line.endswith("awsvault rotate dev --force")
    check(found(claim=claim), Wanted(force=True))


@given(
    st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9._-]{1,63}:[0-9a-f]{8}", fullmatch=True),
    st.datetimes(timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=0)),
)
def test_a_claim_is_read_as_it_was_written(run: str, host: str, at: datetime) -> None:
    claim = Claim(run, host, at)
    assert claim == preflight.claim_of({TAG: str(claim), "other": "tag"})
    assert len(str(claim)) <= 256, "the most that a tag's value may have"
    assert claim.machine == host[:-9]


_PARTS = st.sampled_from([RUN, THERE, "2026-11-24T12:00:00Z", "2026-02-30T12:00:00Z", "0000-01-01T00:00:00Z"])
_FORGED = st.one_of(
    st.text(),
    st.lists(st.one_of(_PARTS, st.text(max_size=8)), max_size=5).map(" ".join),
    st.from_regex(r"\w{16} [\w.-]{1,63}:\w{8} \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n?"),
)


@given(_FORGED)
def test_whatever_somebody_writes_into_the_tag_is_a_claim_to_the_letter_or_none(text: str) -> None:
    claim = preflight.claim_of({TAG: text})
    assert claim is None or text == str(claim)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rotating",
        f"{RUN} {THERE}",
        f"{RUN} {THERE} 2026-11-24T12:00:00Z\n",
        f"{RUN} {THERE} 2026-11-24T12:00:00Z more",
        f"{RUN.upper()} {THERE} 2026-11-24T12:00:00Z",
        f"{RUN} lap top:89abcdef 2026-11-24T12:00:00Z",
        f"{RUN} \x1b[31m:89abcdef 2026-11-24T12:00:00Z",
        f"{RUN} {THERE} 2026-13-24T12:00:00Z",
        f"{RUN} {THERE} 2026-11-24T12:00:60Z",
        f"{RUN} {THERE} \u0662\u0660\u0662\u0666-11-24T12:00:00Z",
    ],
)
def test_a_forged_claim_is_none(text: str) -> None:
    assert None is preflight.claim_of({TAG: text})


def test_nothing_that_aws_says_reaches_a_terminal_unwashed() -> None:
    hostile = LastUsed("s3\x1b[2J" + "x" * 200, "eu\nwest", USED.at)
    _, line = refusal(found(key(OTHER, hostile)))
    assert line.isprintable()
    assert len(line) < 290
