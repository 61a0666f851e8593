# SPDX-License-Identifier: Apache-2.0
"""Which rights can be asked for without a change to anything, and how.

IAM looks for the right first: who lacks it hears AccessDenied, who has it NoSuchEntity for what was never there. What
cannot be asked like that (making a key, writing a tag or a policy) is known when it is done.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from vaultd.core.sessions import Credentials

Right = Literal["proven", "missing", "unknown"]

#: 0 is no digit of the ids that IAM gives out.
_NEVER_ISSUED = "AKIA0000000000000000"
#: What each asks beyond the user's name.
_PROBES: Final[Mapping[str, Mapping[str, object]]] = MappingProxyType(
    {
        "iam:ListAccessKeys": {"MaxItems": 1},
        "iam:UpdateAccessKey": {"AccessKeyId": _NEVER_ISSUED, "Status": "Inactive"},
        "iam:DeleteAccessKey": {"AccessKeyId": _NEVER_ISSUED},
        "iam:ListUserTags": {"MaxItems": 1},
    }
)


def parameters(action: str, user_name: str, credentials: Credentials) -> Mapping[str, object] | None:
    """What to call this action with, written as in policies; None when it cannot be asked for without a change."""
    if action == "cloudtrail:LookupEvents":
        return {"MaxResults": 1}
    if action == "iam:GetAccessKeyLastUsed":
        # Of a session's key IAM says the same to everybody.
        return None if credentials.session_token else {"AccessKeyId": credentials.access_key_id}
    found = _PROBES.get(action)
    return {"UserName": user_name, **found} if found else None
