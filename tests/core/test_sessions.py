# SPDX-License-Identifier: Apache-2.0
"""What a client reads: the line byte for byte, and the moments at which a session stops being good enough."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultd.core.secret import Secret
from vaultd.core.sessions import Credentials, Session, answer, is_fresh, is_servable

KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET = Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
NOW = datetime(2026, 11, 24, 3, 6, 38, tzinfo=UTC)


def test_line_of_a_session_is_known_byte_for_byte() -> None:
    line = answer(
        Credentials("ASIAIOSFODNN7EXAMPLE", SECRET, Secret("IQoJb3JpZ2luX2Vj/+==")), NOW, "123456789012"
    )
    assert line == (
        b'{"Version":1,"AccessKeyId":"ASIAIOSFODNN7EXAMPLE",'
        b'"SecretAccessKey":"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY","SessionToken":"IQoJb3JpZ2luX2Vj/+==",'
        b'"Expiration":"2026-11-24T03:06:38Z","AccountId":"123456789012"}\n'
    )


@pytest.mark.parametrize("token", [None, Secret("")], ids=["none", "empty"])
@pytest.mark.parametrize("account", [None, ""], ids=["none", "empty"])
def test_what_is_unknown_is_absent_not_null(token: Secret | None, account: str | None) -> None:
    """Java v1 throws on null, Ruby signs an empty token."""
    assert answer(Credentials(KEY_ID, SECRET, token), NOW, account) == (
        b'{"Version":1,"AccessKeyId":"AKIAIOSFODNN7EXAMPLE",'
        b'"SecretAccessKey":"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY","Expiration":"2026-11-24T03:06:38Z"}\n'
    )


@pytest.mark.parametrize(
    ("expires_at", "told"),
    [
        (NOW.replace(microsecond=999_999), b"2026-11-24T03:06:38Z"),
        (datetime(2026, 11, 24, 5, 6, 38, tzinfo=timezone(timedelta(hours=2))), b"2026-11-24T03:06:38Z"),
        (datetime(2027, 1, 1, tzinfo=UTC), b"2027-01-01T00:00:00Z"),
    ],
    ids=["rounded down", "another zone", "midnight"],
)
def test_expiration_is_whole_seconds_of_utc(expires_at: datetime, told: bytes) -> None:
    assert b'"Expiration":"' + told + b'"' in answer(Credentials(KEY_ID, SECRET), expires_at, None)


def test_expiry_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        answer(Credentials(KEY_ID, SECRET), NOW.replace(tzinfo=None), None)


def test_line_with_a_usual_token_fits_the_smallest_client() -> None:
    """Java v1 reads 1024 bytes."""
    assert len(answer(Credentials(KEY_ID, SECRET, Secret("x" * 350)), NOW, "123456789012")) <= 1000


PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)


@given(PRINTABLE, PRINTABLE, st.none() | PRINTABLE)
def test_line_is_one_ascii_line_that_reads_back(key_id: str, secret: str, token: str | None) -> None:
    line = answer(Credentials(key_id, Secret(secret), Secret(token) if token else None), NOW, None)
    assert line.isascii()
    assert line.index(b"\n") == len(line) - 1
    assert line.startswith(b'{"Version":1,')
    parts = json.loads(line)
    assert (key_id, secret, token) == (
        parts["AccessKeyId"],
        parts["SecretAccessKey"],
        parts.get("SessionToken"),
    )


@pytest.mark.parametrize(
    ("left", "fresh", "servable"),
    [
        (timedelta(hours=4), True, True),
        (timedelta(minutes=20), True, True),
        (timedelta(minutes=20, microseconds=-1), False, True),
        (timedelta(seconds=60), False, True),
        (timedelta(seconds=60, microseconds=-1), False, False),
        (timedelta(0), False, False),
        (-timedelta(hours=1), False, False),
    ],
)
def test_session_is_fresh_for_twenty_minutes_and_servable_for_one(
    left: timedelta, fresh: bool, servable: bool
) -> None:
    session = Session(Credentials(KEY_ID, SECRET), NOW + left)
    assert (fresh, servable) == (is_fresh(session, NOW), is_servable(session, NOW))


def test_credentials_show_four_characters_and_no_secret() -> None:
    credentials = Credentials(KEY_ID, SECRET, Secret("token"))
    assert "...MPLE" == credentials.tail
    assert SECRET.reveal() not in repr(Session(credentials, NOW))
