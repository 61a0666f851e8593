# SPDX-License-Identifier: Apache-2.0
"""The policy language as far as it is needed to say no: whom a document denies what.

A document that asks for more than is known here is refused as malformed, so that no test passes on a policy that was
not understood.
"""

import json
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from tests.fake_aws.sigv4 import Rejected
from tests.fake_aws.world import IssuedSession, Signer

MAX_INLINE = 2048  # characters of all inline policies of one user, white space not counted

#: What AWS attaches to the user of a key that it found in public (V3), as far as this server has the actions.
QUARANTINE = "AWSCompromisedKeyQuarantineV3"
_QUARANTINED = ["cloudtrail:LookupEvents", "iam:CreateAccessKey", "iam:PutUserPolicy", "iam:UpdateAccessKey"]
#: Nothing without MFA but what leads to MFA.
NEEDS_MFA = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Deny",
            "NotAction": ["sts:GetSessionToken", "iam:GetUser"],
            "Resource": "*",
            "Condition": {"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}},
        },
    }
)

_KNOWN = {"Sid", "Effect", "Action", "NotAction", "Resource", "Condition"}


def managed(arn: str) -> str:
    """The document of a policy of AWS's own; those that deny nothing here are empty."""
    actions = _QUARANTINED if arn.endswith(f":policy/{QUARANTINE}") else []
    return json.dumps({"Statement": [{"Effect": "Deny", "Action": actions, "Resource": "*"}]})


def check(document: str) -> None:
    """Raises Rejected for what this server would not obey to the letter."""
    for statement in _statements(document):
        effect, actions = statement.get("Effect"), _list(statement.get("Action", statement.get("NotAction")))
        is_known = (
            set(statement) <= _KNOWN and effect in ("Allow", "Deny") and statement.get("Resource") == "*"
        )
        if not is_known or ("Action" in statement) == ("NotAction" in statement) or not actions:
            raise _malformed("Syntax errors in policy.")
        for operator, tests in statement.get("Condition", {}).items():
            for key, value in tests.items():
                _holds(operator, key, value, None)


def denies(document: str, permission: str, signer: Signer) -> bool:
    """Allow statements grant nothing here: whoever is not denied may."""
    return any(_denies(statement, permission, signer) for statement in _statements(document))


def _denies(statement: dict[str, Any], permission: str, signer: Signer) -> bool:
    listed = _list(statement.get("Action", statement.get("NotAction")))
    is_listed = any(fnmatchcase(permission.lower(), pattern.lower()) for pattern in listed)
    tests = [
        _holds(operator, key, value, signer)
        for operator, inner in statement.get("Condition", {}).items()
        for key, value in inner.items()
    ]
    return statement["Effect"] == "Deny" and is_listed == ("Action" in statement) and all(tests)


def _holds(operator: str, key: str, value: str, signer: Signer | None) -> bool:
    """A long-term key has neither of the two condition keys."""
    session = signer if isinstance(signer, IssuedSession) else None
    if (operator, key) == ("DateLessThan", "aws:TokenIssueTime"):
        moment = _moment(value)
        return session is not None and session.issued_at < moment
    if (
        key == "aws:MultiFactorAuthPresent"
        and operator in ("Bool", "BoolIfExists")
        and value in ("true", "false")
    ):
        return session.mfa == (value == "true") if session else operator == "BoolIfExists"
    raise _malformed(f"This server does not know the condition {operator} {key} {value}.")


def _statements(document: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(document)["Statement"]
    except (ValueError, LookupError, TypeError):
        raise _malformed("The policy is not in the valid JSON format.") from None
    return found if isinstance(found, list) else [found]


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise _malformed(f"{text} is not a date.") from None
    if found.tzinfo is None:
        raise _malformed(f"{text} has no time zone.")
    return found


def _list(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) else value or []


def _malformed(message: str) -> Rejected:
    return Rejected(400, "MalformedPolicyDocument", message)
