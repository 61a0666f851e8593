# SPDX-License-Identifier: Apache-2.0
"""The agenda: what is written is read again, and what we would not have written is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultd.core import canonical
from vaultd.core.agenda import MAX_BYTES, MAX_ENTRIES, Odd, decode, encode
from vaultd.core.reminders import THINGS, Entry

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ROW: list[Any] = ["dev", "rotate", 1_795_521_600, 1_796_731_200, None]

times = st.integers(0, canonical.MAX_TIME - 86_400).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


def entries_of(name: str, thing: Any, since: datetime, quiet: datetime | None) -> Entry:
    return Entry(name, thing, since, since + timedelta(days=1) if thing == "rotate" else None, quiet)


entries = st.lists(
    st.builds(
        entries_of,
        st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,63}", fullmatch=True),
        st.sampled_from(sorted(THINGS)),
        times,
        st.none() | times,
    ),
    max_size=10,
    unique_by=lambda entry: (entry.profile, entry.thing),
)


@given(entries)
def test_what_is_written_is_read_again(written: list[Entry]) -> None:
    assert tuple(written) == decode(encode(written))


def test_it_is_written_as_always() -> None:
    entry = Entry("dev", "rotate", NOW, NOW + timedelta(days=14))
    assert b'{"agenda":1,"entries":[["dev","rotate",1795521600,1796731200,null]]}' == encode([entry])


def test_words_stay_in_the_vault() -> None:
    """Names and dates alone: what a rotation waits for may tell of rights and keys."""
    entry = Entry("dev", "rotation-open", NOW, note="whose key is it")
    assert b"whose" not in encode([entry])


def test_the_first_of_many_are_written_and_fit() -> None:
    name = "p" * 58
    many = [Entry(f"{name}{number:06}", "rotation-open", NOW, None, NOW) for number in range(MAX_ENTRIES + 1)]
    assert tuple(many[:-1]) == decode(encode(many))


def spoilt(row: list[Any], column: int, value: Any) -> bytes:
    return canonical.encode({"agenda": 1, "entries": [[*row[:column], value, *row[column + 1 :]]]})


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (0, "9lives"),
        (0, "dev\n"),
        (0, "$(reboot)"),
        (0, "a" * 65),
        (0, ""),
        (0, None),
        (0, ["dev"]),
        (1, "rotate-due"),
        (1, "shout"),
        (1, None),
        (1, ["rotate"]),
        (1, "unused"),  # which is never overdue
        (2, None),
        (2, "2026-11-24"),
        (2, True),
        (2, -1),
        (2, canonical.MAX_TIME + 1),
        (2, 1_796_731_201),  # after `by`
        (3, None),
        (3, "1"),
        (4, "1"),
        (4, -1),
    ],
    ids=str,
)
def test_an_entry_that_we_would_not_write_is_refused(column: int, value: Any) -> None:
    assert 1 == len(decode(canonical.encode({"agenda": 1, "entries": [ROW]})))
    with pytest.raises(Odd):
        decode(spoilt(ROW, column, value))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 100,
        b"null",
        b"[]",
        b"{}",
        b'{"agenda":1}',
        b'{"agenda":1,"entries":[],"more":1}',
        b'{"agenda":2,"entries":[]}',
        b'{"agenda":true,"entries":[]}',
        b'{"agenda":1,"entries":{}}',
        b'{"agenda":1,"entries":[[]]}',
        b'{"agenda":1,"entries":["dev"]}',
        b'{"agenda":1,"entries":[["dev","unused",1,null]]}',
        b'{"agenda":1,"entries":[["dev","unused",1,null,null,null]]}',
        b'{"agenda":1,"entries":[["dev","shouting",1,null,null]]}',
        b'{"agenda":1,"entries":[["dev","unused",1.5,null,null]]}',
        b'{"agenda":1,"entries":[["dev","unused",NaN,null,null]]}',
        b'{"agenda":1,"entries":[["dev","unused",1,null,null],["dev","unused",2,null,null]]}',
        b'{"agenda":1,"agenda":1,"entries":[]}',
        b'{"agenda":1,"entries":[["d\xc3\xa9v","unused",1,null,null]]}',
        b'{"agenda":1,"entries":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"agenda":1,"entries":[["dev","unused",' + b"9" * 5_000 + b",null,null]]}",
        canonical.encode(
            {"agenda": 1, "entries": [[f"p{n}", "unused", 1, None, None] for n in range(MAX_ENTRIES + 1)]}
        ),
        b'{"agenda":1,"entries":[]}'.ljust(MAX_BYTES + 1),
    ],
    ids=lambda data: repr(data[:48]),
)
def test_what_is_no_agenda_of_ours_is_refused(data: bytes) -> None:
    with pytest.raises(Odd):
        decode(data)


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    with pytest.raises(Odd):
        decode(data)


def test_a_refusal_quotes_nothing() -> None:
    with pytest.raises(Odd) as caught:
        decode(spoilt(ROW, 0, "\x1b]0;evil\x07"))
    assert "evil" not in str(caught.value)
