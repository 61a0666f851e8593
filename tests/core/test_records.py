# SPDX-License-Identifier: Apache-2.0
"""What can be made can be written and read again; what people paste is trimmed or refused without an echo."""

import json
import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vaults import NOW, key_profile
from vaultd.core import canonical
from vaultd.core.fields import check_name
from vaultd.core.keys import Key
from vaultd.core.records import Body, KeyProfile, check_credentials
from vaultd.core.rows import decode, encode
from vaultd.core.secret import Secret
from vaultd.wire.errors import FormatTooNew, NoSuchProfile, Usage, VaultDamaged

PRINTABLE = "".join(chr(code) for code in range(0x21, 0x7F))
ID = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

times = st.integers(0, canonical.MAX_TIME).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def texts(alphabet: str, low: int, high: int) -> st.SearchStrategy[str]:
    return st.text(st.sampled_from(alphabet), min_size=low, max_size=high)


keys = st.builds(
    Key,
    texts(string.ascii_letters + string.digits + "_", 16, 128),
    texts(PRINTABLE, 16, 128).map(Secret),
    st.none() | times,
    times,
)
profiles = st.builds(
    KeyProfile,
    name=st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,63}", fullmatch=True),
    key=keys,
    serve=st.sampled_from(["session", "key"]),
    partition=st.sampled_from(["aws", "aws-cn", "aws-us-gov"]),
    account=st.none() | texts(string.digits, 12, 12),
    arn=st.none() | texts(PRINTABLE, 1, 80).map("arn:".__add__),
    region=st.none() | texts(string.ascii_lowercase + string.digits + "-", 1, 63),
    mfa_serial=st.none() | texts(string.ascii_letters + ":/@-", 9, 256),
    verified_at=st.none() | times,
    last_used_at=st.none() | times,
)
bodies = st.builds(
    lambda found, settings: Body({profile.name: profile for profile in found}, settings),
    st.lists(profiles, max_size=5),
    st.none() | texts(PRINTABLE, 1, 128),
)


@given(bodies)
def test_whatever_can_be_made_is_read_back(body: Body) -> None:
    assert body == decode(encode(body))


@given(bodies)
def test_a_body_has_one_spelling(body: Body) -> None:
    encoded = encode(body)
    backwards = Body(
        {name: body.profiles[name] for name in reversed(list(body.profiles))}, body.settings_hash
    )
    assert encoded == encode(backwards) == encode(decode(encoded))


def test_a_known_body_is_written_as_always() -> None:
    body = Body({"dev": key_profile()}, "abc")
    assert (
        b'{"profiles":[["key","dev","AKIAIOSFODNN70000000","wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",'
        b'1795521600,1795521600,"session","aws","123456789012","arn:aws:iam::123456789012:user/dev",'
        b'"eu-central-1",null,1795521600,null]],"settings_hash":"abc"}'
    ) == encode(body)


def test_times_are_cut_to_the_second() -> None:
    profile = replace(key_profile(), last_used_at=NOW + timedelta(microseconds=999_999))
    assert NOW == decode(encode(Body({"dev": profile}))).profile("dev").last_used_at


@given(st.binary())
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    with pytest.raises(VaultDamaged):
        decode(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=10,
)


@given(st.integers(0, 13), json_values)
def test_a_row_with_any_value_in_any_column_is_read_as_written_or_refused(column: int, value: Any) -> None:
    document = json.loads(encode(Body({"dev": key_profile()})))
    document["profiles"][0][column] = value
    data = canonical.encode(document)
    try:
        body = decode(data)
    except (VaultDamaged, FormatTooNew):
        return
    assert data == encode(body)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "9lives"},
        {"name": "a" * 65},
        {"serve": "always"},
        {"partition": "aws-moon"},
        {"account": "12345678901"},
        {"account": "١٢٣٤٥٦٧٨٩٠١٢"},
        {"arn": "arn:"},
        {"arn": "arn:aws:iam::123456789012:user/with space"},
        {"region": "EU-CENTRAL-1"},
        {"region": "eu-central-1\n"},
        {"mfa_serial": "short"},
    ],
    ids=str,
)
def test_a_profile_that_could_not_be_read_again_cannot_be_made(change: dict[str, Any]) -> None:
    with pytest.raises(Usage):
        replace(key_profile(), **change)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 11, 24, 12),  # noqa: DTZ001 - that is the point
        datetime(2026, 11, 24, 12, tzinfo=timezone(timedelta(hours=1))),
        datetime(1969, 12, 31, tzinfo=UTC),
    ],
    ids=["naive", "local", "before-1970"],
)
def test_a_time_that_would_be_read_as_another_cannot_be_kept(moment: datetime) -> None:
    with pytest.raises(ValueError, match="UTC"):
        replace(key_profile(), last_used_at=moment)
    with pytest.raises(ValueError, match="UTC"):
        Key(ID, Secret(SECRET), None, moment)


@pytest.mark.parametrize("secret", ["x" * 15, "x" * 129, "with space in the secret", "schlüssel-schlüssel"])
def test_a_key_of_another_form_cannot_be_made_and_is_not_echoed(secret: str) -> None:
    with pytest.raises(Usage) as caught:
        Key(ID, Secret(secret), None, NOW)
    assert secret not in caught.value.line


def test_a_body_is_changed_by_making_another() -> None:
    empty = Body()
    one = empty.with_profile(key_profile("dev"))
    two = one.with_profile(key_profile("prod", 1))
    assert ({}, ["dev"], ["dev", "prod"]) == (empty.profiles, list(one.profiles), list(two.profiles))
    assert one.profile("dev") == two.profile("dev")
    assert ["prod"] == list(two.without("dev").profiles)
    assert ("abc", None) == (two.with_settings_hash("abc").settings_hash, two.settings_hash)
    replaced = two.with_profile(key_profile("dev", 7))
    assert "AKIAIOSFODNN70000007" == replaced.key_profile("dev").key.access_key_id


def test_a_missing_profile_is_named() -> None:
    with pytest.raises(NoSuchProfile, match=r'^no profile "dev"$'):
        Body().profile("dev")
    with pytest.raises(NoSuchProfile, match=r'^no profile "dev"$'):
        Body().without("dev")


def test_nothing_shows_a_secret() -> None:
    body = Body({"dev": key_profile()})
    assert "wJalr" not in f"{body!r} {body}"


# -- what people type


@pytest.mark.parametrize("name", ["a", "Z", "dev", "acme-prod_2", "a" * 64])
def test_a_profile_name_may_be(name: str) -> None:
    assert name == check_name(name)


BAD_NAMES = [
    "", " ", "a b", "a\n", "\ndev", "dev]", "..", "../../etc", "-v", "--help", "_a", "1a", "a.b", "a/b", "a=b", "a#b",
    "a;b", "$(id)", "`id`", "a\x1b[31m", "a\u202eb", "é", "a" * 65, "a\0b", "\ud800", None, 7, ["dev"], b"dev",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_a_profile_name_may_not_be(name: object) -> None:
    with pytest.raises(Usage) as caught:
        check_name(name)
    assert set(caught.value.message) <= set(PRINTABLE + " ")


def test_a_secret_in_the_place_of_a_name_is_not_shown_whole() -> None:
    with pytest.raises(Usage) as caught:
        check_name(SECRET)
    assert SECRET[:24] not in caught.value.line


@pytest.mark.parametrize(
    ("access_key_id", "secret", "notes"),
    [
        (ID, SECRET, 0),
        (f" {ID}", SECRET, 1),
        (f"{ID}\r\n", f"{SECRET}\r\n", 2),
        (ID, f"\t{SECRET}\u00a0", 1),
        ("A" * 16, "s" * 16, 0),
        ("A" * 128, "s" * 128, 0),
        (ID, PRINTABLE, 0),
    ],
)
def test_a_pasted_key_is_trimmed_and_every_trim_is_noted(access_key_id: str, secret: str, notes: int) -> None:
    found_id, found_secret, found_notes = check_credentials(access_key_id, secret)
    assert (access_key_id.strip(), secret.strip()) == (found_id, found_secret.reveal())
    assert notes == len(found_notes)
    assert not any(found_id in note or found_secret.reveal() in note for note in found_notes)


@pytest.mark.parametrize(
    ("access_key_id", "secret", "reason"),
    [
        ("", SECRET, "not an access key id"),
        ("A" * 15, SECRET, "not an access key id"),
        ("A" * 129, SECRET, "not an access key id"),
        ("AKIA IOSFODNN7EXAMPLE", SECRET, "not an access key id"),
        ("AKIAIOSFODNN7EXÄMPLE", SECRET, "not an access key id"),
        ("AKIAIOSFODNN7\x1b[31m", SECRET, "not an access key id"),
        ("ASIAIOSFODNN7EXAMPLE", SECRET, "temporary key"),
        (SECRET, ID, "stands where the secret"),
        (ID, "", "not a secret access key"),
        (ID, "s" * 15, "not a secret access key"),
        (ID, "s" * 129, "not a secret access key"),
        (ID, SECRET[:20] + " " + SECRET[20:], "not a secret access key"),
        (ID, SECRET[:20] + "\n" + SECRET[20:], "not a secret access key"),
        (ID, SECRET[:-1] + "\x7f", "not a secret access key"),
        (ID, SECRET[:-1] + "é", "not a secret access key"),
        (ID, SECRET[:-1] + "\ud800", "not a secret access key"),
    ],
    ids=ascii,
)
def test_what_is_no_key_is_refused_and_neither_half_is_echoed(
    access_key_id: str, secret: str, reason: str
) -> None:
    with pytest.raises(Usage, match=reason) as caught:
        check_credentials(access_key_id, secret)
    for half in (access_key_id, secret):
        assert len(half) < 16 or half not in caught.value.line
