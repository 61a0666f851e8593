# SPDX-License-Identifier: Apache-2.0
"""Reminders in this process: what is due, from the vault while it is open and from the agenda while it is not.

Keeps agenda.json as the vault says, and tells the desktop and the journal once a day. Must not know what makes a thing
due (core/reminders.py), nor how AWS is asked (edge/inspector.py). Nothing here fails a request: what cannot be written
or read is logged once.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from vaultd.core import agenda, reminders
from vaultd.core.agenda import Odd
from vaultd.core.policy import Settings
from vaultd.core.records import Body
from vaultd.core.reminders import Entry, Facts, Reminder
from vaultd.edge import files, log
from vaultd.edge.clock import Clock
from vaultd.edge.files import Files
from vaultd.edge.inspector import Inspector
from vaultd.edge.keeper import Keeper
from vaultd.edge.notify import DAY_S, Notifier, topic
from vaultd.edge.once import Once
from vaultd.wire.errors import Locked, VaultError

LOOK_S = 600.0  # for what came to be due by itself, and for a desktop that was not there yet
WORK_OUT_S = 3_600.0  # uses move the day on which a key is unused; nothing else changes without a save
LINES = 5  # in the journal at once


class Reminding:
    """Lives on the event loop's thread; the disk is used in another."""

    def __init__(
        self,
        *,
        keeper: Keeper,
        clock: Clock,
        path: Path,
        notifier: Notifier,
        inspector: Inspector,
        settings: Callable[[], Settings],
        uses: Mapping[str, datetime],
        watched: Callable[[], tuple[Entry, ...]] = tuple,
    ) -> None:
        self._keeper = keeper
        self._clock = clock
        self._path = path
        self._notifier = notifier
        self._inspector = inspector
        self._settings = settings
        self._uses = uses
        self._watched = watched  # what stands in ~/.aws
        self._journal = Once(clock.boottime, DAY_S)
        self._complaint = ""
        self._entries: tuple[Entry, ...] = ()
        self._basis: _Basis | None = None  # what they are, or will be when `_work` ends, worked out from
        self._look_at = 0.0
        self._work: asyncio.Task[None] | None = None

    # --- what is due

    async def due(self) -> tuple[tuple[Reminder, ...], datetime | None]:
        """What is due, and when that changes by itself. Raises Locked when only the vault could tell."""
        entries = await (self._from_vault() if self._keeper.is_unlocked else self._from_agenda())
        watched = self._watched()
        if entries is None and not watched:
            raise Locked
        return reminders.due([*watched, *(entries or ())], self._clock.now())

    async def _from_vault(self) -> tuple[Entry, ...] | None:
        """None when it was locked meanwhile."""
        self.look()
        await self.settle()
        return self._entries if self._keeper.is_unlocked else None

    async def _from_agenda(self) -> tuple[Entry, ...] | None:
        """What the file says; None when it says nothing that we believe."""
        if self._keeper.state() != "locked":
            return None
        try:
            if not self._settings().reminders.while_locked:
                await asyncio.to_thread(_replace, self._path, None)
                return None
            return await asyncio.to_thread(_read, self._path)
        except FileNotFoundError:
            return None
        except (OSError, VaultError, Odd) as error:
            self._complain(f"the agenda is ignored until the next unlock ({_reason(error)})")
            return None

    def look(self) -> None:
        """Work out the agenda anew if the vault, the settings or what AWS said have changed. Cheap when nothing has."""
        if not self._keeper.is_unlocked:
            return
        now = self._clock.boottime()
        basis = _Basis(self._keeper.body, self._settings(), self._inspector.version, now)
        if self._basis and self._basis.still_holds(basis):
            return
        self._basis = basis
        if self._work is None:
            self._work = asyncio.get_running_loop().create_task(self._keep())

    async def _keep(self) -> None:
        """In threads: of ten thousand profiles it is a tenth of a second, and a disk takes what it takes."""
        done: _Basis | None = None
        try:
            while self._basis and done is not self._basis:  # it may have moved meanwhile
                done = self._basis
                await self._work_out(done)
        finally:
            self._work = None

    async def _work_out(self, basis: "_Basis") -> None:
        try:
            facts = Facts(self._inspector.facts, dict(self._uses))
            entries = await asyncio.to_thread(reminders.agenda, basis.body, basis.settings.rotation, facts)
            if entries != self._entries:
                self._entries, self._look_at = entries, 0.0
            wanted = entries if basis.settings.reminders.while_locked else None
            await asyncio.to_thread(_replace, self._path, wanted)
        except (OSError, VaultError) as error:
            self._complain(f"the agenda cannot be kept ({_reason(error)})")

    async def settle(self) -> None:
        """Until the agenda is on the disk."""
        if self._work:
            await asyncio.shield(self._work)

    def used_in_aws_at(self, access_key_id: str) -> datetime | None:
        """When AWS saw the key used last; None when it was not asked, or does not say."""
        return self._inspector.about(access_key_id).used_at

    def used_in_aws_for(self, access_key_id: str) -> str | None:
        """The service that it was used for then."""
        return self._inspector.about(access_key_id).used_for or None

    def look_again(self) -> None:
        """Something is due that was not."""
        self._look_at = 0.0

    # --- the timer

    async def tick(self) -> None:
        """Every few seconds: keep the agenda, ask AWS, remind."""
        if self._keeper.is_unlocked:
            self.look()
            self._inspector.look(self._keeper.body)
        if self._clock.boottime() < self._look_at:
            return
        try:
            found, changes_at = await self.due()
        except Locked:
            found, changes_at = (), None
        now = self._clock.now()
        left_s = (changes_at - now).total_seconds() if changes_at else LOOK_S
        self._look_at = self._clock.boottime() + min(LOOK_S, left_s)
        self._say(found, now)
        self._notifier.remind(found, now)

    def _say(self, found: tuple[Reminder, ...], now: datetime) -> None:
        fresh = [reminder for reminder in found if self._journal.is_news(topic(reminder))]
        for reminder in fresh:
            self._journal.said(topic(reminder))
        for reminder in fresh[:LINES]:
            log.say(f"reminder: {reminder.profile}: {reminder.text(now)}; run: {reminder.command}")
        if len(fresh) > LINES:
            log.say(f"reminder: {len(fresh) - LINES} more; run: awsvault due")

    def _complain(self, line: str) -> None:
        """Once, until there is something else to say."""
        if line != self._complaint:
            self._complaint = line
            log.say(line)

    # --- over a lock

    def carry(self) -> dict[str, Any]:
        return {
            "journal": self._journal.carry(),
            "desktop": self._notifier.reminded.carry(),
            "keys": self._inspector.carry(),
        }

    def resume(self, carried: Mapping[str, Any]) -> None:
        if carried:
            self._journal.resume(carried["journal"])
            self._notifier.reminded.resume(carried["desktop"])
            self._inspector.resume(carried["keys"])


@dataclass(frozen=True, slots=True)
class _Basis:
    """What an agenda was worked out from, and when (boot time)."""

    body: Body
    settings: Settings
    version: int
    at: float

    def still_holds(self, now: "_Basis") -> bool:
        same = self.body is now.body and self.settings is now.settings and self.version == now.version
        return same and now.at - self.at < WORK_OUT_S


def _replace(path: Path, entries: tuple[Entry, ...] | None) -> None:
    """None: no agenda is kept."""
    if entries is None:
        path.unlink(missing_ok=True)
        return
    data = agenda.encode(entries)
    if not _holds(path, data):
        files.replace_file(Files(), path, data, what="agenda")


def _holds(path: Path, data: bytes) -> bool:
    try:
        return files.read_file(Files(), path, len(data))[0] == data
    except (OSError, VaultError):
        return False


def _read(path: Path) -> tuple[Entry, ...]:
    data, _ = files.read_file(Files(), path, agenda.MAX_BYTES)
    return agenda.decode(data)


def _reason(error: Exception) -> str:
    return files.reason(error) if isinstance(error, OSError) else str(error)
