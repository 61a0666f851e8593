# SPDX-License-Identifier: Apache-2.0
"""What AWS's answers are believed to say, and what is not believed."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from vaultd.core import replies
from vaultd.core.replies import Identity, LastUsed, NewKey
from vaultd.core.secret import Secret

AT = datetime(2026, 11, 24, 3, 6, 38, tzinfo=UTC)
NOT_BELIEVED = (ValueError, LookupError, TypeError)


@pytest.mark.parametrize(
    ("arn", "partition", "is_root", "user_name"),
    [
        ("arn:aws:iam::123456789012:user/alice", "aws", False, "alice"),
        ("arn:aws-cn:iam::123456789012:user/a/b/alice@x", "aws-cn", False, "alice@x"),
        ("arn:aws-us-gov:iam::123456789012:root", "aws-us-gov", True, None),
        ("arn:aws:sts::123456789012:assumed-role/admin/alice", "aws", False, None),
        ("arn:aws:sts::123456789012:federated-user/root", "aws", False, None),
    ],
)
def test_identity_says_whose_key_it_is(
    arn: str, partition: str, is_root: bool, user_name: str | None
) -> None:
    told = replies.identity({"Arn": arn, "Account": "123456789012", "UserId": "AIDAEXAMPLE"})
    assert told == Identity("123456789012", arn, "AIDAEXAMPLE")
    assert (partition, is_root, user_name) == (told.partition, told.is_root, told.user_name)


@pytest.mark.parametrize(
    "changed",
    [
        {"Arn": None},
        {"Arn": "arn:aws:s3:::bucket"},
        {"Arn": "arn:aws:iam::123456789012:user/al ice"},
        {"Arn": "arn:aws:iam::123456789012:user/alice\n"},
        {"Arn": "arn:aws:iam::123456789012:"},
        {"Account": "999999999999"},
        {"UserId": ""},
        {"UserId": "\x1b[31m"},
    ],
)
def test_nonsense_is_no_identity(changed: dict[str, Any]) -> None:
    good = {"Arn": "arn:aws:iam::123456789012:user/alice", "Account": "123456789012", "UserId": "AIDAEXAMPLE"}
    with pytest.raises(NOT_BELIEVED):
        replies.identity(good | changed)


GIVEN = {
    "AccessKeyId": "ASIAIOSFODNN7EXAMPLE",
    "SecretAccessKey": "s" * 40,
    "SessionToken": "t" * 350,
    "Expiration": AT,
}


def test_session_is_read_whole_and_in_utc() -> None:
    abroad = AT.astimezone(timezone(timedelta(hours=5)))
    session = replies.session({"Credentials": GIVEN | {"Expiration": abroad}})
    token = session.credentials.session_token
    assert token
    assert ("ASIAIOSFODNN7EXAMPLE", "s" * 40, "t" * 350) == (
        session.credentials.access_key_id,
        session.credentials.secret.reveal(),
        token.reveal(),
    )
    assert (AT, UTC) == (session.expires_at, session.expires_at.tzinfo)


@pytest.mark.parametrize("length", [1, 4096, 32768])
def test_token_may_be_of_any_length_that_a_frame_holds(length: int) -> None:
    token = replies.session({"Credentials": GIVEN | {"SessionToken": "t" * length}}).credentials.session_token
    assert Secret("t" * length) == token


@pytest.mark.parametrize(
    "changed",
    [
        {"AccessKeyId": "short"},
        {"AccessKeyId": 'ASIA"IOSFODNN7EXAMPLE'},
        {"SecretAccessKey": ""},
        {"SecretAccessKey": "two words"},
        {"SessionToken": ""},
        {"SessionToken": "t\nt"},
        {"SessionToken": "t" * 32769},
        {"SessionToken": None},
        {"Expiration": AT.replace(tzinfo=None)},
        {"Expiration": "soon"},
    ],
)
def test_nonsense_is_no_session(changed: dict[str, Any]) -> None:
    with pytest.raises(NOT_BELIEVED):
        replies.session({"Credentials": GIVEN | changed})


LISTED = {"UserName": "alice", "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "Status": "Active", "CreateDate": AT}


def test_keys_are_listed_with_status_and_date() -> None:
    other = LISTED | {"AccessKeyId": "AKIAI44QH8DHBEXAMPLE", "Status": "Inactive"}
    told = replies.keys({"AccessKeyMetadata": [LISTED, other]})
    assert [("AKIAIOSFODNN7EXAMPLE", True, AT), ("AKIAI44QH8DHBEXAMPLE", False, AT)] == [
        (key.access_key_id, key.active, key.created_at) for key in told
    ]
    assert not replies.keys({"AccessKeyMetadata": [LISTED | {"Status": "Expired"}]})[0].active


@pytest.mark.parametrize(
    "changed", [{"AccessKeyId": "short"}, {"AccessKeyId": None}, {"Status": ...}, {"CreateDate": "today"}]
)
def test_list_with_nonsense_in_it_is_no_list(changed: dict[str, Any]) -> None:
    spoilt = {name: value for name, value in (LISTED | changed).items() if value is not ...}
    with pytest.raises(NOT_BELIEVED):
        replies.keys({"AccessKeyMetadata": [LISTED, spoilt]})
    with pytest.raises(NOT_BELIEVED):
        replies.keys({})


def test_new_key_comes_with_its_secret() -> None:
    made = replies.new_key({"AccessKey": LISTED | {"SecretAccessKey": "s/+" * 10}})
    assert NewKey("AKIAIOSFODNN7EXAMPLE", Secret("s/+" * 10), AT) == made
    for secret in ("", "two words", None):
        with pytest.raises(NOT_BELIEVED):
            replies.new_key({"AccessKey": LISTED | {"SecretAccessKey": secret}})


def test_only_an_answer_with_a_request_id_says_that_it_was_done() -> None:
    replies.done({"ResponseMetadata": {"RequestId": "c6104cbe-af31-11e0-8154-cbc7ccf896c7"}})
    silent: list[dict[str, Any]] = [{}, {"ResponseMetadata": {}}, {"ResponseMetadata": {"RequestId": ""}}]
    for nonsense in silent:
        with pytest.raises(NOT_BELIEVED):
            replies.done(nonsense)


def test_page_says_where_the_next_one_begins() -> None:
    tag = {"Tags": [{"Key": "owner", "Value": "caf\u00e9\x1b"}]}
    assert ([("owner", "caf\u00e9\x1b")], None) == replies.page(tag | {"Marker": "x"}, replies.tags)
    assert "m1" == replies.page(tag | {"IsTruncated": True, "Marker": "m1"}, replies.tags)[1]
    with pytest.raises(NOT_BELIEVED):
        replies.page(tag | {"IsTruncated": True}, replies.tags)
    with pytest.raises(NOT_BELIEVED):
        replies.tags({"Tags": [{"Key": "owner", "Value": 7}]})


def test_key_never_used_has_no_last_use() -> None:
    assert replies.last_used({"AccessKeyLastUsed": {"ServiceName": "N/A", "Region": "N/A"}}) is None
    used = {"ServiceName": "s3", "Region": "eu-west-1", "LastUsedDate": AT}
    assert LastUsed("s3", "eu-west-1", AT) == replies.last_used({"AccessKeyLastUsed": used})
    with pytest.raises(NOT_BELIEVED):
        replies.last_used({"AccessKeyLastUsed": used | {"ServiceName": "s3\x1b"}})
