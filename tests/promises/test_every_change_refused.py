# SPDX-License-Identifier: Apache-2.0
"""Any change of the vault file is refused: every single bit, every truncation, everything appended."""

import pytest

from tests.vaults import created, key_profile, sealed_after, unlocked
from vaultd.core import envelope
from vaultd.core.vault import Sealed
from vaultd.wire.errors import VaultDamaged, WrongPassphrase


@pytest.fixture(scope="module")
def sealed() -> Sealed:
    return sealed_after(created().vault, key_profile())


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_every_bit_before_the_body(sealed: Sealed, capsys: pytest.CaptureFixture[str]) -> None:
    """Through the whole of an unlock. A flip in a slot may look like a wrong passphrase: nobody can tell them apart."""
    bits = 8 * len(sealed.vault.envelope.prefix)
    unlocked(sealed.data)
    for bit in range(bits):
        with pytest.raises((VaultDamaged, WrongPassphrase)):
            unlocked(flipped(sealed.data, bit))
    with capsys.disabled():
        print(f"\n{bits} bit flips before the body, none accepted")


def test_every_bit_of_the_body(sealed: Sealed, capsys: pytest.CaptureFixture[str]) -> None:
    """With the vault key in hand: no slot can refuse them first."""
    first, last = 8 * len(sealed.vault.envelope.prefix), 8 * len(sealed.data)
    vault_key = sealed.vault.vault_key
    parsed = envelope.parse(sealed.data)  # what stands before the body is the same each time
    assert envelope.open_body(sealed.data, parsed, vault_key), "the control"
    for bit in range(first, last):
        with pytest.raises(VaultDamaged):
            envelope.open_body(flipped(sealed.data, bit), parsed, vault_key)
    with capsys.disabled():
        print(f"\n{last - first} bit flips of the body, none accepted")


def test_every_bit_of_the_header_with_the_vault_key_in_hand(sealed: Sealed) -> None:
    """No slot can refuse them first: the header MAC refuses what the grammar lets through."""
    vault_key = sealed.vault.vault_key
    passed = 0
    for bit in range(8 * len(sealed.vault.envelope.prefix)):
        changed = flipped(sealed.data, bit)
        try:
            parsed = envelope.parse(changed)
        except VaultDamaged:
            continue
        passed += 1
        with pytest.raises(VaultDamaged, match="header was changed"):
            envelope.open_body(changed, parsed, vault_key)
    assert passed > 1000  # else the grammar hides what this is about


def test_every_truncation(sealed: Sealed) -> None:
    for size in range(len(sealed.data)):
        with pytest.raises(VaultDamaged):
            unlocked(sealed.data[:size])


@pytest.mark.parametrize("size", [1, 16, 4096])
def test_trailing_bytes(sealed: Sealed, size: int) -> None:
    for tail in (bytes(size), sealed.data[-size:]):
        with pytest.raises(VaultDamaged):
            unlocked(sealed.data + tail)
