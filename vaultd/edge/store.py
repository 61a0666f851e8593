# SPDX-License-Identifier: Apache-2.0
"""Where the vault is kept: a port of two calls, load and save, and the local file as its first implementation.

The bytes are opaque here, and nothing outside knows that they are a file. Whatever moment a save is cut off at, the
old vault or the new one is there, whole; and what the disk did not confirm is not reported as saved.
"""

import re
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from threading import Lock

from vaultd.edge.files import Files, read_file, reason, replace_file, reserve_room, sweep
from vaultd.wire.errors import Conflict, NoVault, StorageFailed, VaultDamaged, VaultError

MAX_VAULT = 32 * 1024 * 1024  # bytes
MAX_MARK = 4096

GROWTH = 64 * 1024  # bytes: by how much one save may make it larger

REVISION_DIGITS = 16  # of a revision, in the name of its backup
NEWEST_BACKUPS = 10
DAYS_OF_BACKUPS = 30
_BACKUP = re.compile(r"vault-\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{16}\Z")


class LocalStore:
    """The vault as a local file, with its earlier saves as hard links in `backups` (on the same file system)."""

    def __init__(self, path: Path, backups: Path, files: Files | None = None) -> None:
        self._path = path
        self._backups = backups
        self._files = files or Files()
        self._one_save = Lock()  # two threads must not both find the revision that they expect

    def exists(self) -> bool:
        """Is there a vault, of whatever kind? A dangling link is one too: `load` refuses it, `init` must not."""
        return self._path.is_symlink() or self._path.exists()

    def load(self) -> tuple[bytes, str]:
        """The vault and its revision. Raises NoVault, VaultDamaged, Refused, StorageFailed."""
        data, _ = self._read()
        return data, _revision(data)

    def save(
        self,
        data: bytes,
        expected_revision: str | None,
        *,
        verify: Callable[[bytes], None],
        backup: bool = True,
        needed: Collection[str] = (),
    ) -> str:
        """Replace the vault, if it still is of `expected_revision` (None: if there is none); the new revision.

        `verify` is given what the disk holds before it takes the old vault's place, and raises if that is not what
        was meant. `backup` keeps the old vault. The backups of the revisions that begin with one of
        `needed` (16 hex digits) are never pruned: they alone hold keys that still live in AWS.

        A save whose outcome is unknown (StorageFailed with details {"outcome": "unknown"}) may be repeated with the
        same bytes. Raises Conflict, StorageFailed, and what `verify` raises; the old vault is then in its place.
        """
        with self._one_save:
            revision = _revision(data)
            current, saved_at = self._current()
            if current not in {expected_revision, revision}:
                raise Conflict

            def accept(read_back: bytes) -> None:
                verify(read_back)
                if backup and current not in {None, revision}:
                    self._keep_current(f"vault-{_timestamp(saved_at)}-{current[:REVISION_DIGITS]}")

            replace_file(
                self._files, self._path, data, what="vault", accept=accept, overwrite=current is not None
            )
            self._prune(needed)
            return revision

    def reserve(self) -> None:
        """Take up as much room as the next save will need; that save sweeps it away first. Raises StorageFailed."""
        with self._one_save:
            try:
                size = self._files.size_of(self._path) + GROWTH
                reserve_room(self._files, self._path, size)
            except OSError as error:
                raise StorageFailed(f"there is no room to save the vault: {reason(error)}") from error

    def rewrite_backups(self, convert: Callable[[bytes], bytes | None]) -> tuple[int, int]:
        """Replace each backup by what `convert` makes of it, unless that is None; how many were, and how many not."""
        with self._one_save:
            rewritten = [self._rewrite(self._backups / name, convert) for name in self._backup_names()]
        return sum(rewritten), len(rewritten) - sum(rewritten)

    def _rewrite(self, path: Path, convert: Callable[[bytes], bytes | None]) -> bool:
        try:
            converted = convert(read_file(self._files, path, MAX_VAULT)[0])
            if converted is not None:
                replace_file(self._files, path, converted, what="backup")
        except (OSError, VaultError):
            return False
        return converted is not None

    def _backup_names(self) -> list[str]:
        with suppress(OSError):
            return [name for name in self._files.list_dir(self._backups) if _BACKUP.match(name)]
        return []

    def _current(self) -> tuple[str | None, int]:
        try:
            data, saved_at = self._read()
        except NoVault:
            return None, 0
        return _revision(data), saved_at

    def _read(self) -> tuple[bytes, int]:
        try:
            data, saved_at = read_file(self._files, self._path, MAX_VAULT)
        except FileNotFoundError:
            raise NoVault from None
        except OSError as error:
            raise StorageFailed(
                f"the vault cannot be read: {reason(error)}", hint=f"look at {self._path}"
            ) from error
        if len(data) > MAX_VAULT:
            raise VaultDamaged(f"the vault is larger than {MAX_VAULT // 2**20} MiB")
        return data, saved_at

    def _keep_current(self, name: str) -> None:
        """One more name for the old vault's bytes. An earlier attempt at this save may have made it already."""
        with suppress(FileExistsError):
            self._files.make_dir(self._backups)
            self._files.fsync_dir(self._backups.parent)
        with suppress(FileExistsError):
            self._files.link(self._path, self._backups / name)
        self._files.fsync_dir(self._backups)

    def _prune(self, needed: Collection[str]) -> None:
        # The save is done: a backup too many is no reason to report that it failed. The next save tries again.
        sweep(self._files, self._backups, "vault-")
        for name in superseded(self._backup_names()):
            if name[-REVISION_DIGITS:] not in needed:
                with suppress(OSError):
                    self._files.unlink(self._backups / name)


def superseded(names: Iterable[str]) -> list[str]:
    """Which backups may go: all but the 10 newest and the last one of each of the 30 days up to the newest."""
    newest_first = sorted((name for name in names if _BACKUP.match(name)), reverse=True)
    days = [date.fromisoformat(name[6:14]) for name in newest_first]
    dated = list(zip(newest_first, days, strict=True))
    kept_days = set(days[:NEWEST_BACKUPS])
    gone = []
    for name, day in dated[NEWEST_BACKUPS:]:
        if day in kept_days or days[0] - day >= timedelta(days=DAYS_OF_BACKUPS):
            gone.append(name)
        kept_days.add(day)
    return gone


def _timestamp(moment_ns: int) -> str:
    """Sorts by time, and says to a person looking into the directory when the vault was saved."""
    seconds, rest_ns = divmod(moment_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%dT%H%M%S}.{rest_ns // 1000:06}Z"


def _revision(data: bytes) -> str:
    return sha256(data).hexdigest()


class HighWater:
    """What this machine remembers of the last save that it saw (core/lineage.py says what it means)."""

    def __init__(self, path: Path, files: Files | None = None) -> None:
        self._path = path
        self._files = files or Files()

    def load(self) -> bytes | None:
        """The record; None when there is none. Raises Refused, StorageFailed."""
        try:
            # A longer file is no mark, and its beginning does not verify.
            return read_file(self._files, self._path, MAX_MARK)[0]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageFailed(
                f"the high-water mark cannot be read: {reason(error)}", hint="mend the disk"
            ) from error

    def save(self, data: bytes) -> None:
        """Replace the record. Raises StorageFailed."""
        replace_file(self._files, self._path, data, what="high-water mark")
