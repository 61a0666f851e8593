# SPDX-License-Identifier: Apache-2.0
"""JSON with one spelling: what the vault's header and body are written in (FORMAT.md, "Canonical JSON").

Python's json accepts duplicate keys, NaN, floats for integers and integers of any size, so that two readers of one
file could see two different vaults. All of them are refused here. It knows nothing of what the JSON means.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn

MAX_INTEGER = 2**53 - 1  # the largest that every JSON reader keeps exact (RFC 7493, section 2.2)

Pairs = list[tuple[str, Any]]


def encode(value: object) -> bytes:
    """The one spelling: ASCII, keys sorted, no white space."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def unique(pairs: Pairs) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def decode(data: bytes, to_object: Callable[[Pairs], Any] = unique) -> Any:
    """What `data` says; `to_object` makes each JSON object. Raises ValueError, naming no part of the input."""
    try:
        return json.loads(
            data.decode("ascii"),
            object_pairs_hook=to_object,
            parse_int=_integer,
            parse_float=_refuse,
            parse_constant=_refuse,
        )
    except (ValueError, RecursionError):
        raise ValueError("not canonical JSON") from None


def _integer(digits: str) -> int:
    if len(digits) > len(str(-MAX_INTEGER)):
        raise ValueError("integer out of range")
    value = int(digits)
    if abs(value) > MAX_INTEGER:
        raise ValueError("integer out of range")
    return value


def _refuse(_text: str) -> NoReturn:
    raise ValueError("not an integer")


def format_time(moment: datetime) -> str:
    """`YYYY-MM-DDTHH:MM:SSZ`, cut to the second."""
    return moment.isoformat()[:19] + "Z"


def parse_time(text: object) -> datetime:
    """The moment that `text` is format_time() of. Raises ValueError."""
    if not isinstance(text, str) or text[-1:] != "Z":
        raise ValueError("not a time")
    moment = datetime.fromisoformat(text[:-1]).replace(tzinfo=UTC)
    if format_time(moment) != text:
        raise ValueError("not a time")
    return moment
