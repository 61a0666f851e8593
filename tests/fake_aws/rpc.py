# SPDX-License-Identifier: Apache-2.0
"""AWS's JSON protocol, which CloudTrail speaks: a request as the Query protocol would have it, and the answer."""

import json
from collections.abc import Iterator, Mapping

from tests.fake_aws.sigv4 import Rejected, Request

TARGET = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101."
CONTENT_TYPE = "application/x-amz-json-1.1"

#: What the services of this protocol call the refusals that all share.
_CODES = {
    "AccessDenied": "AccessDeniedException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "ExpiredToken": "ExpiredTokenException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
}


def speaks(request: Request) -> bool:
    return request.header("x-amz-target").startswith(TARGET)


def parameters(request: Request) -> Mapping[str, str]:
    """Flat: the second attribute's key is LookupAttributes.member.2.AttributeKey."""
    try:
        asked = json.loads(request.body)
    except ValueError:
        asked = {}
    action = request.header("x-amz-target").removeprefix(TARGET)
    return {"Action": action, **dict(_flat("", asked))}


def headers(request_id: str) -> dict[str, str]:
    return {"Content-Type": CONTENT_TYPE, "x-amzn-RequestId": request_id}


def error(refusal: Rejected) -> str:
    return json.dumps({"__type": _CODES.get(refusal.code, refusal.code), "message": refusal.message})


def _flat(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else key, inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value, 1):
            yield from _flat(f"{name}.member.{number}", inner)
    elif value is not None:
        yield name, str(value)
