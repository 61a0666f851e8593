# SPDX-License-Identifier: Apache-2.0
"""The vault as the daemon works with it: created, unlocked, changed, sealed. Values in, bytes out.

It joins the parts (envelope, lineage, records) and owns the order of their checks. It does not know where the bytes
are kept; whoever keeps them calls `Sealed.verify` with what it reads back.
"""

import struct
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from vaultd.core import envelope as env
from vaultd.core import lineage, recovery_code, rows
from vaultd.core.envelope import Envelope, KdfBounds, KdfCost, Random
from vaultd.core.header import MAX_SLOTS, MIB, PASSPHRASE, RECOVERY, Header, Slot
from vaultd.core.records import Body
from vaultd.core.secret import Secret
from vaultd.wire.errors import RolledBack, Usage, VaultDamaged, WrongPassphrase

MAX_PASSPHRASE = 1024  # bytes
MIN_PASSPHRASE = 10  # characters

#: The plaintext is padded with zeros to a multiple of this, so that its length does not count the keys.
BLOCK = 4096
_JSON_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class Vault:
    """An open vault. `body` is what it says; the rest is what sealing its successor needs."""

    envelope: Envelope
    vault_key: Secret
    body: Body
    ancestors: lineage.Ancestors

    @property
    def this_save(self) -> lineage.Save:
        return lineage.Save(self.envelope.generation, self.envelope.mac_hash)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A vault and the file that says it. `data` is what goes to store.save, `verify` what it checks there."""

    vault: Vault
    data: bytes = field(repr=False)
    plaintext: Secret

    def verify(self, read_back: bytes) -> None:
        """Raise VaultDamaged unless what the disk gives back opens to what was meant."""
        opened = env.open_body(read_back, env.parse(read_back), self.vault.vault_key)
        if read_back != self.data or opened != self.plaintext.reveal_bytes():
            raise VaultDamaged("the disk gives back something else than was written", hint="check the disk")


@dataclass(frozen=True, slots=True)
class Created(Sealed):
    """A new vault; the recovery code is in no other place."""

    recovery_code: Secret | None


def normalize_passphrase(raw: str, *, allow_weak: bool) -> Secret:
    """The bytes that are derived from: NFC, one trailing line end less. Raises Usage.

    The same characters can be typed as different code points (macOS and Linux differ), hence NFC; the line end is
    the one that `echo` or an editor adds to a file.
    """
    for line_end in ("\r\n", "\n", "\r"):
        if raw.endswith(line_end):
            raw = raw[: -len(line_end)]
            break
    text = unicodedata.normalize("NFC", raw)
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError:
        raise Usage("the passphrase is not valid UTF-8") from None
    if not encoded:
        raise Usage("the passphrase is empty")
    if len(encoded) > MAX_PASSPHRASE:
        raise Usage(f"the passphrase is longer than {MAX_PASSPHRASE} bytes")
    if len(text) < MIN_PASSPHRASE and not allow_weak:
        raise Usage(
            f"the passphrase is shorter than {MIN_PASSPHRASE} characters", hint="allow it with --allow-weak"
        )
    return Secret(encoded)


def inspect(data: bytes, bounds: KdfBounds) -> Envelope:
    """What the file says about itself; nothing is derived. Raises VaultDamaged, FormatTooNew."""
    envelope = env.parse(data)
    envelope.header.check_bounds(bounds)
    return envelope


def create(
    passphrase: Secret, *, cost: KdfCost, with_recovery: bool, now: datetime, random: Random
) -> Created:
    """An empty vault under a new vault key. Slow: it derives."""
    vault_key = Secret(random(32))
    vault_id = random(16).hex()
    slots = [env.passphrase_slot(passphrase, vault_id, vault_key, cost, random)]
    code = None
    if with_recovery:
        slot, code = _new_recovery(vault_id, vault_key, random)
        slots.append(slot)
    header = Header(vault_id, 1, _to_second(now), tuple(slots))
    sealed = _seal(header, vault_key, Body({}, None), (), random)
    return Created(sealed.vault, sealed.data, sealed.plaintext, code)


def unlock(data: bytes, passphrase: Secret, bounds: KdfBounds) -> Vault:
    """Open by the passphrase; slow. Raises WrongPassphrase, VaultDamaged, FormatTooNew."""
    return _open(data, PASSPHRASE, passphrase, bounds)


def recover(data: bytes, code: Secret, bounds: KdfBounds) -> Vault:
    """Open by the recovery code as a person types it. Raises Usage when it is mistyped, else as `unlock`."""
    return _open(data, RECOVERY, recovery_code.read(code), bounds)


def _open(data: bytes, kind: str, secret: Secret, bounds: KdfBounds) -> Vault:
    envelope = inspect(data, bounds)
    slots = envelope.slots_of(kind)
    for slot in slots:
        vault_key = env.unwrap(slot, env.slot_kek(slot, secret), envelope.vault_id)
        if vault_key is not None:
            plaintext = env.open_body(data, envelope, vault_key)
            body, ancestors = _decode(plaintext, envelope.generation)
            return Vault(envelope, vault_key, body, ancestors)
    if kind == PASSPHRASE:
        raise WrongPassphrase
    raise WrongPassphrase(
        "wrong recovery code" if slots else "the vault has no recovery code", hint="try again"
    )


def seal(vault: Vault, body: Body, *, now: datetime, random: Random) -> Sealed:
    """The next generation, with `body`."""
    return _next(vault, vault.envelope.slots, body, now, random)


def with_passphrase(
    vault: Vault, passphrase: Secret, *, cost: KdfCost, now: datetime, random: Random
) -> Sealed:
    """The next generation, opened by `passphrase` instead of every one before. Slow: it derives."""
    slot = env.passphrase_slot(passphrase, vault.envelope.vault_id, vault.vault_key, cost, random)
    return _next(vault, _replaced(vault, PASSPHRASE, slot), vault.body, now, random)


def with_new_recovery(vault: Vault, *, now: datetime, random: Random) -> tuple[Sealed, Secret]:
    """The next generation, opened by a new recovery code instead of the one before; and the code."""
    slot, code = _new_recovery(vault.envelope.vault_id, vault.vault_key, random)
    return _next(vault, _replaced(vault, RECOVERY, slot), vault.body, now, random), code


def generation_of(data: bytes, vault: Vault) -> int | None:
    """Which save of the same vault this is; None when it is none."""
    try:
        envelope = env.parse(data)
        env.open_body(data, envelope, vault.vault_key)
    except VaultDamaged:
        return None
    return envelope.generation


def reslotted(data: bytes, vault: Vault, random: Random) -> bytes | None:
    """An earlier save of the same vault, with the slots that `vault` has now; None when it is not such a save."""
    try:
        envelope = env.parse(data)
        plaintext = env.open_body(data, envelope, vault.vault_key)
    except VaultDamaged:
        return None
    return env.seal_body(
        replace(envelope.header, slots=vault.envelope.slots), plaintext, vault.vault_key, random
    )[1]


def _new_recovery(vault_id: str, vault_key: Secret, random: Random) -> tuple[Slot, Secret]:
    code = random(recovery_code.SIZE)
    return env.recovery_slot(Secret(code), vault_id, vault_key, random), recovery_code.spell(code)


def _replaced(vault: Vault, kind: str, slot: Slot) -> tuple[Slot, ...]:
    slots = (slot, *(other for other in vault.envelope.slots if other.kind != kind))
    if len(slots) > MAX_SLOTS:
        raise Usage(f"the vault has {MAX_SLOTS} slots already, and cannot have more")
    return slots


def _next(vault: Vault, slots: tuple[Slot, ...], body: Body, now: datetime, random: Random) -> Sealed:
    header = replace(
        vault.envelope.header, generation=vault.envelope.generation + 1, saved_at=_to_second(now), slots=slots
    )
    ancestors = (vault.this_save, *vault.ancestors)[: lineage.MAX_ANCESTORS]
    return _seal(header, vault.vault_key, body, ancestors, random)


def _seal(
    header: Header, vault_key: Secret, body: Body, ancestors: lineage.Ancestors, random: Random
) -> Sealed:
    plaintext = _encode(body, ancestors)
    envelope, data = env.seal_body(header, plaintext, vault_key, random)
    if len(data) > env.MAX_FILE:
        raise Usage("the vault would be larger than 32 MiB; nothing was saved", hint="remove some profiles")
    return Sealed(Vault(envelope, vault_key, body, ancestors), data, Secret(plaintext))


def _to_second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _encode(body: Body, ancestors: lineage.Ancestors) -> bytes:
    text = rows.encode(body)
    start = lineage.encode_ancestors(ancestors) + _JSON_LENGTH.pack(len(text))
    return b"".join((start, text, bytes(-(len(start) + len(text)) % BLOCK)))


def _decode(plaintext: bytes, generation: int) -> tuple[Body, lineage.Ancestors]:
    ancestors, at = lineage.decode_ancestors(plaintext, generation)
    start = at + _JSON_LENGTH.size
    if start > len(plaintext):
        raise VaultDamaged("the vault's body is damaged")
    end = start + _JSON_LENGTH.unpack_from(plaintext, at)[0]
    if plaintext[end:] != bytes(-end % BLOCK):
        raise VaultDamaged("the vault's body is damaged")
    return rows.decode(memoryview(plaintext)[start:end]), ancestors


def mark(vault: Vault) -> bytes:
    """The high-water record of this save: kept on this machine, beside the audit, not beside the vault."""
    return lineage.encode_mark(vault.envelope.vault_id, vault.this_save, vault.vault_key)


def check_mark(vault: Vault, recorded: bytes | None, *, history_exists: bool) -> None:
    """Raise RolledBack unless the vault is the last save that this machine saw, or grew out of it.

    A machine without any history (no audit, no backups) has never seen a vault and can tell nothing.
    """
    if recorded is None:
        if history_exists:
            raise RolledBack("this machine's high-water mark is missing, though it has seen the vault before")
        return
    seen = lineage.decode_mark(recorded, vault.envelope.vault_id, vault.vault_key)
    lineage.check_descends(vault.this_save, vault.ancestors, seen)


def calibrate(measure: Callable[[KdfCost], float], available_bytes: int) -> KdfCost:
    """The costliest of 64, 128, 256, 512 MiB with 3 passes that takes at most 1 s and 1/8 of the memory here.

    `measure` gives the seconds of one derive. The first of a process is up to 3.5 times slower, so it is thrown away.
    """
    chosen = KdfCost(64 * MIB, 3)
    measure(chosen)
    elapsed_s = measure(chosen)
    for memory_mib in (128, 256, 512):
        cost = KdfCost(memory_mib * MIB, 3)
        # Time grows with memory: a cost that would take twice too long need not be tried.
        if memory_mib * MIB * 1024 > available_bytes // 8 or elapsed_s * 2 > 1:
            break
        elapsed_s = measure(cost)
        if elapsed_s > 1:
            break
        chosen = cost
    return chosen
