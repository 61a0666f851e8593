# SPDX-License-Identifier: Apache-2.0
"""Asks the person at the terminal; never anybody else. It must not know what is asked or why.

Questions go to /dev/tty, so that stdout stays the answer and a pipe on stdin stays data. Without a terminal nothing
is asked: whoever needs an answer checks `available()` first and names the flag that gives it.
"""

import contextlib
import os
import signal
import sys
import termios
from collections.abc import Iterator
from types import FrameType

from vaultd.wire.errors import Usage

LINE_LIMIT = 4095  # bytes: what the kernel's line editor keeps (N_TTY_BUF_SIZE)
_LOCAL_FLAGS = 3  # index in what termios.tcgetattr returns


def available() -> bool:
    """Is a person there? /dev/tty alone does not tell: a job of cron under a login, or a test, may have one."""
    if not any(stream and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def tell(text: str) -> None:
    """Show text on the terminal only: it is in no pipe, file or log, wherever stdout and stderr go."""
    with _terminal() as tty:
        _write(tty, text)


def ask(question: str) -> str:
    """One line, echoed. Raises EOFError on Ctrl-D, KeyboardInterrupt on Ctrl-C."""
    with _terminal() as tty:
        _write(tty, question)
        return _read_line(tty)


def ask_secret(question: str) -> str:
    """One line that the terminal does not show. What was typed before the question stood there is discarded."""
    with _terminal() as tty, _no_echo(tty):
        _write(tty, question)  # after the echo is off: who answers at once is not shown
        try:
            return _read_line(tty)
        finally:
            _write(tty, "\n")


def confirm(question: str, *, default: bool) -> bool:
    """Yes or no; Return means the default, anything else is asked again."""
    while True:
        answer = ask(f"{question} [{'Y/n' if default else 'y/N'}] ").strip().lower()
        if answer in ("y", "yes", "n", "no"):
            return answer[0] == "y"
        if not answer:
            return default


def must_type(expected: str, question: str) -> None:
    """Go on only when the person types `expected` itself. Raises Usage."""
    if ask(f"{question} ").strip() != expected:
        raise Usage("not confirmed; nothing was changed", hint="")


@contextlib.contextmanager
def _terminal() -> Iterator[int]:
    tty = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        yield tty
    finally:
        os.close(tty)


@contextlib.contextmanager
def _no_echo(tty: int) -> Iterator[None]:
    before = termios.tcgetattr(tty)
    quiet = [*before]
    quiet[_LOCAL_FLAGS] &= ~(termios.ECHO | termios.ECHONL)

    def again(_number: int, _frame: FrameType | None) -> None:
        """After Ctrl-Z and fg the shell has put its own settings back."""
        termios.tcsetattr(tty, termios.TCSADRAIN, quiet)

    resumed = signal.signal(signal.SIGCONT, again)
    termios.tcsetattr(tty, termios.TCSAFLUSH, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(tty, termios.TCSADRAIN, before)
        signal.signal(signal.SIGCONT, resumed)


def _write(tty: int, text: str) -> None:
    data = text.encode("ascii", "replace")
    while data:
        data = data[os.write(tty, data) :]


def _read_line(tty: int) -> str:
    """Up to the line end. Ctrl-D on an empty line is EOFError."""
    typed = b""
    while not typed.endswith(b"\n"):
        chunk = os.read(tty, LINE_LIMIT + 1)
        if not chunk:
            raise EOFError
        typed += chunk
    try:
        return typed[:-1].decode()
    except UnicodeDecodeError:
        raise Usage("what was typed is not UTF-8", hint="") from None
