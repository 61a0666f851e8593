# SPDX-License-Identifier: Apache-2.0
"""How a revocation is written in the vault's body (FORMAT.md, "Records"): one row, without a secret."""

from typing import Any, Final

from vaultd.core.canonical import from_time, to_time
from vaultd.core.revocation import Revocation
from vaultd.wire.errors import VaultDamaged

COLUMNS: Final = 7


def row(name: str, revoked: Revocation) -> tuple[object, ...]:
    return (
        name,
        revoked.key_ids,
        revoked.wanted,
        revoked.deny,
        from_time(revoked.asked_at),
        revoked.done,
        revoked.missing,
    )


def revocation(columns: list[Any]) -> Revocation:
    """Raises VaultDamaged, and what a field that is none of its kind raises."""
    _, key_ids, wanted, deny, asked_at, done, missing = columns
    if not (isinstance(deny, bool) and isinstance(missing, str)):
        raise VaultDamaged("the vault's body is damaged")
    if not (isinstance(key_ids, list) and isinstance(done, list)):
        raise VaultDamaged("the vault's body is damaged")
    return Revocation(tuple(key_ids), wanted, deny, to_time(asked_at), tuple(done), missing)
