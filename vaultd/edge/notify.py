# SPDX-License-Identifier: Apache-2.0
"""Desktop notifications by notify-send(1), where there is a desktop. A hint for a person; nothing waits for it."""

import contextlib
import shutil
import subprocess
import threading
from collections.abc import Callable

from vaultd.edge.successor import hold_signals
from vaultd.wire.errors import printable

QUIET_S = 600.0  # the same thing is said once in this time, however many programs ask
_TIMEOUT_S = 5.0


class Notifier:
    def __init__(self, boottime: Callable[[], float], *, enabled: Callable[[], bool]) -> None:
        self._boottime = boottime
        self._enabled = enabled
        self._said: dict[str, float] = {}

    def code_wanted(self, profile: str) -> None:
        """Say once that `awsvault mfa` is wanted."""
        self._say(f"MFA code needed for {profile}", f"Run: awsvault mfa {profile}")

    def forget(self, profile: str) -> None:
        """The code was given: the next time is news again."""
        self._said.pop(f"MFA code needed for {profile}", None)

    def _say(self, title: str, text: str) -> None:
        now = self._boottime()
        if not self._enabled() or now - self._said.get(title, -QUIET_S) < QUIET_S:
            return
        self._said[title] = now
        program = shutil.which("notify-send")
        if program:
            command = [program, "--app-name=awsvault", "--", printable(title), printable(text)]
            threading.Thread(target=_run, args=(command,), daemon=True).start()


def _run(command: list[str]) -> None:
    """In a thread of its own: a desktop that hangs must not hold a request or a lock."""
    hold_signals()
    null = subprocess.DEVNULL
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # no desktop here
        subprocess.run(command, stdin=null, stdout=null, stderr=null, timeout=_TIMEOUT_S, check=False)
