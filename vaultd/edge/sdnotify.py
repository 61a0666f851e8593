# SPDX-License-Identifier: Apache-2.0
"""Tell the service manager how we are: sd_notify(3) over a datagram socket. Silent where nobody listens."""

import os
import socket


def notify(*lines: str) -> None:
    """Send e.g. READY=1, STATUS=..., STOPPING=1, WATCHDOG=1."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.connect(address)
            sock.send("\n".join(lines).encode())
    except OSError:
        pass  # a manager that went away must not take the keys with it


def watchdog_period_s() -> float | None:
    """How often to say WATCHDOG=1 (half of what the manager allows), None when it does not watch."""
    if os.environ.get("WATCHDOG_PID") not in (None, str(os.getpid())):
        return None
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 2e6 if microseconds.isdigit() and int(microseconds) > 0 else None
