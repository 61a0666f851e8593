# SPDX-License-Identifier: Apache-2.0
"""A program that uses boto3 as programs do: for every line of stdin it asks who it is, and prints its ARN, or what went wrong.

The profile is its argument's, or the environment's.
"""

import functools
import sys
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError


@functools.cache
def client(profile: str | None) -> Any:
    """It has its first credentials when it is made."""
    return boto3.Session(profile_name=profile).client("sts")


profile = sys.argv[1] if len(sys.argv) > 1 else None
for _line in sys.stdin:
    try:
        print(client(profile).get_caller_identity()["Arn"], flush=True)
    except (BotoCoreError, ClientError) as error:
        print("error:", str(error).replace("\n", " "), flush=True)
