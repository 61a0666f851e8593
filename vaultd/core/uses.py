# SPDX-License-Identifier: Apache-2.0
"""Which uses of a key, of those that AWS tells of, are somebody's; and what of them outlives a restart. Pure.

vaultd asks IAM about each key once a day and signs with that key, and AWS counts this as a use like any other. Only the
last use is told, so somebody's is seen when it came after our question, and has to be remembered when the next one did.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from vaultd.core.records import Body, KeyProfile
from vaultd.core.replies import LastUsed

#: AWS takes no signature from a clock that is further off than this.
_CLOCKS: Final = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Seen:
    """What AWS said of a key, and when it was asked."""

    asked_at: datetime
    used_at: datetime | None


def is_own(used: LastUsed, profile: KeyProfile, asked_at: datetime | None, now: datetime) -> bool:
    """Was it a question of ours, this one or an earlier one (AWS tells a use hours late)?

    What used IAM since the last one, or before the vault had the key, was somebody. `asked_at`: the last one, if it is
    not in the vault yet.
    """
    if used.service != "iam" or used.at < profile.key.added_at - _CLOCKS:
        return False
    last = latest(profile.verified_at, asked_at)
    return (last is not None and used.at <= last + _CLOCKS) or used.at >= now - _CLOCKS


def noted(body: Body, seen: Mapping[str, Seen]) -> Body:
    """With what was seen, by access key id: AWS has confirmed these keys. The same body when it says so already."""
    changed = {
        name: after
        for name, profile in body.profiles.items()
        if isinstance(profile, KeyProfile)
        and (found := seen.get(profile.key.access_key_id))
        and (after := _noted(profile, found)) != profile
    }
    return replace(body, profiles={**body.profiles, **changed}) if changed else body


def _noted(profile: KeyProfile, seen: Seen) -> KeyProfile:
    return replace(
        profile,
        verified_at=latest(profile.verified_at, seen.asked_at),
        last_used_at=latest(profile.last_used_at, seen.used_at),
    )


def latest(*moments: datetime | None) -> datetime | None:
    return max((moment for moment in moments if moment), default=None)
