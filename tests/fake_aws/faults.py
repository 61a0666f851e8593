# SPDX-License-Identifier: Apache-2.0
"""What can go wrong between a client and AWS, queued by a test and spent by the next matching calls."""

import threading
from dataclasses import dataclass
from typing import Literal

Way = Literal[
    "refuse", "delay", "hold", "hold-reply", "reset", "truncate", "cut", "garbage", "lose-reply", "twice"
]


class Gate:
    """Holds calls until a test opens it, so that "while the call is under way" needs no sleep."""

    def __init__(self) -> None:
        self.arrived = threading.Semaphore(0)
        self._open = threading.Event()

    def wait(self) -> None:
        self.arrived.release()
        self._open.wait()

    def open(self) -> None:
        self._open.set()


@dataclass(frozen=True, slots=True)
class Fault:
    """One of the ways in which a call can go wrong; use the named constructors."""

    way: Way
    status: int = 0
    code: str = ""
    message: str = ""
    delay_s: float = 0.0
    gate: Gate | None = None

    @property
    def name(self) -> str:
        return self.code or self.way

    @classmethod
    def refuse(cls, status: int, code: str, message: str = "") -> "Fault":
        """AWS answers so and does nothing."""
        return cls("refuse", status=status, code=code, message=message)

    @classmethod
    def internal(cls) -> "Fault":
        return cls.refuse(
            500, "InternalFailure", "The request processing has failed because of an unknown error."
        )

    @classmethod
    def unavailable(cls) -> "Fault":
        return cls.refuse(503, "ServiceUnavailable", "Service Unavailable. Please try again later.")

    @classmethod
    def throttling(cls) -> "Fault":
        return cls.refuse(400, "Throttling", "Rate exceeded")

    @classmethod
    def delay(cls, seconds: float) -> "Fault":
        """The answer is right and late."""
        return cls("delay", delay_s=seconds)

    @classmethod
    def hold(cls, gate: Gate) -> "Fault":
        """The answer is right and waits for the gate."""
        return cls("hold", gate=gate)

    @classmethod
    def hold_reply(cls, gate: Gate) -> "Fault":
        """It was done, and the answer waits for the gate."""
        return cls("hold-reply", gate=gate)

    @classmethod
    def twice(cls) -> "Fault":
        """Something on the way sends it again: it is done twice, and the first answer arrives."""
        return cls("twice")

    @classmethod
    def reset(cls) -> "Fault":
        """The connection is reset before anything was done."""
        return cls("reset")

    @classmethod
    def truncate(cls) -> "Fault":
        """A whole HTTP reply with half of the XML in it."""
        return cls("truncate")

    @classmethod
    def cut(cls) -> "Fault":
        """The connection ends in the middle of the body."""
        return cls("cut")

    @classmethod
    def garbage(cls) -> "Fault":
        """A captive portal's page, with status 200."""
        return cls("garbage")

    @classmethod
    def lose_reply(cls) -> "Fault":
        """It was done, and nobody hears of it."""
        return cls("lose-reply")


class Queue:
    """Faults in the order in which they strike. Thread-safe."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str | None, Fault]] = []
        self._gates: list[Gate] = []
        self._lock = threading.Lock()

    def put(self, fault: Fault, action: str | None, times: int) -> None:
        with self._lock:
            self._waiting += [(action, fault)] * times
            self._gates += [fault.gate] if fault.gate else []

    def take(self, action: str) -> Fault | None:
        with self._lock:
            for index, (wanted, fault) in enumerate(self._waiting):
                if wanted in (None, action):
                    del self._waiting[index]
                    return fault
        return None

    def open_gates(self) -> None:
        """So that a server can stop under a test that failed before it opened its gate."""
        with self._lock:
            for gate in self._gates:
                gate.open()
