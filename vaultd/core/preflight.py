# SPDX-License-Identifier: Apache-2.0
"""What is found before a rotation begins, and whether it may begin. Pure; edge/preflight.py asks AWS.

Everything that could stop a rotation halfway is looked for while nothing is changed yet: a second key that fills the
user's two places, a right that is missing, another machine's rotation of the same user.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from vaultd.core.probes import Right
from vaultd.core.records import KeyProfile
from vaultd.core.refusals import DENIED
from vaultd.core.replies import Identity, LastUsed, ListedKey
from vaultd.core.rotation import CLAIM_HOLDS, made_then
from vaultd.wire.errors import AwsFailed, MfaRefused, Refused, Usage, printable

TAG: Final = "awsvault-rotation"
KEYS_PER_USER: Final = 2  # IAM's own limit, which nobody can raise

#: Without one of these a rotation would begin and not end.
NEEDED: Final = ("iam:CreateAccessKey", "iam:UpdateAccessKey", "iam:DeleteAccessKey", "iam:ListAccessKeys")
#: Whether the old key is still used; without it only the grace period protects whoever uses it.
WATCHING: Final = "iam:GetAccessKeyLastUsed"
#: What each of these is for is said when it is missing.
HELPFUL: Final[Mapping[str, str]] = MappingProxyType(
    {
        "iam:TagUser": "another machine with a copy of this vault cannot see that a rotation is under way",
        "iam:ListUserTags": "a rotation by another machine with a copy of this vault cannot be seen",
        "cloudtrail:LookupEvents": "if AWS's reply gets lost, a person must say whose the new key is",
    }
)

#: As AWS says it when it is asked: perhaps an MFA session is what is missing.
_DENIED: Final[dict[str, object]] = {"aws_code": "AccessDenied"}
_CLAIM = re.compile(
    r"(?P<run>[0-9a-f]{16}) (?P<host>[A-Za-z0-9._-]{1,63}:[0-9a-f]{8}) (?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\Z",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Claim:
    """The tag that a rotation writes on its user: which run of which host, and when."""

    run: str
    host: str
    at: datetime

    def __str__(self) -> str:
        return f"{self.run} {self.host} {self.at.replace(tzinfo=None).isoformat(timespec='seconds')}Z"

    @property
    def machine(self) -> str:
        """As people call it."""
        return self.host.partition(":")[0]


def claim_of(tags: Mapping[str, str]) -> Claim | None:
    """What the tag says; None when there is none of ours. Anybody may have written it."""
    found = _CLAIM.match(tags.get(TAG, ""))
    if not found:
        return None
    try:
        at = datetime.strptime(found["at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return Claim(found["run"], found["host"], at)


def stops(claim: Claim | None, host: str, now: datetime) -> bool:
    """Is another host at it, as far as the tag says?"""
    return claim is not None and claim.host != host and abs(now - claim.at) < CLAIM_HOLDS


def came_to_nothing(claim: Claim, listed: Iterable[ListedKey], key_id: str) -> bool:
    """Of this claim's rotation IAM shows no key that could take the place of ours: it was refused, or rolled back."""
    return not any(
        key.active and key.access_key_id != key_id and made_then(claim.at, key.created_at) for key in listed
    )


def with_way_out(error: AwsFailed, profile: KeyProfile, *, has_session: bool) -> AwsFailed:
    """A denial, and who can give what is missing; any other error as it is. `has_session`: was it signed by an MFA session?"""
    if error.details.get("aws_code") not in DENIED or isinstance(error, MfaRefused):
        return error
    hint = error.hint or "let an administrator allow it; awsvault help rotate has the policy"
    if profile.mfa_serial and not has_session:
        hint = f"run: awsvault mfa {profile.name}"
    elif not profile.mfa_serial and "explicit deny" in error.message:
        hint = f"{hint}; where MFA is what is missing: awsvault edit {profile.name} --mfa-serial ARN"
    return AwsFailed(error.message, hint=hint, details=dict(error.details))


@dataclass(frozen=True, slots=True)
class FoundKey:
    listed: ListedKey
    last_used: LastUsed | None = None
    is_told: bool = True  # did IAM say whether it was used?

    @property
    def key_id(self) -> str:
        return self.listed.access_key_id

    @property
    def may_go(self) -> bool:
        """Inactive, or never used: nothing breaks when it is deleted."""
        return not self.listed.active or (self.is_told and self.last_used is None)

    def __str__(self) -> str:
        state = "active" if self.listed.active else "inactive"
        return f"{self.key_id} ({state}, made {self.listed.created_at:%Y-%m-%d}, {self._use()})"

    def _use(self) -> str:
        if not self.is_told:
            return "last use unknown"
        if self.last_used is None:
            return "never used"
        use = self.last_used
        return f"last used {use.at:%Y-%m-%d} by {printable(use.service)[:40]} in {printable(use.region)[:25]}"


@dataclass(frozen=True, slots=True)
class Found:
    """What AWS says of a user before one of its keys is rotated."""

    identity: Identity
    keys: tuple[FoundKey, ...]
    rights: Mapping[str, Right] = field(default_factory=dict)
    claim: Claim | None = None
    is_quarantined: bool = False

    @property
    def user(self) -> str:
        return self.identity.user_name or "the root user"

    @property
    def key_ids(self) -> tuple[str, ...]:
        return tuple(key.key_id for key in self.keys)

    def others(self, key_id: str) -> tuple[FoundKey, ...]:
        return tuple(key for key in self.keys if key.key_id != key_id)

    def notes(self) -> list[str]:
        """What a rotation has to do without."""
        missing = [right for right in (*HELPFUL, WATCHING) if self.rights.get(right) == "missing"]
        reasons = {**HELPFUL, WATCHING: "whether something still uses the old key cannot be seen"}
        return [f"{right} is not allowed: {reasons[right]}" for right in missing]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person said about the rotation."""

    replace: str | None = None  # the other key, which may be deleted to make room
    force: bool = False
    hurry: bool = False  # --now


def check(
    found: Found, profile: str, key_id: str, held: Iterable[str], host: str, wanted: Wanted, now: datetime
) -> None:
    """Raise what stands against beginning. `held`: the ids of all keys in the vault."""
    if found.is_quarantined:
        raise AwsFailed(
            f"AWS has quarantined {found.user}, since a key of it leaked: it may not make keys",
            hint=f"run: awsvault revoke {profile} --via PROFILE",
        )
    _check_rights(found, profile, wanted)
    if key_id not in found.key_ids:
        raise AwsFailed(
            f"IAM does not list the key of {profile} among those of {found.user}", hint="try again"
        )
    _check_claim(found, profile, host, wanted, now)
    _check_room(found, profile, key_id, set(held), host, wanted)


def _check_rights(found: Found, profile: str, wanted: Wanted) -> None:
    missing = [right for right in NEEDED if found.rights.get(right) == "missing"]
    if missing:
        raise AwsFailed(
            f"a rotation needs {', '.join(missing)} for {found.user}, which is not allowed",
            hint="let an administrator allow it; awsvault help rotate has the policy",
            details=dict(_DENIED),
        )
    if found.rights.get(WATCHING) == "missing" and not (wanted.force or wanted.hurry):
        raise AwsFailed(
            f"{WATCHING} is not allowed: vaultd could not see whether the old key is still used",
            hint=f"allow it, or run: awsvault rotate {profile} --force",
            details=dict(_DENIED),
        )


def _check_claim(found: Found, profile: str, host: str, wanted: Wanted, now: datetime) -> None:
    claim = found.claim
    if claim is None or wanted.force or not stops(claim, host, now):
        return
    raise Refused(
        f"{claim.machine} began to rotate a key of {found.user} on {claim.at:%Y-%m-%d at %H:%M} UTC",
        hint=f"get the new key from there; if that is over: awsvault rotate {profile} --force",
    )


def _check_room(found: Found, profile: str, key_id: str, held: set[str], host: str, wanted: Wanted) -> None:
    others = found.others(key_id)
    if wanted.replace is None:
        if len(others) + 1 >= KEYS_PER_USER:
            raise Refused(_two_keys(found, others[0], host), hint=_way_out(profile, others[0], held))
        return
    chosen = next((key for key in others if key.key_id == wanted.replace), None)
    if chosen is None:
        raise Usage(
            f"{found.user} has no other key of that id", hint=f"run: awsvault rotate {profile} --dry-run"
        )
    if chosen.key_id in held:
        raise Refused(
            f"{chosen.key_id} is the key of another profile in this vault", hint="run: awsvault list"
        )
    if not chosen.may_go:
        raise Refused(f"not deleted: {chosen}", hint="deactivate it in the IAM console first")


def _two_keys(found: Found, other: FoundKey, host: str) -> str:
    claim = found.claim
    if claim and claim.host != host:
        return f"{found.user} has two keys already; {claim.machine} rotated on {claim.at:%Y-%m-%d}: {other}"
    return f"{found.user} has two keys already: {other}"


def _way_out(profile: str, other: FoundKey, held: set[str]) -> str:
    if other.key_id in held:
        return "it is another profile's in this vault: awsvault list"
    if other.may_go:
        return f"to delete it: awsvault rotate {profile} --replace {other.key_id}"
    return f"if nothing needs it, deactivate it, then: awsvault rotate {profile} --replace {other.key_id}"
