# SPDX-License-Identifier: Apache-2.0
"""The cryptography of the vault file, and nothing else's: FORMAT.md is its specification.

The only importer of `cryptography`. It turns a passphrase or recovery code into the vault key (slots), and the vault
key into an authenticated header and an encrypted body. It does not know what the body means.

    passphrase --Argon2id--> KEK -+
    recovery code --HKDF---> KEK -+-AES-256-GCM-> vault key --HKDF--> header MAC key, body key of this save, ...
"""

import hashlib
import hmac
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vaultd.core import canonical
from vaultd.core.header import (
    DEFAULT_COST,
    PASSPHRASE,
    RECOVERY,
    STRICT,
    Header,
    KdfBounds,
    KdfCost,
    Slot,
    decode_header,
)
from vaultd.core.secret import Secret
from vaultd.wire.errors import FormatTooNew, NoMemory, Refused, VaultDamaged

__all__ = ["DEFAULT_COST", "PASSPHRASE", "RECOVERY", "STRICT", "Envelope", "KdfBounds", "KdfCost", "Slot"]

MAGIC = b"AWSVAULT"
FORMAT = 1
MAX_FILE = 32 * 1024 * 1024  # bytes
MAX_HEADER = 64 * 1024

_START = struct.Struct(">8sHI")  # magic, format, length of the header
_MAC_SIZE = 32
_TAG_SIZE = 16

Random = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class Envelope:
    """The file up to its body. The body itself is not kept: ten thousand keys need not be held twice."""

    header: Header
    prefix: bytes  # magic, format, length, header, header MAC: what the body is bound to

    @property
    def vault_id(self) -> str:
        return self.header.vault_id

    @property
    def generation(self) -> int:
        return self.header.generation

    @property
    def saved_at(self) -> datetime:
        return self.header.saved_at

    @property
    def slots(self) -> tuple[Slot, ...]:
        return self.header.slots

    def slots_of(self, kind: str) -> tuple[Slot, ...]:
        return tuple(slot for slot in self.slots if slot.kind == kind)

    @property
    def start(self) -> bytes:
        """What the header MAC covers."""
        return self.prefix[:-_MAC_SIZE]

    @property
    def mac(self) -> bytes:
        return self.prefix[-_MAC_SIZE:]

    @property
    def mac_hash(self) -> bytes:
        """Names this very save: in its descendants' lineage and in the high-water mark."""
        return hashlib.sha256(self.mac).digest()


def parse(data: bytes) -> Envelope:
    """The header of a vault file, by its grammar alone. Raises VaultDamaged, FormatTooNew."""
    if len(data) < _START.size or data[: len(MAGIC)] != MAGIC:
        raise VaultDamaged("this is not a vault, or it was cut off at its beginning")
    _, version, header_length = _START.unpack_from(data)
    if version > FORMAT:
        raise FormatTooNew(f"the vault has format {version}, and this awsvault knows {FORMAT}")
    body_at = _START.size + header_length + _MAC_SIZE
    if version != FORMAT or not 0 < header_length <= MAX_HEADER or not body_at < len(data) <= MAX_FILE:
        raise VaultDamaged("the vault's first bytes are damaged, or its end is missing")
    header = decode_header(data[_START.size : body_at - _MAC_SIZE])
    if header.body_length != len(data) - body_at or header.body_length < _TAG_SIZE:
        raise VaultDamaged("the vault's length is not what its header says")
    return Envelope(header, data[:body_at])


def open_body(data: bytes, envelope: Envelope, vault_key: Secret) -> bytes:
    """The plaintext of the body, authenticated together with the whole header. Raises VaultDamaged."""
    if not hmac.compare_digest(_header_mac(vault_key, envelope.start), envelope.mac):
        raise VaultDamaged("the vault's header was changed")
    header, prefix = envelope.header, envelope.prefix
    cipher = _body_cipher(vault_key, header.body_salt)
    try:
        return cipher.decrypt(header.body_nonce, memoryview(data)[len(prefix) :], prefix)
    except InvalidTag:
        raise VaultDamaged("the vault's body was changed") from None


def seal_body(header: Header, plaintext: bytes, vault_key: Secret, random: Random) -> tuple[Envelope, bytes]:
    """The whole file for `header`, under a body key of its own."""
    body_length = len(plaintext) + _TAG_SIZE
    header = replace(header, body_salt=random(32), body_nonce=random(12), body_length=body_length)
    encoded = header.encode()
    start = _START.pack(MAGIC, FORMAT, len(encoded)) + encoded
    prefix = start + _header_mac(vault_key, start)
    body = _body_cipher(vault_key, header.body_salt).encrypt(header.body_nonce, plaintext, prefix)
    return Envelope(header, prefix), prefix + body


# -- slots ------------------------------------------------------------------------------------------------------------


def passphrase_slot(
    passphrase: Secret, vault_id: str, vault_key: Secret, cost: KdfCost, random: Random
) -> Slot:
    slot = Slot(PASSPHRASE, salt=random(16), nonce=random(12), cost=cost)
    return _wrap(slot, derive(passphrase, slot.salt, cost), vault_id, vault_key)


def recovery_slot(code: Secret, vault_id: str, vault_key: Secret, random: Random) -> Slot:
    """`code` is the 20 bytes that the recovery code spells: random, so that no slow derivation is needed."""
    slot = Slot(RECOVERY, salt=random(16), nonce=random(12))
    return _wrap(slot, recovery_kek(code, slot.salt), vault_id, vault_key)


def slot_kek(slot: Slot, secret: Secret) -> Secret:
    """The key-encryption key that `secret` (a passphrase or a recovery code's bytes) gives for this slot."""
    if slot.cost is None:
        return recovery_kek(secret, slot.salt)
    return derive(secret, slot.salt, slot.cost)


def _wrap(slot: Slot, kek: Secret, vault_id: str, vault_key: Secret) -> Slot:
    bound = _slot_bytes(slot, vault_id)
    wrapped = _wrap_cipher(kek).encrypt(slot.nonce, vault_key.reveal_bytes(), bound)
    return replace(slot, commitment=_commitment(kek, bound), wrapped=wrapped)


def unwrap(slot: Slot, kek: Secret, vault_id: str) -> Secret | None:
    """The vault key, or None when `kek` is not this slot's. Raises VaultDamaged when it is and yet does not open.

    GCM alone does not commit to its key: one ciphertext could be made to open under many passphrases, and each
    unlock would then rule out many guesses at once (Len, Grubbs, Ristenpart: Partitioning Oracle Attacks, 2021).
    """
    bound = _slot_bytes(slot, vault_id)
    if not hmac.compare_digest(_commitment(kek, bound), slot.commitment):
        return None
    try:
        return Secret(_wrap_cipher(kek).decrypt(slot.nonce, slot.wrapped, bound))
    except InvalidTag:
        raise VaultDamaged("a slot of the vault is damaged") from None


def _slot_bytes(slot: Slot, vault_id: str) -> bytes:
    return MAGIC + struct.pack(">H", FORMAT) + bytes.fromhex(vault_id) + canonical.encode(slot.public())


# -- derivations ------------------------------------------------------------------------------------------------------

# cryptography 50.0.2 hangs for ever when two threads derive at once with lanes >= 2 (they share one OpenSSL thread
# pool). We write lanes = 1, but a slot made elsewhere may carry more.
_one_derive = threading.Lock()


def derive(passphrase: Secret, salt: bytes, cost: KdfCost) -> Secret:
    """Argon2id (RFC 9106, version 0x13), 32 bytes. Slow and large by design. Raises NoMemory, Refused."""
    try:
        with _one_derive:
            argon2 = Argon2id(
                salt=salt, length=32, iterations=cost.passes, lanes=cost.lanes, memory_cost=cost.memory_kib
            )
            return Secret(argon2.derive(passphrase.reveal_bytes()))
    except MemoryError:
        raise NoMemory(f"deriving the key needs {cost.memory_kib // 1024} MiB of memory") from None
    except UnsupportedAlgorithm:
        raise Refused(
            "this build of cryptography has no Argon2id", hint="install awsvault with pipx"
        ) from None


def time_derive(cost: KdfCost, clock: Callable[[], float]) -> float:
    """Seconds that one derive of this cost takes here."""
    started = clock()
    derive(Secret("calibration"), bytes(16), cost)
    return clock() - started


def subkey(key: Secret, label: str, salt: bytes = b"") -> Secret:
    """HKDF-SHA256 (RFC 5869), 32 bytes: one key for one purpose. Every label begins `awsvault/v1/`."""
    return Secret(HKDF(SHA256(), 32, salt, label.encode("ascii")).derive(key.reveal_bytes()))


def recovery_kek(code: Secret, salt: bytes) -> Secret:
    return subkey(code, "awsvault/v1/recovery", salt)


def hmac_sha256(key: Secret, data: bytes) -> bytes:
    return hmac.digest(key.reveal_bytes(), data, "sha256")


def _commitment(kek: Secret, bound: bytes) -> bytes:
    return hmac_sha256(subkey(kek, "awsvault/v1/slot-commitment"), bound)


def _wrap_cipher(kek: Secret) -> AESGCM:
    return AESGCM(subkey(kek, "awsvault/v1/slot-wrap").reveal_bytes())


def _header_mac(vault_key: Secret, start: bytes) -> bytes:
    return hmac_sha256(subkey(vault_key, "awsvault/v1/header"), start)


def _body_cipher(vault_key: Secret, salt: bytes) -> AESGCM:
    return AESGCM(subkey(vault_key, "awsvault/v1/body", salt).reveal_bytes())
