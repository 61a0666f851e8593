# SPDX-License-Identifier: Apache-2.0
"""How every failure ends: one line on stderr and an exit status, never a traceback, which may hold a secret.

Loaded by every command but `get`, the quick way to `exec` included: it must not import what is slow to start.
"""

import os

from awsvault import output
from vaultd.wire.errors import VaultError

INTERRUPTED = 130


def end(error: BaseException) -> int:
    """Say what went wrong; the exit status that belongs to it."""
    if isinstance(error, VaultError):
        return _say(error.line, error.exit_status)
    if isinstance(error, EOFError | KeyboardInterrupt):
        return INTERRUPTED  # who pressed Ctrl-C or Ctrl-D knows
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains when it ends
        return 1
    return _say(f"unexpected {type(error).__name__} at {_place(error)}; please report this line", 1)


def _say(line: str, status: int) -> int:
    output.say(f"awsvault: {line}")
    return status


def _place(error: BaseException) -> str:
    """Where it was raised, and nothing of what was in hand there."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else "?"
