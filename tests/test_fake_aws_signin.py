# SPDX-License-Identifier: Apache-2.0
"""The stand-in's sign-in endpoint: whose sessions open a console, for how long, and where a browser ends up."""

import http.client
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.fake_aws import AccessKey, FakeAws, Fault, IssuedSession, Role, User
from tests.fake_aws.asking import ask, assume, issued


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


@pytest.fixture
def role(aws: FakeAws, alice: User) -> Role:
    return aws.add_role("r", alice)


def federated(aws: FakeAws, key: AccessKey, **more: Any) -> IssuedSession:
    return issued(aws, ask(aws, key, "GetFederationToken", Name="alice", **more))


def sign_in(
    aws: FakeAws, session: IssuedSession, *, method: str = "POST", secret: str | None = None, **more: Any
) -> tuple[int, str]:
    told = {
        "sessionId": session.access_key_id,
        "sessionKey": secret or session.secret,
        "sessionToken": session.token,
    }
    form = urlencode({"Action": "getSigninToken", "Session": json.dumps(told), **more})
    status, _, body = send(aws, method, form)
    return status, body


def send(aws: FakeAws, method: str, form: str) -> tuple[int, http.client.HTTPMessage, str]:
    connection = http.client.HTTPConnection(urlsplit(aws.url).netloc, timeout=5)
    try:
        target, body = ("/federation", form) if method == "POST" else (f"/federation?{form}", None)
        connection.request(method, target, body, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_role_and_federated_user_sign_in_and_a_browser_is_sent_on(
    aws: FakeAws, key: AccessKey, role: Role, method: str
) -> None:
    for session in (assume(aws, key, role), federated(aws, key)):
        status, body = sign_in(aws, session, method=method)
        assert 200 == status
        form = urlencode(
            {"Action": "login", "SigninToken": json.loads(body)["SigninToken"], "Destination": "https://x/"}
        )
        status, headers, _ = send(aws, "GET", form)
        assert (302, "https://x/") == (status, headers["Location"])
        call = aws.calls("getSigninToken")[-1]
        assert (session.arn, session.access_key_id, method, "ok") == (
            call.user,
            call.access_key_id,
            call.method,
            call.outcome,
        )


def test_sign_in_token_lives_a_quarter_of_an_hour(aws: FakeAws, key: AccessKey) -> None:
    token = json.loads(sign_in(aws, federated(aws, key))[1])["SigninToken"]
    aws.clock.advance(timedelta(minutes=15, seconds=1))
    assert (
        400 == send(aws, "GET", urlencode({"Action": "login", "SigninToken": token, "Destination": "/"}))[0]
    )


def test_session_of_a_key_does_not_sign_in(aws: FakeAws, key: AccessKey) -> None:
    for mfa in (True, False):
        assert 400 == sign_in(aws, aws.add_session(key, mfa=mfa))[0]


def test_wrong_expired_and_garbled_sessions_do_not_sign_in(aws: FakeAws, key: AccessKey) -> None:
    session = federated(aws, key)
    assert 400 == sign_in(aws, session, secret="x" * 40)[0]
    assert 400 == send(aws, "POST", "Action=getSigninToken&Session=%7B")[0]
    session.expires_at = aws.clock.now()
    assert 400 == sign_in(aws, session)[0]


def test_length_of_its_own_is_for_roles_assumed_with_a_key(aws: FakeAws, key: AccessKey, role: Role) -> None:
    direct, chained = assume(aws, key, role), assume(aws, aws.add_session(key, mfa=True), role)
    told = [
        sign_in(aws, session, SessionDuration=length)[0]
        for session, length in (
            (direct, 43_200),
            (direct, 43_201),
            (direct, 899),
            (chained, 3600),
            (federated(aws, key), 3600),
        )
    ]
    assert [200, 400, 400, 400, 400] == told


def test_govcloud_takes_only_get(aws: FakeAws) -> None:
    key = aws.add_key(aws.add_user("bob", partition="aws-us-gov"))
    session = issued(aws, ask(aws, key, "GetFederationToken", Name="bob", region="us-gov-west-1"))
    assert [400, 200] == [sign_in(aws, session, method=method)[0] for method in ("POST", "GET")]


def test_fault_strikes_the_sign_in_too(aws: FakeAws, key: AccessKey) -> None:
    session = federated(aws, key)
    aws.fault(Fault.unavailable(), action="getSigninToken")
    assert [503, 200] == [sign_in(aws, session)[0] for _ in range(2)]
    assert ["ServiceUnavailable", "ok"] == [call.outcome for call in aws.calls("getSigninToken")]
