# SPDX-License-Identifier: Apache-2.0
"""The policies on a user that awsvault writes or looks for: the end of older sessions, and AWS's quarantine."""

import json
import re
from datetime import UTC, datetime
from typing import Final

#: The name of the inline policy; writing it again replaces it.
DENIAL: Final = "awsvault-deny-older-sessions"

#: AWS attaches it to the user of a key that it found in public. V2, V3 and V4 followed; all begin alike.
_QUARANTINE = re.compile(
    r"arn:aws[a-z-]{0,20}:iam::aws:policy/AWSCompromisedKeyQuarantine[A-Za-z0-9]{0,16}\Z"
)


def denial(before: datetime) -> str:
    """The document that ends every session issued before this moment.

    Long-term keys have no aws:TokenIssueTime, so it leaves their own requests alone; it does not reach the sessions of
    roles, which are not the user's (IAM User Guide, "Disabling permissions for temporary security credentials").
    """
    moment = before.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    statement = {
        "Effect": "Deny",
        "Action": "*",
        "Resource": "*",
        "Condition": {"DateLessThan": {"aws:TokenIssueTime": moment}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, separators=(",", ":"))


def is_quarantine(policy_arn: str) -> bool:
    return _QUARANTINE.match(policy_arn) is not None
