# SPDX-License-Identifier: Apache-2.0
"""weak_daemon.py that makes nothing ready for AWS: importing botocore costs more than all that most tests ask of a daemon.

AWS can be asked all the same, as in the moment before a real one is ready. Run: python -I tests/cold_daemon.py [--home DIR]
"""

from pathlib import Path

from vaultd.edge import harden

harden.harden()

from vaultd.edge.aws import Aws  # noqa: E402 - hardened first, as in vaultd.__main__

Aws.warm_up = lambda self: None  # type: ignore[method-assign]

ENTRY = Path(__file__).with_name("weak_daemon.py")
exec(compile(ENTRY.read_text("utf-8"), str(ENTRY), "exec"))
