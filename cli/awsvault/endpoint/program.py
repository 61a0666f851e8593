# SPDX-License-Identifier: Apache-2.0
"""Tells when the program that an endpoint serves has ended, however it ended. The only place that differs by platform.

A pid could be somebody else's by the time it is looked at; a pidfd is the process itself, whatever it executes.
"""

import os
import select
import sys


def handle() -> int:
    """A descriptor for this very process, to be handed to `watch` in another one."""
    if sys.platform != "linux":  # not run on macOS
        reader, writer = os.pipe()
        os.write(writer, b"%d" % os.getpid())
        os.close(writer)
        return reader
    return os.pidfd_open(os.getpid())


def watch(handle: int) -> int:
    """A descriptor that becomes readable when that process has ended."""
    if sys.platform != "linux":  # not run on macOS
        queue = select.kqueue()
        end = select.kevent(
            int(os.read(handle, 20)), select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT
        )
        queue.control([end], 0)
        return os.dup(queue.fileno())
    return handle
