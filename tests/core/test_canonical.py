# SPDX-License-Identifier: Apache-2.0
"""JSON with one spelling: what other parsers let through is refused."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultd.core import canonical

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)


@given(values)
def test_a_value_has_one_spelling_and_is_read_from_it(value: Any) -> None:
    encoded = canonical.encode(value)
    assert encoded.isascii()
    assert value == canonical.decode(encoded)
    assert encoded == canonical.encode(canonical.decode(encoded))
    assert encoded == canonical.encode(json.loads(json.dumps(value, indent=2)))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b'{"a":1,"a":1}',
        b'[{"a":{"b":1,"b":2}}]',
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1.0",
        b"1e3",
        b'"\xc3\xa9"',
        b"\xef\xbb\xbf{}",
        b'"\n"',
        b"'a'",
        b"{} {}",
        b"[" * 100_000,
        b"1" * 10_000,
    ],
    ids=lambda text: repr(text[:16]),
)
def test_what_is_ambiguous_or_too_much_is_refused_without_an_echo(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"^not canonical JSON$"):
        canonical.decode(text)


@pytest.mark.parametrize("seconds", [0, 1, 1_795_521_600, canonical.MAX_TIME])
def test_a_time_is_read_as_written(seconds: int) -> None:
    moment = canonical.to_time(seconds)
    assert UTC == moment.tzinfo
    assert seconds == canonical.from_time(moment)


def test_a_time_is_counted_from_1970_in_utc() -> None:
    assert 1_795_521_600 == canonical.from_time(datetime(2026, 11, 24, 12, tzinfo=UTC))
    assert 1_795_521_600 == canonical.from_time(datetime(2026, 11, 24, 12, 0, 0, 999_999, tzinfo=UTC))
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=7) == canonical.to_time(7)


@pytest.mark.parametrize("seconds", [-1, canonical.MAX_TIME + 1, 2**70, True, False, 1.0, "1", None])
def test_what_is_no_time_is_refused(seconds: object) -> None:
    with pytest.raises(ValueError, match="not a time"):
        canonical.to_time(seconds)
