# SPDX-License-Identifier: Apache-2.0
"""Desktop notifications by notify-send(1), where there is a desktop. A hint for a person; nothing waits for it."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from datetime import datetime

from vaultd.core.reminders import Reminder
from vaultd.edge.once import Once
from vaultd.edge.successor import hold_signals
from vaultd.wire.errors import printable

QUIET_S = 600.0  # the same thing is said once in this time, however many programs ask
DAY_S = 86_400.0  # and a reminder once in this
ONE_BY_ONE = 3  # more reminders than these become one notification
_TIMEOUT_S = 5.0
#: The body is markup to most servers and plain text to others. AWS's words come to it, so what makes markup is left out.
_NO_MARKUP = str.maketrans("<>&", "()+")

#: What notify-send needs to find the desktop. The daemon's environment holds no secret; a child's need not hold even that.
_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "DBUS_SESSION_BUS_ADDRESS",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XDG_RUNTIME_DIR",
)


class Notifier:
    """Lives on the event loop's thread; each notify-send runs in a thread of its own."""

    def __init__(self, boottime: Callable[[], float], *, enabled: Callable[[], bool]) -> None:
        self._enabled = enabled
        self._codes = Once(boottime, QUIET_S)
        self.reminded = Once(boottime, DAY_S)
        self._running: set[subprocess.Popen[bytes]] = set()

    def code_wanted(self, profile: str) -> None:
        """Say once that `awsvault mfa` is wanted."""
        if self._codes.is_news(profile):
            self._say(
                f"MFA code needed for {profile}",
                f"Run: awsvault mfa {profile}",
                urgent=False,
                topics={profile: self._codes},
            )

    def forget(self, profile: str) -> None:
        """The code was given: the next time is news again."""
        self._codes.forget(profile)

    def remind(self, reminders: Sequence[Reminder], now: datetime) -> None:
        """Say what was not said today. Many at once are told as their number."""
        fresh = [reminder for reminder in reminders if self.reminded.is_news(topic(reminder))]
        if len(fresh) > ONE_BY_ONE:
            title = f"{len(fresh)} reminders about AWS keys"
            names = list(dict.fromkeys(reminder.profile for reminder in fresh))
            more = f" and {len(names) - ONE_BY_ONE} more" if len(names) > ONE_BY_ONE else ""
            self._remind(fresh, title, f"{', '.join(names[:ONE_BY_ONE])}{more}. Run: awsvault due")
            return
        for reminder in fresh:
            text = f"{reminder.text(now)}. Run: {reminder.command}"
            self._remind([reminder], f"AWS profile {reminder.profile}", text)

    def _remind(self, reminders: Sequence[Reminder], title: str, text: str) -> None:
        urgent = any(reminder.urgent for reminder in reminders)
        self._say(
            title, text, urgent=urgent, topics={topic(reminder): self.reminded for reminder in reminders}
        )

    def _say(self, title: str, text: str, *, urgent: bool, topics: dict[str, Once]) -> None:
        program = shutil.which("notify-send") if self._enabled() else None
        if program is None:
            return
        for name, once in topics.items():
            once.said(name)
        loop = asyncio.get_running_loop()

        def unsaid() -> None:
            """Nobody has seen it: after a login the desktop comes up later than we do."""
            for name, once in topics.items():
                once.forget(name)

        def show() -> None:
            hold_signals()
            if not self._shown(program, title, text, urgent=urgent):
                with contextlib.suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(unsaid)

        # In a thread of its own: a desktop that hangs must not hold a request or a lock.
        threading.Thread(target=show, name="notify-send", daemon=True).start()

    def _shown(self, program: str, title: str, text: str, *, urgent: bool) -> bool:
        urgency = "--urgency=critical" if urgent else "--urgency=normal"
        words = [program, "--app-name=awsvault", urgency, "--", printable(title)]
        words.append(printable(text).translate(_NO_MARKUP))
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        null = subprocess.DEVNULL
        try:
            with subprocess.Popen(
                words, stdin=null, stdout=null, stderr=null, env=environment, cwd="/"
            ) as process:
                self._running.add(process)
                try:
                    return process.wait(_TIMEOUT_S) == 0
                except subprocess.TimeoutExpired:
                    process.kill()
                    return False
                finally:
                    self._running.discard(process)
        except OSError:
            return False

    def close(self) -> None:
        """End what hangs: after an exec nobody would."""
        for process in list(self._running):
            process.kill()


def topic(reminder: Reminder) -> str:
    """The same thing, whenever it is said."""
    return f"{reminder.what} {reminder.profile}"
