# SPDX-License-Identifier: Apache-2.0
"""agenda.json: names and due dates, by which a locked daemon reminds. Whoever can write the file chooses what it says.

So it is read as a stranger's input: one shape, bounded, names by the alphabet of names and things by the list of things.
What a forger can do is name a profile and a date; the words and the commands are ours.
"""

from collections.abc import Sequence
from typing import Any, Final

from vaultd.core import canonical
from vaultd.core.canonical import from_time, from_time_or_none, to_time_or_none
from vaultd.core.fields import NAME
from vaultd.core.reminders import THINGS, Entry

VERSION: Final = 1
#: The soonest of more than anybody can look at; 130 bytes each at most.
MAX_ENTRIES: Final = 2_000
MAX_BYTES: Final = 512 * 1024
_COLUMNS = 5


class Odd(ValueError):
    """That is no agenda of ours. Says what is odd, and quotes nothing of it."""


def encode(entries: Sequence[Entry]) -> bytes:
    """Canonical JSON (FORMAT.md): `{"agenda":1,"entries":[[profile, thing, since, by, quiet until], ...]}`."""
    rows = [
        (
            entry.profile,
            entry.thing,
            from_time(entry.since),
            from_time_or_none(entry.by),
            from_time_or_none(entry.quiet_until),
        )
        for entry in entries[:MAX_ENTRIES]
    ]
    return canonical.encode({"agenda": VERSION, "entries": rows})


def decode(data: bytes) -> tuple[Entry, ...]:
    """Raises Odd."""
    if len(data) > MAX_BYTES:
        raise Odd("it is too long")
    try:
        document = canonical.decode(data)
    except ValueError:
        raise Odd("it is not plain JSON") from None
    if not isinstance(document, dict) or document.keys() != {"agenda", "entries"}:
        raise Odd("it is not an agenda")
    if type(document["agenda"]) is not int or document["agenda"] != VERSION:
        raise Odd("it is of another version")
    rows = document["entries"]
    if not isinstance(rows, list) or len(rows) > MAX_ENTRIES:
        raise Odd("it has too many entries")
    entries = tuple(map(_entry, rows))
    if len({(entry.profile, entry.thing) for entry in entries}) != len(entries):
        raise Odd("it says a thing twice")
    return entries


def _entry(row: Any) -> Entry:
    if not isinstance(row, list) or len(row) != _COLUMNS:
        raise Odd("an entry has another form")
    name, thing, *times = row
    if not isinstance(name, str) or not NAME.match(name):
        raise Odd("an entry names no profile")
    if not isinstance(thing, str) or thing not in THINGS:
        raise Odd("an entry is about something unknown")
    try:
        since, by, quiet_until = map(to_time_or_none, times)
    except ValueError:
        raise Odd("an entry has a date that is none") from None
    if since is None or (by is None) == (thing == "rotate") or (by is not None and by < since):
        raise Odd("an entry has dates that make no sense")
    return Entry(name, thing, since, by, quiet_until)  # type: ignore[arg-type]  # one of THINGS
