# SPDX-License-Identifier: Apache-2.0
"""Rotation as a table of states: what is done next, and what a crash at any moment leaves to be done.

Each state is saved before the side effect that follows it, so the vault always knows at least as much as AWS does.
Pure: times and what AWS said are arguments; edge/rotator.py makes the calls.

    intent -> created -> verified -> grace -> deactivating -> soak -> deleting -> (closed)
       |         |           |         |                        |
       v         +-----------+-> undoing -> (closed)            |       rollback before promotion
    uncertain                          +------------------------+----> grace, the other way round

`intent` is saved before CreateAccessKey is sent. Found again after a crash it means *uncertain*: the key may exist, and
its secret is lost if it does. Promotion itself is no side effect in AWS: it is the save that begins `grace`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, Literal, get_args

from vaultd.core.fields import check_times
from vaultd.core.keys import Key
from vaultd.wire.errors import Usage

State = Literal[
    "intent", "uncertain", "created", "verified", "undoing", "grace", "deactivating", "soak", "deleting"
]
STATES: Final = frozenset(get_args(State))
#: From the save on that makes the new key the one served.
PROMOTED: Final = frozenset({"grace", "deactivating", "soak", "deleting"})

#: Which daemon: a machine's name and something of the vault's path, as written in the tag on the user.
HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,63}:[0-9a-f]{8}\Z")
_RUN: Final = re.compile(r"[0-9a-f]{16}\Z")
MAX_WAITS: Final = 300  # characters
UNCERTAIN: Final = "it is not known yet whether AWS made a key; the old one goes on serving"

#: What a state that comes when its time is over waited in.
_BEFORE: Final[Mapping[State, State]] = MappingProxyType({"deactivating": "grace", "deleting": "soak"})

#: By then IAM lists every key that was made, and CloudTrail shows who made it: within seconds, and within minutes.
UNCERTAIN_FOR = timedelta(minutes=30)
#: AWS's own clock against ours, and how late GetAccessKeyLastUsed may count a use from before the promotion.
USE_TOLERANCE = timedelta(minutes=15)
#: A state that began later than this from now was saved under another clock.
CLOCK_TOLERANCE = timedelta(minutes=15)
#: AWS takes a signature that is this old or this far ahead, so a key may be made so long before or after its run began.
SIGNING_WINDOW = timedelta(minutes=15)
#: Another vault's tag on the user stops a rotation for this long.
CLAIM_HOLDS = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Rotation:
    """One run. `old` is the key that was served when it began; a rollback after promotion exchanges the two."""

    run: str  # 16 hex digits: the nonce in CreateAccessKey's user agent, and the proof that a key is ours
    state: State
    since: datetime  # when this state began
    started_at: datetime
    host: str
    old: Key
    new: Key | None = None
    known: tuple[str, ...] = ()  # the key ids that IAM listed before: never candidates for anything
    promoted_at: datetime | None = None  # when `new` became the one that is served
    back: bool = False  # rolled back after promotion: `old` is the key that the run made
    hurry: bool = False  # --now: no grace, no soak
    force: bool = False  # --force: although the old key is still used
    waits: str = ""  # for what, in words for a person; "" while it goes on by itself

    def __post_init__(self) -> None:
        if self.state not in STATES or not (_RUN.match(self.run) and HOST.match(self.host)):
            raise Usage("that is no rotation")
        if (self.new is None) != (self.state in ("intent", "uncertain")):
            raise Usage("a rotation past its beginning, and only that, has a new key")
        if (self.promoted_at is None) != (self.state not in PROMOTED):
            raise Usage("a rotation is promoted or it is not")
        if len(self.waits) > MAX_WAITS:
            raise Usage("a rotation waits for something shorter")
        check_times(self.since, self.started_at, self.promoted_at)

    def at(self, state: State, now: datetime) -> "Rotation":
        """The next state, from now on; what it waited for is over."""
        return replace(self, state=state, since=now, waits="")

    @property
    def machine(self) -> str:
        """The host, as people call it."""
        return self.host.partition(":")[0]

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Of the keys that it holds: the old one first."""
        return (self.old.access_key_id, *((self.new.access_key_id,) if self.new else ()))


@dataclass(frozen=True, slots=True)
class Periods:
    """How long the old key stays: active after the promotion, and inactive before it is deleted."""

    grace: timedelta
    soak: timedelta


def resumed(rotation: Rotation, now: datetime) -> Rotation:
    """As found after an unlock: whether CreateAccessKey was sent is not known any more."""
    return rotation.at("uncertain", now) if rotation.state == "intent" else rotation


def is_of_another_clock(rotation: Rotation, now: datetime) -> bool:
    """Was its state, which lasts or follows one that does, saved under a clock that was ahead? Or is ours behind?"""
    return rotation.state in PROMOTED and rotation.since > now + CLOCK_TOLERANCE


def begun_again(rotation: Rotation, now: datetime) -> Rotation:
    """Once AWS took our signature, so that it is our clock which is right: nobody knows how much of the time has passed."""
    state = _BEFORE.get(rotation.state, rotation.state)
    promoted_at = rotation.promoted_at and min(rotation.promoted_at, now)
    return replace(rotation.at(state, now), promoted_at=promoted_at)


def is_due(rotation: Rotation, periods: Periods, now: datetime) -> bool:
    """Is the next thing to be done now?"""
    return due_at(rotation, periods) <= now or rotation.since > now + CLOCK_TOLERANCE


def due_at(rotation: Rotation, periods: Periods) -> datetime:
    """When the next thing is to be done; in the past for at once."""
    if rotation.hurry:
        return rotation.since
    return rotation.since + {"grace": periods.grace, "soak": periods.soak}.get(rotation.state, timedelta(0))


def created(rotation: Rotation, key: Key, now: datetime) -> Rotation:
    """AWS made the key, and its secret reached us."""
    return replace(rotation, state="created", since=now, waits="", new=key)


def promoted(rotation: Rotation, now: datetime) -> Rotation:
    """The new key is the one served from this save on."""
    return replace(rotation, state="grace", since=now, waits="", promoted_at=now)


def reopened(rotation: Rotation, now: datetime) -> Rotation:
    """The grace begins again: we are about to use the old key ourselves, and nobody else is to be blamed for it."""
    return promoted(rotation, now)


def is_promotion(before: Rotation | None, after: Rotation) -> bool:
    """Does another key get served from this step on? Not by the time: a rollback may come within the same second."""
    if after.promoted_at is None:
        return False
    return before is None or before.promoted_at is None or before.new != after.new


def rolled_back(rotation: Rotation, now: datetime) -> Rotation:
    """Back to the old key: before promotion the new one is undone, after it the two change places, with a grace of its own."""
    match rotation.state:
        case "created" | "verified":
            return rotation.at("undoing", now)
        case "grace" | "deactivating" | "soak" | "deleting":
            assert rotation.new
            exchanged = replace(rotation, old=rotation.new, new=rotation.old, back=not rotation.back)
            return promoted(replace(exchanged, hurry=False, force=False), now)
        case "undoing":
            return rotation
        case "intent" | "uncertain":
            raise Usage(UNCERTAIN, hint="run: awsvault rotate --status")


def strangers(rotation: Rotation, listed: tuple[str, ...]) -> tuple[str, ...]:
    """Keys that IAM lists and that were not there before: perhaps ours, perhaps a person's."""
    ours = {*rotation.known, *rotation.key_ids}
    return tuple(key_id for key_id in listed if key_id not in ours)


def could_be_ours(rotation: Rotation, created_at: datetime, *, is_tagged: bool, is_used: bool) -> bool:
    """Whatever CloudTrail says: a key that somebody labelled or used, or from another time, is not this run's."""
    return made_then(rotation.started_at, created_at) and not is_tagged and not is_used


def made_then(started_at: datetime, created_at: datetime) -> bool:
    """Is the key of the time at which a run that began then made its own?"""
    return started_at - SIGNING_WINDOW <= created_at <= started_at + 2 * SIGNING_WINDOW


def used_since(rotation: Rotation, used_at: datetime | None, handed_out_for: timedelta) -> bool:
    """Is the old key used by something that does not ask us?

    Whoever got the key before the promotion may use it for as long as it was handed out for (`serve = key`'s lease).
    """
    if used_at is None or rotation.promoted_at is None:
        return False
    return used_at > rotation.promoted_at + handed_out_for + USE_TOLERANCE


def settled(
    rotation: Rotation, listed: tuple[str, ...], proven: tuple[str, ...] | None, now: datetime
) -> "Settlement":
    """What became of a CreateAccessKey whose reply was lost. `proven`: ids that CloudTrail shows with our nonce; None when it may not be asked."""
    found = strangers(rotation, listed)
    ours = tuple(key_id for key_id in proven or () if key_id in found)
    if ours:
        return Settlement("delete", ours)
    if now - rotation.started_at >= UNCERTAIN_FOR:
        return Settlement("ask" if found else "none", found)
    return Settlement("ask" if found and proven is None else "wait", found)  # CloudTrail is minutes late


@dataclass(frozen=True, slots=True)
class Settlement:
    """`delete`: proven ours. `none`: there is no such key. `wait`: too early to tell. `ask`: a person must say whose it is."""

    verdict: Literal["delete", "none", "wait", "ask"]
    key_ids: tuple[str, ...]
