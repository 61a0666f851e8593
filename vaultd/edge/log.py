# SPDX-License-Identifier: Apache-2.0
"""What the daemon tells its operator: one printable line each on stderr, which is the journal under systemd.

Never a secret, never raw input. Started by `awsvault unlock` nobody reads stderr after READY, so it goes to a file.
"""

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaultd.wire.errors import printable


def say(text: str) -> None:
    try:
        sys.stderr.write(f"vaultd: {printable(text)}\n")
        sys.stderr.flush()
    except OSError:
        pass  # a full disk or a reader that went away must not stop a lock


def place(error: BaseException) -> str:
    """Where it was raised; not what it says, which may quote a secret."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace else "an unknown place"


def say_unexpected(_loop: object, context: Mapping[str, Any]) -> None:
    """The event loop's exception handler, in place of asyncio's own, which prints what the exception says."""
    error = context.get("exception")
    say(
        f"unexpected {type(error).__name__} at {place(error)}"
        if error
        else "unexpected trouble in the event loop"
    )


def move_to_file(path: Path) -> None:
    """Append to `path` (0600) from now on when stderr is /dev/null or a pipe; a terminal, file or journal stays."""
    mode = os.fstat(2).st_mode
    if not (stat.S_ISFIFO(mode) or (stat.S_ISCHR(mode) and not os.isatty(2))):
        return
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return  # without a log, but with the keys
    os.dup2(fd, 2, inheritable=True)
    os.close(fd)
