# SPDX-License-Identifier: Apache-2.0
"""The audit: one JSON line for each thing done or refused, appended before the answer leaves.

No line, no credential: a failed write, or a deferred fsync that failed, stops `get` until a write and its fsync
succeed again. It never stops `lock`. Names and access key ids stand in it in clear (THREATS.md), secrets never.
"""

import asyncio
import errno
import json
import os
from pathlib import Path
from typing import Any

from vaultd.edge import log
from vaultd.wire.errors import Refused, StorageFailed

DEFERRED_S = 1.0
_OPENINGS = (b'"op":"init"', b'"op":"unlock"', b'"op":"recover"')


class Audit:
    """Used on the loop's thread only; fsync runs in a thread of its own."""

    def __init__(self, path: Path, *, fsync: bool) -> None:
        self._path = path
        self.fsync = fsync
        self._fd: int | None = None
        self._dirty = False
        self._soon: asyncio.TimerHandle | None = None
        self._syncing: asyncio.Task[None] | None = None
        self.failure: str | None = None

    def append(self, record: dict[str, Any]) -> None:
        """Write one line whole. Raises StorageFailed."""
        line = json.dumps(record, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"
        try:
            fd = self._open()
            _write_whole(fd, line)
            if self.failure is not None:
                os.fsync(fd)  # after a failure only a line that is down on the disk opens the gate again
        except OSError as error:
            self._fail(error)
            raise StorageFailed(f"the audit cannot be written ({error.strerror or error})") from None
        self._dirty = True
        self.failure = None

    def sync_soon(self) -> None:
        """Put it on the disk within DEFERRED_S: good enough for an answer from memory, which came with no risk of loss."""
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(DEFERRED_S, self._sync_now)

    def _sync_now(self) -> None:
        self._soon = None
        self._syncing = asyncio.get_running_loop().create_task(self._sync_or_log())

    async def _sync_or_log(self) -> None:
        try:
            await self.sync()
        except StorageFailed as error:
            log.say(error.line)

    async def sync(self) -> None:
        """Put what was appended on the disk. Raises StorageFailed."""
        if not (self._dirty and self.fsync and self._fd is not None):
            return
        self._dirty = False
        try:
            await asyncio.to_thread(_fsync_and_close, os.dup(self._fd))
        except OSError as error:
            self._fail(error)
            raise StorageFailed(f"the audit cannot be written ({error.strerror or error})") from None

    def _open(self) -> int:
        if self._fd is not None and not self._is_in_place(self._fd):
            os.close(self._fd)
            self._fd = None
        if self._fd is None:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open(self._path, flags, 0o600)
            if os.fstat(fd).st_uid != os.getuid():
                os.close(fd)
                raise Refused(f"{self._path} belongs to somebody else", hint="remove it")
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                os.write(fd, b"\n")  # a crash cut the last line; the next one must not be glued to it
            self._fd = fd
        return self._fd

    def _is_in_place(self, fd: int) -> bool:
        """Is it still the file of that name? Lines into one that was removed or moved away would be lines nobody reads."""
        try:
            return os.path.samestat(os.fstat(fd), os.lstat(self._path))
        except FileNotFoundError:
            return False

    def _fail(self, error: OSError) -> None:
        """Remember it, and give up the fd: after a failed fsync the kernel may have dropped the pages."""
        self.failure = error.strerror or str(error)
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def tells_of_an_opening(path: Path) -> bool:
    """Does the audit say that this machine opened the vault before? Wrong guesses and locks say nothing of that."""
    try:
        with path.open("rb") as lines:
            return any(b'"verdict":"ok"' in line and any(op in line for op in _OPENINGS) for line in lines)
    except OSError:
        return False


def _fsync_and_close(fd: int) -> None:
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_whole(fd: int, line: bytes) -> None:
    if os.write(fd, line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # what a short write to a file means
