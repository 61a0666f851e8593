# SPDX-License-Identifier: Apache-2.0
"""How an open rotation is written in the vault's body (FORMAT.md, "Records"): one row, with both keys in it."""

from datetime import datetime
from typing import Any, Final

from vaultd.core.canonical import from_time, to_time
from vaultd.core.keys import Key
from vaultd.core.rotation import Rotation
from vaultd.core.secret import Secret
from vaultd.wire.errors import VaultDamaged

COLUMNS: Final = 14


def row(name: str, rotation: Rotation) -> tuple[object, ...]:
    return (
        name,
        rotation.run,
        rotation.state,
        from_time(rotation.since),
        from_time(rotation.started_at),
        rotation.host,
        _columns(rotation.old),
        _columns(rotation.new) if rotation.new else None,
        rotation.known,
        _time(rotation.promoted_at),
        rotation.back,
        rotation.hurry,
        rotation.force,
        rotation.waits,
    )


def rotation(columns: list[Any]) -> Rotation:
    """Raises VaultDamaged, and what a field that is none of its kind raises."""
    _, run, state, since, started, host, old, new, known, promoted, back, hurry, force, waits = columns
    if not all(isinstance(flag, bool) for flag in (back, hurry, force)):
        raise VaultDamaged("the vault's body is damaged")
    return Rotation(
        run,
        state,
        to_time(since),
        to_time(started),
        host,
        _key(old),
        _key(new) if new else None,
        tuple(known),
        _moment(promoted),
        back,
        hurry,
        force,
        waits,
    )


def _columns(key: Key) -> tuple[object, ...]:
    return key.access_key_id, key.secret.reveal(), _time(key.created_at), from_time(key.added_at)


def _key(columns: list[Any]) -> Key:
    key_id, secret, created, added = columns
    return Key(key_id, Secret(secret.encode()), _moment(created), to_time(added))


def _time(moment: datetime | None) -> int | None:
    return None if moment is None else from_time(moment)


def _moment(seconds: Any) -> datetime | None:
    return None if seconds is None else to_time(seconds)
