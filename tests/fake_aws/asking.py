# SPDX-License-Identifier: Apache-2.0
"""A bare client: one call, signed by botocore's own signer, in milliseconds and without retries or opinions."""

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.fake_aws import rpc
from tests.fake_aws.actions import TABLE
from tests.fake_aws.query import NAMESPACE
from tests.fake_aws.server import FakeAws
from tests.fake_aws.world import AccessKey, IssuedSession, Role, Signer


class Server(Protocol):
    url: str


class Said(Exception):
    """The error that the server answered."""

    def __init__(self, code: str, message: str, date: datetime) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.date = date


def ask(
    aws: Server,
    signer: Signer,
    action: str,
    *,
    region: str = "us-east-1",
    timeout_s: float = 5,
    **parameters: object,
) -> dict[str, str]:
    """One call signed by botocore's own signer; the leaves of the reply by name. Raises Said."""
    service = TABLE[action][0] if action in TABLE else "iam"
    body = urlencode({"Action": action, "Version": NAMESPACE[service].split("/")[-2], **parameters})
    headers = signed_headers(aws, signer, body, service=service, region=region)
    answer, text = post(aws, body, headers, timeout_s=timeout_s)
    leaves = {node.tag.split("}")[1]: node.text or "" for node in ET.fromstring(text).iter() if not len(node)}
    if answer.status != 200:
        raise Said(leaves["Code"], leaves["Message"], parsedate_to_datetime(answer.headers["Date"]))
    return leaves


def look_up(
    aws: Server, signer: Signer, *, region: str = "us-east-1", **parameters: object
) -> dict[str, Any]:
    """LookupEvents, in the protocol that CloudTrail speaks. Raises Said."""
    body = json.dumps(parameters)
    target = {"X-Amz-Target": f"{rpc.TARGET}LookupEvents", "Content-Type": rpc.CONTENT_TYPE}
    headers = signed_headers(aws, signer, body, service="cloudtrail", region=region, more=target)
    answer, text = post(aws, body, headers)
    told: dict[str, Any] = json.loads(text)
    if answer.status != 200:
        raise Said(told["__type"], told["message"], parsedate_to_datetime(answer.headers["Date"]))
    return told


def issued(aws: FakeAws, told: dict[str, str]) -> IssuedSession:
    """The session in a reply, as the server keeps it."""
    return aws.world.sessions[told["AccessKeyId"]]


def assume(aws: FakeAws, signer: Signer, role: Role, name: str = "dev", **more: Any) -> IssuedSession:
    return issued(aws, ask(aws, signer, "AssumeRole", RoleArn=role.arn, RoleSessionName=name, **more))


def denied(who: str, permission: str, role: Role | str) -> str:
    """What Said shows when `who` lacks a permission."""
    arn = role if isinstance(role, str) else role.arn
    return f"AccessDenied: User: {who} is not authorized to perform: {permission} on resource: {arn}"


@contextmanager
def refused(said: str) -> Iterator[None]:
    """What happens inside must be refused in exactly these words."""
    with pytest.raises(Said) as caught:
        yield
    assert said == str(caught.value)


@contextmanager
def refused_as(code: str, words: str = "") -> Iterator[None]:
    """What happens inside must be refused with this code, saying these words among others."""
    with pytest.raises(Said) as caught:
        yield
    assert code == caught.value.code
    assert words in str(caught.value)


def signed_headers(
    aws: Server,
    signer: Signer,
    body: str,
    *,
    service: str = "sts",
    region: str = "us-east-1",
    more: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "tests/1", **more}
    request = AWSRequest("POST", aws.url + "/", data=body, headers=headers)
    token = signer.token if isinstance(signer, IssuedSession) else None
    SigV4Auth(Credentials(signer.access_key_id, signer.secret, token), service, region).add_auth(request)
    return dict(request.headers.items())


def post(
    aws: Server, body: str, headers: dict[str, str], *, timeout_s: float = 5
) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection(aws.url.removeprefix("http://"), timeout=timeout_s)
    try:
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        return answer, answer.read().decode()
    finally:
        connection.close()


def impostor(signer: Signer, *, secret: str | None = None, token: str | None = None) -> Signer:
    """The same id with another secret or token; a session with token "" becomes a bare key."""
    if token or (isinstance(signer, IssuedSession) and token is None):
        assert isinstance(signer, IssuedSession)
        return replace(signer, secret=secret or signer.secret, token=token or signer.token)
    return AccessKey(signer.access_key_id, secret or signer.secret, signer.user, "Active", datetime.now(UTC))
