# SPDX-License-Identifier: Apache-2.0
"""What is not read in the vault's place, the high-water mark's file, and that nothing goes past the file port."""

import ast
import inspect
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.disks import content
from vaultd.edge import files
from vaultd.edge import store as store_module
from vaultd.edge.store import MAX_VAULT, HighWater, LocalStore
from vaultd.wire.errors import Refused, StorageFailed, VaultDamaged, VaultError


def fine(_data: bytes) -> None:
    """A verify that is content with everything."""


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "vault", tmp_path / "backups")


def as_symlink(path: Path) -> None:
    path.with_name("elsewhere").write_bytes(b"one")
    path.symlink_to(path.with_name("elsewhere"))


def as_dangling_symlink(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def as_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(5 * 2**30)


@pytest.mark.parametrize(
    ("make", "error", "reason"),
    [
        (as_symlink, Refused, "symbolic link"),
        (as_dangling_symlink, Refused, "symbolic link"),
        (os.mkfifo, Refused, "not a regular file"),
        (os.mkdir, Refused, "not a regular file"),
        (as_huge, VaultDamaged, "larger than 32 MiB"),
    ],
    ids=["symlink", "dangling", "fifo", "directory", "huge"],
)
def test_what_is_no_vault_file_is_refused_and_stays(
    store: LocalStore, tmp_path: Path, make: Callable[[Path], None], error: type[VaultError], reason: str
) -> None:
    make(tmp_path / "vault")
    before = (tmp_path / "vault").lstat()
    assert store.exists()
    with pytest.raises(error, match=reason):
        store.load()
    with pytest.raises(error, match=reason):
        store.save(b"two", None, verify=fine)
    assert before.st_ino == (tmp_path / "vault").lstat().st_ino
    assert [] == list(tmp_path.glob(".vault*"))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_refused(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "vault").write_bytes(b"one")
    os.chown(tmp_path / "vault", 65533, 65533)
    with pytest.raises(Refused, match="belongs to uid 65533"):
        store.load()


def test_a_device_is_refused(tmp_path: Path) -> None:
    """A directory where /dev/zero is the vault: reading it would never end."""
    with pytest.raises(Refused, match="not a regular file"):
        LocalStore(Path("/dev/zero"), tmp_path).load()


def test_the_largest_vault_is_read(store: LocalStore) -> None:
    data = bytes(MAX_VAULT)
    assert (data, store.save(data, None, verify=fine)) == store.load()


def test_a_file_that_cannot_be_read_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFailed, match="the vault cannot be read: not a directory"):
        LocalStore(tmp_path / "file" / "vault", tmp_path).load()
    with pytest.raises(StorageFailed, match="the high-water mark cannot be read: not a directory"):
        HighWater(tmp_path / "file" / "highwater").load()


def test_a_save_into_a_missing_directory_fails_as_ours(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="the vault was not saved: no such file or directory"):
        LocalStore(tmp_path / "missing" / "vault", tmp_path / "backups").save(b"one", None, verify=fine)


def test_a_new_file_is_never_an_old_one(tmp_path: Path) -> None:
    """Nor what a link points to, which would be written for whoever put it there."""
    (tmp_path / "there").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("there", "link"):
        with pytest.raises(FileExistsError):
            files.Files().open_new(tmp_path / name)
    assert {"there": b"old"} == content(tmp_path)


# -- high-water mark


def test_a_mark_is_kept_and_replaced(tmp_path: Path) -> None:
    high_water = HighWater(tmp_path / "highwater")
    assert high_water.load() is None
    high_water.save(b"one")
    high_water.save(b"two")
    assert b"two" == high_water.load()
    assert {"highwater": b"two"} == content(tmp_path)


def test_a_mark_that_is_no_file_is_refused(tmp_path: Path) -> None:
    as_symlink(tmp_path / "highwater")
    with pytest.raises(Refused):
        HighWater(tmp_path / "highwater").load()


def test_a_mark_too_long_is_not_read_whole(tmp_path: Path) -> None:
    as_huge(tmp_path / "highwater")
    data = HighWater(tmp_path / "highwater").load()
    assert data is not None
    assert len(data) < 8192


def test_a_save_asks_the_operating_system_through_the_port_only() -> None:
    """What went past it would be killed and failed by no test. (A look at a link, after a failure, may.)"""
    asked = set()
    for module in (files, store_module):
        tree = ast.parse(inspect.getsource(module))
        tree.body = [node for node in tree.body if not isinstance(node, ast.ClassDef) or node.name != "Files"]
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
                asked.add(node.attr)
    assert {"getuid", "strerror"} == asked
