# SPDX-License-Identifier: Apache-2.0
"""A disk that says no, at every operation of a save: an error of ours, an intact vault, and no false "saved"."""

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.disks import announced, content
from tests.vaults import created, key_profile, sealed_after, unlocked
from vaultd.core.vault import Sealed
from vaultd.edge.files import Files
from vaultd.edge.store import HighWater, LocalStore
from vaultd.wire.errors import StorageFailed

ERRNOS = [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT, errno.EMFILE]
BACKUPS = 11  # one more than is kept, so that one is pruned


@dataclass(frozen=True)
class Disk:
    """A vault on a disk, and the save that comes next."""

    directory: Path
    old: Sealed
    revision: str
    new: Sealed

    def store(self, files: Files | None = None) -> LocalStore:
        return LocalStore(self.directory / "vault", self.directory / "backups", files)

    def save(self, files: Files) -> str:
        return self.store(files).save(self.new.data, self.revision, verify=self.new.verify)

    def stored(self) -> bytes:
        return self.store().load()[0]

    def reset(self) -> None:
        """As before the save: the old vault in its place, and as many backups as were there."""
        for name in content(self.directory):
            (self.directory / name).unlink()
        self.store().save(self.old.data, None, verify=self.old.verify)
        for number in range(BACKUPS):
            name = f"vault-20261101T0000{number:02}.000000Z-0123456789abcdef"
            (self.directory / "backups" / name).write_bytes(b"older")


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    (tmp_path / "backups").mkdir()
    old = sealed_after(created().vault, key_profile())
    disk = Disk(tmp_path, old, "", sealed_after(old.vault, key_profile("new", 1)))
    disk.reset()
    return Disk(tmp_path, old, disk.store().load()[1], disk.new)


class Faulty:
    """Raises at the n-th operation and, when the disk is broken for good, at all that change something after it."""

    CHANGING = frozenset("open_new write fsync link rename unlink make_dir fsync_dir".split())

    def __init__(self, at: int, code: int, *, for_good: bool) -> None:
        self.at, self.code, self.for_good = at, code, for_good
        self.failed: list[str] = []
        self.count = 0

    def __call__(self, operation: str, arguments: tuple[Any, ...]) -> None:
        self.count += 1
        if self.count == self.at or (self.for_good and self.count > self.at and operation in self.CHANGING):
            self.failed.append(operation)
            if operation == "close":  # the kernel closes the descriptor whatever close(2) returns
                os.close(arguments[0])
            raise OSError(self.code, os.strerror(self.code))


def operations(action: Callable[[Files], object]) -> int:
    names: list[str] = []
    action(announced(lambda operation, _arguments: names.append(operation)))
    return len(names)


def faults(count: int) -> Iterator[Faulty]:
    for at in range(1, count + 1):
        for code in ERRNOS:
            for for_good in (False, True):
                yield Faulty(at, code, for_good=for_good)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def failure(action: Callable[[Files], object], files: Files) -> StorageFailed | None:
    try:
        action(files)
    except StorageFailed as error:
        return error
    return None


def left_by(error: StorageFailed | None, old: bytes, new: bytes) -> set[bytes]:
    """What may be there now: the new content if it was reported as saved, the old one if it was not."""
    if error is None:
        return {new}
    return {old, new} if "unknown" == error.details.get("outcome") else {old}


def test_every_error_at_every_operation_is_ours_and_leaves_the_vault_intact(
    disk: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    count = operations(disk.save)
    reported = injected = 0
    open_before = open_files()
    for faulty in faults(count):
        disk.reset()
        error = failure(disk.save, announced(faulty))
        assert disk.stored() in left_by(error, disk.old.data, disk.new.data), faulty.failed
        assert error is None or os.strerror(faulty.code).lower() in error.message
        unlocked(disk.stored())
        injected += 1
        reported += error is not None
    assert open_before == open_files()
    with capsys.disabled():
        print(f"\n{injected} faults injected at {count} operations, {reported} reported, no vault harmed")


def test_an_error_of_the_disk_says_what_to_do_and_nothing_secret(disk: Disk) -> None:
    with pytest.raises(StorageFailed) as caught:
        disk.save(announced(Faulty(operations_until(disk, "write"), errno.ENOSPC, for_good=True)))
    assert (
        "the vault was not saved: no space left on device; free some space or mend the disk; nothing was changed"
        == (caught.value.line)
    )


def operations_until(disk: Disk, wanted: str) -> int:
    """The number of the first operation of that name in a save."""
    names: list[str] = []
    disk.save(announced(lambda operation, _arguments: names.append(operation)))
    disk.reset()
    return names.index(wanted) + 1


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_hard_links_is_named(disk: Disk, code: int) -> None:
    with pytest.raises(StorageFailed, match="not saved") as caught:
        disk.save(announced(Faulty(operations_until(disk, "link"), code, for_good=True)))
    assert "hard links" in caught.value.hint
    assert disk.old.data == disk.stored()


# -- fsync


class SyncLog:
    """Fails the n-th fsync, and remembers which file each one was for."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.synced: list[int] = []
        self.renamed: list[int] = []

    def __call__(self, operation: str, arguments: tuple[Any, ...]) -> None:
        if operation == "rename":
            self.renamed.append(os.stat(arguments[0]).st_ino)
        if operation == "fsync":
            self.synced.append(os.fstat(arguments[0]).st_ino)
            if len(self.synced) == self.at:
                raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_failed_fsync_is_never_reported_as_saved_and_never_tried_again(disk: Disk, at: int) -> None:
    """The three are of the new file, the backups' directory and the vault's directory."""
    log = SyncLog(at)
    with pytest.raises(StorageFailed) as caught:
        disk.save(announced(log))
    assert at == len(log.synced)  # nothing is synced after the failure, the same file least of all
    assert (at == 3) == ("unknown" == caught.value.details.get("outcome")) == bool(log.renamed)


def test_a_save_whose_outcome_is_unknown_can_be_repeated(disk: Disk) -> None:
    with pytest.raises(StorageFailed):
        disk.save(announced(SyncLog(3)))
    log = SyncLog(0)
    disk.save(announced(log))
    assert disk.new.data == disk.stored()
    assert log.renamed == log.synced[:1]  # a new file, synced before it took its place


# -- short writes


class Stuttering(Files):
    def __init__(self, size: int) -> None:
        self.size = size

    def write(self, fd: int, data: bytes | memoryview) -> int:
        return super().write(fd, data[: self.size])


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_short_writes_are_continued(disk: Disk, size: int) -> None:
    disk.save(Stuttering(size))
    assert disk.new.data == disk.stored()


def test_a_write_that_writes_nothing_is_an_error_and_no_endless_loop(disk: Disk) -> None:
    with pytest.raises(StorageFailed):
        disk.save(Stuttering(0))
    assert disk.old.data == disk.stored()


class Forgetful(Files):
    """Says that it wrote, and gives back zeros."""

    def read(self, fd: int, size: int) -> bytes:
        data = super().read(fd, size)
        return bytes(len(data)) if b"AWSVAULT" == data[:8] and self.lies else data

    lies = False

    def open_new(self, path: Path) -> int:
        self.lies = True
        return super().open_new(path)


def test_a_disk_that_gives_back_something_else_does_not_get_the_vaults_place(disk: Disk) -> None:
    with pytest.raises(StorageFailed, match="gives back another vault"):
        disk.save(Forgetful())
    assert disk.old.data == disk.stored()


# -- the mark


def test_every_error_at_every_operation_of_a_mark_leaves_the_old_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "highwater"
    HighWater(path).save(b"old")
    count = operations(lambda files: HighWater(path, files).save(b"new"))
    for faulty in faults(count):
        HighWater(path).save(b"old")
        error = failure(lambda files: HighWater(path, files).save(b"new"), announced(faulty))
        assert HighWater(path).load() in left_by(error, b"old", b"new")
