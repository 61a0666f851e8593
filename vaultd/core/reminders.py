# SPDX-License-Identifier: Apache-2.0
"""What a person should be reminded of, and when: keys that are old, unused, root's or quarantined, rotations and revocations left open.

`agenda` says what becomes due when; `due` picks what is due now. Between the two lies agenda.json, by which a locked
daemon reminds: so the dates are worked out ahead, and the words are made from a name, a kind and dates alone.
Pure: the clock, and what AWS said, are arguments.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, get_args

from vaultd.core import exposure, revocation, rotation
from vaultd.core.keys import Key
from vaultd.core.policy import RotationSettings
from vaultd.core.records import Body, KeyProfile
from vaultd.core.rotation import Periods, Rotation
from vaultd.wire.errors import printable

Scheduled = Literal[
    "rotate", "unused", "root-key", "quarantined", "rotation-open", "left-behind", "revocation-open"
]
Thing = Scheduled | exposure.Thing
#: What the agenda may hold. What stands in ~/.aws is looked up there, locked or not.
THINGS: Final = frozenset(get_args(Scheduled))
What = Literal[
    "rotate-due",
    "rotate-overdue",
    "unused",
    "root-key",
    "quarantined",
    "rotation-open",
    "left-behind",
    "revocation-open",
    "plaintext",
    "hook-changed",
]

#: Longer, and it is a clock that was wrong when it was said: nobody is reminded again for the length of the jump.
MAX_SNOOZE = timedelta(days=365)
#: What AWS hands out lives no longer (GetSessionToken, GetFederationToken), so no grace needs more.
_LONGEST_SESSION = timedelta(hours=36)
#: A step that is due is being done; only one that is not done by then is something for a person.
_STEP_PATIENCE = timedelta(hours=1)
_LAST = datetime(9999, 12, 31, tzinfo=UTC)

_URGENT = frozenset(
    {"quarantined", "rotate-overdue", "left-behind", "revocation-open", "plaintext", "hook-changed"}
)
#: A key that leaked is no matter for a snooze.
_LEAKS = frozenset({"quarantined", "revocation-open"})
#: A revocation that is not done by then is something for a person.
_REVOCATION_PATIENCE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What AWS said of a key."""

    used_at: datetime | None = None  # None: never, or it does not say
    quarantined_at: datetime | None = None  # when AWS's quarantine was first seen on its user
    rotated_at: datetime | None = None  # when another machine began to, as the tag on its user says
    rotated_by: str = ""
    used_for: str = ""  # the service of that last use, as IAM names it


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known and not in the vault."""

    keys: Mapping[str, KeyFacts] = field(
        default_factory=dict
    )  # by access key id; absent: AWS was not asked yet
    uses: Mapping[str, datetime] = field(default_factory=dict)  # by profile: handed out since the last save


@dataclass(frozen=True, slots=True)
class Entry:
    """What becomes due at `since`, and overdue at `by`."""

    profile: str
    thing: Thing
    since: datetime
    by: datetime | None = None
    quiet_until: datetime | None = None  # snoozed
    note: str = ""  # what it waits for, in words; only the open vault knows them

    def begins(self, now: datetime) -> datetime:
        """When it is said."""
        quiet = self.quiet_until
        if quiet is None or self.thing in _LEAKS or quiet - now > MAX_SNOOZE:
            return self.since
        return max(self.since, quiet)

    def reminder(self, now: datetime) -> "Reminder":
        if self.thing != "rotate":
            return Reminder(self.profile, self.thing, self.since, note=self.note)
        if self.by and now >= self.by:
            return Reminder(self.profile, "rotate-overdue", self.by)
        return Reminder(self.profile, "rotate-due", self.since, self.by)


@dataclass(frozen=True, slots=True)
class Reminder:
    """Something that is due."""

    profile: str
    what: What
    since: datetime
    by: datetime | None = None
    note: str = ""

    @property
    def urgent(self) -> bool:
        return self.what in _URGENT

    @property
    def command(self) -> str:
        """What helps."""
        match self.what:
            case "rotate-due" | "rotate-overdue":
                return f"awsvault rotate {self.profile}"
            case "rotation-open":
                return "awsvault rotate --status"
            case "left-behind":
                return f"awsvault show {self.profile}"
            case "plaintext":
                return "awsvault import"
            case "hook-changed":
                return "awsvault doctor"
            case "unused" | "root-key" | "quarantined":
                return f"awsvault revoke {self.profile}"
            case "revocation-open":
                return revocation.command(self.profile)

    def text(self, now: datetime) -> str:
        """What is the matter with the profile's key, without its name."""
        by, note = self.by or self.since, printable(self.note)
        return _TEXTS[self.what].format(
            since=f"{self.since:%Y-%m-%d}",
            by=f"{by:%Y-%m-%d}",
            left=_days(by - now),
            ago=_days(now - self.since),
            note=note,
            also=f": {note}" if note else "",
            machine=note or "another machine",
        )


_TEXTS: Final[Mapping[What, str]] = {
    "rotate-due": "the key is to be rotated by {by} ({left} left)",
    "rotate-overdue": "the key is overdue for rotation since {since} ({ago})",
    "rotation-open": "a rotation is open and does not go on since {since}{also}",
    "left-behind": "{machine} began to rotate the key on {since}: if it went through, this vault holds the old one",
    "revocation-open": "the key is not revoked in all that was asked on {since}{also}",
    "plaintext": "a key lies in plain text in {note}, and tools use it before any of the vault",
    "hook-changed": "{note} called awsvault and calls another program now",
    "unused": "the key counts as unused since {since}: is it needed?",
    "root-key": "this is a root key, which may do everything: AWS advises to have none",
    "quarantined": "AWS has quarantined the key's user (seen {since}): the key has leaked",
}


def _days(span: timedelta) -> str:
    return "1 day" if span.days == 1 else f"{max(span.days, 0)} days"


def agenda(body: Body, policy: RotationSettings, facts: Facts) -> tuple[Entry, ...]:
    """Everything that is or will be due: leaks, then the soonest."""
    entries = [
        entry
        for profile in body.profiles.values()
        if isinstance(profile, KeyProfile)
        for entry in _entries(profile, body, policy, facts)
    ]
    return tuple(sorted(entries, key=lambda e: (e.thing not in _LEAKS, e.since, e.profile, e.thing)))


def _entries(profile: KeyProfile, body: Body, policy: RotationSettings, facts: Facts) -> Iterator[Entry]:
    name, quiet = profile.name, body.snoozed.get(profile.name)
    revoked = body.revocations.get(name)
    if revoked:  # nothing else is of any matter for such a key
        if revoked.left:
            patience = timedelta(0) if revoked.missing else _REVOCATION_PATIENCE
            yield Entry(name, "revocation-open", revoked.asked_at + patience, note=revoked.missing)
        return
    known = facts.keys.get(profile.key.access_key_id)
    open_rotation = body.rotations.get(name)
    if open_rotation:
        stuck_at, waits = _stuck_at(open_rotation, policy), open_rotation.waits
        yield Entry(name, "rotation-open", stuck_at, quiet_until=quiet, note=waits)
    else:
        yield rotation_due(profile, body, policy)
    if known:  # not before AWS was asked: the key may be in use where we don't see it
        uses = (profile.key.added_at, profile.last_used_at, facts.uses.get(name), known.used_at)
        last = max(moment for moment in uses if moment)
        yield Entry(name, "unused", _after(last, policy.unused_after), quiet_until=quiet)
    if profile.is_root:
        yield Entry(name, "root-key", profile.key.added_at, quiet_until=quiet)
    if known and known.rotated_at and known.rotated_at > profile.key.added_at:
        yield Entry(name, "left-behind", known.rotated_at, quiet_until=quiet, note=known.rotated_by)
    if known and known.quarantined_at:
        yield Entry(name, "quarantined", known.quarantined_at, quiet_until=quiet)


def rotation_due(profile: KeyProfile, body: Body, policy: RotationSettings) -> Entry:
    """When its key is to be rotated."""
    by = rotate_by(profile.key, policy)
    since = max(born(profile.key), by - timedelta(seconds=policy.remind_before))
    return Entry(profile.name, "rotate", since, by, body.snoozed.get(profile.name))


def born(key: Key) -> datetime:
    """From when on its age is counted."""
    return key.created_at or key.added_at


def rotate_by(key: Key, policy: RotationSettings) -> datetime:
    """The moment at which the key is too old."""
    return _after(born(key), policy.max_age)


def _stuck_at(run: Rotation, policy: RotationSettings) -> datetime:
    """From when on an open rotation needs a person: at once if it says so, else when its next step was not done in time."""
    if run.waits:
        return run.since
    grace = max(timedelta(seconds=policy.grace), _LONGEST_SESSION)
    return rotation.due_at(run, Periods(grace, timedelta(seconds=policy.soak))) + _STEP_PATIENCE


def _after(moment: datetime, seconds: int) -> datetime:
    return moment + min(timedelta(seconds=seconds), _LAST - moment) if moment < _LAST else _LAST


def due(entries: Iterable[Entry], now: datetime) -> tuple[tuple[Reminder, ...], datetime | None]:
    """What is due now, the most urgent first, and when that changes by itself: None for never."""
    found: list[Reminder] = []
    changes: list[datetime] = []
    for entry in entries:
        begins = entry.begins(now)
        if now < begins:
            changes.append(begins)
            continue
        found.append(entry.reminder(now))
        if entry.by and now < entry.by:
            changes.append(entry.by)
    found.sort(key=lambda reminder: (not reminder.urgent, reminder.since, reminder.profile, reminder.what))
    return tuple(found), min(changes, default=None)
