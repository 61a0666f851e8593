# SPDX-License-Identifier: Apache-2.0
"""The stand-in's CloudTrail: what it records, when it shows it, and whom it tells."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.fake_aws import AccessKey, FakeAws, Fault
from tests.fake_aws.asking import Said, ask, impostor, look_up, post, refused_as, signed_headers

BY_NAME: dict[str, Any] = {
    "LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "CreateAccessKey"}]
}


@pytest.fixture
def aws() -> Iterator[FakeAws]:
    with FakeAws() as server:
        yield server


@pytest.fixture
def key(aws: FakeAws) -> AccessKey:
    return aws.add_key(aws.add_user("alice"))


def seen(aws: FakeAws, key: AccessKey, **parameters: Any) -> list[dict[str, Any]]:
    return [json.loads(event["CloudTrailEvent"]) for event in look_up(aws, key, **parameters)["Events"]]


def test_made_key_is_recorded_with_the_user_agent_that_asked(aws: FakeAws, key: AccessKey) -> None:
    made = ask(aws, key, "CreateAccessKey", UserName="alice")["AccessKeyId"]
    (event,) = seen(aws, key, **BY_NAME)
    assert ("iam.amazonaws.com", "CreateAccessKey", "tests/1", made) == (
        event["eventSource"],
        event["eventName"],
        event["userAgent"],
        event["responseElements"]["accessKey"]["accessKeyId"],
    )
    assert {"userName": "alice"} == event["requestParameters"]
    assert "errorCode" not in event


def test_refused_call_is_recorded_without_a_key(aws: FakeAws, key: AccessKey) -> None:
    aws.deny(key.user, "iam:CreateAccessKey")
    with pytest.raises(Said):
        ask(aws, key, "CreateAccessKey")
    (event,) = seen(aws, key, **BY_NAME)
    assert ("AccessDenied", None) == (event["errorCode"], event["responseElements"])


def test_lost_reply_leaves_its_record_and_a_call_that_never_arrived_none(
    aws: FakeAws, key: AccessKey
) -> None:
    for fault in (Fault.reset(), Fault.lose_reply()):
        aws.fault(fault)
        with pytest.raises(OSError):
            ask(aws, key, "CreateAccessKey")
    (event,) = seen(aws, key, **BY_NAME)
    assert event["responseElements"]["accessKey"]["accessKeyId"] in aws.world.keys


def test_reading_and_unknown_callers_leave_no_record(aws: FakeAws, key: AccessKey) -> None:
    ask(aws, key, "ListAccessKeys")
    with pytest.raises(Said):
        ask(aws, impostor(key, secret="x" * 40), "CreateAccessKey")
    assert [] == seen(aws, key)


def test_event_shows_after_the_delay(aws: FakeAws, key: AccessKey) -> None:
    aws.tolerates_skew, aws.pace.trail = True, timedelta(minutes=5)
    ask(aws, key, "CreateAccessKey")
    assert [] == seen(aws, key, **BY_NAME)
    assert timedelta(minutes=4) < aws.settle() <= timedelta(minutes=5)
    assert 1 == len(seen(aws, key, **BY_NAME))


def test_events_are_told_in_the_home_of_iam_and_to_their_account_only(aws: FakeAws, key: AccessKey) -> None:
    ask(aws, key, "CreateAccessKey")
    assert [] == seen(aws, key, region="eu-west-1", **BY_NAME)
    stranger = aws.add_key(aws.add_user("mallory", account="999999999999"))
    assert [] == seen(aws, stranger, **BY_NAME)
    chinese = aws.add_key(aws.add_user("bob", partition="aws-cn"))
    ask(aws, chinese, "CreateAccessKey", region="cn-north-1")
    assert 1 == len(seen(aws, chinese, region="cn-north-1", **BY_NAME))


def test_lookup_is_filtered_newest_first_and_in_pages(aws: FakeAws, key: AccessKey) -> None:
    for name in "abc":
        tag: dict[str, Any] = {"Tags.member.1.Key": name, "Tags.member.1.Value": ""}
        ask(aws, key, "TagUser", UserName="alice", **tag)
    ask(aws, key, "CreateAccessKey")
    assert 1 == len(seen(aws, key, **BY_NAME))
    by_key = {"LookupAttributes": [{"AttributeKey": "AccessKeyId", "AttributeValue": key.access_key_id}]}
    assert ["CreateAccessKey", *["TagUser"] * 3] == [event["eventName"] for event in seen(aws, key, **by_key)]
    aws.pace.page_size = 3
    first = look_up(aws, key)
    rest = look_up(aws, key, NextToken=first["NextToken"])
    assert (3, 1, False) == (len(first["Events"]), len(rest["Events"]), "NextToken" in rest)
    with refused_as("InvalidNextTokenException"):
        look_up(aws, key, NextToken=first["NextToken"], **BY_NAME)


def test_window_of_time_is_kept(aws: FakeAws, key: AccessKey) -> None:
    ask(aws, key, "CreateAccessKey")
    now = aws.clock.now().timestamp()
    assert 1 == len(seen(aws, key, StartTime=now - 60))
    assert [] == seen(aws, key, StartTime=now - 60, EndTime=now - 30)
    with refused_as("InvalidTimeRangeException"):
        look_up(aws, key, StartTime=now + 60)


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"MaxResults": 51}, "InvalidMaxResultsException"),
        ({"MaxResults": 0}, "InvalidMaxResultsException"),
        (
            {"LookupAttributes": [{"AttributeKey": "Moon", "AttributeValue": "x"}]},
            "InvalidLookupAttributesException",
        ),
        ({"LookupAttributes": BY_NAME["LookupAttributes"] * 2}, "InvalidLookupAttributesException"),
    ],
    ids=str,
)
def test_lookup_that_makes_no_sense_is_refused(
    aws: FakeAws, key: AccessKey, parameters: dict[str, Any], code: str
) -> None:
    with refused_as(code):
        look_up(aws, key, **parameters)


def test_lookup_needs_a_signature_and_the_right(aws: FakeAws, key: AccessKey) -> None:
    with refused_as("InvalidSignatureException"):
        look_up(aws, impostor(key, secret="x" * 40))
    aws.deny(key.user, "cloudtrail:LookupEvents")
    with refused_as("AccessDeniedException", "cloudtrail:LookupEvents on resource: *"):
        look_up(aws, key)
    aws.allow(key.user, "cloudtrail:LookupEvents")
    key.status = "Inactive"
    with refused_as("UnrecognizedClientException"):
        look_up(aws, key)


def test_each_service_is_asked_in_its_own_protocol(aws: FakeAws, key: AccessKey) -> None:
    body = "Action=LookupEvents&Version=2013-11-01"
    answer, text = post(aws, body, signed_headers(aws, key, body, service="cloudtrail"))
    assert (400, True) == (answer.status, "InvalidAction" in text)
    assert "LookupEvents" == aws.calls()[-1].action


def test_time_of_an_event_is_that_of_the_clock_of_aws(aws: FakeAws, key: AccessKey) -> None:
    aws.tolerates_skew = True
    aws.clock.advance(timedelta(days=3))
    ask(aws, key, "CreateAccessKey")
    told = datetime.fromisoformat(seen(aws, key)[0]["eventTime"])
    assert abs(told - aws.clock.now()) < timedelta(seconds=10)
