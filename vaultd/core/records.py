# SPDX-License-Identifier: Apache-2.0
"""What the vault keeps: keys, the profiles that own them, and how they are written (FORMAT.md, "Body").

A record checks itself when it is made, so whatever exists can be written, and whatever was written can be read: a
vault that cannot be decoded again would be a vault lost. It does not know how the bytes are sealed or kept.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, get_args

from vaultd.core import canonical
from vaultd.core.canonical import FIRST_YEAR, from_time, to_time
from vaultd.core.secret import Secret
from vaultd.wire.errors import FormatTooNew, NoSuchProfile, Usage, VaultDamaged, printable

Serve = Literal["session", "key"]
SERVE: Final = frozenset(get_args(Serve))
PARTITIONS: Final = frozenset({"aws", "aws-cn", "aws-us-gov"})


NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")
_ACCESS_KEY_ID = re.compile(r"[A-Za-z0-9_]{16,128}\Z")  # IAM's own pattern: nothing is judged by a prefix
_SECRET_KEY = re.compile(rb"[!-~]{16,128}\Z")
_ACCOUNT = re.compile(r"[0-9]{12}\Z")
_ARN = re.compile(r"arn:[!-~]{1,2044}\Z")
_REGION = re.compile(r"[a-z0-9-]{1,63}\Z")
_MFA_SERIAL = re.compile(r"[A-Za-z0-9_+=/:,.@-]{9,256}\Z")  # an ARN, or the serial number of a hardware token
_SETTINGS_HASH = re.compile(r"[!-~]{1,128}\Z")


@dataclass(frozen=True, slots=True)
class Key:
    """An AWS access key. `created_at` is IAM's CreateDate, None when IAM did not tell."""

    access_key_id: str
    secret: Secret
    created_at: datetime | None
    added_at: datetime

    def __post_init__(self) -> None:
        _check(_ACCESS_KEY_ID, self.access_key_id, "the access key id")
        if not _SECRET_KEY.match(self.secret.reveal_bytes()):
            raise Usage("the secret access key has a form that AWS does not give out")
        _check_times(self.created_at, self.added_at)


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

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.serve not in SERVE:
            raise Usage("serve is neither session nor key")
        if self.partition not in PARTITIONS:
            raise Usage("the partition is not one of AWS's")
        _check_optional(_ACCOUNT, self.account, "the account id")
        _check_optional(_ARN, self.arn, "the ARN")
        _check_optional(_REGION, self.region, "the region")
        _check_optional(_MFA_SERIAL, self.mfa_serial, "the MFA serial")
        _check_times(self.verified_at, self.last_used_at)


@dataclass(frozen=True, slots=True)
class Body:
    """Everything that is sealed. A change makes a new one."""

    profiles: Mapping[str, KeyProfile] = field(default_factory=dict)
    settings_hash: str | None = None

    def __post_init__(self) -> None:
        _check_optional(_SETTINGS_HASH, self.settings_hash, "the settings' hash")

    def profile(self, name: str) -> KeyProfile:
        """The profile; raises NoSuchProfile. The name was checked before."""
        found = self.profiles.get(name)
        if found is None:
            raise NoSuchProfile(f'no profile "{printable(name)}"')
        return found

    def with_profile(self, profile: KeyProfile) -> "Body":
        return replace(self, profiles={**self.profiles, profile.name: profile})

    def without(self, name: str) -> "Body":
        """Raises NoSuchProfile."""
        self.profile(name)
        return replace(self, profiles={n: p for n, p in self.profiles.items() if n != name})

    def with_settings_hash(self, settings_hash: str | None) -> "Body":
        return replace(self, settings_hash=settings_hash)


# -- what people type -------------------------------------------------------------------------------------------------


def check_name(name: object) -> str:
    """`name` if it can name a profile. Raises Usage, showing none of it: it may be a secret in the wrong place.

    Refusals outlive a lock (they are handed to the next image), so a glimpse of it would too.
    """
    if isinstance(name, str) and NAME.match(name):
        return name
    raise Usage("that is not a profile name: a letter, then letters, digits, - and _, at most 64 in all")


def check_credentials(access_key_id: str, secret: str) -> tuple[str, Secret, list[str]]:
    """The two halves of a key as pasted, trimmed, and a note for each trim. Raises Usage, echoing neither."""
    notes: list[str] = []
    access_key_id = _trim(access_key_id, "the access key id", notes)
    secret = _trim(secret, "the secret access key", notes)
    if re.match(r"A[KS]IA[A-Z0-9]{16}\Z", secret):
        raise Usage("the access key id stands where the secret access key belongs")
    if not _ACCESS_KEY_ID.match(access_key_id):
        raise Usage("that is not an access key id: 16 to 128 letters, digits and _")
    if access_key_id.startswith("ASIA"):
        raise Usage(
            "that is a temporary key: it needs its session token and expires within hours, so it cannot be kept",
            hint="add the key of an IAM user (AKIA...)",
        )
    if not secret.isascii() or not _SECRET_KEY.match(secret.encode()):
        raise Usage("that is not a secret access key: 16 to 128 printable characters without spaces")
    return access_key_id, Secret(secret), notes


def _trim(text: str, what: str, notes: list[str]) -> str:
    trimmed = text.strip()
    if trimmed != text:
        notes.append(f"white space round {what} was removed")
    return trimmed


def _check(pattern: re.Pattern[str], value: str, what: str) -> None:
    if not pattern.match(value):
        raise Usage(f"{what} has a form that AWS does not give out")


def _check_optional(pattern: re.Pattern[str], value: str | None, what: str) -> None:
    if value is not None:
        _check(pattern, value, what)


def _check_times(*moments: datetime | None) -> None:
    for moment in moments:
        # A programming error, not the user's: what could be made but not read again would lose the vault.
        if moment is not None and (moment.utcoffset() != timedelta(0) or moment.year < FIRST_YEAR):
            raise ValueError("a time in a record is not aware UTC, or before 1970")


# -- how it is written ------------------------------------------------------------------------------------------------

# A profile is a row, not an object: ten thousand of them are read and written in half the time and two thirds of the
# space. The first column is the kind of the row, the others are in the order of _row().
_KEY = "key"
_COLUMNS = 14
_DAMAGED = "the vault's body is damaged"
_NEWER = "the vault holds something that only a newer awsvault knows"


def encode(body: Body) -> bytes:
    """The one spelling of `body`. Times are cut to the second."""
    rows = [_row(body.profiles[name]) for name in sorted(body.profiles)]
    return canonical.encode({"profiles": rows, "settings_hash": body.settings_hash})


def _row(profile: KeyProfile) -> tuple[str | int | None, ...]:
    key = profile.key
    return (
        _KEY,
        profile.name,
        key.access_key_id,
        key.secret.reveal(),
        None if key.created_at is None else from_time(key.created_at),
        from_time(key.added_at),
        profile.serve,
        profile.partition,
        profile.account,
        profile.arn,
        profile.region,
        profile.mfa_serial,
        None if profile.verified_at is None else from_time(profile.verified_at),
        None if profile.last_used_at is None else from_time(profile.last_used_at),
    )


def decode(data: bytes | memoryview) -> Body:
    """The body that `data` says. Raises VaultDamaged; FormatTooNew for a row or field that we do not know.

    The bytes are authentic, so an unknown field is no damage: a newer awsvault wrote it, and dropping it at the next
    save would lose something.
    """
    try:
        fields = canonical.decode(data)
        if fields.keys() > {"profiles", "settings_hash"}:
            raise FormatTooNew(_NEWER)
        shared: dict[Any, Any] = {}  # the few regions, accounts, ... of many profiles are kept once
        rows = fields["profiles"]
        for index, row in enumerate(rows):
            rows[index] = _profile(
                row, shared.setdefault
            )  # in place: both at once would double the peak memory
        profiles = {profile.name: profile for profile in rows}
        if len(profiles) != len(rows) or list(profiles) != sorted(profiles):
            raise VaultDamaged(_DAMAGED)
        return Body(profiles, fields["settings_hash"])
    except (ValueError, TypeError, KeyError, AttributeError, Usage):
        raise VaultDamaged(_DAMAGED) from None


def _profile(row: list[Any], share: Callable[[Any, Any], Any]) -> KeyProfile:
    if row[0] != _KEY or len(row) > _COLUMNS:
        raise FormatTooNew(_NEWER)
    name, key_id, secret, created, added = row[1:6]
    serve, partition, account, arn, region, mfa_serial, verified, used = row[6:]
    return KeyProfile(
        name,
        Key(key_id, Secret(secret.encode()), None if created is None else to_time(created), to_time(added)),
        share(serve, serve),
        share(partition, partition),
        share(account, account),
        arn,
        share(region, region),
        mfa_serial,
        None if verified is None else to_time(verified),
        None if used is None else to_time(used),
    )
