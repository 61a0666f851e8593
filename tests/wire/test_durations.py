# SPDX-License-Identifier: Apache-2.0
"""The lengths of time that flags and config.toml take, and how they are shown."""

import pytest

from vaultd.wire import durations
from vaultd.wire.errors import Usage


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("0s", 0), ("15m", 900), ("12h", 43_200), ("90d", 7_776_000), ("999999d", 86_399_913_600)],
)
def test_reads_what_people_write(text: str, seconds: int) -> None:
    assert seconds == durations.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "m",
        "-5m",
        "+5m",
        "1.5h",
        "1h30m",
        " 5m",
        "5m ",
        "5m\n",
        "5 m",
        "5M",
        "5w",
        "1000000s",
        "٣m",
        "1_0m",
    ],
)
def test_refuses_everything_else(text: str) -> None:
    with pytest.raises(Usage, match="length of time"):
        durations.parse(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3_900, "1 h 5 min"),
        (3_605, "1 h 5 s"),
        (86_400, "1 day"),
        (7_776_000, "90 days"),
        (90_061, "1 day 1 h"),
    ],
)
def test_shows_the_two_largest_units(seconds: float, text: str) -> None:
    assert text == durations.show(seconds)
