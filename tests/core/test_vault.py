# SPDX-License-Identifier: Apache-2.0
"""The life of a vault: created, unlocked, saved, its slots changed; and what of it is refused, and how."""

import os
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.vaults import BOUNDS, COST, NOW, PASSPHRASE, created, key_profile, sealed_after, unlocked
from vaultd.core import envelope, vault
from vaultd.core.envelope import STRICT, KdfCost
from vaultd.core.header import Slot
from vaultd.core.records import Body
from vaultd.core.secret import Secret
from vaultd.wire.errors import Usage, VaultDamaged, WrongPassphrase

OTHER = Secret("another passphrase")


def test_a_new_vault_is_empty_and_opens_both_ways() -> None:
    new = created()
    assert new.recovery_code is not None
    for opened in (unlocked(new.data), vault.recover(new.data, new.recovery_code, BOUNDS)):
        assert opened == new.vault
        assert ({}, (), 1) == (opened.body.profiles, opened.ancestors, opened.envelope.generation)


def test_two_vaults_share_nothing() -> None:
    one, two = created().vault, created().vault
    assert one.vault_key != two.vault_key
    assert one.envelope.vault_id != two.envelope.vault_id


def test_a_save_is_the_next_generation_of_the_same_vault() -> None:
    first = created().vault
    second = sealed_after(first, key_profile())
    opened = unlocked(second.data)
    assert opened == second.vault
    assert (2, first.envelope.vault_id) == (opened.envelope.generation, opened.envelope.vault_id)
    assert first.envelope.slots == opened.envelope.slots
    assert ["dev"] == list(opened.body.profiles)


def test_a_save_is_stamped_with_the_second_it_was_made_in() -> None:
    sealed = vault.seal(created().vault, Body(), now=NOW + timedelta(seconds=5.5), random=os.urandom)
    assert (
        NOW + timedelta(seconds=5)
        == sealed.vault.envelope.saved_at
        == unlocked(sealed.data).envelope.saved_at
    )


def test_an_opened_vault_shows_no_secret() -> None:
    sealed = sealed_after(created().vault, key_profile())
    assert "wJalr" not in repr(sealed)
    assert sealed.vault.vault_key.reveal_bytes().hex() not in repr(sealed)


def test_the_size_of_the_file_does_not_count_the_keys() -> None:
    opened = created().vault
    few = sealed_after(opened, *(key_profile(f"p{n}", n) for n in range(1)))
    more = sealed_after(opened, *(key_profile(f"p{n}", n) for n in range(10)))
    assert len(few.data) == len(more.data)


def test_the_wrong_passphrase_and_a_damaged_slot_are_one_error() -> None:
    data = created().data
    with pytest.raises(WrongPassphrase, match=r"^wrong passphrase$"):
        unlocked(data, OTHER)
    at = data.index(b'"commitment":"') + 14
    damaged = data[:at] + (b"0" if data[at : at + 1] != b"0" else b"1") + data[at + 1 :]
    with pytest.raises(WrongPassphrase, match=r"^wrong passphrase$"):
        unlocked(damaged)


def test_a_vault_without_a_recovery_code_says_so() -> None:
    new = created(with_recovery=False)
    assert new.recovery_code is None
    other_code = created().recovery_code
    assert other_code is not None
    with pytest.raises(WrongPassphrase, match="no recovery code"):
        vault.recover(new.data, other_code, BOUNDS)
    with pytest.raises(WrongPassphrase, match="wrong recovery code"):
        vault.recover(created().data, other_code, BOUNDS)


def test_weak_costs_are_refused_outside_tests() -> None:
    for opener in (
        lambda data: vault.inspect(data, STRICT),
        lambda data: vault.unlock(data, PASSPHRASE, STRICT),
    ):
        with pytest.raises(VaultDamaged, match="key derivation"):
            opener(created().data)


def test_a_changed_passphrase_closes_the_old_one_and_keeps_the_recovery_code() -> None:
    new = created()
    assert new.recovery_code is not None
    changed = vault.with_passphrase(new.vault, OTHER, cost=COST, now=NOW, random=os.urandom)
    assert changed.vault == unlocked(changed.data, OTHER)
    assert changed.vault == vault.recover(changed.data, new.recovery_code, BOUNDS)
    with pytest.raises(WrongPassphrase):
        unlocked(changed.data)


def test_a_changed_passphrase_replaces_every_passphrase_slot_and_no_other() -> None:
    new = created().vault
    second = envelope.passphrase_slot(OTHER, new.envelope.vault_id, new.vault_key, COST, os.urandom)
    newer = Slot("keyring", verbatim={"kind": "keyring", "x": 1})
    header = replace(new.envelope.header, slots=(*new.envelope.slots, second, newer))
    crowded = replace(new, envelope=replace(new.envelope, header=header))
    changed = vault.with_passphrase(crowded, Secret("a third one"), cost=COST, now=NOW, random=os.urandom)
    opened = unlocked(changed.data, Secret("a third one"))
    assert ["passphrase", "recovery", "keyring"] == [slot.kind for slot in opened.envelope.slots]
    assert newer == opened.envelope.slots[2]


def test_a_new_recovery_code_closes_the_old_one_and_keeps_the_passphrase() -> None:
    new = created()
    assert new.recovery_code is not None
    changed, code = vault.with_new_recovery(new.vault, now=NOW, random=os.urandom)
    assert changed.vault == vault.recover(changed.data, code, BOUNDS) == unlocked(changed.data)
    with pytest.raises(WrongPassphrase):
        vault.recover(changed.data, new.recovery_code, BOUNDS)


def test_a_seventeenth_slot_is_refused_before_it_is_written() -> None:
    new = created(with_recovery=False).vault
    newer = tuple(Slot(f"newer-{n}", verbatim={"kind": f"newer-{n}"}) for n in range(15))
    header = replace(new.envelope.header, slots=(*new.envelope.slots, *newer))
    full = replace(new, envelope=replace(new.envelope, header=header))
    with pytest.raises(Usage, match="16 slots"):
        vault.with_new_recovery(full, now=NOW, random=os.urandom)


def test_a_vault_too_large_to_be_read_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "MAX_FILE", 8 * 1024)
    opened = created().vault
    with pytest.raises(Usage, match="nothing was saved"):
        sealed_after(opened, *(key_profile(f"p{n}", n) for n in range(40)))


def test_a_backup_can_be_given_the_slots_of_today() -> None:
    new = created()
    with_a_key = sealed_after(new.vault, key_profile())
    changed = vault.with_passphrase(with_a_key.vault, OTHER, cost=COST, now=NOW, random=os.urandom)
    backup = vault.reslotted(with_a_key.data, changed.vault, os.urandom)
    assert backup is not None
    with pytest.raises(WrongPassphrase):
        unlocked(backup)
    opened = unlocked(backup, OTHER)
    assert (with_a_key.vault.body, with_a_key.vault.ancestors) == (opened.body, opened.ancestors)
    assert with_a_key.vault.envelope.generation == opened.envelope.generation


def test_what_is_no_save_of_this_vault_gets_no_slots() -> None:
    changed = created().vault
    assert vault.reslotted(created().data, changed, os.urandom) is None
    assert vault.reslotted(b"AWSVAULT", changed, os.urandom) is None


# -- what the disk gives back


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: bytes(len(data)),
        lambda _data: created().data,
        lambda _data: b"",
    ],
    ids=["short", "flipped", "zeros", "another vault", "nothing"],
)
def test_what_the_disk_gives_back_is_opened_before_it_is_trusted(change: Callable[[bytes], bytes]) -> None:
    sealed = sealed_after(created().vault, key_profile())
    sealed.verify(sealed.data)
    with pytest.raises(VaultDamaged):
        sealed.verify(change(sealed.data))


def test_another_save_of_the_same_body_is_not_what_was_meant() -> None:
    opened = created().vault
    with pytest.raises(VaultDamaged, match="disk"):
        sealed_after(opened).verify(sealed_after(opened).data)


def test_what_opens_to_another_body_is_not_what_was_meant() -> None:
    sealed = sealed_after(created().vault)
    with pytest.raises(VaultDamaged, match="disk"):
        replace(sealed, plaintext=Secret(bytes(4096))).verify(sealed.data)


@pytest.mark.parametrize("plaintext", [b"", b"\0", b"\0\0", b"\0\0\0\0\0", b"\0\0\xff\xff\xff\xff"])
def test_a_plaintext_too_short_for_what_it_says_is_damage(plaintext: bytes) -> None:
    new = created().vault
    _, data = envelope.seal_body(new.envelope.header, plaintext, new.vault_key, os.urandom)
    with pytest.raises(VaultDamaged):
        unlocked(data)


# -- passphrases


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("correct horse", "correct horse"),
        ("correct horse\n", "correct horse"),
        ("correct horse\r\n", "correct horse"),
        ("correct horse\r", "correct horse"),
        ("correct horse\n\n", "correct horse\n"),
        ("correct horse\n\r\n", "correct horse\n"),
        ("correct horse \n", "correct horse "),
        ("  correct horse", "  correct horse"),
        ("correct\0horse", "correct\0horse"),
        ("x" * 1024, "x" * 1024),
        ("Zu\u0308rich is a town", "Z\u00fcrich is a town"),
        ("\u212bngstro\u0308m and more", "\u00c5ngstr\u00f6m and more"),
        ("\ufb01rst ligature", "\ufb01rst ligature"),  # NFC, not NFKC
    ],
    ids=ascii,
)
def test_a_passphrase_is_normalized_and_loses_one_line_end(typed: str, kept: str) -> None:
    assert kept == vault.normalize_passphrase(typed, allow_weak=False).reveal()


def test_a_passphrase_opens_however_its_letters_were_typed() -> None:
    composed, decomposed = (unicodedata.normalize(form, "Zürich à la crème") for form in ("NFC", "NFD"))
    assert composed != decomposed
    data = created(vault.normalize_passphrase(composed, allow_weak=False)).data
    unlocked(data, vault.normalize_passphrase(decomposed, allow_weak=False))


@pytest.mark.parametrize(
    "typed", ["", "\n", "\r\n", "x" * 1025, "é" * 513, "x" * 2**20, "\ud800 surrogate"], ids=len
)
def test_a_passphrase_may_not_be_empty_huge_or_no_text(typed: str) -> None:
    with pytest.raises(Usage) as caught:
        vault.normalize_passphrase(typed, allow_weak=True)
    assert "xxx" not in caught.value.line


def test_a_short_passphrase_needs_to_be_allowed() -> None:
    """Characters count, not bytes; and after NFC."""
    for short in ("123456789", "é" * 9, "e\u0301" * 9):
        with pytest.raises(Usage, match="10 characters"):
            vault.normalize_passphrase(short, allow_weak=False)
        assert vault.normalize_passphrase(short, allow_weak=True)
    assert vault.normalize_passphrase("1234567890", allow_weak=False)


# -- calibration


@pytest.mark.parametrize(
    ("seconds_for_64_mib", "available_gib", "expected_mib"),
    [
        (0.01, 64, 512),
        (0.12, 64, 512),
        (0.15, 64, 256),
        (0.3, 64, 128),
        (0.6, 64, 64),
        (5.0, 64, 64),  # the floor, however slow
        (0.01, 4, 512),
        (0.01, 3.99, 256),
        (0.01, 1, 128),
        (0.01, 0.25, 64),
        (0.01, 0, 64),
    ],
)
def test_a_new_vault_costs_what_the_machine_can_pay(
    seconds_for_64_mib: float, available_gib: float, expected_mib: int
) -> None:
    measured: list[KdfCost] = []

    def seconds(cost: KdfCost) -> float:
        return seconds_for_64_mib * cost.memory_kib / (64 * 1024)

    def measure(cost: KdfCost) -> float:
        measured.append(cost)
        return seconds(cost) * (3.5 if len(measured) == 1 else 1)

    chosen = vault.calibrate(measure, int(available_gib * 2**30))
    assert KdfCost(expected_mib * 1024, 3, 1) == chosen
    assert STRICT.allow(chosen)
    assert all(seconds(cost) <= 1 for cost in measured[2:])  # nothing is tried that would take too long
    assert all(cost.memory_kib * 1024 <= max(available_gib * 2**30 / 8, 64 * 2**20) for cost in measured)
