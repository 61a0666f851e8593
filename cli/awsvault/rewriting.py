# SPDX-License-Identifier: Apache-2.0
"""Changes one of AWS's files so that no reader ever sees half of a change, and no change of somebody else's is lost.

A lock among ourselves, a backup without the secrets, and a rename through symlinks. It must not know what is written.
"""

import contextlib
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Iterator

from vaultd.core import awsfiles
from vaultd.core.awsfiles import AwsFile
from vaultd.wire.errors import Conflict, Refused, StorageFailed

LOCK_TIMEOUT_S = 5.0
ATTEMPTS = 5

Change = Callable[[AwsFile], str]


def edit(shown: str, change: Change) -> bool:
    """Replace the file by what `change` makes of it; False when that is the same. Raises Usage, StorageFailed."""
    path = os.path.realpath(shown)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.dirname(path), 0o700)
        with _locked(path):
            for _attempt in range(ATTEMPTS):
                before, text = read(path)
                after = change(AwsFile(text, shown)).encode("utf-8", "surrogateescape")
                if after == (before or b""):
                    return False
                if before:
                    _back_up(path, text)
                if _replace(path, before, after):
                    return True
    except OSError as error:
        raise StorageFailed(
            f"{shown} cannot be changed ({error.strerror})", hint="mend that, then try again"
        ) from None
    raise Conflict(f"{shown} keeps changing; nothing was written", hint="end what changes it, then try again")


def swap(shown: str, before: bytes | None, after: bytes, *, is_ini: bool = True) -> bool:
    """Put `after` in the place of `before`; False when the file holds something else by now. Raises StorageFailed.

    Of a file that is no ini file there is no backup: what in it is a secret could not be told.
    """
    path = os.path.realpath(shown)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.dirname(path), 0o700)
        with _locked(path):
            now, text = read(path)
            if now != before:
                return False
            if now and is_ini:
                _back_up(path, text)
            return _replace(path, before, after)
    except OSError as error:
        raise StorageFailed(
            f"{shown} cannot be changed ({error.strerror})", hint="mend that, then try again"
        ) from None


@contextlib.contextmanager
def alone(shown: str) -> Iterator[None]:
    """One import at a time for this directory, from its first look to its last. Raises Conflict at once."""
    folder = os.path.dirname(os.path.realpath(shown))
    if not os.path.isdir(folder):
        yield
        return
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Conflict("another awsvault import is under way", hint="wait for its end") from None
    finally:
        os.close(fd)


def check_writable(shown: str) -> None:
    """Raise what a change would raise for a directory that takes no new file, before anything else is done."""
    folder = os.path.dirname(os.path.realpath(shown))
    if not os.access(folder if os.path.isdir(folder) else os.path.dirname(folder), os.W_OK | os.X_OK):
        raise Refused(f"{folder} cannot be written", hint="mend that, then try again")


def read(path: str) -> tuple[bytes | None, str]:
    """The bytes, None when there is no file, and their text: any bytes survive the way to text and back."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO in its place must not hang us
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        raise StorageFailed(
            f"{path} cannot be read ({error.strerror})", hint="mend that, then try again"
        ) from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Refused(f"{path} is not a file", hint="remove it")
        with open(fd, "rb", closefd=False) as file:
            data = file.read()
    finally:
        os.close(fd)
    return data, data.decode("utf-8", "surrogateescape")


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """One awsvault at a time. The file stays: removing it would let two hold two locks."""
    fd = os.open(f"{path}.awsvault-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Conflict(f"another awsvault is changing {path}", hint="try again") from None
                time.sleep(0.02)
        _sweep(path)
        yield
    finally:
        os.close(fd)


def _sweep(path: str) -> None:
    """Remove what an edit that was killed has left: half of a file may hold whole secrets."""
    folder, name = os.path.split(path)
    for entry in os.listdir(folder):
        if re.fullmatch(rf"{re.escape(name)}\.awsvault-[0-9a-f]{{8}}", entry):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, entry))


def _back_up(path: str, text: str) -> None:
    """The file as it was before we first touched it, less the secrets in it."""
    with contextlib.suppress(FileExistsError):
        _write_new(
            f"{path}.awsvault-backup",
            awsfiles.without_secrets(text).encode("utf-8", "surrogateescape"),
            0o600,
        )


def _replace(path: str, before: bytes | None, after: bytes) -> bool:
    """Rename a complete new file into place; False when the file is no longer what was read."""
    mode = stat.S_IMODE(os.stat(path).st_mode) if before is not None else 0o600
    fresh = f"{path}.awsvault-{os.urandom(4).hex()}"
    try:
        _write_new(fresh, after, mode)
        if read(path)[0] != before:
            return False
        os.rename(fresh, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)
    _sync_directory(os.path.dirname(path))
    return True


def _write_new(path: str, data: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(fd, "wb") as file:
        os.fchmod(fd, mode)
        file.write(data)
        file.flush()
        os.fsync(fd)


def _sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
