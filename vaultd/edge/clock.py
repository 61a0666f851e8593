# SPDX-License-Identifier: Apache-2.0
"""The two clocks: wall time for what others see, boot time for our own patience. Passed in everywhere else."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def now() -> datetime:
    """The wall clock, aware, in UTC, in whole seconds: the precision of everything that we write down."""
    return datetime.now(UTC).replace(microsecond=0)


def boottime() -> float:
    """Seconds since boot, sleep included: a laptop that was shut for a night has been idle for a night."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.clock_gettime(time.CLOCK_MONOTONIC)  # macOS: CLOCK_MONOTONIC counts sleep there. Not run


@dataclass(frozen=True, slots=True)
class Clock:
    now: Callable[[], datetime] = now
    boottime: Callable[[], float] = boottime

    def stamp(self) -> str:
        """The moment, as the audit writes it."""
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")
