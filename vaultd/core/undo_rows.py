# SPDX-License-Identifier: Apache-2.0
"""How the undo of an import is written in the vault's body (FORMAT.md, "Records"): one row, there is one at most."""

from typing import Any, Final

from vaultd.core.canonical import from_time, to_time
from vaultd.core.secret import Secret
from vaultd.core.undo import Undo
from vaultd.wire.errors import VaultDamaged

COLUMNS: Final = 5


def row(undo: Undo) -> tuple[object, ...]:
    account = [piece.reveal() for piece in undo.account]
    return from_time(undo.at), undo.done, undo.names, undo.made, account


def undo(columns: list[Any]) -> Undo:
    """Raises VaultDamaged, and what a field that is none of its kind raises."""
    at, done, names, made, account = columns
    if not isinstance(done, bool) or not all(isinstance(part, list) for part in (names, made, account)):
        raise VaultDamaged("the vault's body is damaged")
    return Undo(
        to_time(at), done, tuple(names), tuple(made), tuple(Secret(piece.encode()) for piece in account)
    )
