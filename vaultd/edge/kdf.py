# SPDX-License-Identifier: Apache-2.0
"""What this machine can afford: the measurements behind core.vault.calibrate. Slow; callers use a thread."""

import os
import time
from pathlib import Path

from vaultd.core import envelope
from vaultd.core import vault as core
from vaultd.core.envelope import KdfCost


def calibrated() -> KdfCost:
    """The cost for a new passphrase slot here."""
    return core.calibrate(lambda cost: envelope.time_derive(cost, time.monotonic), available_bytes())


def available_bytes() -> int:
    """Free memory by the kernel, or what the control group leaves when that is less (MemoryMax=)."""
    limits = [_meminfo_available()]
    limits += [value for value in (_cgroup_limit(),) if value]
    return min(limits)


def _meminfo_available() -> int:
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2  # macOS: not run


def _cgroup_limit() -> int | None:
    try:
        group = Path("/proc/self/cgroup").read_text("ascii").strip().rpartition(":")[2]
        text = Path(f"/sys/fs/cgroup{group}/memory.max").read_text("ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
