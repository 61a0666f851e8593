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

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

from vaultd.core.fields import check_times
from vaultd.core.keys import Key
from vaultd.wire.errors import Usage

State = Literal[
    "intent", "uncertain", "created", "verified", "undoing", "grace", "deactivating", "soak", "deleting"
]
STATES: Final = frozenset(get_args(State))

VERIFY_SUCCESSES = (
    3  # in a row, spread out: IAM tells its hosts one after another (hashicorp/vault #8413: 5-10 s or more)
)
VERIFY_SPREAD = timedelta(seconds=10)
VERIFY_PATIENCE = timedelta(minutes=2)
#: After this long without a trace in the list of keys, the key was not made: lists are consistent within seconds.
UNCERTAIN_FOR = timedelta(minutes=30)
RETRY_AFTER = timedelta(minutes=1)
#: Waiting for a person or for other programs is looked at less often.
LOOK_AGAIN = timedelta(hours=1)
#: AWS's own clock against ours, and how late GetAccessKeyLastUsed may count a use from before the promotion.
USE_TOLERANCE = timedelta(minutes=15)


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
    back: bool = False  # rolled back after promotion: `old` is the key that the run made
    hurry: bool = False  # --now: no grace, no soak
    force: bool = False  # --force: although the old key is still used
    waits: str = ""  # for what, in words for a person; "" while it goes on by itself
    look_at: datetime | None = None  # when to try again what failed or waits

    def __post_init__(self) -> None:
        if self.state not in STATES or len(self.run) != 16 or set(self.run) - set("0123456789abcdef"):  # noqa: PLR2004
            raise Usage("that is no rotation")
        if self.new is None and self.state not in ("intent", "uncertain"):
            raise Usage("a rotation past its beginning has a new key")
        check_times(self.since, self.started_at, self.look_at)

    def at(self, state: State, now: datetime) -> "Rotation":
        """The next state, from now on; what it waited for is over."""
        return replace(self, state=state, since=now, waits="", look_at=None)


@dataclass(frozen=True, slots=True)
class Periods:
    """How long the old key stays: active after the promotion, and inactive before it is deleted."""

    grace: timedelta
    soak: timedelta


def resumed(rotation: Rotation, now: datetime) -> Rotation:
    """As found after an unlock: whether CreateAccessKey was sent is not known any more."""
    return rotation.at("uncertain", now) if rotation.state == "intent" else rotation


def due_at(rotation: Rotation, periods: Periods) -> datetime:
    """When the next thing is to be done; in the past for at once."""
    ends = rotation.since
    if not rotation.hurry:
        ends += {"grace": periods.grace, "soak": periods.soak}.get(rotation.state, timedelta(0))
    return max(ends, rotation.look_at or ends)


def promoted(rotation: Rotation, now: datetime) -> Rotation:
    """The new key is the one served from this save on."""
    return rotation.at("grace", now)


def rolled_back(rotation: Rotation, now: datetime) -> Rotation:
    """Back to the old key: before promotion the new one is undone, after it the two change places, with a grace of its own."""
    match rotation.state:
        case "created" | "verified":
            return rotation.at("undoing", now)
        case "grace" | "deactivating" | "soak":
            assert rotation.new
            exchanged = replace(
                rotation, old=rotation.new, new=rotation.old, back=not rotation.back, hurry=False, force=False
            )
            return exchanged.at("grace", now)
        case "undoing":
            return rotation
        case "intent" | "uncertain":
            raise Usage(
                "it is not known yet whether AWS made a key; the old one goes on serving",
                hint="run: awsvault rotate --status",
            )
        case "deleting":
            raise Usage("the old key is being deleted: there is no way back")


def strangers(rotation: Rotation, listed: tuple[str, ...]) -> tuple[str, ...]:
    """Keys that IAM lists and that were not there before: perhaps ours, perhaps a person's."""
    ours = {rotation.old.access_key_id, rotation.new.access_key_id if rotation.new else None}
    return tuple(key_id for key_id in listed if key_id not in rotation.known and key_id not in ours)


def used_since(rotation: Rotation, used_at: datetime | None) -> bool:
    """Was the old key used after the promotion, by something that is not us?"""
    return used_at is not None and used_at > rotation.since + USE_TOLERANCE


def settled(
    rotation: Rotation, listed: tuple[str, ...], proven: tuple[str, ...] | None, now: datetime
) -> "Settlement":
    """What became of a CreateAccessKey whose reply was lost. `proven`: ids that CloudTrail shows with our nonce; None when it may not be asked."""
    found = strangers(rotation, listed)
    ours = tuple(key_id for key_id in proven or () if key_id in found)
    if ours:
        return Settlement("delete", ours)
    if proven and not found:
        return Settlement("none", ())  # it was made, and somebody deleted it already
    if not found and now - rotation.started_at >= UNCERTAIN_FOR:
        return Settlement("none", ())
    return Settlement("ask" if found else "wait", found)


@dataclass(frozen=True, slots=True)
class Settlement:
    """`delete`: proven ours. `none`: there is no such key. `wait`: too early to tell. `ask`: a person must say whose it is."""

    verdict: Literal["delete", "none", "wait", "ask"]
    key_ids: tuple[str, ...]
