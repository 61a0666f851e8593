# SPDX-License-Identifier: Apache-2.0
"""What a vault says about itself before anything is opened: its id, generation and slots (FORMAT.md, "Header").

Everything here may have been written by an attacker: nothing is derived, allocated or believed before the grammar and
the bounds hold. It knows no cryptography.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from vaultd.core import canonical
from vaultd.wire.errors import VaultDamaged

MAX_SLOTS = 16
MAX_PASSPHRASE_SLOTS = 4  # an unlock tries them all, so each is a derive that an attacker may make us pay for

_VAULT_ID = re.compile(r"[0-9a-f]{32}\Z")
_KIND = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")


@dataclass(frozen=True, slots=True)
class KdfCost:
    """What one Argon2id derive costs."""

    memory_kib: int
    passes: int
    lanes: int = 1


@dataclass(frozen=True, slots=True)
class KdfBounds:
    """Which costs are paid at all: below, a guesser gets it too cheaply; above, a file could hang the machine."""

    min_memory_kib: int
    max_memory_kib: int
    min_passes: int
    max_passes: int
    max_lanes: int
    max_work_kib: int

    def allow(self, cost: KdfCost) -> bool:
        return (
            self.min_memory_kib <= cost.memory_kib <= self.max_memory_kib
            and self.min_passes <= cost.passes <= self.max_passes
            and 1 <= cost.lanes <= self.max_lanes
            and cost.memory_kib * cost.passes <= self.max_work_kib
            and cost.memory_kib >= 8 * cost.lanes  # RFC 9106, section 3.1
        )


MIB = 1024  # KiB
#: The only bounds outside tests. A weaker set exists only where somebody constructs it: no variable, no file.
STRICT = KdfBounds(64 * MIB, 1024 * MIB, 2, 16, 4, 4096 * MIB)
DEFAULT_COST = KdfCost(256 * MIB, 3)


@dataclass(frozen=True, slots=True)
class Slot:
    """One way to unwrap the vault key. Of a kind that a newer awsvault made, only `kind` and `verbatim` are known."""

    kind: str
    salt: bytes = b""
    nonce: bytes = b""
    cost: KdfCost | None = None  # passphrase slots only
    commitment: bytes = b""
    wrapped: bytes = b""
    verbatim: Mapping[str, Any] | None = None

    def public(self) -> dict[str, Any]:
        """What the commitment and the wrapping are bound to: everything but themselves."""
        fields: dict[str, Any] = {"kind": self.kind, "nonce": self.nonce.hex(), "salt": self.salt.hex()}
        if self.cost is not None:
            fields |= {
                "lanes": self.cost.lanes,
                "memory_kib": self.cost.memory_kib,
                "passes": self.cost.passes,
            }
        return fields

    def to_json(self) -> Mapping[str, Any]:
        if self.verbatim is not None:
            return self.verbatim
        return {**self.public(), "commitment": self.commitment.hex(), "wrapped": self.wrapped.hex()}


PASSPHRASE = "passphrase"  # noqa: S105 - the name of a kind of slot
RECOVERY = "recovery"
_COMMON = {"kind", "salt", "nonce", "commitment", "wrapped"}
_FIELDS = {PASSPHRASE: _COMMON | {"memory_kib", "passes", "lanes"}, RECOVERY: _COMMON}


@dataclass(frozen=True, slots=True)
class Header:
    vault_id: str
    generation: int
    saved_at: datetime
    slots: tuple[Slot, ...]
    # Fresh for each save: chosen when the body is sealed.
    body_salt: bytes = b""
    body_nonce: bytes = b""
    body_length: int = 0

    def encode(self) -> bytes:
        return canonical.encode(
            {
                "body_length": self.body_length,
                "body_nonce": self.body_nonce.hex(),
                "body_salt": self.body_salt.hex(),
                "generation": self.generation,
                "saved_at": canonical.from_time(self.saved_at),
                "slots": [slot.to_json() for slot in self.slots],
                "vault_id": self.vault_id,
            }
        )

    def check_bounds(self, bounds: KdfBounds) -> None:
        """Raise VaultDamaged unless every slot's cost may be paid: all of them, before the first is."""
        if not all(bounds.allow(slot.cost) for slot in self.slots if slot.cost is not None):
            raise VaultDamaged("the vault's header asks for a key derivation that is too weak or too costly")


def decode_header(data: bytes) -> Header:
    """The header that `data` is the one spelling of. Raises VaultDamaged."""
    try:
        fields = canonical.decode(data)
        header = _header(fields)
        # A backslash would be an escape, and no string of a header needs one: it could hide a lone surrogate.
        # The header's own spelling, not that of its fields: hexadecimal digits come in two cases.
        if b"\\" in data or header.encode() != data:
            _refuse()
    except ValueError:
        raise VaultDamaged("the vault's header is damaged") from None
    return header


def _header(fields: Any) -> Header:
    expected = {"body_length", "body_nonce", "body_salt", "generation", "saved_at", "slots", "vault_id"}
    if not isinstance(fields, dict) or fields.keys() != expected:
        _refuse()
    slots = fields["slots"]
    if not isinstance(slots, list) or not 1 <= len(slots) <= MAX_SLOTS:
        _refuse()
    header = Header(
        vault_id=_matching(_VAULT_ID, fields["vault_id"]),
        generation=_positive(fields["generation"]),
        saved_at=canonical.to_time(fields["saved_at"]),
        slots=tuple(_slot(slot) for slot in slots),
        body_salt=_octets(fields["body_salt"], 32),
        body_nonce=_octets(fields["body_nonce"], 12),
        body_length=_positive(fields["body_length"]),
    )
    if sum(slot.kind == PASSPHRASE for slot in header.slots) > MAX_PASSPHRASE_SLOTS:
        _refuse()
    return header


def _slot(fields: Any) -> Slot:
    if not isinstance(fields, dict):
        _refuse()
    kind = _matching(_KIND, fields.get("kind"))
    if kind not in _FIELDS:
        return Slot(kind, verbatim=fields)
    if fields.keys() != _FIELDS[kind]:
        _refuse()
    cost = None
    if kind == PASSPHRASE:
        cost = KdfCost(*(_positive(fields[name]) for name in ("memory_kib", "passes", "lanes")))
    return Slot(
        kind,
        salt=_octets(fields["salt"], 16),
        nonce=_octets(fields["nonce"], 12),
        cost=cost,
        commitment=_octets(fields["commitment"], 32),
        wrapped=_octets(fields["wrapped"], 48),
    )


def _positive(value: object) -> int:
    # `type` and not isinstance: True is an int.
    if type(value) is not int or not 1 <= value <= canonical.MAX_INTEGER:
        _refuse()
    return value


def _octets(value: object, size: int) -> bytes:
    if not isinstance(value, str) or len(value) != 2 * size:
        _refuse()
    return bytes.fromhex(value)  # the comparison with the one spelling refuses upper case and spaces


def _matching(pattern: re.Pattern[str], value: object) -> str:
    if not isinstance(value, str) or not pattern.match(value):
        _refuse()
    return value


def _refuse() -> NoReturn:
    raise ValueError("not a header")
