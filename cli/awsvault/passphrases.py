# SPDX-License-Identifier: Apache-2.0
"""Where passphrases come from: a file descriptor, a file that only its owner can read, or the terminal.

Never an argument or the environment: other programs see those. What is read goes to the daemon as it is; it decides
about line ends, length and strength.
"""

import errno
from dataclasses import dataclass
from typing import Annotated

import typer

from awsvault import prompts, reading
from vaultd.wire.errors import Usage

LIMIT = 4096  # bytes; the daemon takes at most 1 KiB, and says so

Fd = Annotated[
    int | None,
    typer.Option("--passphrase-fd", metavar="N", min=0, help="Read the passphrase from file descriptor N."),
]
File = Annotated[
    str | None,
    typer.Option(
        "--passphrase-file", metavar="FILE", help="Read the passphrase from a file that only you can read."
    ),
]
AllowWeak = Annotated[
    bool, typer.Option("--allow-weak", help="Take a new passphrase of less than 10 characters.")
]


@dataclass(frozen=True, slots=True)
class Source:
    """One secret's flags, named for messages."""

    fd: int | None
    file: str | None
    flags: str = "--passphrase-fd or --passphrase-file"

    @property
    def is_given(self) -> bool:
        return self.fd is not None or self.file is not None

    def read(self) -> str:
        """What the flag names; only when `is_given`."""
        if self.fd is not None and self.file is not None:
            raise Usage(f"use one of {self.flags}")
        data = self._bytes()
        if len(data) > LIMIT:
            raise Usage("the passphrase is longer than 1 KiB")
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise Usage("the passphrase is not UTF-8") from None

    def _bytes(self) -> bytes:
        if self.fd is not None:
            return _from_fd(self.fd)
        return reading.content(self.file or "", limit=LIMIT, private=True)

    def need_terminal(self) -> None:
        """Raise Usage, naming the flags, when nobody is there to be asked."""
        if not prompts.available():
            raise Usage("no terminal to ask on", hint=f"use {self.flags}")


def existing(source: Source, question: str = "Passphrase: ") -> str:
    """A passphrase that is set already."""
    if source.is_given:
        return source.read()
    source.need_terminal()
    return prompts.ask_secret(question)


def new(source: Source) -> str:
    """A passphrase to be set: typed twice."""
    if source.is_given:
        return source.read()
    source.need_terminal()
    while True:
        first = prompts.ask_secret("New passphrase: ")
        if first == prompts.ask_secret("The same passphrase again: "):
            return first
        prompts.tell("These two differ; once more.\n")


def _from_fd(fd: int) -> bytes:
    try:
        return reading.all_of(fd, LIMIT)
    except OSError as error:
        if error.errno == errno.EBADF:
            raise Usage(f"file descriptor {fd} is not open for reading") from None
        raise Usage(f"file descriptor {fd} cannot be read ({error.strerror})") from None
