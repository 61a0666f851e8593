# SPDX-License-Identifier: Apache-2.0
"""Saying a thing once in a while, however often there is a reason to."""

from collections.abc import Callable, Mapping

KEPT = 400  # topics that go over a lock; of more, some are said once again


class Once:
    """By boot time: a clock that is set neither silences nor repeats anything."""

    def __init__(self, boottime: Callable[[], float], quiet_s: float) -> None:
        self._boottime = boottime
        self._quiet_s = quiet_s
        self._said: dict[str, float] = {}

    def is_news(self, topic: str) -> bool:
        said = self._said.get(topic)
        return said is None or self._boottime() - said >= self._quiet_s

    def said(self, topic: str) -> None:
        self._said[topic] = self._boottime()

    def forget(self, topic: str) -> None:
        """The next time is news again."""
        self._said.pop(topic, None)

    def carry(self) -> dict[str, float]:
        """What the next process image must know, the newest."""
        kept = [(topic, at) for topic, at in self._said.items() if not self.is_news(topic)]
        return dict(sorted(kept, key=lambda item: item[1])[-KEPT:])

    def resume(self, carried: Mapping[str, float]) -> None:
        self._said.update(carried)
