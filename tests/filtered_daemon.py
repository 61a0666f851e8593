# SPDX-License-Identifier: Apache-2.0
"""The daemon of weak_daemon.py behind a system call filter and without writable code, as its systemd unit has it.

Run: python -I tests/filtered_daemon.py FILE [--home DIR]; FILE names one allowed system call a line, others get EPERM.
"""

import ctypes
import ctypes.util
import errno
import os
import sys
from pathlib import Path

ALLOW = 0x7FFF0000  # linux/seccomp.h
REFUSE = 0x00050000 | errno.EPERM
PR_SET_NO_NEW_PRIVS, PR_SET_MDWE = (
    38,
    65,
)  # linux/prctl.h; the second is what MemoryDenyWriteExecute= comes to


def confine(calls: list[str]) -> None:
    """For this process and all that come from it: only `calls`, and no memory both writable and executable."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(PR_SET_MDWE, 1, 0, 0, 0)  # an older kernel lacks it: the filter alone is worth the test
    seccomp = ctypes.CDLL(ctypes.util.find_library("seccomp"))
    seccomp.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(seccomp.seccomp_init(REFUSE))
    for call in calls:
        number = seccomp.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:  # else another architecture's
            seccomp.seccomp_rule_add(rules, ALLOW, number, 0)
    if seccomp.seccomp_load(rules) != 0:
        sys.exit("the filter cannot be loaded")


if __name__ == "__main__":
    confine(Path(sys.argv[1]).read_text().split())
    entry = Path(__file__).with_name("weak_daemon.py")
    os.execv(sys.executable, [sys.executable, "-I", str(entry), *sys.argv[2:]])
