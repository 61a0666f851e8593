# SPDX-License-Identifier: Apache-2.0
"""Known answers for everything that is derived, and what the grammar of the header takes and refuses.

The files that must be refused are in tests/vectors; here is what a file cannot show.
"""

import os
import resource
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.children import in_child
from tests.vaults import BOUNDS, COST, NOW, created
from vaultd.core import canonical, envelope, lineage
from vaultd.core.envelope import DEFAULT_COST, STRICT, KdfBounds, KdfCost
from vaultd.core.header import Header, Slot, decode_header
from vaultd.core.secret import Secret
from vaultd.wire.errors import NoMemory, VaultDamaged

KEY = Secret(bytes(range(32)))
SALT = bytes(range(32, 64))


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        (KdfCost(65536, 2, 1), "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"),
        (KdfCost(256, 2, 1), "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"),
        (KdfCost(256, 2, 2), "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037"),
    ],
)
def test_argon2id_gives_the_answers_of_its_reference_implementation(cost: KdfCost, expected: str) -> None:
    """From test.c of the Password Hashing Competition's reference: Argon2id, version 0x13."""
    assert expected == envelope.derive(Secret("password"), b"somesalt", cost).reveal_bytes().hex()


def test_hkdf_gives_the_answer_of_its_rfc() -> None:
    """RFC 5869, appendix A.3: neither salt nor info."""
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    assert expected == envelope.subkey(Secret(b"\x0b" * 22), "").reveal_bytes().hex()


def test_every_derivation_has_its_own_label() -> None:
    """Computed with the standard library's hmac by RFC 5869. GCM of nothing is its tag: it names the key."""
    nonce = bytes(12)
    answers = {
        "slot-commitment": envelope._commitment(KEY, b"bound"),
        "slot-wrap": envelope._wrap_cipher(KEY).encrypt(nonce, b"", b""),
        "header": envelope._header_mac(KEY, b"start"),
        "body": envelope._body_cipher(KEY, SALT).encrypt(nonce, b"", b""),
        "recovery": envelope.recovery_kek(Secret(bytes(range(20))), bytes(range(16))).reveal_bytes(),
        "highwater": lineage._mark_mac(b"record", KEY),
    }
    assert {
        "slot-commitment": "9a8120979d0e79461e213bf8b061aa736d92734b7f60ffc7044b09d0c96fcd0a",
        "slot-wrap": "27099387c61a323943f5fd08ceffd906",
        "header": "9a5a8d7a7d01f4446514cd90370113c4aaf44a4cd0f10877fff8534750a7204c",
        "body": "3aafb793f74855f4f9139aa32ef0291e",
        "recovery": "60d4742ee2194373159546e76054d72126dcd1bb7b9d6138cce9a7241d616777",
        "highwater": "374235aaa45157ebd85b7184052d15dc61c53cff8b879e30d0df2b45e11967ec",
    } == {label: answer.hex() for label, answer in answers.items()}


@pytest.mark.parametrize(
    ("cost", "allowed"),
    [
        (KdfCost(64 * 1024, 2, 1), True),
        (KdfCost(64 * 1024 - 1, 2, 1), False),
        (KdfCost(1024 * 1024, 4, 4), True),
        (KdfCost(1024 * 1024 + 1, 3, 1), False),
        (KdfCost(1024 * 1024, 5, 1), False),  # each is allowed, together they are over 4 GiB
        (KdfCost(256 * 1024, 16, 1), True),
        (KdfCost(64 * 1024, 17, 1), False),
        (KdfCost(64 * 1024, 1, 1), False),
        (KdfCost(64 * 1024, 2, 5), False),
        (KdfCost(64 * 1024, 2, 0), False),
        (DEFAULT_COST, True),
    ],
)
def test_the_strict_bounds_are_the_designs(cost: KdfCost, allowed: bool) -> None:
    assert allowed == STRICT.allow(cost)


def test_lanes_without_the_memory_for_them_are_refused() -> None:
    """RFC 9106, section 3.1: at least 8 KiB for each. The library would raise ValueError."""
    bounds = KdfBounds(8, 64, 1, 1, 4, 64)
    assert not bounds.allow(KdfCost(31, 1, 4))
    assert bounds.allow(KdfCost(32, 1, 4))


def test_bounds_hold_for_all_slots_before_the_first_derive() -> None:
    """The second slot would cost 1 TiB; the first one opens."""
    new = created()
    good = new.vault.envelope.slots[0]
    hostile = replace(good, cost=KdfCost(2**30, 1))
    _, data = envelope.seal_body(
        replace(new.vault.envelope.header, slots=(good, hostile)), b"", new.vault.vault_key, os.urandom
    )
    with pytest.raises(VaultDamaged, match="key derivation"):
        envelope.parse(data).header.check_bounds(BOUNDS)


def test_a_derive_that_gets_no_memory_is_an_error_of_ours() -> None:
    def starve() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (512 * 2**20, 512 * 2**20))
        with pytest.raises(NoMemory, match="1024 MiB"):
            envelope.derive(Secret("x"), bytes(16), KdfCost(2**20, 1))

    assert 0 == in_child(starve)


def test_a_slot_opens_with_its_own_key_only() -> None:
    vault_key = Secret(os.urandom(32))
    slot = envelope.passphrase_slot(Secret("one"), "00" * 16, vault_key, COST, os.urandom)
    assert vault_key == envelope.unwrap(slot, envelope.slot_kek(slot, Secret("one")), "00" * 16)
    assert envelope.unwrap(slot, envelope.slot_kek(slot, Secret("two")), "00" * 16) is None
    assert envelope.unwrap(slot, envelope.slot_kek(slot, Secret("one")), "01" * 16) is None


def test_a_commitment_that_holds_over_a_key_that_does_not_open_is_damage() -> None:
    slot = envelope.passphrase_slot(Secret("one"), "00" * 16, Secret(os.urandom(32)), COST, os.urandom)
    kek = envelope.slot_kek(slot, Secret("one"))
    with pytest.raises(VaultDamaged):
        envelope.unwrap(replace(slot, wrapped=bytes(48)), kek, "00" * 16)


def test_two_saves_of_one_body_have_nothing_in_common() -> None:
    new = created()
    header = new.vault.envelope.header
    (_, first), (_, second) = (
        envelope.seal_body(header, bytes(4096), new.vault.vault_key, os.urandom) for _ in range(2)
    )
    start = len(first) - 4096 - 16
    assert first[start : start + 64] != second[start : start + 64]


def test_a_body_is_bound_to_the_whole_header() -> None:
    """Even if the header MAC were right: here it is made so, and the body's key and nonce are the same."""
    new = created().vault
    sealed, data = envelope.seal_body(new.envelope.header, bytes(4096), new.vault_key, os.urandom)
    encoded = replace(sealed.header, generation=7).encode()
    start = envelope._START.pack(envelope.MAGIC, envelope.FORMAT, len(encoded)) + encoded
    forged = start + envelope._header_mac(new.vault_key, start) + data[len(sealed.prefix) :]
    with pytest.raises(VaultDamaged, match="body was changed"):
        envelope.open_body(forged, envelope.parse(forged), new.vault_key)


def test_a_slot_of_a_newer_kind_is_kept_as_it_is() -> None:
    newer = {"kind": "yubikey", "slot": {"serial": [1, None, True]}}
    header = replace(created().vault.envelope.header, slots=(Slot("yubikey", verbatim=newer),))
    decoded = decode_header(header.encode())
    assert "yubikey" == decoded.slots[0].kind
    assert newer == decoded.slots[0].to_json()
    assert header.encode() == decoded.encode()


@pytest.mark.parametrize(("padding", "allowed"), [(65_000, True), (66_000, False)])
def test_a_header_has_at_most_64_kib(padding: int, allowed: bool) -> None:
    slot = Slot("newer", verbatim={"kind": "newer", "x": "x" * padding})
    header = Header("00" * 16, 1, NOW, (slot,))
    _, data = envelope.seal_body(header, b"", KEY, os.urandom)
    with nullcontext() if allowed else pytest.raises(VaultDamaged, match="first bytes"):
        envelope.parse(data)


@pytest.mark.parametrize(("excess", "allowed"), [(0, True), (1, False)])
def test_a_file_has_at_most_32_mib(excess: int, allowed: bool) -> None:
    header = Header("00" * 16, 1, NOW, (Slot("newer", verbatim={"kind": "newer"}),))
    body = 2**25 - len(envelope.seal_body(header, bytes(2**24), KEY, os.urandom)[0].prefix) - 16
    _, data = envelope.seal_body(header, bytes(body + excess), KEY, os.urandom)
    assert 2**25 + excess == len(data)
    with nullcontext() if allowed else pytest.raises(VaultDamaged, match="first bytes"):
        envelope.parse(data)


def test_a_body_has_at_least_its_tag() -> None:
    header = replace(created().vault.envelope.header, body_length=15)
    encoded = header.encode()
    start = envelope._START.pack(envelope.MAGIC, envelope.FORMAT, len(encoded)) + encoded
    with pytest.raises(VaultDamaged, match="length"):
        envelope.parse(start + bytes(32 + 15))


octets = st.binary
known_slots = st.builds(
    lambda kind, salt, nonce, cost, commitment, wrapped: Slot(
        kind, salt, nonce, cost if kind == "passphrase" else None, commitment, wrapped
    ),
    st.sampled_from(["passphrase", "recovery"]),
    octets(min_size=16, max_size=16),
    octets(min_size=12, max_size=12),
    st.builds(KdfCost, *[st.integers(1, canonical.MAX_INTEGER)] * 3),
    octets(min_size=32, max_size=32),
    octets(min_size=48, max_size=48),
)
headers = st.builds(
    Header,
    octets(min_size=16, max_size=16).map(bytes.hex),
    st.integers(1, canonical.MAX_INTEGER),
    st.integers(0, canonical.MAX_TIME).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    st.lists(known_slots, min_size=1, max_size=4).map(tuple),
    octets(min_size=32, max_size=32),
    octets(min_size=12, max_size=12),
    st.integers(1, canonical.MAX_INTEGER),
)


@given(headers)
def test_a_header_says_what_it_was_made_of(header: Header) -> None:
    assert header == decode_header(header.encode())


@given(headers, st.data())
def test_a_header_with_one_changed_byte_says_something_else_or_nothing(
    header: Header, data: st.DataObject
) -> None:
    encoded = header.encode()
    position = data.draw(st.integers(0, len(encoded) - 1))
    changed = encoded[:position] + bytes([data.draw(st.integers(0, 255))]) + encoded[position + 1 :]
    try:
        decoded = decode_header(changed)
    except VaultDamaged:
        return
    assert (changed == encoded) == (decoded == header)
    assert changed == decoded.encode()


@given(st.binary())
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    with pytest.raises(VaultDamaged):
        decode_header(data)
    with pytest.raises(VaultDamaged):
        envelope.parse(envelope.MAGIC + data)
