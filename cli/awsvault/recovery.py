# SPDX-License-Identifier: Apache-2.0
"""Hands a recovery code over: once, on the terminal, or into a file that did not exist before.

The code opens the vault like the passphrase. It goes to the terminal itself, so that no redirection keeps it.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Annotated

import typer

from awsvault import prompts
from vaultd.wire.errors import StorageFailed, Usage, printable

ASKED_BACK = 2
_LOOKALIKES = str.maketrans("OIL", "011")  # as the daemon reads a code

File = Annotated[
    str | None,
    typer.Option(
        "--recovery-file",
        metavar="FILE",
        help="Write the recovery code to a new file instead of the terminal.",
    ),
]


class Keeper:
    """Where the code will go; made before there is one, so that it cannot be lost for want of a place."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._fd: int | None = None

    @contextlib.contextmanager
    def ready(self) -> Iterator["Keeper"]:
        """The file exists, empty, within this block; when the block fails it goes again. Raises Usage."""
        if self._path is None:
            yield self
            return
        shown = printable(self._path)
        try:
            self._fd = os.open(
                self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except FileExistsError:
            raise Usage(f"{shown} exists already", hint="name a new file with --recovery-file") from None
        except OSError as error:
            raise Usage(f"{shown} cannot be made ({error.strerror})") from None
        try:
            yield self
        except BaseException:
            os.unlink(self._path)
            raise
        finally:
            os.close(self._fd)

    def keep(self, code: str) -> None:
        if self._fd is None:
            _show(code)
            return
        try:
            os.write(self._fd, f"{code}\n".encode())
            os.fsync(self._fd)
        except OSError as error:
            if not prompts.available():
                raise StorageFailed(
                    f"the recovery code could not be written ({error.strerror}); it is lost", hint=""
                ) from None
            _show(code)


def need_place(path: str | None, flags: str) -> None:
    """Raise Usage, naming the flags, when the code could be neither shown nor written."""
    if path is None and not prompts.available():
        raise Usage("no terminal to show the recovery code on", hint=f"use {flags}")


def _show(code: str) -> None:
    prompts.tell(
        "\nRecovery code: opens the vault when the passphrase is lost. Write it on paper; it is not shown again.\n\n"
        f"    {code}\n\n"
    )
    from secrets import SystemRandom  # loads OpenSSL: not at every start

    groups = code.split("-")
    for index in sorted(SystemRandom().sample(range(len(groups)), ASKED_BACK)):
        while (
            _plain(prompts.ask(f"To check what you wrote, group {index + 1} of {len(groups)}: "))
            != groups[index]
        ):
            prompts.tell("That is another one; please compare.\n")


def _plain(typed: str) -> str:
    return typed.strip().upper().translate(_LOOKALIKES)
