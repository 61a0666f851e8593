# SPDX-License-Identifier: Apache-2.0
"""Revocation: what is wanted of a profile's keys and sessions, what of it is done, and in which order the rest goes.

It is saved before the first call to AWS, so that what a crash cut off is known and finished; and it stays when all is
done, because a revoked profile is served no more. Pure: edge/revoking.py makes the calls.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal, get_args

from vaultd.core.fields import check, check_times
from vaultd.core.keys import ACCESS_KEY_ID
from vaultd.wire.errors import Refused, Usage

Wanted = Literal["inactive", "deleted"]
WANTED: Final = frozenset(get_args(Wanted))

#: Beside the key ids: the deny on sessions that were issued earlier. No key id is as short.
SESSIONS: Final = "sessions"
#: Of sessions that are made while the keys die, and of clocks that differ.
DENIED_AHEAD = timedelta(minutes=15)
#: AWS may refuse a key that is younger than this because not all of it has heard of the key: no proof that it is out of use.
KNOWN_AFTER = timedelta(minutes=5)
MAX_MISSING: Final = 300  # characters


@dataclass(frozen=True, slots=True)
class Revocation:
    """Of one profile: its key, and the other one while a rotation is open."""

    key_ids: tuple[str, ...]
    wanted: Wanted
    deny: bool  # end the user's older sessions, too
    asked_at: datetime
    done: tuple[str, ...] = ()  # key ids, and SESSIONS
    missing: str = ""  # why the rest could not be done, in words for a person

    def __post_init__(self) -> None:
        for key_id in self.key_ids:
            check(ACCESS_KEY_ID, key_id, "an access key id")
        if not self.key_ids or self.wanted not in WANTED or not _is_sorted(self.key_ids):
            raise Usage("that is no revocation")
        if not _is_sorted(self.done) or not set(self.done) <= set(self._all):
            raise Usage("a revocation has done what it did not want")
        if len(self.missing) > MAX_MISSING:
            raise Usage("a revocation misses something shorter")
        check_times(self.asked_at)

    @property
    def _all(self) -> tuple[str, ...]:
        return (*self.key_ids, *((SESSIONS,) if self.deny else ()))

    @property
    def left(self) -> frozenset[str]:
        """Key ids, and SESSIONS."""
        return frozenset(self._all) - frozenset(self.done)

    @property
    def deleted(self) -> frozenset[str]:
        """The keys that are no more in AWS."""
        return frozenset(self.done) - {SESSIONS} if self.wanted == "deleted" else frozenset()

    @property
    def tails(self) -> tuple[str, ...]:
        """What is left as it is shown to people."""
        return tuple(step if step == SESSIONS else f"...{step[-4:]}" for step in sorted(self.left))

    def after(self, done: Collection[str], missing: str) -> "Revocation":
        """With this done besides; `missing` counts only while something is left."""
        everything = tuple(sorted({*self.done, *done} & set(self._all)))
        later = replace(self, done=everything, missing="")
        return replace(later, missing=missing[:MAX_MISSING]) if later.left else later

    def again(self, key_id: str) -> "Revocation":
        """With this key left: AWS may have made it active since it was ended."""
        return replace(self, done=tuple(step for step in self.done if step != key_id))

    def with_keys(self, key_ids: Collection[str]) -> "Revocation":
        """A rotation that was under way may have brought one more."""
        return replace(self, key_ids=tuple(sorted({*self.key_ids, *key_ids})))


def _is_sorted(words: tuple[str, ...]) -> bool:
    return list(words) == sorted(set(words))


def asked(
    before: Revocation | None, key_ids: Collection[str], *, delete: bool, deny: bool, now: datetime
) -> Revocation:
    """What is wanted from now on; what was asked before is not taken back.

    Done is only what cannot have been undone since: a key that is inactive may be active again, and then there may be
    newer sessions, too.
    """
    wanted: Wanted = "deleted" if delete or (before and before.wanted == "deleted") else "inactive"
    fresh = Revocation(tuple(sorted(set(key_ids))), wanted, deny, now)
    if before is None:
        return fresh
    kept = set(before.done) if before.wanted == wanted == "deleted" else set(before.done) & {SESSIONS}
    return replace(fresh, deny=deny or before.deny).after(kept - ({SESSIONS} if deny else set()), "")


def order(left: Collection[str], *, own_key: str | None, ends_itself: bool) -> tuple[str, ...]:
    """What to do first. Who signs must be able to sign what comes after.

    A key can write no policy once it is inactive, so the deny comes first and the key itself last. A session of the
    user is ended by the deny but not by the key's end, so there the deny is last.
    """
    keys = sorted((step for step in left if step != SESSIONS), key=lambda key_id: (key_id == own_key, key_id))
    deny = [SESSIONS] if SESSIONS in left else []
    return (*keys, *deny) if ends_itself else (*deny, *keys)


def check_served(revocations: Mapping[str, Revocation], name: str, key_id: str) -> None:
    """Raise Refused when this profile, or another one with the same key, is revoked."""
    found = covering(revocations, name, (key_id,))
    if not found:
        return
    name = name if name in found else next(iter(found))
    revoked = found[name]
    if not revoked.left:
        undo = f", or awsvault revoke {name} --undo" if revoked.wanted == "inactive" else ""
        raise Refused(
            f'the key of "{name}" was revoked on {revoked.asked_at:%Y-%m-%d}',
            hint=f"run: awsvault add {name} --replace{undo}",
        )
    raise Refused(
        f'the key of "{name}" is being revoked since {revoked.asked_at:%Y-%m-%d}'
        + (f": {revoked.missing}" if revoked.missing else ""),
        hint=f"run: {command(name)}; to serve it all the same: awsvault revoke {name} --undo",
    )


def command(name: str) -> str:
    """What helps when a key cannot do it by itself."""
    return f"awsvault revoke {name} --via PROFILE"


def covers(revocations: Mapping[str, Revocation], name: str, key_ids: Collection[str]) -> bool:
    """Is this profile revoked, or one of these keys?"""
    return bool(covering(revocations, name, key_ids))


def covering(
    revocations: Mapping[str, Revocation], name: str | None, key_ids: Collection[str]
) -> dict[str, Revocation]:
    """The revocations of this profile and of these keys, by profile."""
    return {
        owner: found
        for owner, found in revocations.items()
        if owner == name or not set(key_ids).isdisjoint(found.key_ids)
    }
