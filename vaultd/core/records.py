# SPDX-License-Identifier: Apache-2.0
"""What the vault keeps: keys, the profiles that own them or a role, and the MFA sessions that cost a person effort.

A record checks itself when it is made, so whatever exists can be written, and whatever was written can be read: a
vault that cannot be decoded again would be a vault lost. How they are written is in rows.py.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal, get_args

from vaultd.core.fields import check, check_mfa_serial, check_name, check_optional, check_region, check_times
from vaultd.core.keys import ACCESS_KEY_ID, SECRET_KEY, Key
from vaultd.core.revocation import Revocation
from vaultd.core.roles import RoleProfile, check_policies
from vaultd.core.rotation import HOST, Rotation
from vaultd.core.secret import Secret
from vaultd.core.undo import Undo
from vaultd.wire.errors import NoSuchProfile, Usage, printable

Serve = Literal["session", "key"]
SERVE: Final = frozenset(get_args(Serve))
PARTITIONS: Final = frozenset({"aws", "aws-cn", "aws-us-gov"})

_ACCOUNT = re.compile(r"[0-9]{12}\Z")
_ARN = re.compile(r"arn:[!-~]{1,2044}\Z")
MAX_WORDS = 32
_WORD = re.compile(r"[ -~]{1,1024}\Z")
_REVISION = re.compile(r"[0-9a-f]{16}\Z")
_SETTINGS_HASH = re.compile(r"[!-~]{1,128}\Z")


@dataclass(frozen=True, slots=True)
class KeyProfile:
    """A named entry of the vault that owns a key."""

    name: str
    key: Key
    serve: Serve
    partition: str
    account: str | None
    arn: str | None
    region: str | None
    mfa_serial: str | None
    verified_at: datetime | None
    last_used_at: datetime | None
    # Narrowed: it hands out sessions of GetFederationToken that may do no more than these policies say.
    policy: str | None = None
    policy_arns: tuple[str, ...] = ()
    # The seed of the MFA device, for who wants no prompts: with the key beside it, it is no second factor any more.
    totp: Secret | None = None
    totp_last_step: int | None = None  # AWS takes no code twice
    mfa_process: tuple[str, ...] = ()  # a command that prints a code; only the awsvault command runs it
    auto_rotate: str | None = None  # the host whose daemon rotates the key when it is due

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.serve not in SERVE:
            raise Usage("serve is neither session nor key")
        if self.partition not in PARTITIONS:
            raise Usage("the partition is not one of AWS's")
        check_optional(_ACCOUNT, self.account, "the account id")
        check_optional(_ARN, self.arn, "the ARN")
        check_region(self.region)
        check_mfa_serial(self.mfa_serial)
        check_times(self.verified_at, self.last_used_at)
        if self.has_extras:
            self._check_extras()

    @property
    def is_root(self) -> bool:
        """Is it known to be a root user's key?"""
        return self.arn is not None and self.arn.endswith(":root")

    @property
    def narrowed(self) -> bool:
        return self.policy is not None or bool(self.policy_arns)

    @property
    def has_extras(self) -> bool:
        """Does it say more than most profiles do?"""
        return self.narrowed or bool(self.totp or self.mfa_process) or self.auto_rotate is not None

    def _check_extras(self) -> None:
        check_policies(self.policy, self.policy_arns)
        if self.narrowed and self.mfa_serial:
            raise Usage(
                f'"{self.name}" cannot be narrowed and have an MFA device: GetFederationToken takes no code'
            )
        if self.narrowed and self.serve == "key":
            raise Usage(
                f'"{self.name}" cannot be narrowed and serve its key: who has the key is not narrowed'
            )
        if (self.totp or self.mfa_process) and not self.mfa_serial:
            raise Usage(
                "codes are of use only with an MFA device",
                hint=f"run: awsvault edit {self.name} --mfa-serial ARN",
            )
        if len(self.mfa_process) > MAX_WORDS or not all(_WORD.match(word) for word in self.mfa_process):
            raise Usage("that is not a command that vaultd can keep")
        check_optional(HOST, self.auto_rotate, "the host")


Profile = KeyProfile | RoleProfile


@dataclass(frozen=True, slots=True)
class MfaSession:
    """What GetSessionToken gave for a code: kept in the vault, since it cost a person effort."""

    access_key_id: str
    secret: Secret
    session_token: Secret
    expires_at: datetime

    def __post_init__(self) -> None:
        check(ACCESS_KEY_ID, self.access_key_id, "the session's key id")
        check_times(self.expires_at)


MfaDevice = tuple[str, str]  # the long-term key's id, the serial


@dataclass(frozen=True, slots=True)
class Body:
    """Everything that is sealed. A change makes a new one."""

    profiles: Mapping[str, Profile] = field(default_factory=dict)
    settings_hash: str | None = None
    mfa_sessions: Mapping[MfaDevice, MfaSession] = field(default_factory=dict)
    rotations: Mapping[str, Rotation] = field(default_factory=dict)  # by profile; at most one each
    snoozed: Mapping[str, datetime] = field(default_factory=dict)  # by profile: no reminders before
    forgotten: Mapping[str, str] = field(default_factory=dict)  # by key id: the last save that holds it
    revocations: Mapping[str, Revocation] = field(default_factory=dict)  # by profile, done or not
    undo: Undo | None = None  # of the last import

    def __post_init__(self) -> None:
        check_optional(_SETTINGS_HASH, self.settings_hash, "the settings' hash")
        for key_id, revision in self.forgotten.items():
            check(ACCESS_KEY_ID, key_id, "the access key id")
            check(_REVISION, revision, "the revision")
        for name, until in self.snoozed.items():
            check_name(name)
            check_times(until)
        for name in self.revocations:
            check_name(name)

    def profile(self, name: str) -> Profile:
        """The profile; raises NoSuchProfile. The name was checked before."""
        found = self.profiles.get(name)
        if found is None:
            raise NoSuchProfile(f'no profile "{printable(name)}"')
        return found

    def key_profile(self, name: str) -> KeyProfile:
        """The profile, which must own a key. Raises NoSuchProfile, Usage naming whose key it is."""
        found = self.profile(name)
        if isinstance(found, RoleProfile):
            raise Usage(
                f'"{name}" is a role and has no key of its own', hint=f"use its source: {found.source}"
            )
        return found

    def roles_from(self, name: str) -> tuple[RoleProfile, ...]:
        """The roles that are assumed from this profile."""
        return tuple(p for p in self.profiles.values() if isinstance(p, RoleProfile) and p.source == name)

    def with_profile(self, profile: Profile) -> "Body":
        before = self.profiles.get(profile.name)
        undo = self.undo if _key_id(before) in (None, _key_id(profile)) else self.undo_but_for(profile.name)
        return replace(self, profiles={**self.profiles, profile.name: profile}, undo=undo)

    def without(self, name: str) -> "Body":
        """Raises NoSuchProfile."""
        self.profile(name)
        kept = {n: p for n, p in self.profiles.items() if n != name}
        snoozed = {n: until for n, until in self.snoozed.items() if n != name}
        rest = self.with_rotation(name, None).with_revocation(name, None)
        return replace(rest, profiles=kept, snoozed=snoozed, undo=self.undo_but_for(name))

    def with_mfa_session(self, device: MfaDevice, session: MfaSession, now: datetime) -> "Body":
        """The one of this device instead of the one before; those that are over go."""
        alive = {known: kept for known, kept in self.mfa_sessions.items() if kept.expires_at > now}
        return replace(self, mfa_sessions={**alive, device: session})

    def without_mfa_sessions(self, key_ids: Collection[str]) -> "Body":
        """Those that these long-term keys made are not served any more: AWS denies them everything."""
        kept = {device: session for device, session in self.mfa_sessions.items() if device[0] not in key_ids}
        return replace(self, mfa_sessions=kept)

    def with_rotation(self, name: str, rotation: Rotation | None) -> "Body":
        """The open rotation of a profile; None closes it. An import that brought its key is not undone any more."""
        others = {known: kept for known, kept in self.rotations.items() if known != name}
        if rotation is None:
            return replace(self, rotations=others)
        return replace(self, rotations={**others, name: rotation}, undo=self.undo_but_for(name))

    def serving_new_key(self, rotation: Rotation, now: datetime) -> "Body":
        """Every profile that holds the old key of a rotation gets the new one, verified now."""
        assert rotation.new
        old, new = rotation.old.access_key_id, rotation.new
        changed = {
            name: replace(profile, key=new, verified_at=now)
            for name, profile in self.profiles.items()
            if isinstance(profile, KeyProfile) and profile.key.access_key_id == old
        }
        return replace(self, profiles={**self.profiles, **changed})

    def key_before(self, access_key_id: str) -> Key | None:
        """The key that this one took the place of, while both are active in AWS."""
        for rotation in self.rotations.values():
            if rotation.state == "grace" and rotation.new and rotation.new.access_key_id == access_key_id:
                return rotation.old
        return None

    def with_revocation(self, name: str, revocation: Revocation | None) -> "Body":
        """What is wanted of a profile's keys; None when there are others in their place. No undo brings such a key back."""
        others = {known: kept for known, kept in self.revocations.items() if known != name}
        if revocation is None:
            return replace(self, revocations=others)
        return replace(self, revocations={**others, name: revocation}, undo=self.undo_but_for(name))

    def with_snooze(self, name: str, until: datetime, now: datetime) -> "Body":
        """No reminders of this profile before `until`; a time that is over ends a snooze. Raises NoSuchProfile."""
        self.profile(name)
        return replace(self, snoozed={n: t for n, t in {**self.snoozed, name: until}.items() if t > now})

    def undo_but_for(self, name: str) -> Undo | None:
        """The undo, unless it would put a key back that this profile has, too, and that is about to change."""
        if self.undo is None:
            return None
        key_id = _key_id(self.profiles.get(name))
        shares = key_id and any(_key_id(self.profiles.get(other)) == key_id for other in self.undo.names)
        return None if shares or name in self.undo.made else self.undo

    def undone(self) -> "Body":
        """Without the profiles that the import made. Raises Usage when a role that it did not make needs one."""
        made = self.undo.made if self.undo else ()
        body = replace(self, undo=None)
        for name in made:
            needing = [role.name for role in self.roles_from(name) if role.name not in made]
            if needing:
                raise Usage(
                    f'"{name}" is what these roles are assumed from: {", ".join(sorted(needing))}',
                    hint="remove or edit them first",
                )
            body = body.without(name) if name in body.profiles else body
        return body

    def without_old_undo(self, now: datetime) -> "Body":
        return replace(self, undo=None) if self.undo and self.undo.is_over(now) else self

    def with_settings_hash(self, settings_hash: str | None) -> "Body":
        return replace(self, settings_hash=settings_hash)


def _key_id(profile: Profile | None) -> str | None:
    return profile.key.access_key_id if isinstance(profile, KeyProfile) else None


# -- what people type -------------------------------------------------------------------------------------------------


def check_credentials(access_key_id: str, secret: str) -> tuple[str, Secret, list[str]]:
    """The two halves of a key as pasted, trimmed, and a note for each trim. Raises Usage, echoing neither."""
    notes: list[str] = []
    access_key_id = _trim(access_key_id, "the access key id", notes)
    secret = _trim(secret, "the secret access key", notes)
    if re.match(r"A[KS]IA[A-Z0-9]{16}\Z", secret):
        raise Usage("the access key id stands where the secret access key belongs")
    if not ACCESS_KEY_ID.match(access_key_id):
        raise Usage("that is not an access key id: 16 to 128 letters, digits and _")
    if access_key_id.startswith("ASIA"):
        raise Usage(
            "that is a temporary key: it needs its session token and expires within hours, so it cannot be kept",
            hint="add the key of an IAM user (AKIA...)",
        )
    if not secret.isascii() or not SECRET_KEY.match(secret.encode()):
        raise Usage("that is not a secret access key: 16 to 128 printable characters without spaces")
    return access_key_id, Secret(secret), notes


def _trim(text: str, what: str, notes: list[str]) -> str:
    trimmed = text.strip()
    if trimmed != text:
        notes.append(f"white space round {what} was removed")
    return trimmed
