# SPDX-License-Identifier: Apache-2.0
"""A person at a terminal: a real pty, a command in it, eyes that wait for a text and hands that type."""

import errno
import os
import pty
import re
import select
import signal
import time
from collections.abc import Mapping, Sequence
from typing import Self

PATIENCE_S = 30.0  # only ever waited out by a test that fails
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")


class Terminal:
    """Runs `argv` with a terminal of its own as its controlling one; `seen` is what a person could read so far."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], *, columns: int = 120) -> None:
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.environ.clear()
            os.environ.update(environment, TERM="xterm-256color", COLUMNS=str(columns), LINES="50")
            try:
                os.execvpe(argv[0], list(argv), os.environ)
            finally:
                os._exit(127)
        self._raw = b""
        self._read_to = 0
        self.status: int | None = None

    @property
    def seen(self) -> str:
        return _ESCAPES.sub("", self._raw.decode("utf-8", "replace"))

    def expect(self, *texts: str) -> str:
        """Wait until one of `texts` appears after what was expected before; which one it was."""
        found = self.watch_for(*texts)
        if found is None:
            raise AssertionError(f"{texts} did not appear in: {self.seen}")
        return found

    def watch_for(self, *texts: str) -> str | None:
        """As `expect`; None when the program ends first."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            rest = self.seen[self._read_to :]
            found = [(rest.index(text), text) for text in texts if text in rest]
            if found:
                at, text = min(found)
                self._read_to += at + len(text)
                return text
            if not self._more(deadline):
                return None

    def type(self, text: str, *, enter: bool = True) -> None:
        os.write(self._fd, text.encode() + (b"\r" if enter else b""))

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.write(self._fd, b"\x03")

    def finish(self) -> int:
        """Wait for the end; the exit status, negative for a signal."""
        deadline = time.monotonic() + PATIENCE_S
        while self._more(deadline):
            pass
        self._reap()
        assert self.status is not None
        return self.status

    def _more(self, deadline: float) -> bool:
        """Read what there is; False at the end of the program, AssertionError when it takes too long."""
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self._fd], [], [], left)[0]:
            os.kill(self._pid, signal.SIGKILL)
            self._reap()
            raise AssertionError(f"still running after {PATIENCE_S:.0f} s: {self.seen}")
        try:
            data = os.read(self._fd, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # how Linux says that the other end is closed
                raise
            data = b""
        self._raw += data
        return bool(data)

    def _reap(self) -> None:
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
            os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.status is None:
            os.kill(self._pid, signal.SIGKILL)
            self._reap()
