# SPDX-License-Identifier: Apache-2.0
"""The operation `probe`: can STS be reached from here, and does this machine's clock agree with its own?"""

import asyncio

from vaultd.edge.calls import Call
from vaultd.edge.service import Service
from vaultd.wire.protocol import Frame


async def probe(service: Service, call: Call) -> Frame:
    """Only for an open vault: which way leads to AWS was confirmed when it was opened."""
    host, error = await asyncio.to_thread(service.aws.clock_error, call["region"])
    return {"host": host, "clock_error_s": round(error.total_seconds())}
