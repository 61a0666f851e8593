# SPDX-License-Identifier: Apache-2.0
"""Forked children that may be killed at any moment: a fresh interpreter for each would take minutes."""

import os
import sys
import traceback
from collections.abc import Callable


def in_child(action: Callable[[], object]) -> int:
    """Run `action` in a forked child; its exit code, or the negated signal that ended it. 1 for an exception."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            action()
            code = 0
        except BaseException:  # noqa: BLE001 - whatever it is, the child must not go on as a second pytest
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
