# SPDX-License-Identifier: Apache-2.0
"""Only a plain GET by the program itself gets past the endpoint's door, and only sessions get out (C2, C5, C6)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsvault.endpoint import messages
from awsvault.endpoint.messages import Place
from vaultd.wire import protocol
from vaultd.wire.errors import (
    AwsPending,
    DaemonUnreachable,
    Locked,
    MfaNeeded,
    NoSuchProfile,
    NoVault,
    Refused,
)

TOKEN = "0123456789abcdef" * 4
PLACE = Place(50000, "dev", TOKEN.encode())
GOOD = f"GET /creds/dev HTTP/1.1\r\nHost: 127.0.0.1:50000\r\nAccept: */*\r\nAuthorization: {TOKEN}"
SESSION = {
    "Version": 1,
    "AccessKeyId": "ASIAEXAMPLE",
    "SecretAccessKey": "s",
    "SessionToken": "t",
    "Expiration": "2030-01-01T00:00:00Z",
    "AccountId": "123456789012",
}


def read(reply: bytes) -> tuple[int, dict[str, Any]]:
    head, _, body = reply.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:])
    assert str(len(body)) == headers["Content-Length"]
    assert ("application/json", "no-store", "close") == (
        headers["Content-Type"],
        headers["Cache-Control"],
        headers["Connection"],
    )
    return int(lines[0].split(" ")[1]), json.loads(body)


@pytest.mark.parametrize(
    "head",
    [
        GOOD,
        GOOD.replace("HTTP/1.1", "HTTP/1.0"),
        GOOD.replace("Host", "hOST").replace("Authorization", "AUTHORIZATION"),
        GOOD.replace(": ", ":"),
        GOOD.replace(": ", ":  \t"),
        GOOD + " \t",
        GOOD + "\r\nAccept: application/json",
        GOOD + "\r\nX-Anything: \xff",
    ],
    ids=["as it is", "1.0", "case", "no space", "spaces", "space after", "a header twice", "latin-1"],
)
def test_the_program_itself_gets_in(head: str) -> None:
    assert messages.refusal_of(head.encode("latin-1"), PLACE) is None


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("", 400),
        ("\r\n" + GOOD, 400),
        (GOOD.replace("HTTP/1.1", "HTTP/2"), 400),
        (GOOD.replace(" HTTP/1.1", ""), 400),
        (GOOD.replace("GET /", "GET  /"), 400),
        (GOOD.replace("\r\n", "\n"), 400),
        (GOOD + "\r\nno colon", 400),
        (GOOD + "\r\n: no name", 400),
        (GOOD + "\r\n folded: 1", 400),
        (GOOD + "\r\nHost : 127.0.0.1:50000", 400),
        (GOOD + "\r\nX: a\rb", 400),
        (GOOD + "\r\nX: a\0b", 400),
        (GOOD + "\r\nHost: 127.0.0.1:50000", 400),
        (GOOD + f"\r\nAuthorization: {TOKEN}", 400),
        (GOOD.replace("127.0.0.1:50000", "evil.example"), 403),
        (GOOD.replace("127.0.0.1:50000", "localhost:50000"), 403),
        (GOOD.replace("127.0.0.1:50000", "127.0.0.1"), 403),
        (GOOD.replace("127.0.0.1:50000", "127.0.0.1:50001"), 403),
        (GOOD.replace("Host:", "X:"), 403),
        (GOOD + "\r\nOrigin: http://127.0.0.1:50000", 403),
        (GOOD + "\r\norigin: null", 403),
        (GOOD + "\r\nSec-Fetch-Site: none", 403),
        (GOOD + "\r\nSEC-FETCH-MODE: cors", 403),
        (GOOD.replace("GET", "POST"), 405),
        (GOOD.replace("GET", "HEAD"), 405),
        (GOOD.replace("GET", "get"), 405),
        (GOOD.replace("GET", "OPTIONS"), 405),
        (GOOD.replace(TOKEN, ""), 401),
        (GOOD.replace(TOKEN, TOKEN[:-1]), 401),
        (GOOD.replace(TOKEN, TOKEN + "0"), 401),
        (GOOD.replace(TOKEN, TOKEN.upper()), 401),
        (GOOD.replace(TOKEN, "Bearer " + TOKEN), 401),
        (GOOD.replace("Authorization", "X-Aws-Token"), 401),
        (GOOD.replace("/creds/dev", "/creds/prod"), 404),
        (GOOD.replace("/creds/dev", "/"), 404),
        (GOOD.replace("/creds/dev", "/creds/dev/"), 404),
        (GOOD.replace("/creds/dev", "/creds/dev?x"), 404),
        (GOOD.replace("/creds/dev", "/creds/%64ev"), 404),
        (GOOD.replace("/creds/dev", "//creds/dev"), 404),
        (GOOD.replace("/creds/dev", "http://127.0.0.1:50000/creds/dev"), 404),
        (GOOD.replace("/creds/dev", "/creds/../creds/dev"), 404),
    ],
)
def test_everything_else_is_refused(head: str, status: int) -> None:
    refusal = messages.refusal_of(head.encode("latin-1"), PLACE)
    assert refusal
    found, body = read(refusal)
    assert status == found
    assert (body["code"], body["message"]) == (body["Code"], body["Message"])
    assert TOKEN not in refusal.decode()


def test_a_stranger_is_not_told_what_there_is() -> None:
    """Without the token a right path and a wrong one are answered alike."""
    stranger = GOOD.replace(TOKEN, "x" * 64)
    right = messages.refusal_of(stranger.encode(), PLACE)
    assert right == messages.refusal_of(stranger.replace("/dev", "/nothing").encode(), PLACE)


@given(st.binary(max_size=300))
def test_no_bytes_get_in_without_the_token(data: bytes) -> None:
    refusal = messages.refusal_of(data, PLACE)
    assert refusal
    assert 400 <= read(refusal)[0] < 500


@given(st.integers(0, len(GOOD)), st.binary(max_size=4))
def test_bytes_in_between_never_raise(at: int, data: bytes) -> None:
    refusal = messages.refusal_of(GOOD.encode()[:at] + data + GOOD.encode()[at:], PLACE)
    assert refusal is None or 400 <= read(refusal)[0] < 500


def test_a_session_is_handed_on_under_the_names_of_this_way() -> None:
    status, body = read(messages.reply_of(protocol.encode(SESSION)))
    assert 200 == status
    assert {
        "AccessKeyId": "ASIAEXAMPLE",
        "SecretAccessKey": "s",
        "Token": "t",
        "Expiration": "2030-01-01T00:00:00Z",
        "AccountId": "123456789012",
    } == body


def test_an_unknown_account_is_left_out() -> None:
    line = protocol.encode({name: value for name, value in SESSION.items() if name != "AccountId"})
    assert "AccountId" not in read(messages.reply_of(line))[1]


def test_a_bare_key_never_goes_this_way() -> None:
    """C5: SDKs refuse a reply without a token, and the daemon was asked for a session."""
    line = protocol.encode({name: value for name, value in SESSION.items() if name != "SessionToken"})
    status, body = read(messages.reply_of(line))
    assert (403, "AccessDenied") == (status, body["code"])
    assert "SecretAccessKey" not in body


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Locked(), 400, "VaultLocked"),
        (NoVault(), 400, "VaultLocked"),
        (NoSuchProfile('no profile "dev"'), 404, "NoSuchProfile"),
        (Refused("policy says no"), 403, "AccessDenied"),
        (MfaNeeded(), 400, "MfaNeeded"),
        (AwsPending(), 400, "AwsPending"),
        (DaemonUnreachable(), 400, "DaemonUnreachable"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_errors_are_never_5xx_and_say_what_to_do(error: Any, status: int, code: str) -> None:
    """C6: a 5xx is repeated, by some SDKs for half a minute."""
    found, body = read(messages.reply_of(protocol.encode(protocol.error_frame(error))))
    assert (status, code, f"awsvault: {error.line}") == (found, body["code"], body["message"])


@pytest.mark.parametrize("line", [b"", b"\n", b"nonsense\n", b"[]\n", b'{"Version":1}\n', b'{"error":1}\n'])
def test_a_daemon_that_speaks_otherwise_is_no_credential(line: bytes) -> None:
    status, body = read(messages.reply_of(line))
    assert 400 <= status < 500
    assert "AccessKeyId" not in body
