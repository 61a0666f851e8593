# SPDX-License-Identifier: Apache-2.0
"""What stands on a user at the stand-in for AWS: rights, tags, policies; and when a user can be deleted."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from tests.fake_aws import AccessKey, FakeAws, User
from tests.fake_aws.asking import Said, ask, assume, refused_as

QUARANTINE = "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"


@pytest.fixture
def aws() -> Iterator[FakeAws]:
    with FakeAws() as server:
        yield server


@pytest.fixture
def alice(aws: FakeAws) -> User:
    return aws.add_user("alice")


@pytest.fixture
def key(aws: FakeAws, alice: User) -> AccessKey:
    return aws.add_key(alice)


def put(aws: FakeAws, key: AccessKey, name: str = "p", **statement: Any) -> None:
    document = json.dumps({"Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"} | statement]})
    ask(aws, key, "PutUserPolicy", UserName="alice", PolicyName=name, PolicyDocument=document)


# --- rights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "parameters"),
    [
        ("ListAccessKeys", {}),
        ("CreateAccessKey", {}),
        ("UpdateAccessKey", {"AccessKeyId": "AKIA0000000000000000", "Status": "Inactive"}),
        ("DeleteAccessKey", {"AccessKeyId": "AKIA0000000000000000"}),
        ("GetAccessKeyLastUsed", {"AccessKeyId": "AKIA0000000000000000"}),
        ("GetUser", {}),
        ("DeleteUser", {}),
        ("ListUserTags", {}),
        ("TagUser", {"Tags.member.1.Key": "a", "Tags.member.1.Value": "b"}),
        ("PutUserPolicy", {"PolicyName": "p", "PolicyDocument": "{}"}),
        ("DeleteUserPolicy", {"PolicyName": "p"}),
        ("ListAttachedUserPolicies", {}),
    ],
)
def test_each_right_can_be_taken_away_and_given_back(
    aws: FakeAws, alice: User, key: AccessKey, action: str, parameters: dict[str, Any]
) -> None:
    """What is asked for wrongly is refused as such only to who may ask."""
    aws.deny(alice, f"iam:{action}")
    with refused_as("AccessDenied", f"iam:{action} on resource: user alice"):
        ask(aws, key, action, UserName="alice", **parameters)
    aws.allow(alice, f"iam:{action}")
    with suppress(Said):
        ask(aws, key, action, UserName="alice", **parameters)
    assert aws.calls()[-1].outcome in ("ok", "NoSuchEntity", "MalformedPolicyDocument", "DeleteConflict")


def test_quarantined_key_cannot_switch_itself_off_and_can_delete_itself(
    aws: FakeAws, alice: User, key: AccessKey
) -> None:
    aws.quarantine(alice)
    assert QUARANTINE == ask(aws, key, "ListAttachedUserPolicies", UserName="alice")["PolicyArn"]
    with refused_as("AccessDenied", "with an explicit deny in an identity-based policy"):
        ask(aws, key, "UpdateAccessKey", AccessKeyId=key.access_key_id, Status="Inactive")
    with refused_as("AccessDenied"):
        ask(aws, key, "CreateAccessKey")
    ask(aws, key, "GetCallerIdentity")
    ask(aws, key, "DeleteAccessKey", AccessKeyId=key.access_key_id)


def test_user_who_needs_mfa_may_do_little_without(aws: FakeAws, alice: User, key: AccessKey) -> None:
    aws.require_mfa(alice)
    with refused_as("AccessDenied", "explicit deny"):
        ask(aws, key, "ListAccessKeys")
    for action in ("GetUser", "GetCallerIdentity", "GetSessionToken"):
        ask(aws, key, action)
    ask(aws, aws.add_session(key, mfa=True), "ListAccessKeys")


# --- inline policies ------------------------------------------------------------------------------


def test_denial_by_issue_time_ends_older_sessions_and_nothing_else(
    aws: FakeAws, alice: User, key: AccessKey
) -> None:
    role = aws.add_role("admin", alice)
    older, assumed = aws.add_session(key, mfa=True), assume(aws, key, role)
    aws.tolerates_skew = True
    aws.clock.advance(timedelta(minutes=2))
    before = (aws.clock.now() - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    put(aws, key, Condition={"DateLessThan": {"aws:TokenIssueTime": before}})
    with refused_as("AccessDenied", "explicit deny"):
        ask(aws, older, "ListAccessKeys")
    ask(aws, older, "GetCallerIdentity")  # no policy can deny it
    ask(aws, aws.add_session(key, mfa=True), "ListAccessKeys")
    ask(aws, key, "ListAccessKeys")
    ask(aws, assumed, "ListAccessKeys", UserName="alice")
    ask(aws, key, "DeleteUserPolicy", UserName="alice", PolicyName="p")
    ask(aws, older, "ListAccessKeys")


@pytest.mark.parametrize(
    ("actions", "denied"),
    [
        ("*", True),
        ("iam:*", True),
        ("iam:list*", True),
        (["sts:*", "iam:ListAccessKeys"], True),
        ("s3:*", False),
    ],
)
def test_actions_match_by_wildcard_in_any_case(
    aws: FakeAws, key: AccessKey, actions: object, denied: bool
) -> None:
    put(aws, key, Action=actions)
    with suppress(Said):
        ask(aws, key, "ListAccessKeys")
    assert ("AccessDenied" if denied else "ok") == aws.calls()[-1].outcome


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "deny"},
        {"Resource": "arn:aws:s3:::bucket"},
        {"Action": []},
        {"NotAction": "*"},
        {"Principal": "*"},
        {"Condition": {"DateLessThan": {"aws:CurrentTime": "2026-01-02T00:00:00Z"}}},
        {"Condition": {"DateGreaterThan": {"aws:TokenIssueTime": "2026-01-02T00:00:00Z"}}},
        {"Condition": {"DateLessThan": {"aws:TokenIssueTime": "yesterday"}}},
        {"Condition": {"DateLessThan": {"aws:TokenIssueTime": "2026-01-02T00:00:00"}}},
    ],
    ids=str,
)
def test_policy_that_would_not_be_obeyed_to_the_letter_is_refused(
    aws: FakeAws, alice: User, key: AccessKey, statement: dict[str, Any]
) -> None:
    with refused_as("MalformedPolicyDocument"):
        put(aws, key, **statement)
    assert {} == alice.policies


def test_policies_of_a_user_have_a_size_and_a_name(aws: FakeAws, alice: User, key: AccessKey) -> None:
    put(aws, key, Action=["s3:GetObject"], Sid="x" * 1000)
    with refused_as("LimitExceeded", "Maximum policy size of 2048 bytes exceeded"):
        put(aws, key, "q", Action=["s3:GetObject"], Sid="x" * 1000)
    put(aws, key, Action=["s3:GetObject"], Sid="y" * 1900)
    with refused_as("ValidationError"):
        put(aws, key, "two words", Action=["s3:GetObject"])
    with refused_as("NoSuchEntity", "The user policy with name q cannot be found"):
        ask(aws, key, "DeleteUserPolicy", UserName="alice", PolicyName="q")
    assert ["p"] == list(alice.policies)


# --- tags -----------------------------------------------------------------------------------------


def tag(aws: FakeAws, key: AccessKey, *pairs: tuple[str, str]) -> None:
    """Tag keys keep their case and do not differ by it."""
    given: dict[str, Any] = {}
    for number, (name, value) in enumerate(pairs, 1):
        given |= {f"Tags.member.{number}.Key": name, f"Tags.member.{number}.Value": value}
    ask(aws, key, "TagUser", UserName="alice", **given)


def test_tags_are_kept_and_replaced(aws: FakeAws, alice: User, key: AccessKey) -> None:
    tag(aws, key, ("awsvault-rotation", "run host 2026-11-24T03:06:38Z"), ("Owner", "caf\u00e9"))
    tag(aws, key, ("owner", ""))
    assert {"awsvault-rotation": "run host 2026-11-24T03:06:38Z", "owner": ""} == alice.tags
    told = ask(aws, key, "ListUserTags", UserName="alice")
    assert ("owner", "", "false") == (told["Key"], told["Value"], told["IsTruncated"])


@pytest.mark.parametrize(
    "pairs",
    [
        [],
        [("", "x")],
        [("k" * 129, "x")],
        [("k", "v" * 257)],
        [("k", "<b>")],
        [("k;", "v")],
        [("AWS:k", "v")],
        [("k", "v"), ("K", "v")],
    ],
    ids=str,
)
def test_tag_that_iam_does_not_take_is_refused(
    aws: FakeAws, alice: User, key: AccessKey, pairs: list[tuple[str, str]]
) -> None:
    with refused_as("InvalidInput"):
        tag(aws, key, *pairs)
    assert {} == alice.tags


def test_fifty_tags_are_the_limit(aws: FakeAws, alice: User, key: AccessKey) -> None:
    alice.tags = {f"k{number}": "" for number in range(50)}
    tag(aws, key, ("K7", "again"))
    with refused_as("LimitExceeded"):
        tag(aws, key, ("k50", ""))


# --- the end --------------------------------------------------------------------------------------


def test_user_is_deleted_when_nothing_is_left(aws: FakeAws, alice: User) -> None:
    admin = aws.add_key(aws.add_user("admin"))
    key = aws.add_key(alice)
    alice.policies["p"], alice.attached = "{}", {QUARANTINE}
    words: list[tuple[str, str, dict[str, Any]]]
    words = [("access keys", "DeleteAccessKey", {"AccessKeyId": key.access_key_id})]
    words += [("policies", "DeleteUserPolicy", {"PolicyName": "p"})]
    for what, action, parameters in words:
        with refused_as("DeleteConflict", f"Cannot delete entity, must delete {what} first"):
            ask(aws, admin, "DeleteUser", UserName="alice")
        ask(aws, admin, action, UserName="alice", **parameters)
    with refused_as("DeleteConflict", "Cannot delete entity, must detach all policies first"):
        ask(aws, admin, "DeleteUser", UserName="alice")
    alice.attached.clear()
    ask(aws, admin, "DeleteUser", UserName="alice")
    with refused_as("NoSuchEntity", "The user with name alice cannot be found"):
        ask(aws, admin, "ListUserTags", UserName="alice")
