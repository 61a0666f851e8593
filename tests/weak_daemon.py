# SPDX-License-Identifier: Apache-2.0
"""The daemon as it is, with a key derivation that costs tests nothing: the same `daemon.run`, the same exec of itself.

The weak bounds enter through the constructor arguments that exist for this; nothing that a user can set reaches them.
Run: python -I tests/weak_daemon.py [--home DIR]
"""

import sys

from vaultd.edge import harden

harden.harden()

from vaultd import daemon  # noqa: E402 - hardened first, as in vaultd.__main__
from vaultd.core.envelope import KdfBounds, KdfCost  # noqa: E402
from vaultd.wire.errors import VaultError  # noqa: E402

COST = KdfCost(memory_kib=64, passes=2)
BOUNDS = KdfBounds(
    min_memory_kib=64,
    max_memory_kib=128 * 1024,
    min_passes=1,
    max_passes=16,
    max_lanes=4,
    max_work_kib=4096 * 1024,
)

if __name__ == "__main__":
    home = sys.argv[2] if sys.argv[1:2] == ["--home"] else None
    try:
        sys.exit(daemon.run(home, bounds=BOUNDS, cost=COST, argv=[sys.executable, "-I", *sys.argv]))
    except VaultError as error:
        sys.stderr.write(f"vaultd: {error.line}\n")
        sys.exit(error.exit_status)
