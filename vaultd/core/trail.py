# SPDX-License-Identifier: Apache-2.0
"""CloudTrail's proof of who made a key: a CreateAccessKey whose user agent carries the nonce of one of our runs.

An event is what its caller sent, user agent included: untrusted, and somebody else's as a rule. One that is not read
without doubt proves nothing; it does not spoil the others.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from vaultd.core.keys import ACCESS_KEY_ID

EVENT_NAME = "CreateAccessKey"
MAX_EVENT = 1 << 20  # characters; CloudTrail's own limit is 256 KB

_NONCE = re.compile(r"[0-9a-f]{16,64}\Z")


def word(nonce: str) -> str:
    """What stands in the user agent. Raises ValueError for a nonce that could not be told from other words there."""
    if not _NONCE.match(nonce):
        raise ValueError("not a nonce")
    return f"awsvault/{nonce}"


def page(reply: Mapping[str, Any], nonce: str) -> tuple[list[str], str | None]:
    """The ids of the keys that one page of LookupEvents proves to be of this run, and the token of the next page."""
    token = reply.get("NextToken")
    if token is not None and not isinstance(token, str):
        raise TypeError("not a token")
    made = [_key_made(event, word(nonce)) for event in reply["Events"]]
    return [key_id for key_id in made if key_id], token or None


def _key_made(event: Mapping[str, Any], ours: str) -> str | None:
    try:
        said = _parse(event["CloudTrailEvent"])
        if (said["eventSource"], said["eventName"]) != ("iam.amazonaws.com", EVENT_NAME):
            return None
        if said.get("errorCode") is not None or ours not in _words(said["userAgent"]):
            return None
        key_id: str = said["responseElements"]["accessKey"]["accessKeyId"]
        return key_id if ACCESS_KEY_ID.match(key_id) else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _parse(text: str) -> dict[str, Any]:
    if len(text) > MAX_EVENT:
        raise ValueError("too long")
    said = json.loads(text, object_pairs_hook=_unique)
    if not isinstance(said, dict):
        raise TypeError("not an event")
    return said


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers of one event must not see two different keys."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _words(agent: str) -> list[str]:
    """CloudTrail puts the user agents of some callers in brackets."""
    bare = agent[1:-1] if agent.startswith("[") and agent.endswith("]") else agent
    return bare.split(" ")
