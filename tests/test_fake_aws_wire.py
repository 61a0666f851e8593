# SPDX-License-Identifier: Apache-2.0
"""The stand-in for AWS on the wire: signatures, faults, books, moto's second opinion; and as a process."""

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree import ElementTree as ET

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fake_aws import AccessKey, FakeAws, Fault, Gate, User, sigv4
from tests.fake_aws.asking import Said, ask, post, signed_headers

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTED_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


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


# --- signatures -----------------------------------------------------------------------------------


def test_known_answer_of_the_signature_test_suite() -> None:
    """`get-vanilla` of AWS's published Signature Version 4 test suite."""
    headers = [("Host", "example.amazonaws.com"), ("X-Amz-Date", "20150830T123600Z")]
    request = sigv4.Request("GET", "/", headers, b"")
    claim = sigv4.Claim("AKIDEXAMPLE", "20150830", "us-east-1", "service", ("host", "x-amz-date"), "")
    expected = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    assert expected == sigv4.signature(request, claim, DOCUMENTED_SECRET, "20150830T123600Z")


def test_known_answer_of_the_general_reference() -> None:
    """The worked ListUsers example of the AWS General Reference: a query string and a content type."""
    headers = [
        ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("host", "iam.amazonaws.com"),
        ("x-amz-date", "20150830T123600Z"),
    ]
    request = sigv4.Request("GET", "/?Action=ListUsers&Version=2010-05-08", headers, b"")
    claim = sigv4.Claim("AKIDEXAMPLE", "20150830", "us-east-1", "iam", tuple(name for name, _ in headers), "")
    expected = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    assert expected == sigv4.signature(request, claim, DOCUMENTED_SECRET, "20150830T123600Z")


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
WORD = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)


@settings(max_examples=60)
@given(
    form=st.dictionaries(TEXT, TEXT, max_size=3),
    query=st.dictionaries(TEXT, TEXT, max_size=3),
    extra=st.lists(WORD, min_size=1, max_size=3).map("   ".join),
    token=st.none() | WORD,
    secret=WORD,
    region=st.sampled_from(["us-east-1", "cn-north-1"]),
)
def test_agrees_with_the_signer_of_botocore(
    form: dict[str, str], query: dict[str, str], extra: str, token: str | None, secret: str, region: str
) -> None:
    target = "/?" + urlencode(query, quote_via=quote) if query else "/"
    body = urlencode(form).encode()
    signed = AWSRequest("POST", f"http://127.0.0.1:1234{target}", data=body, headers={"X-Extra": extra})
    SigV4Auth(Credentials("AKIDEXAMPLE", secret, token), "sts", region).add_auth(signed)
    request = sigv4.Request("POST", target, [("Host", "127.0.0.1:1234"), *signed.headers.items()], body)
    now = datetime.now(UTC)
    sigv4.check(request, sigv4.read_claim(request), secret, now)
    with pytest.raises(sigv4.Rejected, match="SignatureDoesNotMatch"):
        sigv4.check(request, sigv4.read_claim(request), secret + "x", now)


@pytest.mark.parametrize(
    ("header", "status", "code"),
    [
        ("", 403, "MissingAuthenticationToken"),
        ("Basic dXNlcjpwdw==", 400, "IncompleteSignature"),
        ("AWS4-HMAC-SHA256 Credential=AKIA/20200101/us-east-1/sts/aws4_request", 400, "IncompleteSignature"),
        (
            f"AWS4-HMAC-SHA256 Credential=AKIA/us-east-1/sts, SignedHeaders=host, Signature={'0' * 64}",
            400,
            "IncompleteSignature",
        ),
    ],
    ids=["none", "another scheme", "parts missing", "short scope"],
)
def test_request_without_a_proper_signature_is_refused(
    aws: FakeAws, header: str, status: int, code: str
) -> None:
    headers = {"Authorization": header} if header else {}
    answer, body = post(aws, "Action=GetCallerIdentity&Version=2011-06-15", headers)
    assert (status, True) == (answer.status, f"<Code>{code}</Code>" in body)


def test_every_signed_part_counts(aws: FakeAws, key: AccessKey) -> None:
    """One changed byte of body or header, an unsigned host, another service: all refused."""
    body = "Action=GetCallerIdentity&Version=2011-06-15"
    good = signed_headers(aws, key, body)
    unsigned = good["Authorization"].replace("content-type;host;x-amz-date", "content-type;x-amz-date")
    assert 200 == post(aws, body, good)[0].status
    assert "SignatureDoesNotMatch" in post(aws, body + "&X=1", good)[1]
    assert "SignatureDoesNotMatch" in post(aws, body, good | {"Content-Type": "text/plain"})[1]
    assert "Date in Credential scope" in post(aws, body, good | {"X-Amz-Date": "20200101T000000Z"})[1]
    assert "IncompleteSignature" in post(aws, body, good | {"X-Amz-Date": "yesterday"})[1]
    assert "signed headers: host" in post(aws, body, good | {"Authorization": unsigned})[1]
    assert "correct service" in post(aws, body, signed_headers(aws, key, body, service="iam"))[1]


def test_iam_takes_only_signatures_for_its_home_region(aws: FakeAws, key: AccessKey) -> None:
    with pytest.raises(Said, match="SignatureDoesNotMatch"):
        ask(aws, key, "GetUser", region="eu-west-1")


# --- books and faults -----------------------------------------------------------------------------


def test_books_tell_every_call(aws: FakeAws, alice: User, key: AccessKey) -> None:
    ask(aws, key, "GetCallerIdentity", region="eu-west-1")
    with pytest.raises(Said, match="NoSuchEntity"):
        ask(aws, key, "ListAccessKeys", UserName="nobody")
    first, second = aws.calls()
    told = (first.action, first.access_key_id, first.user, first.region, first.user_agent, first.outcome)
    assert ("GetCallerIdentity", key.access_key_id, alice.arn, "eu-west-1", "tests/1", "ok") == told
    assert ("ListAccessKeys", "us-east-1", "NoSuchEntity") == (second.action, second.region, second.outcome)
    assert [second] == aws.calls("ListAccessKeys")


@pytest.mark.parametrize(
    ("fault", "seen", "acted"),
    [
        (Fault.internal(), Said, False),
        (Fault.unavailable(), Said, False),
        (Fault.throttling(), Said, False),
        (Fault.reset(), ConnectionError, False),
        (Fault.lose_reply(), ConnectionError, True),
        (Fault.delay(30), TimeoutError, True),
        (Fault.truncate(), ET.ParseError, True),
        (Fault.cut(), http.client.IncompleteRead, True),
        (Fault.garbage(), (IndexError, ET.ParseError), True),
    ],
    ids=["500", "503", "throttling", "reset", "lost reply", "delay", "truncated", "cut", "garbage"],
)
def test_fault_strikes_its_action_once_before_or_after_acting(
    alice: User, fault: Fault, seen: type[Exception], acted: bool
) -> None:
    with FakeAws() as aws:
        user = aws.add_user("alice")
        key = aws.add_key(user)
        aws.fault(fault, action="CreateAccessKey")
        ask(aws, key, "GetUser")
        with pytest.raises(seen):
            ask(aws, key, "CreateAccessKey", timeout_s=0.5)
        ask(aws, key, "GetUser")
    assert 1 + acted == len(aws.world.keys_of(user))
    assert {"ok", "ok" if fault.way == "delay" else fault.name} == {call.outcome for call in aws.calls()}


def test_server_stops_under_a_call_that_is_held() -> None:
    """A test that fails before it opens its gate must not hang the suite."""
    with FakeAws() as aws:
        gate = Gate()
        aws.fault(Fault.hold(gate))
        with pytest.raises(TimeoutError):
            ask(aws, aws.add_key(aws.add_user("alice")), "GetCallerIdentity", timeout_s=0.2)
        assert gate.arrived.acquire(timeout=5)


# --- second opinion, and as a process -------------------------------------------------------------


def test_boto3_and_moto_agree_on_what_is_allowed(aws: FakeAws, key: AccessKey) -> None:
    """Where both say yes, boto3 reads the same fields from both; and the codes that moto knows are ours."""
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    moto.start()
    try:
        url = "http://{}:{}".format(*moto.get_host_and_port())
        iam = clients(key, url)[1]
        iam.create_user(UserName="alice", Path="/staff/")
        iam.create_access_key(UserName="alice")
        aws.add_role("r", key.user)
        assert conversation(*clients(key, aws.url)) == conversation(*clients(key, url))
    finally:
        moto.stop()


def clients(key: AccessKey, url: str) -> list[Any]:
    session = boto3.session.Session(key.access_key_id, key.secret, region_name="us-east-1")
    config = Config(retries={"total_max_attempts": 1}, proxies={})
    return [session.client(service, endpoint_url=url, config=config) for service in ("sts", "iam")]


def conversation(sts: Any, iam: Any) -> list[object]:
    listed = iam.list_access_keys(UserName="alice")["AccessKeyMetadata"]
    last_used = iam.get_access_key_last_used(AccessKeyId=listed[0]["AccessKeyId"])
    made = iam.create_access_key(UserName="alice")["AccessKey"]
    with pytest.raises(ClientError) as limit:
        iam.create_access_key(UserName="alice")
    with pytest.raises(ClientError) as missing:
        iam.list_access_keys(UserName="nobody")
    mine = {"UserName": "alice", "AccessKeyId": made["AccessKeyId"]}
    assumed = sts.assume_role(RoleArn="arn:aws:iam::123456789012:role/r", RoleSessionName="dev")
    federated = sts.get_federation_token(Name="alice")
    return [
        set(sts.get_caller_identity()),
        set(sts.get_session_token()["Credentials"]),
        {name: set(assumed[name]) for name in ("Credentials", "AssumedRoleUser")},
        assumed["AssumedRoleUser"]["Arn"],
        {name: set(federated[name]) for name in ("Credentials", "FederatedUser")},
        federated["FederatedUser"]["Arn"],
        set(iam.get_user(UserName="alice")["User"]) - {"Tags"},
        iam.get_user(UserName="alice")["User"]["Arn"],
        {name: type(value) for name, value in listed[0].items()},
        set(last_used["AccessKeyLastUsed"]) - {"LastUsedDate"},
        set(made),
        limit.value.response["Error"]["Code"],
        str(missing.value),
        set(iam.update_access_key(Status="Inactive", **mine)),
        set(iam.delete_access_key(**mine)),
    ]


def test_runs_as_a_process_seeded_from_standard_input(tmp_path: Path) -> None:
    books = tmp_path / "books.jsonl"
    command = [sys.executable, "-m", "tests.fake_aws", "--seed", "-", "--books", str(books)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(
            f"dev AKIAIOSFODNN7EXAMPLE {DOCUMENTED_SECRET}\nroot AKIAIOSFODNN7EXAMPL2 {DOCUMENTED_SECRET}\n"
        )
        process.stdin.close()
        elsewhere = SimpleNamespace(url=process.stdout.readline().strip())
        anybody = User("", "", "", "", "", datetime.now(UTC))
        arns = [
            ask(
                elsewhere,
                AccessKey(key_id, DOCUMENTED_SECRET, anybody, "", datetime.now(UTC)),
                "GetCallerIdentity",
            )["Arn"]
            for key_id in ("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPL2")
        ]
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(timeout=10)
    assert ["arn:aws:iam::123456789012:user/dev", "arn:aws:iam::123456789012:root"] == arns
    assert ["GetCallerIdentity"] * 2 == [
        json.loads(line)["action"] for line in books.read_text().splitlines()
    ]


def test_seed_that_makes_no_sense_is_refused_without_showing_it() -> None:
    command = [sys.executable, "-m", "tests.fake_aws", "--seed", "-"]
    seed = "dev AKIA SECRET extra\n"
    done = subprocess.run(command, cwd=ROOT, input=seed, capture_output=True, text=True, check=False)
    complaint = "fake_aws: line 1 of the seed is not: USER ACCESS_KEY_ID SECRET\n"
    assert (2, "", complaint) == (done.returncode, done.stdout, done.stderr)
