# SPDX-License-Identifier: Apache-2.0
"""How records are written in the vault's body (FORMAT.md, "Records"): one spelling, read strictly.

A profile is a row, not an object: ten thousand of them are read and written in half the time and two thirds of the
space. The first column is the kind of the row, the second the name.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from vaultd.core import canonical, revocation_rows, rotation_rows, undo_rows
from vaultd.core.canonical import from_time, from_time_or_none, to_time, to_time_or_none
from vaultd.core.keys import Key
from vaultd.core.records import Body, KeyProfile, MfaSession, Profile
from vaultd.core.revocation import Revocation
from vaultd.core.roles import RoleProfile
from vaultd.core.rotation import Rotation
from vaultd.core.secret import Secret
from vaultd.core.undo import Undo
from vaultd.wire.errors import FormatTooNew, Usage, VaultDamaged

_KEY = "key"
_ROLE = "role"
_KEY_COLUMNS = 14
_EXTRA_COLUMNS = 6  # only when one of them says something: a row has one spelling
_ROLE_COLUMNS = 16
_MEMBERS = {
    "profiles",
    "settings_hash",
    "mfa_sessions",
    "rotations",
    "snoozed",
    "forgotten",
    "revocations",
    "imported",
}
_DAMAGED = "the vault's body is damaged"
_NEWER = "the vault holds something that only a newer awsvault knows"

Row = tuple[object, ...]
Share = Callable[[Any, Any], Any]


def encode(body: Body) -> bytes:
    """The one spelling of `body`. Times are cut to the second."""
    fields: dict[str, object] = {
        "profiles": [_row(body.profiles[name]) for name in sorted(body.profiles)],
        "settings_hash": body.settings_hash,
    }
    if body.mfa_sessions:
        fields["mfa_sessions"] = [_mfa_row(*item) for item in sorted(body.mfa_sessions.items())]
    if body.rotations:
        fields["rotations"] = [rotation_rows.row(*item) for item in sorted(body.rotations.items())]
    if body.snoozed:
        fields["snoozed"] = [(name, from_time(until)) for name, until in sorted(body.snoozed.items())]
    if body.forgotten:
        fields["forgotten"] = sorted(body.forgotten.items())
    if body.revocations:
        fields["revocations"] = [revocation_rows.row(*item) for item in sorted(body.revocations.items())]
    if body.undo:
        fields["imported"] = undo_rows.row(body.undo)
    return canonical.encode(fields)


def _row(profile: Profile) -> Row:
    return _role_row(profile) if isinstance(profile, RoleProfile) else _key_row(profile)


def _key_row(profile: KeyProfile) -> Row:
    key = profile.key
    row = (
        _KEY,
        profile.name,
        key.access_key_id,
        key.secret.reveal(),
        from_time_or_none(key.created_at),
        from_time(key.added_at),
        profile.serve,
        profile.partition,
        profile.account,
        profile.arn,
        profile.region,
        profile.mfa_serial,
        from_time_or_none(profile.verified_at),
        from_time_or_none(profile.last_used_at),
    )
    if not profile.has_extras:
        return row
    seed = profile.totp.reveal_bytes().hex() if profile.totp else None
    codes = (seed, profile.totp_last_step, profile.mfa_process)
    return (*row, profile.policy, profile.policy_arns, *codes, profile.auto_rotate)


def _role_row(profile: RoleProfile) -> Row:
    return (
        _ROLE,
        profile.name,
        profile.source,
        profile.role_arn,
        from_time(profile.added_at),
        profile.external_id,
        profile.session_name,
        profile.duration_s,
        profile.tags,
        profile.transitive_tags,
        profile.source_identity,
        profile.policy,
        profile.policy_arns,
        profile.region,
        from_time_or_none(profile.verified_at),
        from_time_or_none(profile.last_used_at),
    )


def _mfa_row(device: tuple[str, str], session: MfaSession) -> Row:
    token = session.session_token.reveal()
    return (*device, session.access_key_id, session.secret.reveal(), token, from_time(session.expires_at))


def decode(data: bytes | memoryview) -> Body:
    """The body that `data` says. Raises VaultDamaged; FormatTooNew for a row or field that we do not know.

    The bytes are authentic, so an unknown field is no damage: a newer awsvault wrote it, and dropping it at the next
    save would lose something.
    """
    try:
        fields = canonical.decode(data)
        if not fields.keys() <= _MEMBERS:
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
        # In the order of Body's fields.
        read = (_mfa_sessions, _rotations, _snoozed, _forgotten, _revocations, _undo)
        others: Any = (member(fields) for member in read)
        return Body(profiles, fields["settings_hash"], *others)
    except (ValueError, TypeError, LookupError, AttributeError, Usage):
        raise VaultDamaged(_DAMAGED) from None


def _profile(row: list[Any], share: Share) -> Profile:
    if row[0] == _KEY and (len(row) <= _KEY_COLUMNS or len(row) == _KEY_COLUMNS + _EXTRA_COLUMNS):
        return _key_profile(row, share)
    if row[0] == _ROLE and len(row) == _ROLE_COLUMNS:
        return _role_profile(row, share)
    raise FormatTooNew(_NEWER)


def _key_profile(row: list[Any], share: Share) -> KeyProfile:
    (
        _,
        name,
        key_id,
        secret,
        created,
        added,
        serve,
        partition,
        account,
        arn,
        region,
        mfa_serial,
        verified,
        used,
        *extras,
    ) = row
    return KeyProfile(
        name,
        Key(key_id, Secret(secret.encode()), to_time_or_none(created), to_time(added)),
        share(serve, serve),
        share(partition, partition),
        share(account, account),
        arn,
        share(region, region),
        mfa_serial,
        to_time_or_none(verified),
        to_time_or_none(used),
        *(_extras(extras) if extras else ()),
    )


def _extras(columns: list[Any]) -> tuple[Any, ...]:
    policy, arns, seed, last_step, process, auto = columns
    says_something = policy is not None or arns or seed or process or auto is not None
    if not says_something or type(last_step) not in (int, type(None)):
        raise VaultDamaged(_DAMAGED)
    totp = Secret(bytes.fromhex(seed)) if seed else None
    return policy, tuple(arns), totp, last_step, tuple(process), auto


def _role_profile(row: list[Any], share: Share) -> RoleProfile:
    (
        _,
        name,
        source,
        role_arn,
        added,
        external_id,
        session_name,
        duration_s,
        tags,
        transitive,
        identity,
        policy,
        arns,
        region,
        verified,
        used,
    ) = row
    return RoleProfile(
        name,
        share(source, source),
        role_arn,
        to_time(added),
        external_id,
        session_name,
        duration_s,
        tuple((key, value) for key, value in tags),
        tuple(transitive),
        identity,
        policy,
        tuple(arns),
        share(region, region),
        to_time_or_none(verified),
        to_time_or_none(used),
    )


def _mfa_sessions(fields: dict[str, Any]) -> dict[tuple[str, str], MfaSession]:
    rows = fields.get("mfa_sessions", [])
    found = {
        (key_id, serial): MfaSession(session_id, Secret(secret), Secret(token), to_time(expires))
        for key_id, serial, session_id, secret, token, expires in rows
    }
    return _one_spelling(fields, "mfa_sessions", found)


def _rotations(fields: dict[str, Any]) -> dict[str, Rotation]:
    rows = fields.get("rotations", [])
    if any(len(row) > rotation_rows.COLUMNS for row in rows):
        raise FormatTooNew(_NEWER)
    found = {row[0]: rotation_rows.rotation(row) for row in rows}
    return _one_spelling(fields, "rotations", found)


def _snoozed(fields: dict[str, Any]) -> dict[str, datetime]:
    found = {name: to_time(until) for name, until in fields.get("snoozed", [])}
    return _one_spelling(fields, "snoozed", found)


def _forgotten(fields: dict[str, Any]) -> dict[str, str]:
    found = {key_id: revision for key_id, revision in fields.get("forgotten", [])}  # noqa: C416 - a row has two
    return _one_spelling(fields, "forgotten", found)


def _revocations(fields: dict[str, Any]) -> dict[str, Revocation]:
    rows = fields.get("revocations", [])
    if any(len(row) > revocation_rows.COLUMNS for row in rows):
        raise FormatTooNew(_NEWER)
    found = {row[0]: revocation_rows.revocation(row) for row in rows}
    return _one_spelling(fields, "revocations", found)


def _undo(fields: dict[str, Any]) -> Undo | None:
    if "imported" not in fields:
        return None
    if len(fields["imported"]) > undo_rows.COLUMNS:
        raise FormatTooNew(_NEWER)
    return undo_rows.undo(fields["imported"])


def _one_spelling(fields: dict[str, Any], member: str, found: dict[Any, Any]) -> dict[Any, Any]:
    """`found`, if the rows of this member are sorted, differ, and are there only when there are any."""
    rows = fields.get(member)
    if rows is not None and (not rows or len(found) != len(rows) or list(found) != sorted(found)):
        raise VaultDamaged(_DAMAGED)
    return found
