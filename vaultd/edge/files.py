# SPDX-License-Identifier: Apache-2.0
"""The file port, and the one way to replace a file.

Every operation of the operating system that a save uses is one method of `Files`: one place to read what the disk is
asked to do, and one place where tests kill the process or let the disk fail. It knows nothing of vaults.
"""

import errno
import fcntl
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from vaultd.wire.errors import Conflict, Refused, StorageFailed

_TEMPORARY = ".tmp"
_NO_LINKS = {
    errno.EPERM,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
}  # what link(2) says on FAT, and on FUSE without links


class Files:
    """The real file system. Its methods raise OSError; whoever calls them says what that means."""

    def open_new(self, path: Path) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def open_read(self, path: Path) -> int:
        # O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)

    def stat(self, fd: int) -> os.stat_result:
        return os.fstat(fd)

    def read(self, fd: int, size: int) -> bytes:
        return os.read(fd, size)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        return os.write(fd, data)

    def size_of(self, path: Path) -> int:
        return os.stat(path, follow_symlinks=False).st_size

    def allocate(self, fd: int, size: int) -> None:
        if sys.platform == "linux":
            os.posix_fallocate(fd, 0, size)
        else:  # macOS has no posix_fallocate. Not run.
            os.write(fd, bytes(size))

    def fsync(self, fd: int) -> None:
        if sys.platform == "darwin":  # fsync leaves the data in the drive's cache there (fsync(2)). Not run.
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
        else:
            os.fsync(fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def link(self, source: Path, target: Path) -> None:
        os.link(source, target, follow_symlinks=False)

    def rename(self, source: Path, target: Path) -> None:
        os.rename(source, target)

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def list_dir(self, directory: Path) -> list[str]:
        return os.listdir(directory)

    def make_dir(self, directory: Path) -> None:
        os.mkdir(directory, 0o700)

    def fsync_dir(self, directory: Path) -> None:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.fsync(fd)
        finally:
            os.close(fd)


def read_file(files: Files, path: Path, limit: int) -> tuple[bytes, int]:
    """At most `limit` + 1 bytes of a file of ours, and when it was last written (ns since 1970).

    Raises Refused for anything but a regular file that belongs to us: a symlink, FIFO or device in the vault's place
    was put there by somebody else.
    """
    try:
        fd = files.open_read(path)
    except OSError as error:
        if path.is_symlink():
            raise Refused(f"{path} is a symbolic link", hint="put the file itself there") from error
        raise
    try:
        info = files.stat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise Refused(f"{path} is not a regular file", hint="look at it, then remove it")
        if info.st_uid != os.getuid():
            raise Refused(f"{path} belongs to uid {info.st_uid}", hint="run as the user who owns it")
        chunks: list[bytes] = []
        left = limit + 1
        while left > 0 and (chunk := files.read(fd, left)):
            chunks.append(chunk)
            left -= len(chunk)
        return b"".join(chunks), info.st_mtime_ns
    finally:
        files.close(fd)


def write_new_file(files: Files, path: Path, data: bytes) -> None:
    """Write a file that did not exist, and have the disk confirm it."""
    fd = files.open_new(path)
    try:
        left = memoryview(data)
        while left:
            written = files.write(fd, left)
            if not written:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            left = left[written:]
        # After a failed fsync the kernel may have dropped the pages, and a second one on this fd would succeed falsely
        # (Rebello et al., "Can Applications Recover from fsync Failures?", 2020): trying again means a new file.
        files.fsync(fd)
    finally:
        files.close(fd)


def replace_file(
    files: Files,
    path: Path,
    data: bytes,
    *,
    what: str,
    accept: Callable[[bytes], None] | None = None,
    overwrite: bool = True,
) -> None:
    """Make `data` the content of `path`: whatever happens, the old content or the new one is there, whole.

    It is read back before it takes its place, and `accept` is given it; what that raises leaves the old content
    there. Raises Conflict when `overwrite` is False and there is something; StorageFailed, saying in its details
    when the outcome is unknown: repeating the call is then right.
    """
    sweep(files, path.parent, f"{path.name}.")
    temporary = path.with_name(f".{path.name}.{token_hex(8)}{_TEMPORARY}")
    try:
        write_new_file(files, temporary, data)
        read_back, _ = read_file(files, temporary, len(data))
        if read_back != data:
            raise StorageFailed(f"the disk gives back another {what} than was written", hint="check the disk")
        if accept is not None:
            accept(read_back)
        if overwrite:
            files.rename(temporary, path)
        else:
            files.link(temporary, path)
    except FileExistsError:
        raise Conflict(f"there is a {what} already; nothing was changed") from None
    except OSError as error:
        hint = "its file system must allow hard links" if error.errno in _NO_LINKS else None
        raise StorageFailed(f"the {what} was not saved: {reason(error)}", hint=hint) from error
    finally:
        with suppress(OSError):  # after a rename it is gone, and what stays is swept next time
            files.unlink(temporary)
    try:
        files.fsync_dir(path.parent)
    except OSError as error:
        raise StorageFailed(
            f"the disk did not confirm that the {what} was saved: {reason(error)}",
            hint="mend the disk, then run: awsvault lock && awsvault unlock",
            details={"outcome": "unknown"},
        ) from error


def reserve_room(files: Files, path: Path, size: int) -> None:
    """Take up `size` bytes beside `path`, until the next replace_file of it sweeps them away. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{token_hex(8)}{_TEMPORARY}")
    fd = files.open_new(temporary)
    try:
        files.allocate(fd, size)
    except OSError:
        with suppress(OSError):
            files.unlink(temporary)
        raise
    finally:
        files.close(fd)


def sweep(files: Files, directory: Path, beginning: str) -> None:
    """Remove what a killed replace_file left for names with this beginning. Nobody may be replacing one meanwhile."""
    with suppress(OSError):  # a disk that cannot be cleaned can still be read
        for name in files.list_dir(directory):
            if name.startswith(f".{beginning}") and name.endswith(_TEMPORARY):
                files.unlink(directory / name)


def reason(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else "unknown reason"
