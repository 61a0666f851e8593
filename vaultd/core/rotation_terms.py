# SPDX-License-Identifier: Apache-2.0
"""What the settings and the vault say about a rotation: how long, where, and which profiles begin one by themselves. Pure."""

from datetime import datetime, timedelta

from vaultd.core import reminders
from vaultd.core.chain import Durations
from vaultd.core.policy import Settings
from vaultd.core.records import Body, KeyProfile
from vaultd.core.rotation import Periods


def periods(profile: KeyProfile, settings: Settings, durations: Durations) -> Periods:
    """The old key stays active for as long as anything that was handed out before the promotion may live."""
    longest = max(
        settings.rotation.grace,
        settings.serve.lease,
        durations.key,
        durations.role,
        durations.mfa if profile.mfa_serial else 0,
    )
    return Periods(timedelta(seconds=longest), timedelta(seconds=settings.rotation.soak))


def regions(body: Body, profile: KeyProfile, configured: str | None) -> tuple[str | None, ...]:
    """Where STS must know a new key before it is served; None for the partition's home."""
    where = (profile.region or configured, *(role.region for role in body.roles_from(profile.name)))
    return tuple(dict.fromkeys(region for number, region in enumerate(where) if region or number == 0))


def is_due(body: Body, profile: KeyProfile, settings: Settings, now: datetime) -> bool:
    """Is it time to rotate this key, and did nobody put that off?"""
    return now >= reminders.rotation_due(profile, body, settings.rotation).begins(now)
