# SPDX-License-Identifier: Apache-2.0
"""How often what can only be repeated is repeated: `make torture` has the time that `make test` has not."""

import os


def times(often: int, seldom: int) -> int:
    """`often` under `make torture`, else `seldom`."""
    return often if os.environ.get("TORTURE") == "1" else seldom
