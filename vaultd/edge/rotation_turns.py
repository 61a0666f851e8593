# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is: one at a time for each profile, and when to look at which again.

In memory only, and in boot time: a new process image tries at once, and no clock that is set stops anything.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Turns:
    boottime: Callable[[], float]
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    _look_at: dict[str, float] = field(default_factory=dict)

    def of(self, name: str) -> asyncio.Lock:
        """To be held during a turn."""
        return self._locks.setdefault(name, asyncio.Lock())

    def is_due(self, name: str) -> bool:
        """Is it time to look, and nobody else's turn?"""
        lock = self._locks.get(name)
        return self.boottime() >= self._look_at.get(name, 0.0) and not (lock and lock.locked())

    def again_in(self, name: str, seconds: float) -> None:
        self._look_at[name] = self.boottime() + seconds

    def at_once(self, *names: str) -> None:
        """All of them, when none is named."""
        for name in names or tuple(self._look_at):
            self._look_at.pop(name, None)

    @property
    def waiting(self) -> dict[str, float]:
        """By name, and until when."""
        return dict(self._look_at)
