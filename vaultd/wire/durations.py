# SPDX-License-Identifier: Apache-2.0
"""Lengths of time as people write them: `0s 15m 12h 90d`. Seconds everywhere else."""

import re

from vaultd.wire.errors import Usage

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_WRITTEN = re.compile(r"([0-9]{1,6})([smhd])")


def parse(text: str) -> int:
    """Seconds in `text`: at most six digits and a unit, or a bare `0`. Raises Usage."""
    found = _WRITTEN.fullmatch(text)
    if found:
        return int(found[1]) * _UNITS[found[2]]
    if text == "0":
        return 0
    raise Usage("must be a length of time like 15m, 12h or 90d")


def show(seconds: float) -> str:
    """The two largest units that are not zero: `1 h 5 min`, `90 days`. Rounded down, so that no time is promised away."""
    left = max(int(seconds), 0)
    parts = []
    for name, size in (("day", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}{'s' if name == 'day' and count > 1 else ''}")
    return " ".join(parts[:2]) or "0 s"
