# SPDX-License-Identifier: Apache-2.0
"""Watches ~/.aws: says what core/exposure.py finds there, within seconds, whatever happens to the directory.

The content is the truth and an event only a hint: the daemon's timer looks at both files every few seconds anyway, which
is what finds a directory that appears, is replaced, or lies where there is no inotify. The only importer of watchdog.
Reads; never writes.
"""

import asyncio
import contextlib
import os
import signal
import stat
import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from vaultd.core import adopt, exposure
from vaultd.core.awsfiles import hook_in
from vaultd.core.canonical import from_time, to_time
from vaultd.core.exposure import Exposure, Seen
from vaultd.core.reminders import Entry
from vaultd.edge import log
from vaultd.edge.successor import hold_signals

FILES: Final = ("config", "credentials")
DEBOUNCE_S = 0.2  # an editor's save is several events
#: A line that is gone for so long was taken out. Who writes a file in place empties it first.
GONE: Final = timedelta(minutes=1)
MAX_FILE: Final = 16 * 1024 * 1024
KEPT: Final = 1_000  # hook lines that go over a lock

_Stamp = tuple[int, int, int, int] | None


class Watcher:
    """Lives on the event loop's thread; files are read in another. `told` hears of what is new."""

    def __init__(
        self, directory: Path, now: Callable[[], datetime], told: Callable[[Exposure], None]
    ) -> None:
        self._directory = directory
        self._now = now
        self._told = told
        self._stamps: dict[str, _Stamp] = {}
        self._seen: dict[str, Seen] = {}
        self._others: dict[Path, _Stamp] = {}
        self._hooks: dict[str, str] = {}
        self._gone: dict[str, datetime] = {}
        self._since: dict[Exposure, datetime] = {}
        self._looking = asyncio.Lock()
        self._soon: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None  # held, or the loop may drop it half done
        self._hints: _Hints | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def has_changed(self, path: Path) -> bool:
        """Is this file another one than when this was asked last, or none?"""
        stamp = _stamp(path)
        before, self._others[path] = self._others.get(path), stamp
        return stamp is None or stamp != before

    def entries(self) -> tuple[Entry, ...]:
        """As reminders, by names that the vault could have; it need not be open."""
        return tuple(
            Entry(
                adopt.fit_name(it.profile),
                it.thing,
                since,
                note=f"{self._directory / it.file} line {it.line}",
            )
            for it, since in self._since.items()
        )

    async def look(self) -> None:
        """Read what has changed since the last time."""
        async with self._looking:
            self._listen()
            stamps = await asyncio.to_thread(_stamps, self._directory)
            changed = [
                name for name in FILES if name not in self._seen or stamps[name] != self._stamps.get(name)
            ]
            for name in changed:
                self._seen[name] = await asyncio.to_thread(_read, self._directory / name, name)
            self._stamps = stamps
            if changed:
                self._judge()

    def _judge(self) -> None:
        config, now = self._seen["config"], self._now()
        known = {name: line for name, line in self._hooks.items() if now - self._gone.get(name, now) <= GONE}
        self._hooks, changed = exposure.hooks_changed(known, config, "config", _is_ours)
        self._gone = {n: self._gone.get(n, now) for n in self._hooks if n not in config.processes}
        found = [*config.plaintext, *self._seen["credentials"].plaintext, *changed]
        fresh = [it for it in found if it not in self._since]
        self._since = {it: self._since.get(it, now) for it in found}
        for it in fresh:
            self._told(it)

    # --- hints

    def _listen(self) -> None:
        """On the directory that is there now: another one of the same name is another one."""
        self._loop = asyncio.get_running_loop()
        place = _place(self._directory)
        if self._hints and self._hints.place == place:
            return
        if self._hints:
            self._hints.stop()
        self._hints = _Hints.on(self._directory, place, self._hint) if place else None

    def _hint(self) -> None:
        """From watchdog's thread."""
        if self._loop:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._look_soon)

    def _look_soon(self) -> None:
        if self._soon is None and self._loop:
            self._soon = self._loop.call_later(DEBOUNCE_S, self._look_now)

    def _look_now(self) -> None:
        self._soon = None
        self._task = asyncio.get_running_loop().create_task(self.look())

    def close(self) -> None:
        if self._hints:
            self._hints.stop()
            self._hints = None

    # --- over a lock

    def carry(self) -> dict[str, Any]:
        """Which lines were ours, and since when what is told; no secret is in either."""
        since = [[it.thing, it.profile, it.file, it.line, from_time(at)] for it, at in self._since.items()]
        return {"hooks": dict(list(self._hooks.items())[:KEPT]), "since": since[:KEPT]}

    def resume(self, carried: Mapping[str, Any]) -> None:
        if carried:
            self._hooks = dict(carried["hooks"])
            self._since = {
                Exposure(thing, profile, file, line): to_time(at)
                for thing, profile, file, line, at in carried["since"]
            }


class _Hints:
    """watchdog on one directory."""

    def __init__(self, place: tuple[int, int], observer: Any) -> None:
        self.place = place
        self._observer = observer

    @classmethod
    def on(cls, directory: Path, place: tuple[int, int], hint: Callable[[], None]) -> "_Hints":
        """Where nothing can be watched, the timer is what is left."""
        from watchdog.events import FileSystemEvent, FileSystemEventHandler
        from watchdog.observers import Observer

        class Handler(FileSystemEventHandler):
            def on_any_event(self, event: FileSystemEvent) -> None:
                if event.event_type not in ("opened", "closed_no_write"):  # what we do ourselves
                    hint()

        observer: Any = Observer()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        try:
            hold_signals()  # its threads inherit that: see successor.py
            observer.schedule(Handler(), str(directory))
            observer.start()
        except OSError as error:
            log.say(f"{directory} cannot be watched ({os.strerror(error.errno or 0)}); looking at it instead")
            observer = None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return cls(place, observer)

    def stop(self) -> None:
        """Without waiting: its thread ends by itself, and an exec does not ask."""
        if self._observer is not None:
            self._observer.stop()


def _place(directory: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(directory)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISDIR(found.st_mode) else None


def _stamps(directory: Path) -> dict[str, _Stamp]:
    return {name: _stamp(directory / name) for name in FILES}


def _stamp(path: Path) -> _Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _read(path: Path, name: str) -> Seen:
    """Nothing where there is no file that we may read: a pipe or a device is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return Seen()
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return Seen()
        data = file.read(MAX_FILE)
    return exposure.read(data.decode("utf-8", "surrogateescape"), name, is_config=name == "config")


def _is_ours(line: str) -> bool:
    """Does a `credential_process` call the awsvault of this very installation, by whatever path?"""
    if hook_in(line) is None:
        return False
    own = os.path.join(os.path.dirname(sys.executable), "awsvault")
    return os.path.realpath(line.split(" ", 1)[0]) == os.path.realpath(own)
