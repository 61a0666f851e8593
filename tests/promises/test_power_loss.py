# SPDX-License-Identifier: Apache-2.0
"""The power goes at any moment of a save: what the disk had not confirmed is kept, lost or torn in any combination.

After the ALICE study (Pillai et al., "All File Systems Are Not Created Equal", 2014): the operations of one save are
recorded, and after each of them every state is looked at that a file system may be found in. A change of names that no
fsync of its directory has confirmed may be there or not, in any selection; a file that no fsync has confirmed may be
empty, half, zeros or whole.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import pytest

from tests.vaults import created, key_profile, sealed_after
from vaultd.edge.files import Files
from vaultd.edge.store import LocalStore

Names = dict[Path, int]  # to inodes
Contents = dict[int, bytes]


@dataclass(frozen=True)
class Renaming:
    """A change of names, atomic by itself."""

    directory: Path
    gained: Names
    lost: Path | None = None

    def applied_to(self, names: Names) -> Names:
        return {**{name: inode for name, inode in names.items() if name != self.lost}, **self.gained}


@dataclass
class Disk:
    """What is confirmed, and what the disk was only asked for."""

    names: Names
    contents: Contents
    renamings: list[Renaming] = field(default_factory=list)
    unsynced: set[int] = field(default_factory=set)

    def after_power_loss(self) -> Iterator[tuple[Names, Contents]]:
        torn = sorted(self.unsynced)
        for kept in product([False, True], repeat=len(self.renamings)):
            names = self.names
            for renaming, is_kept in zip(self.renamings, kept, strict=True):
                names = renaming.applied_to(names) if is_kept else names
            for found in product(*(self._torn(inode) for inode in torn)):
                yield names, {**self.contents, **dict(zip(torn, found, strict=True))}

    def _torn(self, inode: int) -> tuple[bytes, ...]:
        data = self.contents[inode]
        return b"", data[: len(data) // 2], bytes(len(data)), data


class Recorder(Files):
    """The real file system; calls `look` with the simulated disk after each operation that changes it."""

    def __init__(self, disk: Disk, look: Callable[[Disk], None]) -> None:
        self.disk = disk
        self.look = look

    def rename_simulated(self, renaming: Renaming) -> None:
        self.disk.renamings.append(renaming)
        self.look(self.disk)

    def open_new(self, path: Path) -> int:
        fd = super().open_new(path)
        inode = os.fstat(fd).st_ino
        self.disk.contents[inode] = b""
        self.disk.unsynced.add(inode)
        self.rename_simulated(Renaming(path.parent, {path: inode}))
        return fd

    def write(self, fd: int, data: bytes | memoryview) -> int:
        written = super().write(fd, data)
        self.disk.contents[os.fstat(fd).st_ino] += bytes(data[:written])
        self.look(self.disk)
        return written

    def fsync(self, fd: int) -> None:
        super().fsync(fd)
        self.disk.unsynced.discard(os.fstat(fd).st_ino)
        self.look(self.disk)

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        self.rename_simulated(Renaming(target.parent, {target: target.stat().st_ino}))

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self.rename_simulated(Renaming(target.parent, {target: target.stat().st_ino}, source))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self.rename_simulated(Renaming(path.parent, {}, path))

    def fsync_dir(self, directory: Path) -> None:
        super().fsync_dir(directory)
        for renaming in self.disk.renamings:
            if renaming.directory == directory:
                self.disk.names = renaming.applied_to(self.disk.names)
        self.disk.renamings = [
            renaming for renaming in self.disk.renamings if renaming.directory != directory
        ]
        self.look(self.disk)


class Observer:
    """Collects what every power loss would leave: the vault's content, and whether the old one is among the backups."""

    def __init__(self, vault: Path, old: bytes | None) -> None:
        self.vault = vault
        self.old = old
        self.found: set[tuple[bytes | None, bool]] = set()
        self.states = 0

    def __call__(self, disk: Disk) -> None:
        for names, contents in disk.after_power_loss():
            self.states += 1
            kept = [contents[inode] for name, inode in names.items() if name.parent.name == "backups"]
            self.found.add((contents[names[self.vault]] if self.vault in names else None, self.old in kept))


def test_a_save_leaves_the_old_vault_or_the_new_one_with_the_old_one_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, backups = tmp_path / "vault", tmp_path / "backups"
    backups.mkdir()
    old = created()
    new = sealed_after(old.vault, key_profile())
    revision = LocalStore(path, backups).save(old.data, None, verify=old.verify)
    inode = path.stat().st_ino
    disk = Disk({path: inode}, {inode: old.data})
    observer = Observer(path, old.data)

    LocalStore(path, backups, Recorder(disk, observer)).save(new.data, revision, verify=new.verify)

    assert {(old.data, False), (old.data, True), (new.data, True)} == observer.found
    after = Observer(path, old.data)
    after(disk)
    assert {(new.data, True)} == after.found  # what was reported as saved is saved
    with capsys.disabled():
        print(f"\n{observer.states} states after a power loss during a save, no third thing")


def test_an_init_leaves_no_vault_or_the_new_one(tmp_path: Path) -> None:
    path, new = tmp_path / "vault", created()
    disk = Disk({}, {})
    observer = Observer(path, None)
    LocalStore(path, tmp_path / "backups", Recorder(disk, observer)).save(new.data, None, verify=new.verify)
    assert {(None, False), (new.data, False)} == observer.found
    after = Observer(path, None)
    after(disk)
    assert {(new.data, False)} == after.found


@pytest.mark.parametrize("left_out", ["fsync", "fsync_dir"])
def test_the_simulation_finds_a_save_that_does_not_sync(tmp_path: Path, left_out: str) -> None:
    """A positive control: without either fsync there is a third thing, or a lost save."""

    class Careless(Recorder):
        pass

    setattr(Careless, left_out, lambda _self, _target: None)
    path, new = tmp_path / "vault", created()
    disk = Disk({}, {})
    observer = Observer(path, None)
    LocalStore(path, tmp_path / "backups", Careless(disk, observer)).save(new.data, None, verify=new.verify)
    after = Observer(path, None)
    after(disk)
    assert {(new.data, False)} != after.found
