# SPDX-License-Identifier: Apache-2.0
"""What CloudTrail's events prove about a key, and what proves nothing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultd.core import trail

NONCE = "0123456789abcdef"
KEY_ID = "AKIAIOSFODNN7EXAMPLE"
AGENT = f"Boto3/1.40 md/Botocore#1.40 ua/2.1 os/linux cfg/retry-mode#standard awsvault/0.1.0 awsvault/{NONCE}"


def event(**changed: Any) -> dict[str, Any]:
    said = {
        "eventVersion": "1.11",
        "eventSource": "iam.amazonaws.com",
        "eventName": "CreateAccessKey",
        "userAgent": AGENT,
        "requestParameters": {"userName": "alice"},
        "responseElements": {"accessKey": {"accessKeyId": KEY_ID, "status": "Active", "userName": "alice"}},
    } | changed
    return {"EventName": "CreateAccessKey", "CloudTrailEvent": json.dumps(said)}


def proven(*events: object) -> list[str]:
    return trail.page({"Events": events}, NONCE)[0]


@pytest.mark.parametrize("agent", [AGENT, f"[{AGENT}]", f"awsvault/{NONCE}", f"x awsvault/{NONCE} y"])
def test_key_made_with_the_nonce_is_proven_ours(agent: str) -> None:
    """CloudTrail puts some user agents in brackets."""
    assert [KEY_ID] == proven(event(userAgent=agent))


@pytest.mark.parametrize(
    "changed",
    [
        {"userAgent": "aws-cli/2"},
        {"userAgent": AGENT[:-1]},
        {"userAgent": f"{AGENT}0"},
        {"userAgent": AGENT.upper()},
        {"userAgent": f"my-awsvault/{NONCE}"},
        {"userAgent": f"awsvault/ {NONCE}"},
        {"userAgent": [f"awsvault/{NONCE}"]},
        {"userAgent": None},
        {"eventSource": "evil.example"},
        {"eventName": "UpdateAccessKey"},
        {"errorCode": "AccessDenied"},
        {"responseElements": None},
        {"responseElements": {"accessKey": None}},
        {"responseElements": {"accessKey": {"accessKeyId": "AKIA;x"}}},
        {"responseElements": {"accessKey": {"accessKeyId": [KEY_ID]}}},
        {"responseElements": KEY_ID},
    ],
    ids=str,
)
def test_anything_else_proves_nothing_and_spoils_nothing(changed: dict[str, Any]) -> None:
    assert [KEY_ID] == proven(event(**changed), event())


@pytest.mark.parametrize(
    "text",
    [
        None,
        7,
        "",
        "[]",
        "null",
        "{",
        "[" * 100_000,
        '{"n":' + "9" * 5000 + "}",
        event(requestParameters={"userName": "a" * trail.MAX_EVENT})["CloudTrailEvent"],
        event()["CloudTrailEvent"][:-1] + ', "eventName": "CreateAccessKey"}',
    ],
    ids=lambda text: str(text)[:12],
)
def test_event_that_is_no_json_of_one_meaning_proves_nothing(text: object) -> None:
    assert [KEY_ID] == proven({"CloudTrailEvent": text}, {}, None, event())


@given(st.text(max_size=60))
def test_no_text_is_an_accident(text: str) -> None:
    assert [] == proven({"CloudTrailEvent": text}, event(userAgent=text))


def test_next_page_begins_at_the_token() -> None:
    assert ([], "t1") == trail.page({"Events": [], "NextToken": "t1"}, NONCE)
    assert ([], None) == trail.page({"Events": []}, NONCE)
    for nonsense in ({}, {"Events": None}, {"Events": [], "NextToken": 7}):
        with pytest.raises((LookupError, TypeError)):
            trail.page(nonsense, NONCE)


@pytest.mark.parametrize(
    "nonce", ["", "0" * 15, "0" * 65, "0.1.0", f"{NONCE} x", f"{NONCE}\n", NONCE.upper()]
)
def test_nonce_is_a_word_of_its_own(nonce: str) -> None:
    """A version of awsvault stands in every user agent too: it must not pass for a nonce."""
    with pytest.raises(ValueError, match="nonce"):
        trail.word(nonce)
