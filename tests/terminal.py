# SPDX-License-Identifier: Apache-2.0
"""A person at a terminal: starts a command on a pty of its own, waits for what it asks, types."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

PATIENCE_S = 20.0  # only ever waited out by a test that fails
ROWS, COLUMNS = 40, 120
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")


class Terminal:
    """One command on a terminal of its own. `screen` is everything that stood there."""

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        *,
        stdin: bytes | None = None,
        columns: int = COLUMNS,
    ) -> None:
        """`stdin` comes from a pipe when given; the terminal stays the controlling one."""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        self._process = subprocess.Popen(
            words,
            stdin=slave if stdin is None else subprocess.PIPE,
            stdout=slave,
            stderr=slave,
            env=dict(environment),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(2, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one ioctl, no lock held
        )
        os.close(slave)
        if stdin is not None and self._process.stdin:
            self._process.stdin.write(stdin)
            self._process.stdin.close()
        self.raw = b""
        self._seen = 0

    @property
    def screen(self) -> str:
        """What a person could read so far: no escapes, line ends as \\n."""
        return _ESCAPES.sub("", self.raw.decode("utf-8", "replace")).replace("\r\n", "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(PATIENCE_S)
        os.close(self._master)

    def expect(self, text: str) -> str:
        """Wait until `text` stands on the screen, after all that was expected before; the screen up to there."""
        assert self.watch_for(text), f"{text!r} never came; the screen:\n{self.screen}"
        return self.screen[: self._seen]

    def watch_for(self, *texts: str) -> str | None:
        """Wait for the first of `texts`, after all that was expected before; None when the command ends instead."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            rest = self.screen[self._seen :]
            found = min(((rest.index(text), text) for text in texts if text in rest), default=None)
            if found:
                self._seen += found[0] + len(found[1])
                return found[1]
            if not self._read(deadline):
                return None

    def type(self, line: str) -> None:
        self.press(f"{line}\n".encode())

    def press(self, keys: bytes) -> None:
        """Without Return: b"\\x03" is Ctrl-C, b"\\x04" Ctrl-D."""
        os.write(self._master, keys)

    def answer(self, question: str, line: str) -> None:
        self.expect(question)
        self.type(line)

    def suspend_and_resume(self) -> None:
        """Ctrl-Z and fg: between them the shell puts its own settings back."""
        os.kill(self._process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)
        settings = termios.tcgetattr(self._master)
        settings[3] |= termios.ECHO
        termios.tcsetattr(self._master, termios.TCSANOW, settings)
        os.kill(self._process.pid, signal.SIGCONT)

    @property
    def echoes(self) -> bool:
        """Does the terminal show what is typed?"""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    def end(self) -> int:
        """Read on until the command ends; its exit status."""
        deadline = time.monotonic() + PATIENCE_S
        while self._read(deadline):
            pass
        return self._process.wait(PATIENCE_S)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"nothing more came within {PATIENCE_S:.0f} s; the screen:\n{self.screen}"
        data = b""
        with contextlib.suppress(OSError):  # EIO: nobody has the other end open any more
            data = os.read(self._master, 65536)
        self.raw += data
        return bool(data)
