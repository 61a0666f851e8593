# SPDX-License-Identifier: Apache-2.0
"""The files that must be refused, each for one reason: everything else about it, MAC and tag too, is right.

Part of generate.py, and frozen like it.
"""

import json
import struct
from dataclasses import dataclass, replace

from tests.vectors.forge import Forger, Header, framed
from vaultd.core import canonical, envelope, vault

DAMAGED = "vault-damaged"
TOO_NEW = "format-too-new"
WRONG = "wrong-passphrase"


@dataclass(frozen=True)
class Refused:
    """`at` is where it is refused: in the header, before anything is derived, or when it is opened by this secret."""

    data: bytes
    why: str
    answer: str = DAMAGED
    at: str = "header"


Vectors = dict[str, Refused]


def refused_vectors(data: bytes, opened: vault.Vault, other: bytes) -> Vectors:
    """`data` is a vault of generation 3 with a passphrase and a recovery slot; `other` another of that passphrase."""
    forger = Forger(data, opened)
    return {
        **frames(forger),
        **spellings(forger),
        **members(forger),
        **slots(forger),
        **costs(forger),
        **patchwork(forger, other),
        **lineages(forger),
        **records(forger),
    }


def frames(forger: Forger) -> Vectors:
    """Round the header: magic, format, lengths."""
    data, text = forger.data, forger.text
    vectors = {
        "empty": Refused(b"", "no bytes at all"),
        "foreign": Refused(b"age-encryption.org/v1\n" + data[22:], "another program's magic"),
        "format-0": Refused(forger.forge(text, magic=b"AWSVAULT\0\0"), "format 0"),
        "format-2": Refused(forger.forge(text, magic=b"AWSVAULT\0\2"), "format 2", TOO_NEW),
        "format-65535": Refused(forger.forge(text, magic=b"AWSVAULT\377\377"), "format 65535", TOO_NEW),
    }
    for size in (5, 13, 14, 200, 14 + len(text), 46 + len(text), len(data) - 4096, len(data) - 1):
        vectors[f"truncated-{size}"] = Refused(data[:size], f"only the first {size} of {len(data)} bytes")
    for size in (1, 16, 4096):
        vectors[f"trailing-{size}"] = Refused(data + bytes(size), f"{size} zeros after the end")
    for length in (0, 1, len(text) - 1, len(text) + 1, 65537, 2**32 - 1):
        file = data[:10] + struct.pack(">I", length) + data[14:]
        vectors[f"header-length-{length}"] = Refused(
            file, f"length of the header {length}, it is {len(text)}"
        )
    return vectors


def spellings(forger: Forger) -> Vectors:
    """Headers that a lenient JSON parser takes for good ones."""
    vault_id = b'"vault_id":"%s"' % forger.header["vault_id"].encode()
    first_slot = b'{"commitment"'

    def unknown_slot(value: bytes) -> bytes:
        return forger.spelled(first_slot, b'{"kind":"newer","value":' + value + b"}," + first_slot)

    upper = vault_id.upper().replace(b"VAULT_ID", b"vault_id")
    files = {
        "space": (forger.spelled(b",", b", "), "a space after a comma"),
        "unsorted": (
            forger.forge(b"{" + vault_id + b"," + forger.text[1:-1].replace(b"," + vault_id, b"") + b"}"),
            "vault_id comes first",
        ),
        "upper-case-hex": (forger.spelled(vault_id, upper), "vault_id in upper case"),
        "duplicate": (forger.spelled(vault_id, vault_id + b"," + vault_id), "vault_id twice"),
        "line-end": (forger.forge(forger.text + b"\n"), "a line end after the object"),
        "byte-order-mark": (
            forger.forge(b"\xef\xbb\xbf" + forger.text),
            "a byte order mark before the object",
        ),
        "array": (forger.forge(b"[" + forger.text + b"]"), "the object in an array"),
        "fraction": (forger.spelled(b'"generation":3', b'"generation":3.0'), "generation 3.0"),
        "exponent": (forger.spelled(b'"generation":3', b'"generation":3e0'), "generation 3e0"),
        "unknown-nan": (unknown_slot(b"NaN"), "NaN in a slot of an unknown kind"),
        "unknown-fraction": (unknown_slot(b"1.5"), "1.5 in a slot of an unknown kind"),
        "unknown-surrogate": (unknown_slot(b'"\\ud800"'), "a lone surrogate in a slot of an unknown kind"),
        "unknown-nesting": (
            unknown_slot(b"[" * 30000 + b"]" * 30000),
            "arrays 30,000 deep in a slot of an unknown kind",
        ),
        "escape": (forger.spelled(b"passphrase", b"pass\\u0070hrase"), "an escape where none is needed"),
    }
    return {f"spelling-{name}": Refused(*file) for name, file in files.items()}


def members(forger: Forger) -> Vectors:
    """Headers with a wrong member."""
    missing = {name: value for name, value in forger.header.items() if name != "saved_at"}
    length = forger.header["body_length"]
    files = {
        "member-missing": (forger.forge(canonical.encode(missing)), "no saved_at"),
        "member-unknown": (forger.with_fields(comment="x"), "a member that format 1 does not have"),
        "generation-0": (forger.with_fields(generation=0), "generation 0"),
        "generation-too-large": (forger.with_fields(generation=2**53), "generation 2^53"),
        "generation-text": (forger.with_fields(generation="3"), "generation as text"),
        "generation-true": (forger.with_fields(generation=True), "generation true"),
        "saved-at-negative": (forger.with_fields(saved_at=-1), "a time before 1970"),
        "saved-at-far": (forger.with_fields(saved_at=253402300800), "a time after 9999"),
        "vault-id-short": (forger.with_fields(vault_id="00" * 15), "vault_id of 15 bytes"),
        "body-salt-long": (forger.with_fields(body_salt="00" * 33), "body_salt of 33 bytes"),
        "body-length-short": (forger.with_fields(body_length=length - 1), "body_length one too small"),
        "body-length-long": (forger.with_fields(body_length=length + 1), "body_length one too large"),
    }
    return {name: Refused(*file) for name, file in files.items()}


def slots(forger: Forger) -> Vectors:
    passphrase, recovery = forger.header["slots"]
    files = {
        "slots-0": (forger.with_fields(slots=[]), "no slot"),
        "slots-17": (forger.with_fields(slots=[passphrase] + [recovery] * 16), "17 slots"),
        "slots-5-passphrases": (forger.with_fields(slots=[passphrase] * 5), "5 passphrase slots"),
        "slots-object": (forger.with_fields(slots={}), "an object for the slots"),
        "slot-null": (forger.with_fields(slots=[passphrase, None]), "null for a slot"),
        "slot-kind-missing": (forger.with_fields(slots=[passphrase, {"x": 1}]), "a slot without kind"),
        "slot-kind-upper-case": (forger.with_slot(kind="Passphrase"), "a kind of slot in upper case"),
        "slot-member-unknown": (
            forger.with_slot(comment="x"),
            "a member that this kind of slot does not have",
        ),
        "slot-without-cost": (
            forger.with_fields(slots=[{**recovery, "kind": "passphrase"}]),
            "a passphrase slot without cost",
        ),
        "slot-wrapped-short": (forger.with_slot(wrapped="00" * 47), "a wrapped key of 47 bytes"),
        "slot-commitment-empty": (forger.with_slot(commitment=""), "an empty commitment"),
        "slot-salt-0": (forger.with_slot(salt=""), "an empty salt"),
        "slot-salt-8": (forger.with_slot(salt="00" * 8), "a salt of 8 bytes"),
        "slot-salt-17": (forger.with_slot(salt="00" * 17), "a salt of 17 bytes"),
    }
    return {name: Refused(*file) for name, file in files.items()}


def costs(forger: Forger) -> Vectors:
    """Key derivations that would be too weak or too costly, or are no numbers."""
    bad: dict[str, dict[str, object]] = {
        "memory_kib": {
            "0": 0, "1": 1, "65535": 65535, "1048577": 1048577, "1-tib": 2**30, "2-32": 2**32, "negative": -1,
            "fraction": 65536.5, "text": "65536", "true": True, "null": None, "array": [65536],
        },
        "passes": {"0": 0, "1": 1, "17": 17, "2-32": 2**32, "negative": -1, "fraction": 2.5, "text": "2", "true": True},
        "lanes": {"0": 0, "5": 5, "2-24": 2**24, "negative": -1, "text": "1", "true": True},
    }  # fmt: skip
    vectors = {
        f"{member.replace('_', '-')}-{name}": Refused(
            forger.with_slot(**{member: value}), f"{member} is {json.dumps(value)}"
        )
        for member, values in bad.items()
        for name, value in values.items()
    }
    both = forger.with_slot(memory_kib=1048576, passes=5)
    return {
        **vectors,
        "work": Refused(both, "1 GiB and 5 passes: each is allowed, together they are over 4 GiB"),
    }


def patchwork(forger: Forger, other: bytes) -> Vectors:
    """Right pieces in the wrong place, and changed bytes: what only the keys can tell."""
    data, text = forger.data, forger.text
    passphrase, recovery = forger.header["slots"]
    mac = slice(14 + len(text), 46 + len(text))

    def patched(start: int, new: bytes) -> bytes:
        return data[:start] + new + data[start + len(new) :]

    def stale_mac(header: Header) -> bytes:
        new = canonical.encode(header)
        return data[:10] + struct.pack(">I", len(new)) + new + data[mac.start :]

    def flipped(member: str) -> bytes:
        value = bytes.fromhex(passphrase[member])
        return forger.with_slot(**{member: (bytes([value[0] ^ 1]) + value[1:]).hex()})

    body = slice(len(other) - len(data) + mac.stop, len(other))
    other_slot = json.loads(envelope.parse(other).header.encode())["slots"][0]
    vectors = {
        "swapped-slots": Refused(
            stale_mac({**forger.header, "slots": [recovery, passphrase]}), "slots swapped"
        ),
        "removed-slot": Refused(stale_mac({**forger.header, "slots": [recovery]}), "a slot removed"),
        "older-generation": Refused(stale_mac({**forger.header, "generation": 2}), "another generation"),
        "mac-changed": Refused(patched(mac.start, bytes([data[mac.start] ^ 1])), "a bit of the header MAC"),
        "body-changed": Refused(patched(mac.stop, bytes([data[mac.stop] ^ 1])), "a bit of the body"),
        "tag-changed": Refused(patched(len(data) - 1, bytes([data[-1] ^ 1])), "a bit of the body's tag"),
        "body-of-another": Refused(data[: mac.stop] + other[body], "the body of another vault"),
        "header-of-another": Refused(
            other[: body.start] + data[mac.stop :], "the header of another vault", WRONG
        ),
    }
    slots = {
        "slot-of-another": Refused(
            forger.with_slot(**other_slot), "another vault's slot, same passphrase", WRONG
        ),
        "slot-commitment-changed": Refused(flipped("commitment"), "a bit of a commitment", WRONG),
        "slot-salt-changed": Refused(flipped("salt"), "a bit of a slot's salt", WRONG),
        "slot-nonce-changed": Refused(flipped("nonce"), "a bit of a slot's nonce", WRONG),
        "slot-wrapped-changed": Refused(flipped("wrapped"), "a bit of a wrapped key"),
    }
    return at("recovery", vectors) | at("passphrase", slots)


def at(place: str, vectors: Vectors) -> Vectors:
    return {name: replace(vector, at=place) for name, vector in vectors.items()}


def lineages(forger: Forger) -> Vectors:
    mac = bytes(32)
    plaintext = forger.plaintext
    long = struct.pack(">H", 257) + b"".join(struct.pack(">Q32s", 300 - n, mac) for n in range(257))
    files = {
        "257": Refused(forger.with_plaintext(framed(long, forger.records), generation=301), "257 ancestors"),
        "of-the-future": Refused(forger.with_lineage((3, mac)), "an ancestor of the vault's own generation"),
        "ascending": Refused(forger.with_lineage((1, mac), (2, mac)), "ancestors in ascending order"),
        "twice": Refused(forger.with_lineage((2, mac), (2, mac)), "one generation twice"),
        "generation-0": Refused(forger.with_lineage((1, mac), (0, mac)), "an ancestor of generation 0"),
        "cut": Refused(
            forger.with_plaintext(struct.pack(">H", 256) + plaintext[2:]),
            "more ancestors than there are bytes",
        ),
        "padding": Refused(forger.with_plaintext(plaintext[:-1] + b"x"), "a byte of the padding is not zero"),
        "padding-long": Refused(
            forger.with_plaintext(plaintext + bytes(4096)), "a block of padding too much"
        ),
        "padding-missing": Refused(forger.with_plaintext(plaintext.rstrip(b"\0")), "no padding"),
        "no-plaintext": Refused(forger.with_plaintext(b"\0"), "one byte of plaintext"),
    }
    return at("recovery", {f"lineage-{name}": vector for name, vector in files.items()})


def records(forger: Forger) -> Vectors:
    def edit(column: int, value: object) -> bytes:
        return forger.with_records(lambda r: r["profiles"][0].__setitem__(column, value))

    change = forger.with_records
    files = {
        "kind": Refused(
            change(lambda r: r["profiles"].append(["role", "x"])), "an unknown kind of row", TOO_NEW
        ),
        "row-long": Refused(change(lambda r: r["profiles"][0].append(None)), "one column more", TOO_NEW),
        "member-unknown": Refused(change(lambda r: r.update(undo=[])), "an unknown member", TOO_NEW),
        "row-short": Refused(change(lambda r: r["profiles"][0].pop()), "one column less"),
        "member-missing": Refused(change(lambda r: r.pop("settings_hash")), "no settings_hash"),
        "unsorted": Refused(change(lambda r: r["profiles"].reverse()), "rows that are not sorted by name"),
        "twice": Refused(change(lambda r: r["profiles"].append(r["profiles"][-1])), "one name twice"),
        "array": Refused(forger.with_plaintext(framed(forger.lineage, [])), "an array for the records"),
        "name": Refused(edit(1, "not a name"), "a name with spaces"),
        "id": Refused(edit(2, "AKIA"), "an access key id of 4 characters"),
        "secret": Refused(edit(3, "x" * 15), "a secret of 15 characters"),
        "secret-number": Refused(edit(3, 10**12), "a number for a secret"),
        "added-null": Refused(edit(5, None), "no time at which the key was added"),
        "added-fraction": Refused(edit(5, 1.5), "a fraction of a second"),
        "serve": Refused(edit(6, "always"), "an unknown way to serve"),
        "partition": Refused(edit(7, "aws-moon"), "an unknown partition"),
        "account": Refused(edit(8, "12345678901"), "an account of 11 digits"),
        "used-true": Refused(edit(13, True), "true for a time"),
    }
    return at("recovery", {f"records-{name}": vector for name, vector in files.items()})
