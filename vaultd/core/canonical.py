# SPDX-License-Identifier: Apache-2.0
"""JSON with one spelling: what the vault's header and body are written in (FORMAT.md, "Canonical JSON").

Python's json accepts duplicate keys, NaN, floats for integers and integers of any size, so that two readers of one
file could see two different vaults. All of them are refused here. It knows nothing of what the JSON means.
"""

import json
from datetime import UTC, datetime
from typing import Any, NoReturn

MAX_INTEGER = 2**53 - 1  # the largest that every JSON reader keeps exact (RFC 7493, section 2.2)
FIRST_YEAR = 1970
_EPOCH = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
MAX_TIME = 253_402_300_799  # 9999-12-31T23:59:59Z


def encode(value: object) -> bytes:
    """The one spelling: ASCII, keys sorted, no white space."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def decode(data: bytes | memoryview) -> Any:
    """What `data` says. Raises ValueError, naming no part of the input."""
    try:
        return json.loads(
            str(data, "ascii"), object_pairs_hook=_unique, parse_float=_refuse, parse_constant=_refuse
        )
    except (ValueError, RecursionError):
        raise ValueError("not canonical JSON") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _refuse(_text: str) -> NoReturn:
    raise ValueError("not an integer")


def from_time(moment: datetime) -> int:
    """Whole seconds since 1970-01-01T00:00:00Z: one spelling, and ten times faster than a date in letters."""
    since = moment - _EPOCH
    return since.days * 86400 + since.seconds


def to_time(seconds: object) -> datetime:
    """The moment, in UTC. Raises ValueError."""
    if type(seconds) is not int or not 0 <= seconds <= MAX_TIME:  # not isinstance: True is an int
        raise ValueError("not a time")
    return datetime.fromtimestamp(seconds, UTC)


def from_time_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else from_time(moment)


def to_time_or_none(seconds: object) -> datetime | None:
    """Raises ValueError."""
    return None if seconds is None else to_time(seconds)
