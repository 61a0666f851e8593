# SPDX-License-Identifier: Apache-2.0
"""What an import of keys changed, kept sealed so that it can be taken back: for a week, or until a key of it changes.

The account of the files holds the lines with the secrets; it is the command's business and only kept here.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from vaultd.core.fields import check_name, check_times
from vaultd.core.secret import Secret
from vaultd.wire.errors import Usage

KEPT_FOR: Final = timedelta(days=7)
MAX_BYTES: Final = 8 * 1024 * 1024  # of the account: a quarter of the largest vault


@dataclass(frozen=True, slots=True)
class Undo:
    """`names`: the profiles of the vault whose keys went out of files; `made`: those that were not there before."""

    at: datetime
    done: bool  # False: it was cut off, and the next import goes on with it
    names: tuple[str, ...]
    made: tuple[str, ...]
    account: tuple[Secret, ...]  # pieces of one text

    def __post_init__(self) -> None:
        check_times(self.at)
        for name in (*self.names, *self.made):
            check_name(name)
        if sum(len(piece.reveal_bytes()) for piece in self.account) > MAX_BYTES:
            raise Usage("this import changes too much to be taken back", hint="import fewer keys at a time")

    def is_over(self, now: datetime) -> bool:
        return now >= self.at + KEPT_FOR

    def going_on(self, at: datetime, names: tuple[str, ...], made: tuple[str, ...]) -> "Undo":
        """The same import, or one that finishes it."""
        return replace(self, at=at, names=_union(self.names, names), made=_union(self.made, made), done=False)

    def with_account(self, pieces: tuple[Secret, ...], *, done: bool) -> "Undo":
        return replace(self, account=(*self.account, *pieces), done=done)


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))
