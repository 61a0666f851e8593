# SPDX-License-Identifier: Apache-2.0
"""What can happen at one point: to the process, to AWS's answer, to the disk, by a person, to the clock."""

import asyncio
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.fake_aws import AccessKey, Fault, Gate

if TYPE_CHECKING:
    from tests.torture.host import Host
    from tests.torture.play import Play

DAY = timedelta(days=1)
LATE = timedelta(minutes=5)  # by how much AWS gets a request later than it was given up

Deed = Callable[["Blow", str], None]


@dataclass
class Blow:
    """Strikes one process of `host` once."""

    kind: str
    play: "Play"
    struck: bool = False
    idle: bool = False  # there was nothing to strike at
    gates: list[Gate] = field(default_factory=list)

    @property
    def host(self) -> "Host":
        return self.play.host

    @property
    def is_slow(self) -> bool:
        return self.kind in DELAYS

    def before(self, name: str) -> None:
        self.struck = True
        self._strike("before", name)

    def between(self, name: str) -> None:
        self._strike("between", name)

    def after(self, name: str) -> None:
        self._strike("after", name)

    def _strike(self, moment: str, name: str) -> None:
        deed = BLOWS[self.kind].get(moment)
        if deed:
            deed(self, name)


def _die(blow: Blow, _name: str) -> None:
    blow.host.probe.die()


def _lock(blow: Blow, _name: str) -> None:
    """On the loop's thread, as everything that a person asks for."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        done = asyncio.run_coroutine_threadsafe(_locked(blow.host), blow.play.loop)
        done.result()
    else:
        blow.host.lock()


def _both(*deeds: Deed) -> Deed:
    def deed(blow: Blow, name: str) -> None:
        for each in deeds:
            each(blow, name)

    return deed


async def _locked(host: "Host") -> None:
    host.lock()


def _answer(fault: Callable[[], Fault]) -> Deed:
    def deed(blow: Blow, name: str) -> None:
        blow.play.fake.fault(fault(), action=name)

    return deed


def _hold(fault: Callable[[Gate], Fault]) -> Deed:
    def deed(blow: Blow, name: str) -> None:
        gate = Gate()
        blow.play.fake.fault(fault(gate), action=name)
        blow.play.later(LATE, partial(_let_go, blow, gate) if fault is Fault.hold else gate.open)

    return deed


def _let_go(blow: Blow, gate: Gate) -> None:
    """And wait until it has happened."""
    with blow.play.fake.next_answer():
        gate.open()


# --- the disk


def _break(*operations: str, code: int, long: bool, times: int = 10**6) -> dict[str, Deed]:
    """While one save lasts, or until the whole request is answered."""

    def deed(blow: Blow, _name: str) -> None:
        home, left = blow.host.home, [times]

        def error(operation: str, arguments: tuple[Any, ...]) -> None:
            if operation in operations and left[0] and (operation != "fsync_dir" or arguments == (home,)):
                left[0] -= 1
                raise OSError(code, os.strerror(code))

        blow.host.probe.disk_error = error

    def mend(blow: Blow, _name: str) -> None:
        blow.host.probe.disk_error = None

    return {"before": deed} if long else {"before": deed, "after": mend}


# --- a person


def _makes(blow: Blow, _name: str) -> None:
    play = blow.play
    with play.fake._lock:
        if len(play.fake.world.keys_of(play.alice)) >= 2:
            blow.idle = True
            return
        key = play.fake.add_key(play.alice)
        play.checker.persons.add(key.access_key_id)
        play.needs_person = True


def _ends(which: str, end: Callable[["Play", AccessKey], None]) -> Deed:
    def deed(blow: Blow, _name: str) -> None:
        play = blow.play
        with play.fake._lock:
            keys = play.fake.world.keys_of(play.alice)
            chosen = [
                k
                for k in keys
                if (k is play.key) == (which == "old") and k.access_key_id not in play.checker.persons
            ]
            if not chosen:
                blow.idle = True
                return
            end(play, chosen[0])
            play.checker.person_ends(chosen[0].access_key_id)

    return deed


def _delete(play: "Play", key: AccessKey) -> None:
    play.fake.remove_key(key)


def _deactivate(_play: "Play", key: AccessKey) -> None:
    key.status = "Inactive"


def _set_clock(step: timedelta) -> Deed:
    def deed(blow: Blow, _name: str) -> None:
        host = blow.host
        host.desk.now += step
        host.skew, host.skewed_at = step, host.desk.booted
        blow.play.needs_person = step > timedelta(0)  # a program may hold the old key for a day longer

    return deed


KILLS: dict[str, dict[str, Deed]] = {
    "killed before": {"before": _die},
    "killed after": {"after": _die},
}
LOST: dict[str, dict[str, Deed]] = {"its reply lost": {"before": _answer(Fault.lose_reply)}}
ANSWERS: dict[str, dict[str, Deed]] = {
    **LOST,
    "throttled": {"before": _answer(Fault.throttling)},
    "failed": {"before": _answer(Fault.internal)},
    "reset": {"before": _answer(Fault.reset)},
    "its reply cut": {"before": _answer(Fault.cut)},
    "its reply truncated": {"before": _answer(Fault.truncate)},
    "answered by a portal": {"before": _answer(Fault.garbage)},
    "done twice": {"before": _answer(Fault.twice)},
    "refused as unknown": {"before": _answer(partial(Fault.refuse, 403, "InvalidClientTokenId", "no"))},
    "denied": {"before": _answer(partial(Fault.refuse, 403, "AccessDenied", "no"))},
}
DELAYS: dict[str, dict[str, Deed]] = {
    "done too late": {"before": _hold(Fault.hold)},
    "its reply too late": {"before": _hold(Fault.hold_reply)},
}
LOCKS: dict[str, dict[str, Deed]] = {"locked before": {"before": _lock}, "locked after": {"after": _lock}}
PERSONS: dict[str, dict[str, Deed]] = {
    f"a person {does} {moment}": {moment: deed}
    for does, deed in {
        "makes a key": _makes,
        "deletes the old key": _ends("old", _delete),
        "deletes the new key": _ends("new", _delete),
        "deactivates the old key": _ends("old", _deactivate),
        "deactivates the new key": _ends("new", _deactivate),
    }.items()
    for moment in ("before", "after")
}
CLOCKS: dict[str, dict[str, Deed]] = {
    "the clock a day ahead": {"before": _set_clock(DAY)},
    "the clock a day behind": {"before": _set_clock(-DAY)},
}
SAVES: dict[str, dict[str, Deed]] = {
    "killed before": {"before": _die},
    "killed between": {"between": _die},
    "killed after": {"after": _die},
    "disk full": _break("open_new", "write", "allocate", code=errno.ENOSPC, long=False),
    "disk full for long": _break("open_new", "write", "allocate", code=errno.ENOSPC, long=True),
    "read-only for long": _break("open_new", "link", "rename", "allocate", code=errno.EROFS, long=True),
    "not confirmed": _break("fsync_dir", code=errno.EIO, long=False),
    "not confirmed for long": _break("fsync_dir", code=errno.EIO, long=True),
    **LOCKS,
}
#: A lock waits for the reply of CreateAccessKey and until it is saved: what if that fails, too?
LOCKED_AND: dict[str, dict[str, Deed]] = {
    f"locked, and the {trouble}": {"before": _both(_lock, deeds["before"])}
    for trouble, deeds in {
        "disk full for long": SAVES["disk full for long"],
        "save not confirmed": _break("fsync_dir", code=errno.EIO, long=True, times=1),
        "save not confirmed for long": SAVES["not confirmed for long"],
    }.items()
} | {
    f"locked, and {trouble}": {"before": _both(_lock, deeds["before"])}
    for trouble, deeds in (LOST | {"throttled": ANSWERS["throttled"]}).items()
}
CALLS = KILLS | ANSWERS | DELAYS | LOCKS | PERSONS | CLOCKS
BLOWS = CALLS | SAVES | LOCKED_AND


def of(point: str) -> dict[str, dict[str, Deed]]:
    """Everything that can happen at a point of this name."""
    if point == "CreateAccessKey":
        return CALLS | LOCKED_AND
    return SAVES if point.startswith("save:") or point == "reserve" else CALLS
