# SPDX-License-Identifier: Apache-2.0
"""How an open rotation is written in the vault's body (FORMAT.md, "Records"): one row, with both keys in it."""

from typing import Any, Final

from vaultd.core.canonical import from_time, from_time_or_none, to_time, to_time_or_none
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
        from_time_or_none(rotation.promoted_at),
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
        to_time_or_none(promoted),
        back,
        hurry,
        force,
        waits,
    )


def _columns(key: Key) -> tuple[object, ...]:
    return key.access_key_id, key.secret.reveal(), from_time_or_none(key.created_at), from_time(key.added_at)


def _key(columns: list[Any]) -> Key:
    key_id, secret, created, added = columns
    return Key(key_id, Secret(secret.encode()), to_time_or_none(created), to_time(added))
