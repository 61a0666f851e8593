# SPDX-License-Identifier: Apache-2.0
"""What the vault keeps: keys, the profiles that own them, and how they are written (FORMAT.md, "Body").

A record checks itself when it is made, so whatever exists can be written, and whatever was written can be read: a
vault that cannot be decoded again would be a vault lost. It does not know how the bytes are sealed or kept.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NoReturn, get_args

from vaultd.core import canonical
from vaultd.core.canonical import format_time, parse_time
from vaultd.core.secret import Secret
from vaultd.wire.errors import FormatTooNew, NoSuchProfile, Usage, VaultDamaged, printable

Serve = Literal["session", "key"]
SERVE: Final = frozenset(get_args(Serve))
PARTITIONS: Final = frozenset({"aws", "aws-cn", "aws-us-gov"})

MAX_SHOWN = 20  # characters of a bad name: half a secret is no secret

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
    """`name` if it can name a profile. Raises Usage, showing little of it: it may be a secret in the wrong place."""
    if isinstance(name, str) and NAME.match(name):
        return name
    shown = f'"{printable(name[:MAX_SHOWN])}"' if isinstance(name, str) else "that"
    raise Usage(f"{shown} is not a profile name: a letter, then letters, digits, - and _, at most 64 in all")


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
    if not _SECRET_KEY.match(secret.encode("utf-8", "replace")) or not secret.isascii():
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
        # A programming error, not the user's: a local time would be written as if it were UTC.
        if moment is not None and moment.utcoffset() != timedelta(0):
            raise ValueError("a time in a record is not aware UTC")


# -- how it is written ------------------------------------------------------------------------------------------------


def encode(body: Body) -> bytes:
    """The one spelling of `body`. Times are cut to the second."""
    rows = [_row(body.profiles[name]) for name in sorted(body.profiles)]
    return canonical.encode(_present({"profiles": rows, "settings_hash": body.settings_hash}))


def _row(profile: KeyProfile) -> dict[str, str]:
    key = profile.key
    return _present(
        {
            "account": profile.account,
            "added": format_time(key.added_at),
            "arn": profile.arn,
            "created": _optional_time(key.created_at),
            "id": key.access_key_id,
            "kind": "key",
            "mfa": profile.mfa_serial,
            "name": profile.name,
            "partition": profile.partition,
            "region": profile.region,
            "secret": key.secret.reveal(),
            "serve": profile.serve,
            "used": _optional_time(profile.last_used_at),
            "verified": _optional_time(profile.verified_at),
        }
    )


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _optional_time(moment: datetime | None) -> str | None:
    return None if moment is None else format_time(moment)


_REQUIRED = frozenset({"added", "id", "kind", "name", "partition", "secret", "serve"})
_KNOWN = _REQUIRED | {"account", "arn", "created", "mfa", "region", "used", "verified"}


def decode(data: bytes) -> Body:
    """The body that `data` says. Raises VaultDamaged; FormatTooNew for a record or field that we do not know.

    The bytes are authentic, so an unknown field is not damage: a newer awsvault wrote it, and dropping it at the next
    save would lose something.
    """
    try:
        fields = canonical.decode(data, _object)
        if not isinstance(fields, dict) or not isinstance(fields.get("profiles"), list):
            _refuse()
        profiles = {profile.name: profile for profile in fields["profiles"]}
        if list(profiles) != sorted(profiles) or len(profiles) != len(fields["profiles"]):
            _refuse()
        if fields.keys() - {"profiles", "settings_hash"}:
            raise FormatTooNew("a newer awsvault has written to the vault")
        return Body(profiles, fields.get("settings_hash"))
    except (ValueError, TypeError, AttributeError, Usage):
        raise VaultDamaged("the vault's body is damaged") from None


def _object(pairs: canonical.Pairs) -> Any:
    """Each record becomes a profile as soon as it is read: ten thousand dicts would be most of the peak memory."""
    fields = canonical.unique(pairs)
    return _profile(fields) if "kind" in fields else fields


def _profile(fields: dict[str, Any]) -> KeyProfile:
    if fields["kind"] != "key" or not fields.keys() <= _KNOWN:
        raise FormatTooNew("a newer awsvault has written to the vault")
    if not fields.keys() >= _REQUIRED:
        _refuse()
    key = Key(
        fields["id"], Secret(fields["secret"]), _time(fields.get("created")), parse_time(fields["added"])
    )
    return KeyProfile(
        fields["name"],
        key,
        fields["serve"],
        fields["partition"],
        fields.get("account"),
        fields.get("arn"),
        fields.get("region"),
        fields.get("mfa"),
        _time(fields.get("verified")),
        _time(fields.get("used")),
    )


def _time(text: object) -> datetime | None:
    return None if text is None else parse_time(text)


def _refuse() -> NoReturn:
    raise ValueError("not a body")
