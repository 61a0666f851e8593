# SPDX-License-Identifier: Apache-2.0
"""CloudTrail: a record of each call that changes something in IAM, and the one way to look them up."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One call by a known caller; a refused one has an error code."""

    at: datetime
    action: str
    region: str
    account: str
    partition: str
    caller: str  # ARN
    user: str  # its user's name
    access_key_id: str
    user_agent: str
    parameters: Mapping[str, str]
    made_key: str | None = None
    error: str | None = None
    event_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def record(self) -> dict[str, Any]:
        """The parts of CloudTrail's JSON that matter here. AWS leaves `errorCode` out where there is none."""
        asked = {name: text for name, text in self.parameters.items() if name not in ("Action", "Version")}
        made = {
            "accessKeyId": self.made_key,
            "status": "Active",
            "userName": asked.get("UserName", self.user),
        }
        return {
            "eventVersion": "1.11",
            "userIdentity": {"type": "IAMUser", "arn": self.caller, "accessKeyId": self.access_key_id},
            "eventTime": self.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventSource": "iam.amazonaws.com",
            "eventName": self.action,
            "awsRegion": self.region,
            "userAgent": self.user_agent,
            "requestParameters": {name[0].lower() + name[1:]: text for name, text in asked.items()},
            "responseElements": {"accessKey": made} if self.made_key else None,
            "eventID": self.event_id,
            "readOnly": False,
            "recipientAccountId": self.account,
        } | ({"errorCode": self.error} if self.error else {})


def is_recorded(service: str, action: str) -> bool:
    """What only reads is left out here; LookupEvents must be able to tell the two apart all the same."""
    return service == "iam" and not action.startswith(("Get", "List"))


class BadLookup(Exception):
    """`code` is CloudTrail's own."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def lookup(seen: list[Event], parameters: Mapping[str, str], now: datetime, page_size: int) -> str:
    """One page of what `seen` holds, newest first, as JSON. Raises BadLookup."""
    start, end = _moment(parameters, "StartTime"), _moment(parameters, "EndTime") or now
    if start and start > end:
        raise BadLookup("InvalidTimeRangeException", "Start time must be before end time.")
    most = parameters.get("MaxResults", "50")
    if not most.isdecimal() or not 1 <= int(most) <= 50:
        raise BadLookup("InvalidMaxResultsException", "Max results must be between 1 and 50.")
    wanted = _attribute(parameters)
    found = [
        event
        for event in reversed(seen)
        if wanted(event) and (start is None or event.at >= start) and event.at <= end
    ]
    begin, size = _begin(parameters), min(int(most), page_size)
    told: dict[str, Any] = {"Events": [_told(event) for event in found[begin : begin + size]]}
    if begin + size < len(found):
        told["NextToken"] = f"{_question(parameters)}.{begin + size}"
    return json.dumps(told)


def _told(event: Event) -> dict[str, Any]:
    return {
        "EventId": event.event_id,
        "EventName": event.action,
        "ReadOnly": "false",
        "AccessKeyId": event.access_key_id,
        "EventTime": event.at.timestamp(),
        "EventSource": "iam.amazonaws.com",
        "Username": event.user,
        "CloudTrailEvent": json.dumps(event.record),
    }


def _attribute(parameters: Mapping[str, str]) -> Any:
    key = parameters.get("LookupAttributes.member.1.AttributeKey")
    value = parameters.get("LookupAttributes.member.1.AttributeValue")
    if key is None and value is None:
        return lambda _event: True
    fields = {"EventName": "action", "Username": "user", "AccessKeyId": "access_key_id"}
    if key not in fields or value is None or "LookupAttributes.member.2.AttributeKey" in parameters:
        raise BadLookup("InvalidLookupAttributesException", "You can only specify one attribute.")
    return lambda event: getattr(event, fields[key]) == value


def _begin(parameters: Mapping[str, str]) -> int:
    question, _, offset = parameters.get("NextToken", f"{_question(parameters)}.0").partition(".")
    if question != _question(parameters) or not offset.isdecimal():
        raise BadLookup("InvalidNextTokenException", "Invalid token.")
    return int(offset)


def _question(parameters: Mapping[str, str]) -> str:
    """A token is good for the question that it was given for."""
    asked = sorted((name, text) for name, text in parameters.items() if name != "NextToken")
    return hashlib.sha256(repr(asked).encode()).hexdigest()[:16]


def _moment(parameters: Mapping[str, str], name: str) -> datetime | None:
    return datetime.fromtimestamp(float(parameters[name]), UTC) if name in parameters else None
