# SPDX-License-Identifier: Apache-2.0
"""Older copies and forks are told from what this machine saw last."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.vaults import created, sealed_after
from vaultd.core import vault
from vaultd.core.lineage import MAX_ANCESTORS
from vaultd.wire.errors import RolledBack


def test_the_mark_of_this_save_or_of_an_ancestor_lets_it_open() -> None:
    """An ancestor's: the save reached its rename, and the power went before its mark."""
    first = created().vault
    second = sealed_after(first).vault
    third = sealed_after(second).vault
    for seen in (first, second, third):
        vault.check_mark(third, vault.mark(seen), history_exists=True)


def test_each_of_ten_older_saves_is_refused() -> None:
    saves = [created().vault]
    for _ in range(10):
        saves.append(sealed_after(saves[-1]).vault)
    for older in saves[:-1]:
        with pytest.raises(RolledBack, match="older than this machine"):
            vault.check_mark(older, vault.mark(saves[-1]), history_exists=True)


def test_a_fork_is_refused_on_both_machines() -> None:
    common = created().vault
    here, there = sealed_after(common).vault, sealed_after(common).vault
    later_there = sealed_after(there).vault
    for theirs in (there, later_there):
        with pytest.raises(RolledBack, match="changed in two places"):
            vault.check_mark(theirs, vault.mark(here), history_exists=True)
    with pytest.raises(RolledBack, match="older"):
        vault.check_mark(here, vault.mark(later_there), history_exists=True)


def test_ancestors_are_kept_for_256_saves() -> None:
    first = created().vault
    opened = first
    for _ in range(MAX_ANCESTORS):
        opened = sealed_after(opened).vault
    assert 256 == len(opened.ancestors)
    vault.check_mark(opened, vault.mark(first), history_exists=True)
    with pytest.raises(RolledBack, match="too long ago"):
        vault.check_mark(sealed_after(opened).vault, vault.mark(first), history_exists=True)


def test_a_missing_mark_is_believed_only_of_a_machine_without_history() -> None:
    opened = created().vault
    vault.check_mark(opened, None, history_exists=False)
    with pytest.raises(RolledBack, match="missing"):
        vault.check_mark(opened, None, history_exists=True)


def test_every_changed_bit_of_a_mark_is_refused() -> None:
    opened = created().vault
    mark = vault.mark(opened)
    for bit in range(8 * len(mark)):
        changed = bytearray(mark)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RolledBack):
            vault.check_mark(opened, bytes(changed), history_exists=True)


@pytest.mark.parametrize("change", [lambda mark: mark[:-1], lambda mark: mark + b"\0", lambda _mark: b""])
def test_a_mark_of_another_length_is_refused(change: Callable[[bytes], bytes]) -> None:
    opened = created().vault
    with pytest.raises(RolledBack):
        vault.check_mark(opened, change(vault.mark(opened)), history_exists=True)


def test_the_mark_of_another_vault_is_refused() -> None:
    opened, other = created().vault, created().vault
    with pytest.raises(RolledBack, match="another vault"):
        vault.check_mark(opened, vault.mark(other), history_exists=True)
    same_key = replace(other, vault_key=opened.vault_key)
    with pytest.raises(RolledBack, match="another vault"):
        vault.check_mark(opened, vault.mark(same_key), history_exists=True)
