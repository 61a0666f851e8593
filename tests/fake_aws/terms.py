# SPDX-License-Identifier: Apache-2.0
"""The terms of a session as a caller asks for them: how long, named how, narrowed and tagged by what."""

import json
import re
from collections.abc import Mapping

from tests.fake_aws.books import Terms
from tests.fake_aws.query import Ask, members, policy_arns, tags
from tests.fake_aws.sigv4 import Rejected
from tests.fake_aws.trust import inherited_tags

MAX_POLICY = 2_048
MAX_TAGS = 50


def read(parameters: Mapping[str, str]) -> Terms:
    """What a request asks for, before anybody judges it."""
    length = parameters.get("DurationSeconds") or parameters.get("SessionDuration", "")
    return Terms(
        role_arn=parameters.get("RoleArn"),
        session_name=parameters.get("RoleSessionName") or parameters.get("Name"),
        duration_s=int(length) if length.isdecimal() else None,
        external_id=parameters.get("ExternalId"),
        tags=dict(tags(parameters)),
        transitive_tags=tuple(members(parameters, "TransitiveTagKeys")),
        source_identity=parameters.get("SourceIdentity"),
        policy=parameters.get("Policy"),
        policy_arns=tuple(policy_arns(parameters)),
        mfa_serial=parameters.get("SerialNumber"),
    )


def seconds(parameters: Mapping[str, str], default: int, low: int, high: int) -> int:
    text = parameters.get("DurationSeconds", str(default))
    length = int(text) if text.isdecimal() else 0
    if length < low:
        raise _invalid(text, "durationSeconds", f"Member must have value greater than or equal to {low}")
    if length > high:
        raise _invalid(text, "durationSeconds", f"Member must have value less than or equal to {high}")
    return length


def check_text(parameters: Mapping[str, str], name: str, pattern: str, low: int, high: int) -> str:
    text = parameters.get(name, "")
    field = name[0].lower() + name[1:]
    if not low <= len(text) <= high:
        raise _invalid(text, field, f"Member must have length between {low} and {high}")
    if not re.fullmatch(pattern, text, re.ASCII):
        raise _invalid(text, field, f"Member must satisfy regular expression pattern: {pattern}")
    return text


def packed_percent(ask: Ask) -> int:
    """How much of the room for policies and tags this session takes. AWS packs them in a way that it does not tell."""
    policy = ask.parameters.get("Policy", "")
    if policy:
        _check_policy(policy)
    arns, given = policy_arns(ask.parameters), tags(ask.parameters)
    size = len(policy) + sum(map(len, arns)) + sum(len(key) + len(value) for key, value in given)
    percent = -(-size * 100 // ask.world.packed_bytes)
    if percent > 100:
        raise Rejected(
            400,
            "PackedPolicyTooLarge",
            f"Packed policy consumes {percent}% of allotted space, please use smaller policy.",
        )
    return percent


def transitive_tags(ask: Ask) -> frozenset[str]:
    """The keys of the tags that the next role in a chain gets too."""
    given, transitive = tags(ask.parameters), members(ask.parameters, "TransitiveTagKeys")
    if len(given) > MAX_TAGS:
        raise _invalid("[...]", "tags", f"Member must have length less than or equal to {MAX_TAGS}")
    inherited = inherited_tags(ask.signed_by)
    if len({key.lower() for key, _ in given} | {key.lower() for key in inherited}) < len(given) + len(
        inherited
    ):
        raise Rejected(
            400,
            "InvalidParameterValue",
            "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
        )
    if not set(transitive) <= {key for key, _ in given}:
        raise Rejected(
            400,
            "ValidationError",
            "The specified transitive tag key must be included in the requested tags.",
        )
    return frozenset(transitive) | frozenset(inherited)


def _check_policy(policy: str) -> None:
    if len(policy) > MAX_POLICY:
        raise _invalid("...", "policy", f"Member must have length less than or equal to {MAX_POLICY}")
    try:
        document = json.loads(policy)
    except ValueError:
        raise Rejected(
            400, "MalformedPolicyDocument", "The policy is not in the valid JSON format."
        ) from None
    if not isinstance(document, dict) or "Statement" not in document:
        raise Rejected(400, "MalformedPolicyDocument", "Syntax errors in policy.")


def _invalid(value: str, field: str, constraint: str) -> Rejected:
    said = f"Value '{value}' at '{field}' failed to satisfy constraint: {constraint}"
    return Rejected(400, "ValidationError", f"1 validation error detected: {said}")
