# SPDX-License-Identifier: Apache-2.0
"""How the vectors were made: run as `python -m tests.vectors.generate DIRECTORY`; the same bytes every time.

Vectors are frozen. A change of the format adds files and a table here; it never edits one (test_vectors.py compares).
The credentials are the examples of AWS's own documentation.
"""

import hashlib
import json
import struct
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.vectors.bodies import DEV, EVERY_ROW, NOW, PROD
from tests.vectors.refused import refused_vectors
from vaultd.core import envelope, vault
from vaultd.core.envelope import KdfCost
from vaultd.core.header import Slot
from vaultd.core.records import Body
from vaultd.core.rows import encode
from vaultd.core.secret import Secret

PASSPHRASE = "correct horse battery staple"
DECOMPOSED = (
    "Zu\u0308rich, a\u0300 la cre\u0300me \u212b"  # three letters with marks, and a sign that NFC replaces
)
DEFAULT = KdfCost(64 * 1024, 3)
CHEAP = KdfCost(64 * 1024, 2)
LANES = KdfCost(64 * 1024, 2, 4)


class Stream:
    """Bytes that look random and are the same every time."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._drawn = 0

    def __call__(self, size: int) -> bytes:
        self._drawn += 1
        return hashlib.shake_256(self._seed + struct.pack(">I", self._drawn)).digest(size)


@dataclass(frozen=True)
class Good:
    data: bytes
    vault: vault.Vault
    passphrase: str
    recovery_code: str | None

    def facts(self) -> dict[str, Any]:
        opened = self.vault
        return {
            "passphrase": self.passphrase,
            "recovery_code": self.recovery_code,
            "vault_id": opened.envelope.vault_id,
            "vault_key": opened.vault_key.reveal_bytes().hex(),
            "generation": opened.envelope.generation,
            "slots": [slot.kind for slot in opened.envelope.slots],
            "ancestors": [[save.generation, save.mac_hash.hex()] for save in opened.ancestors],
            "records": json.loads(encode(opened.body)),
        }


def make(
    seed: str, passphrase: str, cost: KdfCost, bodies: list[Body], *, with_recovery: bool = True
) -> Good:
    """A vault that was created and then saved once with each of `bodies`."""
    random = Stream(seed)
    secret = vault.normalize_passphrase(passphrase, allow_weak=True)
    created = vault.create(secret, cost=cost, with_recovery=with_recovery, now=NOW, random=random)
    sealed: vault.Sealed = created
    for body in bodies:
        sealed = vault.seal(sealed.vault, body, now=NOW, random=random)
    code = created.recovery_code
    return Good(sealed.data, sealed.vault, passphrase, code.reveal() if code else None)


def with_slots(good: Good, slots: tuple[Slot, ...]) -> Good:
    header = replace(good.vault.envelope.header, slots=slots)
    plaintext = envelope.open_body(good.data, good.vault.envelope, good.vault.vault_key)
    sealed, data = envelope.seal_body(header, plaintext, good.vault.vault_key, Stream("with slots"))
    return replace(good, data=data, vault=replace(good.vault, envelope=sealed))


def good_vectors() -> dict[str, Good]:
    two = Body({"dev": DEV, "Prod_2": PROD}, "sha256:" + hashlib.sha256(b"").hexdigest())
    many = make("many slots", PASSPHRASE, CHEAP, [Body({"dev": DEV})])
    key, vault_id = many.vault.vault_key, many.vault.envelope.vault_id
    passphrase, recovery = many.vault.envelope.slots
    others = [
        envelope.passphrase_slot(Secret(text), vault_id, key, LANES, Stream(text))
        for text in ("one", "two", "three")
    ]
    newer = Slot(
        "keyring", verbatim={"kind": "keyring", "service": "awsvault", "wrapped": {"parts": [1, None]}}
    )
    return {
        "ready": make("ready", PASSPHRASE, DEFAULT, [Body({"dev": DEV, "Prod_2": PROD})]),
        "new": make("new", PASSPHRASE, CHEAP, [], with_recovery=False),
        "two-profiles-nfc": make("two", DECOMPOSED + "\r\n", CHEAP, [Body({"dev": DEV}), two]),
        "other": make("other", DECOMPOSED, CHEAP, [Body({"dev": DEV}), Body({"dev": DEV})]),
        "many-slots": with_slots(many, (*others, newer, recovery, passphrase)),
        "every-row": make("every row", PASSPHRASE, CHEAP, [EVERY_ROW]),
        "long-lineage": make("lineage", "x", CHEAP, [Body({"dev": DEV})] * 300),
    }


def main(directory: Path) -> None:
    good = good_vectors()
    base = good["two-profiles-nfc"]
    refused = refused_vectors(base.data, base.vault, other=good["other"].data)
    manifest = {
        "about": "made by generate.py; see README.md",
        "good": {name: vector.facts() for name, vector in good.items()},
        "refused": {name: {"answer": v.answer, "at": v.at, "why": v.why} for name, v in refused.items()},
        "refused_opened_by": {"passphrase": base.passphrase, "recovery": base.recovery_code},
    }
    for kind, files in (("good", good), ("refused", refused)):
        (directory / kind).mkdir(parents=True, exist_ok=True)
        for name, vector in files.items():
            (directory / kind / f"{name}.vault").write_bytes(vector.data)
    (directory / "good" / "ready.highwater").write_bytes(vault.mark(good["ready"].vault))
    (directory / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", "ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
