# SPDX-License-Identifier: Apache-2.0
"""Deriving from many threads at once ends, always with the right key.

cryptography 50.0.2 hangs for ever, or raises a false MemoryError, when two threads derive with two lanes or more: OpenSSL's
threads are one pool. In a process of its own, so that a hang is a failure and not the end of the suite.
"""

import subprocess
import sys
import textwrap

import pytest

DERIVE = """
    import os, threading
    from contextlib import nullcontext
    from vaultd.core import envelope
    from vaultd.core.envelope import KdfCost
    from vaultd.core.secret import Secret

    cost = KdfCost(8 * 1024, 1, {lanes})
    expected = envelope.derive(Secret("x"), bytes(16), cost)
    if not {lock}:
        envelope._one_derive = nullcontext()
    right = []

    def derive():
        for _ in range({rounds}):
            right.append(expected == envelope.derive(Secret("x"), bytes(16), cost))

    workers = [threading.Thread(target=derive, daemon=True) for _ in range({threads})]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join({patience_s} / {threads})
    print(sum(right), flush=True)
    os._exit(0)  # a thread that is stuck in OpenSSL would not let the interpreter end
"""


def derived_rightly(*, threads: int, lanes: int, rounds: int, lock: bool, patience_s: float) -> int:
    """How many of threads x rounds derives ended, and with the right key."""
    program = textwrap.dedent(DERIVE).format(
        threads=threads, lanes=lanes, rounds=rounds, lock=lock, patience_s=patience_s
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patience_s + 30, check=False)
    return int(done.stdout)


@pytest.mark.parametrize("lanes", [1, 4])
def test_sixteen_threads_all_derive(lanes: int) -> None:
    """Four lanes: a slot that was made elsewhere may have them."""
    assert 160 == derived_rightly(threads=16, lanes=lanes, rounds=10, lock=True, patience_s=60)


def test_without_the_lock_they_would_not() -> None:
    """The positive control. When this is skipped, the lock may have become superfluous."""
    if 80 == derived_rightly(threads=4, lanes=4, rounds=20, lock=False, patience_s=1):
        pytest.skip("this build of cryptography derives in many threads")
