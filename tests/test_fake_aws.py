# SPDX-License-Identifier: Apache-2.0
"""The stand-in for AWS says no where AWS says no: who may ask, and what becomes of keys and sessions."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests.fake_aws import AccessKey, FakeAws, User
from tests.fake_aws.asking import Said, ask, impostor

HOUR = timedelta(hours=1)


@pytest.fixture
def aws() -> Iterator[FakeAws]:
    with FakeAws() as server:
        yield server


@pytest.fixture
def alice(aws: FakeAws) -> User:
    return aws.add_user("alice", path="/staff/")


@pytest.fixture
def key(aws: FakeAws, alice: User) -> AccessKey:
    return aws.add_key(alice)


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(Said) as caught:
        yield
    assert code == caught.value.code


# --- who may ask ----------------------------------------------------------------------------------


def test_identity_of_user_session_and_root(aws: FakeAws, alice: User, key: AccessKey) -> None:
    arn = "arn:aws:iam::123456789012:user/staff/alice"
    for signer in (key, aws.add_session(key, mfa=False)):
        told = ask(aws, signer, "GetCallerIdentity")
        assert ("123456789012", arn, alice.user_id) == (told["Account"], told["Arn"], told["UserId"])
    told = ask(aws, aws.add_key(aws.add_root(account="999999999999")), "GetCallerIdentity")
    assert ("arn:aws:iam::999999999999:root", "999999999999") == (told["Arn"], told["UserId"])


def test_wrong_secret_is_refused(aws: FakeAws, key: AccessKey) -> None:
    with refused("SignatureDoesNotMatch"):
        ask(aws, impostor(key, secret="x" * 40), "GetCallerIdentity")


def test_inactive_and_deleted_keys_are_refused(aws: FakeAws, alice: User, key: AccessKey) -> None:
    other = aws.add_key(alice)
    ask(aws, key, "GetCallerIdentity")
    ask(aws, other, "UpdateAccessKey", UserName="alice", AccessKeyId=key.access_key_id, Status="Inactive")
    with refused("InvalidClientTokenId"):
        ask(aws, key, "GetCallerIdentity")
    ask(aws, other, "UpdateAccessKey", AccessKeyId=key.access_key_id, Status="Active")
    ask(aws, key, "GetCallerIdentity")
    ask(aws, other, "DeleteAccessKey", AccessKeyId=key.access_key_id)
    with refused("InvalidClientTokenId"):
        ask(aws, key, "GetCallerIdentity")


@pytest.mark.parametrize(
    ("partition", "home", "elsewhere"),
    [
        ("aws-cn", "cn-north-1", "us-east-1"),
        ("aws-us-gov", "us-gov-west-1", "cn-north-1"),
        ("aws", "us-east-1", "cn-north-1"),
    ],
)
def test_key_of_one_partition_is_unknown_to_the_others(
    aws: FakeAws, partition: str, home: str, elsewhere: str
) -> None:
    key = aws.add_key(aws.add_user("bob", partition=partition))
    assert (
        f"arn:{partition}:iam::123456789012:user/bob"
        == ask(aws, key, "GetCallerIdentity", region=home)["Arn"]
    )
    ask(aws, key, "ListAccessKeys", region=home)
    with refused("InvalidClientTokenId"):
        ask(aws, key, "GetCallerIdentity", region=elsewhere)


def test_region_that_is_not_enabled_is_refused(aws: FakeAws, key: AccessKey) -> None:
    aws.disabled_regions.add("me-south-1")
    with refused("RegionDisabledException"):
        ask(aws, key, "GetCallerIdentity", region="me-south-1")


@pytest.mark.parametrize("ahead_min", [14, -14])
def test_clock_may_be_wrong_by_fourteen_minutes(aws: FakeAws, key: AccessKey, ahead_min: int) -> None:
    aws.clock.advance(timedelta(minutes=ahead_min))
    ask(aws, key, "GetCallerIdentity")


@pytest.mark.parametrize(
    ("ahead_min", "words"), [(16, "Signature expired"), (-16, "Signature not yet current")]
)
def test_clock_wrong_by_sixteen_minutes_is_refused_and_the_date_tells(
    aws: FakeAws, key: AccessKey, ahead_min: int, words: str
) -> None:
    ahead = timedelta(minutes=ahead_min)
    aws.clock.advance(ahead)
    with pytest.raises(Said, match=f"SignatureDoesNotMatch: {words}: .* 15 min") as caught:
        ask(aws, key, "GetCallerIdentity")
    assert abs(caught.value.date - datetime.now(UTC) - ahead) < timedelta(minutes=1)


def test_session_ends_when_it_said(aws: FakeAws, key: AccessKey) -> None:
    aws.tolerates_skew = True
    made = ask(aws, key, "GetSessionToken", DurationSeconds=3600)
    session = aws.world.sessions[made["AccessKeyId"]]
    assert (session.secret, session.token) == (made["SecretAccessKey"], made["SessionToken"])
    assert (
        HOUR - timedelta(seconds=5) < datetime.fromisoformat(made["Expiration"]) - datetime.now(UTC) <= HOUR
    )
    aws.clock.advance(HOUR - timedelta(seconds=10))
    ask(aws, session, "GetCallerIdentity")
    aws.clock.advance(timedelta(seconds=20))
    with refused("ExpiredToken"):
        ask(aws, session, "GetCallerIdentity")


def test_session_needs_its_own_token(aws: FakeAws, key: AccessKey) -> None:
    session = aws.add_session(key, mfa=False)
    with refused("InvalidClientTokenId"):
        ask(aws, impostor(session, token=aws.add_session(key, mfa=False).token), "GetCallerIdentity")
    with refused("InvalidClientTokenId"):
        ask(aws, impostor(session, token=""), "GetCallerIdentity")


def test_session_outlives_the_key_that_made_it(aws: FakeAws, key: AccessKey) -> None:
    session = aws.add_session(key, mfa=False)
    ask(aws, key, "DeleteAccessKey", AccessKeyId=key.access_key_id)
    ask(aws, session, "GetCallerIdentity")


def test_session_without_mfa_may_not_call_iam(aws: FakeAws, key: AccessKey) -> None:
    with refused("InvalidClientTokenId"):
        ask(aws, aws.add_session(key, mfa=False), "GetUser")
    ask(aws, aws.add_session(key, mfa=True), "GetUser")


@pytest.mark.parametrize("mfa", [False, True])
def test_session_may_not_make_sessions(aws: FakeAws, key: AccessKey, mfa: bool) -> None:
    with refused("AccessDenied"):
        ask(aws, aws.add_session(key, mfa=mfa), "GetSessionToken")


@pytest.mark.parametrize("seconds", [899, 129601])
def test_duration_outside_the_limits_is_refused(aws: FakeAws, key: AccessKey, seconds: int) -> None:
    with refused("ValidationError"):
        ask(aws, key, "GetSessionToken", DurationSeconds=seconds)


def test_session_of_the_root_user_lives_an_hour(aws: FakeAws) -> None:
    made = ask(aws, aws.add_key(aws.add_root()), "GetSessionToken", DurationSeconds=43200)
    assert datetime.fromisoformat(made["Expiration"]) - datetime.now(UTC) <= HOUR


def test_mfa_code_is_refused_where_there_is_no_device(aws: FakeAws, key: AccessKey) -> None:
    with refused("AccessDenied"):
        ask(
            aws,
            key,
            "GetSessionToken",
            SerialNumber="arn:aws:iam::123456789012:mfa/alice",
            TokenCode="123456",
        )


@pytest.mark.parametrize("length", [350, 4096])
def test_token_is_as_long_as_asked(aws: FakeAws, key: AccessKey, length: int) -> None:
    aws.world.token_length = length
    assert length == len(ask(aws, key, "GetSessionToken")["SessionToken"])


def test_denied_action_is_named_as_aws_names_it(aws: FakeAws, alice: User, key: AccessKey) -> None:
    aws.deny(alice, "iam:ListAccessKeys")
    with pytest.raises(Said) as caught:
        ask(aws, key, "ListAccessKeys")
    assert str(caught.value) == (
        "AccessDenied: User: arn:aws:iam::123456789012:user/staff/alice is not authorized to perform: iam:ListAccessKeys "
        "on resource: user alice because no identity-based policy allows the iam:ListAccessKeys action"
    )
    ask(aws, key, "GetUser")


# --- keys -----------------------------------------------------------------------------------------


def test_two_keys_are_the_limit_and_the_new_one_works(aws: FakeAws, alice: User, key: AccessKey) -> None:
    made = ask(aws, key, "CreateAccessKey")
    with refused("LimitExceeded"):
        ask(aws, key, "CreateAccessKey", UserName="alice")
    new = aws.world.keys[made["AccessKeyId"]]
    assert (made["SecretAccessKey"], [key, new]) == (new.secret, aws.world.keys_of(alice))
    ask(aws, new, "DeleteAccessKey", AccessKeyId=key.access_key_id)
    assert new.access_key_id == ask(aws, new, "ListAccessKeys")["AccessKeyId"]


@pytest.mark.parametrize("action", ["UpdateAccessKey", "DeleteAccessKey", "GetAccessKeyLastUsed"])
def test_key_never_issued_is_no_such_entity(aws: FakeAws, key: AccessKey, action: str) -> None:
    with refused("NoSuchEntity"):
        ask(aws, key, action, AccessKeyId="AKIAAAAAAAAAAAAAAAAA", Status="Inactive")


def test_key_of_somebody_else_is_no_such_entity(aws: FakeAws, key: AccessKey) -> None:
    colleague = aws.add_key(aws.add_user("bob"))
    stranger = aws.add_key(aws.add_user("mallory", account="999999999999"))
    for action in ("UpdateAccessKey", "DeleteAccessKey"):
        for theirs in (colleague, stranger):
            with refused("NoSuchEntity"):
                ask(aws, key, action, AccessKeyId=theirs.access_key_id, Status="Inactive")
    ask(aws, key, "GetAccessKeyLastUsed", AccessKeyId=colleague.access_key_id)
    with refused("NoSuchEntity"):
        ask(aws, key, "GetAccessKeyLastUsed", AccessKeyId=stranger.access_key_id)


def test_user_elsewhere_or_nowhere_is_no_such_entity(aws: FakeAws, key: AccessKey) -> None:
    aws.add_user("mallory", account="999999999999")
    for name in ("nobody", "mallory"):
        with refused("NoSuchEntity"):
            ask(aws, key, "ListAccessKeys", UserName=name)


def test_last_use_is_what_was_set_and_absent_for_a_key_never_used(aws: FakeAws, key: AccessKey) -> None:
    never = ask(aws, key, "GetAccessKeyLastUsed", AccessKeyId=key.access_key_id)
    assert ("N/A", "N/A", False) == (never["ServiceName"], never["Region"], "LastUsedDate" in never)
    aws.set_last_use(key, "s3", "eu-west-1", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    used = ask(aws, key, "GetAccessKeyLastUsed", AccessKeyId=key.access_key_id)
    assert ("s3", "eu-west-1", "2026-01-02T03:04:05Z") == (
        used["ServiceName"],
        used["Region"],
        used["LastUsedDate"],
    )


def test_unknown_action_is_refused(aws: FakeAws, key: AccessKey) -> None:
    with refused("InvalidAction"):
        ask(aws, key, "ListGroups")
