# SPDX-License-Identifier: Apache-2.0
"""The local file as a store: revisions, backups and their pruning, and what is refused to be read.

What happens when the process or the disk dies in the middle is in tests/promises.
"""

import os
import stat
import threading
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from tests.disks import announced, content
from vaultd.edge.store import LocalStore, superseded
from vaultd.wire.errors import Conflict, NoVault, VaultDamaged, VaultError


def fine(_data: bytes) -> None:
    """A verify that is content with everything."""


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "vault", tmp_path / "backups")


def test_what_was_saved_is_loaded_under_the_revision_that_was_returned(store: LocalStore) -> None:
    revision = store.save(b"one", None, verify=fine)
    assert (b"one", revision) == store.load()
    second = store.save(b"two", revision, verify=fine)
    assert (b"two", second) == store.load()
    assert revision != second


def test_before_the_first_save_there_is_no_vault(store: LocalStore, tmp_path: Path) -> None:
    assert not store.exists()
    with pytest.raises(NoVault):
        store.load()
    with pytest.raises(NoVault):
        LocalStore(tmp_path / "missing" / "vault", tmp_path / "backups").load()
    store.save(b"one", None, verify=fine)
    assert store.exists()


@pytest.mark.parametrize("expected", [None, "0" * 64])
def test_a_save_over_another_revision_is_refused_and_changes_nothing(
    store: LocalStore, tmp_path: Path, expected: str | None
) -> None:
    store.save(b"one", None, verify=fine)
    before = content(tmp_path)
    with pytest.raises(Conflict):
        store.save(b"two", expected, verify=fine)
    assert before == content(tmp_path)


def test_a_save_of_a_vault_that_went_away_is_refused(store: LocalStore, tmp_path: Path) -> None:
    revision = store.save(b"one", None, verify=fine)
    (tmp_path / "vault").unlink()
    with pytest.raises(Conflict):
        store.save(b"two", revision, verify=fine)
    assert not store.exists()


def test_a_vault_that_appears_while_one_is_created_is_not_replaced(tmp_path: Path) -> None:
    def appear(operation: str, _arguments: object) -> None:
        if operation == "link":
            (tmp_path / "vault").write_bytes(b"from elsewhere")

    store = LocalStore(tmp_path / "vault", tmp_path / "backups", announced(appear))
    with pytest.raises(Conflict):
        store.save(b"one", None, verify=fine)
    assert {"vault": b"from elsewhere"} == content(tmp_path)


def test_the_same_bytes_may_be_saved_again(store: LocalStore, tmp_path: Path) -> None:
    """What a caller does whose save failed with an unknown outcome."""
    revision = store.save(b"one", None, verify=fine)
    second = store.save(b"two", revision, verify=fine)
    before = content(tmp_path)
    assert second == store.save(b"two", revision, verify=fine)
    assert before == content(tmp_path)


def test_two_threads_cannot_both_replace_one_revision(store: LocalStore) -> None:
    revision = store.save(b"one", None, verify=fine)
    results: list[str] = []

    def save(data: bytes) -> None:
        try:
            results.append(store.save(data, revision, verify=fine))
        except VaultError as error:
            results.append(error.code)

    threads = [threading.Thread(target=save, args=(bytes([n]),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 7 == results.count("conflict")


def test_a_save_that_does_not_verify_changes_nothing(store: LocalStore, tmp_path: Path) -> None:
    revision = store.save(b"one", None, verify=fine)
    before = content(tmp_path)
    read_back = []

    def verify(data: bytes) -> None:
        read_back.append(data)
        raise VaultDamaged

    with pytest.raises(VaultDamaged):
        store.save(b"two", revision, verify=verify)
    assert [b"two"] == read_back
    assert before == content(tmp_path)


def test_files_and_directories_are_the_users_alone(store: LocalStore, tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        revision = store.save(b"one", None, verify=fine)
        store.save(b"two", revision, verify=fine)
    finally:
        os.umask(mask)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert {0o700} == {modes.pop("backups")}
    assert {0o600} == set(modes.values())


def test_what_a_killed_save_left_is_removed_by_the_next_one(store: LocalStore, tmp_path: Path) -> None:
    others = (".vault.swp", "vault.tmp", ".other.0011.tmp")
    for name in (".vault.0123456789abcdef.tmp", ".vault.x.tmp", *others):
        (tmp_path / name).write_bytes(b"left")
    store.save(b"one", None, verify=fine)
    assert {"vault", *others} == set(content(tmp_path))


# -- backups


def test_a_save_keeps_the_one_before_as_it_was(store: LocalStore, tmp_path: Path) -> None:
    revision = store.save(b"one", None, verify=fine)
    os.utime(tmp_path / "vault", ns=(0, 1795521600_123456789))
    store.save(b"two", revision, verify=fine)
    name = f"vault-20261124T120000.123456Z-{revision[:16]}"
    assert {"vault": b"two", f"backups/{name}": b"one"} == content(tmp_path)


def test_a_save_can_do_without_a_backup(store: LocalStore, tmp_path: Path) -> None:
    revision = store.save(b"one", None, verify=fine)
    store.save(b"two", revision, verify=fine, backup=False)
    assert {"vault": b"two"} == content(tmp_path)


def saved(moment: datetime) -> str:
    return f"vault-{moment:%Y%m%dT%H%M%S}.000000Z-0123456789abcdef"


NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_ten_newest_and_one_a_day_for_thirty_days_are_kept() -> None:
    names = [saved(NOON - timedelta(hours=hours)) for hours in range(24 * 40)]
    gone = superseded(names)
    kept = [name for name in names if name not in gone]
    assert names[:10] == kept[:10]
    days = [f"{NOON - timedelta(days=days):%Y%m%d}" for days in range(1, 30)]
    assert days == [name[6:14] for name in kept[10:]]
    assert all("T230000" in name for name in kept[10:])  # the last one of each day


@pytest.mark.parametrize("count", [0, 1, 10])
def test_up_to_ten_are_kept_however_old(count: int) -> None:
    assert [] == superseded(saved(NOON - timedelta(days=365 * n)) for n in range(count))


def test_files_of_others_among_the_backups_are_left_alone() -> None:
    names = [saved(NOON - timedelta(minutes=minutes)) for minutes in range(11)]
    others = ["vault", "vault-old", f"{names[-1]}.orig", f"my-{names[-1]}", "vault-2026"]
    assert [names[-1]] == superseded([*names, *others])


def fill(store: LocalStore, tmp_path: Path, count: int) -> str:
    """`count` saves, a second apart."""
    revision = store.save(b"0", None, verify=fine)
    for number in range(1, count):
        os.utime(tmp_path / "vault", ns=(0, 1795521600 * 10**9 + number * 10**9))
        revision = store.save(str(number).encode(), revision, verify=fine)
    return revision


def test_pruning_goes_with_the_save(store: LocalStore, tmp_path: Path) -> None:
    fill(store, tmp_path, 15)
    kept = [data for name, data in content(tmp_path).items() if name.startswith("backups/")]
    assert [str(number).encode() for number in range(4, 14)] == kept


def test_a_backup_that_is_needed_is_not_pruned(store: LocalStore, tmp_path: Path) -> None:
    revision = fill(store, tmp_path, 11)
    needed = {sha256(b"0").hexdigest()[:16]}
    for number in range(11, 14):
        os.utime(tmp_path / "vault", ns=(0, 1795521600 * 10**9 + number * 10**9))
        revision = store.save(str(number).encode(), revision, verify=fine, needed=needed)
    kept = [data for name, data in content(tmp_path).items() if name.startswith("backups/")]
    assert [b"0", *(str(number).encode() for number in range(3, 13))] == kept


def test_backups_are_rewritten_one_by_one_and_what_cannot_be_is_counted(
    store: LocalStore, tmp_path: Path
) -> None:
    fill(store, tmp_path, 5)
    stray = tmp_path / "backups" / "somebody's file"
    stray.write_bytes(b"0")
    conversions = {b"0": b"zero", b"1": None, b"2": b"two"}

    def convert(data: bytes) -> bytes | None:
        if data not in conversions:
            raise VaultDamaged
        return conversions[data]

    assert (2, 2) == store.rewrite_backups(convert)
    assert {b"zero", b"1", b"two", b"3", b"0"} == {
        data for name, data in content(tmp_path).items() if name.startswith("backups/")
    }


def test_what_a_killed_rewrite_left_is_removed_by_the_next_save(store: LocalStore, tmp_path: Path) -> None:
    revision = fill(store, tmp_path, 2)
    before = set(content(tmp_path))
    (tmp_path / "backups" / f".{saved(NOON)}.0123456789abcdef.tmp").write_bytes(b"left")
    store.save(b"2", revision, verify=fine, backup=False)
    assert before == set(content(tmp_path))
