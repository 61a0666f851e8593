# SPDX-License-Identifier: Apache-2.0
"""From the profiles that are to be revoked to what is done to each of their users, and who may sign for it.

Decides only: edge/revoking.py makes the calls.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from vaultd.core import chain, reminders
from vaultd.core.keys import Key
from vaultd.core.records import Body, KeyProfile
from vaultd.core.revocation import KNOWN_AFTER, Revocation
from vaultd.core.sessions import Session, of_key
from vaultd.edge.revoking import Job, Signer, Target


def held_keys(body: Body, profile: KeyProfile) -> tuple[Key, ...]:
    """All that the vault holds of a profile's keys: its own first, then those of a rotation of it, whoever began it."""
    found = {profile.key.access_key_id: profile.key}
    for name, run in body.rotations.items():
        if name == profile.name or profile.key.access_key_id in run.key_ids:
            found |= {key.access_key_id: key for key in (run.old, run.new) if key} | found
    return tuple(found.values())


def of_all_keys(body: Body, profile: KeyProfile, revoked: Revocation) -> Revocation:
    """A rotation that was under way may have brought one more."""
    return revoked.with_keys([key.access_key_id for key in held_keys(body, profile)])


def jobs(
    body: Body,
    wanted: Mapping[str, Revocation],
    kept: Callable[[KeyProfile], Session | None],
    via: Signer | None,
    now: datetime,
) -> Iterator[Job]:
    """One for each user: no key may be ended while it is needed for another one, or for the policy."""
    found = [body.profiles.get(name) for name in wanted]
    for profiles in _by_user([profile for profile in found if isinstance(profile, KeyProfile)]):
        first, names = profiles[0], tuple(profile.name for profile in profiles)
        left = frozenset[str]().union(*(wanted[name].left for name in names))
        if left:
            held = [key for profile in profiles for key in held_keys(body, profile)]
            keys = list({key.access_key_id: key for key in held}.values())
            targets = _targets([wanted[name] for name in names], keys, now)
            signers = (via,) if via else tuple(_own_signers(profiles, keys, kept))
            user = chain.user_name(first)
            yield Job(
                names,
                first.partition,
                first.region,
                user,
                is_verified=first.arn is not None,
                left=left,
                targets=targets,
                signers=signers,
            )


def _by_user(profiles: list[KeyProfile]) -> Iterable[list[KeyProfile]]:
    """Of one user, or with one key; first those of whom AWS said whose they are."""
    known = {profile.key.access_key_id: profile.arn for profile in profiles if profile.arn}
    users: dict[str, list[KeyProfile]] = {}
    for profile in sorted(profiles, key=lambda profile: profile.arn is None):
        key_id = profile.key.access_key_id
        users.setdefault(profile.arn or known.get(key_id) or key_id, []).append(profile)
    return users.values()


def _targets(wanted: list[Revocation], keys: list[Key], now: datetime) -> dict[str, Target]:
    held = {key.access_key_id: key for key in keys}
    found: dict[str, Target] = {}
    for revoked in sorted(wanted, key=lambda revoked: revoked.wanted == "deleted"):  # the stronger one counts
        for key_id in revoked.key_ids:
            key = held.get(key_id)
            is_new = key is not None and abs(now - reminders.born(key)) < KNOWN_AFTER
            found[key_id] = Target(revoked.wanted, is_new, of_key(key) if key else None)
    return found


def _own_signers(
    profiles: list[KeyProfile], keys: list[Key], kept: Callable[[KeyProfile], Session | None]
) -> Iterator[Signer]:
    """MFA sessions first: policies that ask for MFA refuse the key, and none refuse what has it."""
    for profile in profiles:
        session = kept(profile)
        if session:
            yield Signer(session.credentials, ends_itself=True)
    for key in keys:
        yield Signer(of_key(key), own_key=key.access_key_id)
