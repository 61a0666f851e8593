# SPDX-License-Identifier: Apache-2.0
"""The books of every call, and the clock by which they are kept."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Call:
    """One request that arrived. `outcome` is "ok", AWS's error code, or the name of the fault that struck."""

    at: datetime
    action: str
    access_key_id: str | None
    user: str | None
    region: str | None
    user_agent: str
    outcome: str


class Clock:
    """The real time, moved: AWS's clock can be wrong against ours, or hours ahead of the test's start."""

    def __init__(self) -> None:
        self.offset = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def advance(self, step: timedelta) -> None:
        self.offset += step
