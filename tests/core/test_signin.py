# SPDX-License-Identifier: Apache-2.0
"""The console's URL leads to AWS and nowhere else, and what the sign-in endpoint says is believed only when it fits."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from vaultd.core import signin
from vaultd.core.secret import Secret
from vaultd.core.sessions import Credentials
from vaultd.wire.errors import AwsFailed, Usage

SESSION = Credentials(
    "ASIAIOSFODNN7SESSION", Secret("sEcReTsEcReTsEcReT+/="), Secret("IQoJb3JpZ2luX2VjTOKEN")
)


@pytest.mark.parametrize(
    ("partition", "region", "page"),
    [
        ("aws", None, "https://console.aws.amazon.com/console/home?region=us-east-1"),
        ("aws", "eu-west-1", "https://console.aws.amazon.com/console/home?region=eu-west-1"),
        ("aws-cn", None, "https://console.amazonaws.cn/console/home?region=cn-north-1"),
        ("aws-us-gov", None, "https://console.amazonaws-us-gov.com/console/home?region=us-gov-west-1"),
    ],
)
def test_without_a_wish_the_regions_home_is_opened(partition: str, region: str | None, page: str) -> None:
    assert page == signin.destination(None, partition=partition, region=region)


@pytest.mark.parametrize(
    ("wanted", "page"),
    [
        ("/s3/home?region=eu-west-1#x", "https://console.aws.amazon.com/s3/home?region=eu-west-1#x"),
        ("/", "https://console.aws.amazon.com/"),
        ("https://console.aws.amazon.com", "https://console.aws.amazon.com"),
        ("https://eu-west-1.console.aws.amazon.com/ec2", "https://eu-west-1.console.aws.amazon.com/ec2"),
        ("https://s3.console.aws.amazon.com/s3/buckets", "https://s3.console.aws.amazon.com/s3/buckets"),
    ],
)
def test_path_or_console_url_is_opened_as_given(wanted: str, page: str) -> None:
    assert page == signin.destination(wanted, partition="aws", region=None)


@pytest.mark.parametrize("host", ["console.amazonaws.cn", "cn-north-1.console.amazonaws.com.cn"])
def test_china_has_two_names_for_its_console(host: str) -> None:
    assert f"https://{host}/" == signin.destination(f"https://{host}/", partition="aws-cn", region=None)


@pytest.mark.parametrize(
    "wanted",
    [
        "",
        "s3",
        "//evil.example/",
        "/\\evil.example",
        "https://evil.example/",
        "http://console.aws.amazon.com/",
        "javascript:alert(1)",
        "https://console.aws.amazon.com.evil.example/",
        "https://evilconsole.aws.amazon.com/",
        "https://evil.example/console.aws.amazon.com",
        "https://evil.example?.console.aws.amazon.com",
        "https://evil.example#.console.aws.amazon.com",
        "https://evil.example\\.console.aws.amazon.com",
        "https://evil.example/@console.aws.amazon.com",
        "https://me@console.aws.amazon.com/",
        "https://console.aws.amazon.com:8443/",
        "https://.console.aws.amazon.com/",
        "https://CONSOLE.aws.amazon.com/",
        "https://console.amazonaws.cn/",
        "https://[console.aws.amazon.com",
        "/a\nb",
        "/caf\u00e9",
        "/" + "x" * 2048,
    ],
)
def test_any_other_place_is_refused(wanted: str) -> None:
    with pytest.raises(Usage, match=r"^the destination is not a page of the console of aws$") as caught:
        signin.destination(wanted, partition="aws", region=None)
    assert "evil" not in caught.value.line


@pytest.mark.parametrize(
    ("partition", "host", "method"),
    [
        ("aws", "signin.aws.amazon.com", "POST"),
        ("aws-cn", "signin.amazonaws.cn", "POST"),
        ("aws-us-gov", "signin.amazonaws-us-gov.com", "GET"),
    ],
)
def test_each_partition_has_its_endpoint(partition: str, host: str, method: str) -> None:
    assert f"https://{host}/federation" == signin.endpoint(partition, None)
    assert "http://127.0.0.1:1/federation" == signin.endpoint(partition, "http://127.0.0.1:1/")
    assert method == signin.method(partition)


def test_question_carries_the_session_and_a_length_only_when_asked() -> None:
    form = signin.question(SESSION, None)
    assert ["Action", "Session"] == list(form)
    assert {
        "sessionId": "ASIAIOSFODNN7SESSION",
        "sessionKey": "sEcReTsEcReTsEcReT+/=",
        "sessionToken": "IQoJb3JpZ2luX2VjTOKEN",
    } == json.loads(form["Session"])
    assert "43200" == signin.question(SESSION, 43_200)["SessionDuration"]


@pytest.mark.parametrize("seconds", [0, 899, 43_201])
def test_console_session_has_its_limits(seconds: int) -> None:
    with pytest.raises(Usage, match="between 15 min and 12 h"):
        signin.question(SESSION, seconds)


def test_key_opens_no_console() -> None:
    with pytest.raises(Usage, match="with a session, not with a key"):
        signin.question(Credentials("AKIAIOSFODNN7EXAMPLE", Secret("x" * 40)), None)


def test_token_is_read_and_put_into_a_url_for_the_browser() -> None:
    token = signin.read_token(200, b'{"SigninToken": "a-b_c+/="}')
    url = signin.url(
        "https://signin.aws.amazon.com/federation", token, "https://console.aws.amazon.com/?a=b", "awsvault"
    )
    assert ("signin.aws.amazon.com", "/federation") == urlsplit(url)[1:3]
    assert {
        "Action": ["login"],
        "Issuer": ["awsvault"],
        "Destination": ["https://console.aws.amazon.com/?a=b"],
        "SigninToken": ["a-b_c+/="],
    } == parse_qs(urlsplit(url).query)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "AWS gives this session no console"),
        (403, "AWS gives this session no console"),
        (500, "AWS failed at signin:getSigninToken (500)"),
        (503, "AWS failed at signin:getSigninToken (503)"),
    ],
)
def test_refusal_is_told_without_what_was_said(status: int, words: str) -> None:
    with pytest.raises(AwsFailed) as caught:
        signin.read_token(status, b"<html>secret</html>")
    assert caught.value.message.startswith(words)
    assert "html" not in caught.value.line
    assert {"aws_code": str(status), "aws_action": "signin:getSigninToken"} == caught.value.details
    assert len(caught.value.line) < 290


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b""),
        (200, b"<html>Welcome to Hotel Wi-Fi</html>"),
        (200, b"[]"),
        (200, b"{}"),
        (200, b'{"SigninToken": null}'),
        (200, b'{"SigninToken": ""}'),
        (200, b'{"SigninToken": "a b"}'),
        (200, b'{"SigninToken": "' + b"x" * 32_769 + b'"}'),
        (302, b'{"SigninToken": "abc"}'),
        (204, b'{"SigninToken": "abc"}'),
    ],
)
def test_strangers_answer_is_no_token(status: int, body: bytes) -> None:
    with pytest.raises((ValueError, LookupError, TypeError)):
        signin.read_token(status, body)
