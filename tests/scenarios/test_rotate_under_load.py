# SPDX-License-Identifier: Apache-2.0
"""A rotation to its very end under programs that never stop asking: not one request fails."""

import sys

from tests.live_clients import LANES, live_through_a_rotation
from tests.scenarios.diary import open_diary

#: Two clients that live as long as the program, with botocore's clock put forward as everybody else's.
PROGRAM = """
import os, sys
from datetime import timedelta
import boto3
sts = boto3.client("sts", endpoint_url=os.environ["AWS"])
credentials = sts._request_signer._credentials
true = credentials._time_fetcher
credentials._time_fetcher = lambda: true() + timedelta(seconds=int(open(os.environ["SHIFT"]).read()))
for line in sys.stdin:
    print(sts.get_caller_identity()["Arn"], credentials.access_key, flush=True)
"""


def test_boto3_and_twenty_aws_commands_at_a_time_notice_nothing() -> None:
    with open_diary() as diary:
        assert LANES * 2 < live_through_a_rotation(diary, [sys.executable, "-c", PROGRAM], {}, lanes=LANES)
