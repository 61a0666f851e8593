# SPDX-License-Identifier: Apache-2.0
"""What an import changed in files, told to the daemon for its undo, and read back: FORMAT.md, "The account of an import".

Bytes travel as Latin-1 text, so that a file in any encoding comes back as it was.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vaultd.core import hunks
from vaultd.core.hunks import Hunk
from vaultd.core.ini import split
from vaultd.wire import client
from vaultd.wire.errors import VaultDamaged
from vaultd.wire.protocol import Frame

PIECE = 24 * 1024  # characters: its quotes are escaped once more, and a frame takes 64 KiB
NAMES = 200  # in one frame


@dataclass(frozen=True, slots=True)
class Step:
    """What was changed in one file. A later one of the same run and file stands in the place of the earlier."""

    path: str
    hunks: tuple[Hunk, ...]
    run: str = ""

    @classmethod
    def of(cls, path: str, before: str, after: str) -> "Step":
        return cls(path, tuple(hunks.between(before, after)))

    def line(self, run: str) -> str:
        rows = [
            [it.line, *("".join(map(_latin, lines)) for lines in (it.above, it.before, it.after, it.below))]
            for it in self.hunks
        ]
        return json.dumps([run, os.fsencode(self.path).decode("latin-1"), rows], separators=(",", ":")) + "\n"

    @classmethod
    def read(cls, line: str) -> "Step":
        run, path, rows = json.loads(line)
        found = tuple(Hunk(row[0], *(tuple(split(_text(text))) for text in row[1:])) for row in rows)
        return cls(os.fsdecode(path.encode("latin-1")), found, run)


def _latin(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def _text(latin: str) -> str:
    return latin.encode("latin-1").decode("utf-8", "surrogateescape")


@dataclass(slots=True)
class Sealing:
    """Sends what is about to be changed; the daemon has saved it when `keep` returns."""

    home: str | None
    names: Sequence[str]
    made: Sequence[str]
    run: str = field(default_factory=lambda: os.urandom(4).hex())
    begun: bool = False

    def keep(self, steps: Sequence[Step]) -> None:
        text = "".join(step.line(self.run) for step in steps)
        pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
        for part in () if self.begun else _parts(self.names):
            self._send(names=part, made=[name for name in self.made if name in part])
        left = [name for name in self.made if name not in self.names]
        for part in () if not left else _parts(left):
            self._send(names=[], made=part)
        for piece in pieces:
            self._send(pieces=[piece])

    def end(self) -> None:
        if self.begun:
            self._send(done=True)

    def _send(
        self,
        *,
        names: Sequence[str] = (),
        made: Sequence[str] = (),
        pieces: Sequence[str] = (),
        done: bool = False,
    ) -> None:
        fields: Frame = {"names": [*names], "made": [*made], "pieces": [*pieces]}
        client.call("import_seal", home=self.home, begin=not self.begun, done=done, **fields)
        self.begun = True


def _parts(names: Sequence[str]) -> Iterator[list[str]]:
    return ([*names[at : at + NAMES]] for at in range(0, len(names), NAMES))


def read(pieces: Sequence[str]) -> list[Step]:
    """The steps that were done, in their order. One that was cut off was sealed in part only: nothing was done of it."""
    found: dict[tuple[str, str], Step] = {}
    try:
        for line in "".join(pieces).split("\n")[:-1]:
            step = Step.read(line)
            found.pop((step.run, step.path), None)
            found[step.run, step.path] = step
    except (ValueError, TypeError, LookupError):
        raise VaultDamaged("the account of the import cannot be read") from None
    return list(found.values())
