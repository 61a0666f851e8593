# SPDX-License-Identifier: Apache-2.0
"""A second reader of the vault file, built from vaultd/FORMAT.md alone: it imports nothing of vaultd."""

import hashlib
import hmac
import json
import re
import struct
import unicodedata
from itertools import pairwise
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
# What has one spelling can be checked by its spelling: # is an integer, <n> is n bytes in hex.
HEADER = (
    '"body_length":#,"body_nonce":<12>,"body_salt":<32>,"generation":#,"saved_at":#,"slots":0,"vault_id":<16>'
)
RECOVERY = '"commitment":<32>,"kind":"recovery","nonce":<12>,"salt":<16>,"wrapped":<48>'
COSTS = '"passphrase","lanes":[1-4],"memory_kib":#,"nonce":<12>,"passes":#'
GRAMMAR = {"recovery": RECOVERY, "passphrase": RECOVERY.replace('"recovery","nonce":<12>', COSTS)}
OTHER = '.*"kind":"[a-z][a-z0-9-]{0,31}".*'


def need(fact: object, answer: str = "damaged") -> None:
    if not fact:
        raise ValueError(answer)


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def check_spelling(value: object, grammar: str) -> None:
    pattern = re.sub("<([0-9]+)>", r'"(?:[0-9a-f]{2}){\1}"', grammar.replace("#", "(?:0|[1-9][0-9]*)"))
    need(re.fullmatch(r"\{" + pattern + r"\}", canonical(value)))


def parse(data: bytes) -> Any:
    # A fraction or NaN becomes null and is then not spelled as it was, and neither is a duplicate member.
    value = json.loads(data.decode("ascii"), parse_float=lambda _: None, parse_constant=lambda _: None)
    need(isinstance(value, dict) and canonical(value).encode() == data)
    return value


def check_slot(slot: Any) -> None:
    need(isinstance(slot, dict))
    check_spelling(slot, GRAMMAR.get(str(slot.get("kind")), OTHER))
    if slot["kind"] == "passphrase":
        memory, passes = slot["memory_kib"], slot["passes"]
        need(65536 <= memory <= 1048576 and 2 <= passes <= 16 and memory * passes <= 4194304)


def split(data: bytes) -> tuple[Any, int]:
    """The checked header, and where the header MAC begins."""
    need(len(data) >= 14 and data[:8] == b"AWSVAULT")
    version, size = struct.unpack_from(">HI", data, 8)
    need(version <= 1, "too new")
    need(version == 1 and 1 <= size <= 65536 and 46 + size < len(data) <= 32 << 20)
    header = parse(data[14 : 14 + size])
    need(b"\\" not in data[14 : 14 + size] and isinstance(header.get("slots"), list))
    check_spelling({**header, "slots": 0}, HEADER)
    need(1 <= header["generation"] <= 2**53 - 1 and header["saved_at"] <= 253402300799)
    need(header["body_length"] >= 16 and 46 + size + header["body_length"] == len(data))
    for slot in header["slots"]:
        check_slot(slot)
    kinds = [slot["kind"] for slot in header["slots"]]
    need(1 <= len(kinds) <= 16 and kinds.count("passphrase") <= 4)
    return header, 14 + size


def hkdf(key: bytes, use: str, salt: bytes = b"") -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, b"awsvault/v1/" + use.encode()).derive(key)


def kek(slot: Any, secret: str) -> bytes:
    salt = bytes.fromhex(slot["salt"])
    if slot["kind"] == "recovery":
        letters = re.sub(r"[\s-]", "", secret.upper()).translate(str.maketrans("OIL", "011"))
        bits = "".join(f"{DIGITS.index(letter):05b}" for letter in letters)
        code = int(bits[:160], 2).to_bytes(20)
        check = int.from_bytes(hashlib.sha256(b"awsvault/v1/recovery-code" + code).digest()[:3])
        need(f"{check:024b}"[:20] == bits[160:], "wrong")
        return hkdf(code, "recovery", salt)
    text = unicodedata.normalize("NFC", re.sub(r"(\r\n|\n|\r)\Z", "", secret))
    cost = {"iterations": slot["passes"], "lanes": slot["lanes"], "memory_cost": slot["memory_kib"]}
    return Argon2id(salt=salt, length=32, **cost).derive(text.encode())


def open_vault(data: bytes, secret: str, kind: str = "passphrase") -> dict[str, Any]:
    """The vault key, ancestors and records, by a passphrase or a recovery code, or ValueError or InvalidTag."""
    header, end = split(data)
    for slot in (slot for slot in header["slots"] if slot["kind"] == kind):
        public = {name: slot[name] for name in slot if name not in {"commitment", "wrapped"}}
        bound = data[:10] + bytes.fromhex(header["vault_id"]) + canonical(public).encode()
        key = kek(slot, secret)
        if hmac.digest(hkdf(key, "slot-commitment"), bound, "sha256").hex() == slot["commitment"]:
            nonce, wrapped = bytes.fromhex(slot["nonce"]), bytes.fromhex(slot["wrapped"])
            vault_key = AESGCM(hkdf(key, "slot-wrap")).decrypt(nonce, wrapped, bound)
            return {"vault_key": vault_key.hex(), **body(data, header, end, vault_key)}
    raise ValueError("wrong")


def body(data: bytes, header: Any, end: int, vault_key: bytes) -> dict[str, Any]:
    need(hmac.digest(hkdf(vault_key, "header"), data[:end], "sha256") == data[end : end + 32])
    salt, nonce = bytes.fromhex(header["body_salt"]), bytes.fromhex(header["body_nonce"])
    plain = AESGCM(hkdf(vault_key, "body", salt)).decrypt(nonce, data[end + 32 :], data[: end + 32])
    at = 2 + 40 * int.from_bytes(plain[:2])
    stop = at + 4 + int.from_bytes(plain[at : at + 4])
    need(stop <= len(plain) and plain[stop:] == bytes(-stop % 4096))
    ancestors = [[generation, mac.hex()] for generation, mac in struct.iter_unpack(">Q32s", plain[2:at])]
    line = [header["generation"], *(generation for generation, _ in ancestors)]
    need(len(line) <= 257 and all(child > parent >= 1 for child, parent in pairwise(line)))
    return {"ancestors": ancestors, "records": parse(plain[at + 4 : stop])}
