# SPDX-License-Identifier: Apache-2.0
"""Reads a file that a user named for its secret: a file or a pipe, never too much of it, nothing of it in a message."""

import os
import stat

from vaultd.wire.errors import Refused, Usage, printable


def content(path: str, *, limit: int, private: bool = False) -> bytes:
    """The bytes, `limit` + 1 at most. `private` refuses what others can read. Raises Usage, Refused.

    A pipe (`<(pass show vault)`) has an owner and a mode like a file.
    """
    shown = printable(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise Usage(f"{shown} cannot be read ({getattr(error, 'strerror', 'not a path')})") from None
    try:
        info = os.fstat(fd)
        if not (stat.S_ISREG(info.st_mode) or stat.S_ISFIFO(info.st_mode)):
            raise Usage(f"{shown} is not a file")
        if private:
            _check_private(info, shown)
        return all_of(fd, limit)
    except OSError as error:
        raise Usage(f"{shown} cannot be read ({error.strerror})") from None
    finally:
        os.close(fd)


def _check_private(info: os.stat_result, shown: str) -> None:
    if info.st_uid not in (0, os.getuid()):
        raise Refused(f"{shown} belongs to uid {info.st_uid}", hint="use a file of your own")
    if info.st_mode & 0o077:
        raise Refused(f"{shown} is open to other users", hint=f"run: chmod 600 {shown}")


def all_of(fd: int, limit: int) -> bytes:
    """Everything up to the end, or `limit` + 1 bytes."""
    data = b""
    while len(data) <= limit and (chunk := os.read(fd, limit + 1 - len(data))):
        data += chunk
    return data
