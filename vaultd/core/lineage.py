# SPDX-License-Identifier: Apache-2.0
"""Is this vault the newest that this machine saw, or a descendant of it? (FORMAT.md, "Lineage", "High-water mark")

An old copy of the file, and a copy that another machine went on with, open with the same passphrase. What tells them
apart is who descends from whom: the body names the last saves it grew out of, and each machine remembers the last
save it saw.
"""

import hmac
import struct
from dataclasses import dataclass

from vaultd.core.envelope import hmac_sha256, subkey
from vaultd.core.secret import Secret
from vaultd.wire.errors import RolledBack, VaultDamaged

MAX_ANCESTORS = 256

_COUNT = struct.Struct(">H")
_SAVE = struct.Struct(">Q32s")
_MARK = struct.Struct(">8sH16sQ32s")
_MARK_MAGIC = b"AWSVMARK"
_MARK_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Save:
    """One save of one vault: nothing else has this pair."""

    generation: int
    mac_hash: bytes


Ancestors = tuple[Save, ...]  # the newest first


def encode_ancestors(ancestors: Ancestors) -> bytes:
    return _COUNT.pack(len(ancestors)) + b"".join(_SAVE.pack(a.generation, a.mac_hash) for a in ancestors)


def decode_ancestors(data: bytes, generation: int) -> tuple[Ancestors, int]:
    """The ancestors at the beginning of a body of this generation, and where they end. Raises VaultDamaged."""
    if len(data) < _COUNT.size:
        raise VaultDamaged("the vault's lineage is damaged")
    (count,) = _COUNT.unpack_from(data)
    end = _COUNT.size + count * _SAVE.size
    if count > MAX_ANCESTORS or end > len(data):
        raise VaultDamaged("the vault's lineage is damaged")
    ancestors = tuple(Save(*pair) for pair in _SAVE.iter_unpack(data[_COUNT.size : end]))
    for ancestor in ancestors:
        if not 0 < ancestor.generation < generation:
            raise VaultDamaged("the vault's lineage is damaged")
        generation = ancestor.generation
    return ancestors, end


def encode_mark(vault_id: str, save: Save, vault_key: Secret) -> bytes:
    """What this machine remembers of the last save that it saw."""
    record = _MARK.pack(_MARK_MAGIC, _MARK_FORMAT, bytes.fromhex(vault_id), save.generation, save.mac_hash)
    return record + _mark_mac(record, vault_key)


def decode_mark(data: bytes, vault_id: str, vault_key: Secret) -> Save:
    """The save that `data` remembers. Raises RolledBack when it is not a mark of this vault."""
    record = data[: _MARK.size]
    if not hmac.compare_digest(_mark_mac(record, vault_key), data[_MARK.size :]):
        raise RolledBack("this machine's high-water mark is damaged or belongs to another vault")
    _, _, marked_id, generation, mac_hash = _MARK.unpack(record)
    if marked_id.hex() != vault_id:
        raise RolledBack("this machine's high-water mark belongs to another vault")
    return Save(generation, mac_hash)


def _mark_mac(record: bytes, vault_key: Secret) -> bytes:
    return hmac_sha256(subkey(vault_key, "awsvault/v1/highwater"), record)


def check_descends(save: Save, ancestors: Ancestors, seen: Save) -> None:
    """Raise RolledBack unless `seen` is `save` itself or one that it grew out of."""
    if seen == save or seen in ancestors:
        return
    if seen.generation > save.generation:
        raise RolledBack(
            f"the vault is older than this machine last saw it (save {save.generation}, seen {seen.generation})"
        )
    if ancestors and seen.generation < ancestors[-1].generation:
        raise RolledBack(
            f"this machine last saw save {seen.generation} of the vault, too long ago to tell that this one grew out of it"
        )
    raise RolledBack(
        f"the vault was changed in two places: save {save.generation} did not grow out of the save {seen.generation} seen here"
    )
