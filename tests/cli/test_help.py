# SPDX-License-Identifier: Apache-2.0
"""What `awsvault help` gives to be copied is what it says."""

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest

from awsvault.commands.help import TOPICS
from vaultd.core import preflight


def policy() -> list[dict[str, Any]]:
    """Its statements."""
    text = TOPICS["rotate"]
    document, _ = json.JSONDecoder().raw_decode(text[text.index("{") :])
    return list(document["Statement"])


def test_the_policy_for_rotations_allows_what_they_ask_for() -> None:
    allowed = {action for statement in policy() for action in statement["Action"]}
    asked = {*preflight.NEEDED, preflight.WATCHING, *preflight.HELPFUL}
    assert allowed == asked | {"iam:ListAttachedUserPolicies"}, "the last is for the reminder of a quarantine"


@pytest.mark.parametrize(
    ("user", "is_own"), [("alice", True), ("team/a/alice", True), ("malice", False), ("alice/bob", False)]
)
def test_the_policy_for_rotations_is_about_the_own_user_only(user: str, *, is_own: bool) -> None:
    """IAM's `*` goes over slashes, as here."""
    patterns = {pattern for statement in policy()[:2] for pattern in statement["Resource"]}
    arn = f"arn:aws:iam::123456789012:user/{user}"
    assert is_own == any(
        fnmatchcase(arn, pattern.replace("${aws:username}", "alice")) for pattern in patterns
    )
