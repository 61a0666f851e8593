# SPDX-License-Identifier: Apache-2.0
"""Makes vault files that are right in everything, MAC and tag too, but the one thing that is asked for.

Part of generate.py, and frozen like it.
"""

import json
import struct
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vaultd.core import canonical, envelope, vault
from vaultd.core.rows import encode

Header = dict[str, Any]


class Forger:
    """Files under one vault's key, with any header and any plaintext."""

    def __init__(self, data: bytes, opened: vault.Vault) -> None:
        self.data = data
        self.vault_key = opened.vault_key
        self.header: Header = json.loads(opened.envelope.header.encode())
        self.text = canonical.encode(self.header)
        self.plaintext = envelope.open_body(data, opened.envelope, opened.vault_key)
        self.lineage = self.plaintext[: 2 + 40 * len(opened.ancestors)]
        self.records: dict[str, Any] = json.loads(encode(opened.body))

    def forge(self, header: bytes, plaintext: bytes | None = None, magic: bytes = b"AWSVAULT\0\1") -> bytes:
        start = magic + struct.pack(">I", len(header)) + header
        prefix = start + envelope.hmac_sha256(envelope.subkey(self.vault_key, "awsvault/v1/header"), start)
        salt, nonce = (bytes.fromhex(self.header[name]) for name in ("body_salt", "body_nonce"))
        key = envelope.subkey(self.vault_key, "awsvault/v1/body", salt)
        return prefix + AESGCM(key.reveal_bytes()).encrypt(nonce, plaintext or self.plaintext, prefix)

    def with_fields(self, **fields: object) -> bytes:
        return self.forge(canonical.encode({**self.header, **fields}))

    def with_slot(self, **fields: object) -> bytes:
        """The passphrase slot changed, the recovery slot left as it is."""
        passphrase, recovery = self.header["slots"]
        return self.with_fields(slots=[{**passphrase, **fields}, recovery])

    def spelled(self, old: bytes, new: bytes) -> bytes:
        assert old in self.text
        return self.forge(self.text.replace(old, new, 1))

    def with_plaintext(self, plaintext: bytes, **fields: object) -> bytes:
        header = {**self.header, "body_length": len(plaintext) + 16, **fields}
        return self.forge(canonical.encode(header), plaintext)

    def with_lineage(self, *ancestors: tuple[int, bytes]) -> bytes:
        lineage = struct.pack(">H", len(ancestors)) + b"".join(
            struct.pack(">Q32s", *pair) for pair in ancestors
        )
        return self.with_plaintext(framed(lineage, self.records))

    def with_records(self, change: Callable[[dict[str, Any]], object]) -> bytes:
        records = json.loads(json.dumps(self.records))
        change(records)
        return self.with_plaintext(framed(self.lineage, records))


def framed(lineage: bytes, records: object) -> bytes:
    text = canonical.encode(records)
    content = lineage + struct.pack(">I", len(text)) + text
    return content + bytes(-len(content) % vault.BLOCK)
