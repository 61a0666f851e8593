# SPDX-License-Identifier: Apache-2.0
"""A program of somebody else's SDK that runs for hours, on a machine whose hours the test passes."""

import subprocess
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Literal

from tests.daemons import AWSVAULT
from tests.scenarios.vault_at_aws import REGION, open_stage

Way = Literal["endpoint", "hook"]

ALICE = "arn:aws:iam::123456789012:user/alice"
SESSION_S = 3_600
EXPIRIES = 3

#: The daemon's wall clock, put forward by the file `shift` beside its home.
PREAMBLE = """
import os, sys
from datetime import timedelta
from vaultd import daemon
from vaultd.edge import clock
path = os.path.join(os.path.dirname(sys.argv[-1]), "shift")
def shifted():
    with open(path) as file:
        return clock.now() + timedelta(seconds=int(file.read()))
daemon.Clock = lambda: clock.Clock(now=shifted)
"""


def live_through_expiries(program: Sequence[str], way: Way, extra: Mapping[str, str] | None = None) -> None:
    """Nothing that it asks of AWS fails, and after each expiry it uses another session.

    For every line that it reads it prints its ARN and its access key id. `AWS` is the URL of its AWS; `SHIFT` names a
    file with the seconds by which its clock, like the daemon's and AWS's, is to be put forward.
    """
    with open_stage(f'[session]\nduration = "{SESSION_S}s"\n', preamble=PREAMBLE) as stage:
        stage.aws.tolerates_skew = True  # for SDKs that go on signing with the true clock
        shift = stage.daemon.home.parent / "shift"
        config = stage.daemon.home.parent / "u/config"
        hook = f"credential_process = {AWSVAULT} --home {stage.daemon.home} get dev"
        config.write_text(f"[profile dev]\n{hook}\nregion = {REGION}\n" if way == "hook" else "")
        environment = {
            "AWS": stage.aws.url,
            "SHIFT": str(shift),
            "AWS_CONFIG_FILE": str(config),
            "AWS_EC2_METADATA_DISABLED": "true",
            **({"AWS_PROFILE": "dev"} if way == "hook" else {}),
            **(extra or {}),
        }
        under = [str(AWSVAULT), "exec", "--server", "dev", "--"] if way == "endpoint" else []
        with subprocess.Popen(
            [*under, *program],
            env=stage.environment(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin
            assert process.stdout
            used = set()
            for expired in range(EXPIRIES + 1):
                shift.write_text(str(expired * SESSION_S), "ascii")
                stage.aws.clock.offset = timedelta(seconds=expired * SESSION_S)
                for _ in range(2):
                    print("who", file=process.stdin, flush=True)
                    arn, key_id = process.stdout.readline().split()
                    assert ALICE == arn
                    used.add(key_id)
            process.stdin.close()
            assert 0 == process.wait(20)
        assert EXPIRIES + 1 == len(used)
        assert {"ok"} == {call.outcome for call in stage.aws.calls("GetCallerIdentity")}
