# SPDX-License-Identifier: Apache-2.0
"""What the daemon says to AWS and hears from it, in fair weather and foul."""

import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.fake_aws import AccessKey, FakeAws, Fault, IssuedSession, User
from vaultd.core.secret import Secret
from vaultd.core.sessions import Credentials
from vaultd.edge.aws import Aws, AwsSettings, LastUsed
from vaultd.wire.errors import AwsFailed, ClientClockSkewed, Usage


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[FakeAws, Aws]]:
    """boto3 takes a while to read its models."""
    with FakeAws() as server:
        yield server, at(server.url)


@pytest.fixture
def alice(fake: FakeAws) -> User:
    return fake.add_user("alice", path="/staff/")


@pytest.fixture
def aws(shared: tuple[FakeAws, Aws]) -> Aws:
    return shared[1]


def at(url: str, *, attempts: int = 1, **settings: str) -> Aws:
    return Aws(AwsSettings(endpoint_url=url, **settings), read_timeout_s=1, attempts=attempts)


def mine(signer: AccessKey | IssuedSession, secret: str | None = None) -> Credentials:
    token = Secret(signer.token) if isinstance(signer, IssuedSession) else None
    return Credentials(signer.access_key_id, Secret(secret or signer.secret), token)


def make_session(aws: Aws, key: AccessKey, duration_s: int = 3600) -> Any:
    return aws.session_token(mine(key), partition="aws", region=None, duration_s=duration_s)


# --- fair weather -------------------------------------------------------------------------------


def test_identity_tells_account_user_and_partition(aws: Aws, key: AccessKey) -> None:
    partition, identity = aws.identify(mine(key), region=None)
    assert ("aws", "alice", False) == (partition, identity.user_name, identity.is_root)
    assert "arn:aws:iam::123456789012:user/staff/alice" == identity.arn


def test_root_key_is_known_for_one(fake: FakeAws, aws: Aws) -> None:
    assert aws.identify(mine(fake.add_key(fake.add_root())), region=None)[1].is_root


def test_configured_endpoint_is_asked_once_in_the_region_given(fake: FakeAws) -> None:
    key = fake.add_key(fake.add_user("bob", partition="aws-cn"))
    assert "aws-cn" == at(fake.url).identify(mine(key), region="cn-northwest-1")[0]
    assert "aws-cn" == at(fake.url, region="cn-north-1").identify(mine(key), region=None)[0]
    assert ["cn-northwest-1", "cn-north-1"] == [call.region for call in fake.calls()]


def test_session_is_what_sts_gave(fake: FakeAws, aws: Aws, key: AccessKey) -> None:
    session = aws.session_token(mine(key), partition="aws", region="eu-west-1", duration_s=7200)
    issued = fake.world.sessions[session.credentials.access_key_id]
    assert mine(issued) == session.credentials
    assert issued.expires_at == session.expires_at
    assert timedelta(hours=2) - timedelta(seconds=5) < session.expires_at - datetime.now(UTC)
    assert "eu-west-1" == fake.calls()[0].region
    assert (
        "arn:aws:iam::123456789012:user/staff/alice" == aws.identify(session.credentials, region=None)[1].arn
    )


def test_iam_is_asked_where_it_is_whatever_the_region(fake: FakeAws, aws: Aws, key: AccessKey) -> None:
    assert aws.key_created_at(mine(key), partition="aws", region="eu-west-1", user_name=None)
    aws.last_used(mine(key), partition="aws", region="eu-west-1")
    assert ["us-east-1", "us-east-1"] == [call.region for call in fake.calls()]


def test_region_of_another_partition_gives_way(fake: FakeAws, key: AccessKey) -> None:
    """`[aws] region` is meant for the partition it lies in; the profile's region comes first."""
    aws = at(fake.url, region="eu-west-1")
    for region in ("eu-north-1", None, "cn-north-1"):
        aws.session_token(mine(key), partition="aws", region=region, duration_s=3600)
    assert ["eu-north-1", "eu-west-1", "eu-west-1"] == [call.region for call in fake.calls()]


def test_creation_and_last_use_of_the_very_key(fake: FakeAws, aws: Aws, alice: User, key: AccessKey) -> None:
    used_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    other = fake.add_key(alice)
    fake.set_last_use(key, "s3", "eu-west-1", used_at)
    place: dict[str, Any] = {"partition": "aws", "region": None}
    assert key.created_at.replace(microsecond=0) == aws.key_created_at(mine(key), user_name="alice", **place)
    assert LastUsed("s3", "eu-west-1", used_at) == aws.last_used(mine(key), **place)
    assert aws.last_used(mine(other), **place) is None


def test_root_user_asks_iam_without_a_name(fake: FakeAws, aws: Aws) -> None:
    key = fake.add_key(fake.add_root())
    assert aws.key_created_at(mine(key), partition="aws", region=None, user_name=None)


def test_what_iam_does_not_tell_is_unknown(fake: FakeAws, aws: Aws, alice: User, key: AccessKey) -> None:
    fake.deny(alice, "iam:ListAccessKeys", "iam:GetAccessKeyLastUsed")
    for signer in (key, fake.add_session(key, mfa=False)):
        place: dict[str, Any] = {"partition": "aws", "region": None}
        assert aws.key_created_at(mine(signer), user_name="alice", **place) is None
        assert aws.last_used(mine(signer), **place) is None


def test_iam_out_of_order_is_not_mistaken_for_unknown(fake: FakeAws, aws: Aws, key: AccessKey) -> None:
    fake.fault(Fault.throttling())
    with pytest.raises(AwsFailed, match="throttling iam:GetAccessKeyLastUsed"):
        aws.last_used(mine(key), partition="aws", region=None)


def test_user_agent_names_us(fake: FakeAws, aws: Aws, key: AccessKey) -> None:
    aws.identify(mine(key), region=None)
    assert " awsvault/" in fake.calls()[0].user_agent


def test_threads_share_a_client_and_never_a_key(fake: FakeAws, aws: Aws) -> None:
    keys = [fake.add_key(fake.add_user(f"user{number}")) for number in range(8)]
    together = threading.Barrier(len(keys))

    def ask(key: AccessKey) -> list[str | None]:
        together.wait()
        return [aws.identify(mine(key), region=None)[1].user_name for _ in range(5)]

    with ThreadPoolExecutor(len(keys)) as threads:
        told = list(threads.map(ask, keys))
    assert [[f"user{number}"] * 5 for number in range(8)] == told


# --- foul weather -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault.internal(), "AWS failed at sts:GetSessionToken (InternalFailure)"),
        (Fault.unavailable(), "AWS failed at sts:GetSessionToken (ServiceUnavailable)"),
        (Fault.throttling(), "AWS is throttling sts:GetSessionToken"),
        (Fault.delay(30), "cannot reach HOST: no answer in time"),
        (Fault.reset(), "cannot reach HOST: the connection failed"),
        (Fault.lose_reply(), "cannot reach HOST: the connection failed"),
        (Fault.cut(), "HOST did not answer as AWS does"),
        (Fault.truncate(), "HOST did not answer as AWS does"),
        (Fault.garbage(), "HOST did not answer as AWS does"),
        (Fault.refuse(200, "x", ""), "HOST did not answer as AWS does"),
        (Fault.refuse(302, "Moved", "elsewhere"), "AWS refused sts:GetSessionToken (Moved: elsewhere)"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_each_fault_is_one_clear_line(
    fake: FakeAws, aws: Aws, key: AccessKey, fault: Fault, message: str
) -> None:
    fake.fault(fault)
    with pytest.raises(AwsFailed) as caught:
        make_session(aws, key)
    assert message.replace("HOST", f"127.0.0.1:{fake.port}") == caught.value.message
    make_session(aws, key)


def test_nobody_there_names_the_host(key: AccessKey) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with pytest.raises(AwsFailed) as caught:
        at(f"http://127.0.0.1:{port}").identify(mine(key), region=None)
    words = f"cannot reach 127.0.0.1:{port}: the connection failed; check the network, then try again"
    assert words == caught.value.line


def test_passing_fault_is_retried_and_a_refusal_is_not(fake: FakeAws, alice: User, key: AccessKey) -> None:
    aws = at(fake.url, attempts=2)
    fake.fault(Fault.unavailable())
    make_session(aws, key)
    assert ["ServiceUnavailable", "ok"] == [call.outcome for call in fake.calls()]
    fake.deny(alice, "sts:GetSessionToken")
    with pytest.raises(AwsFailed):
        make_session(aws, key)
    assert 3 == len(fake.calls())


def test_wrong_secret_and_unknown_key_are_told_apart(aws: Aws, fake: FakeAws, key: AccessKey) -> None:
    with pytest.raises(AwsFailed, match=rf"the secret of the key \.\.\.{key.access_key_id[-4:]} is wrong"):
        aws.identify(mine(key, "x" * 40), region=None)
    key.status = "Inactive"
    with pytest.raises(
        AwsFailed, match=rf"AWS does not know the key .* in {fake.url}: it was deleted, is inactive"
    ):
        aws.identify(mine(key), region=None)


def test_expired_session_is_told(aws: Aws, fake: FakeAws, key: AccessKey) -> None:
    session = fake.add_session(key, mfa=False, length=-timedelta(seconds=1))
    with pytest.raises(AwsFailed, match="has expired"):
        aws.identify(mine(session), region=None)


def test_denied_action_is_named(aws: Aws, fake: FakeAws, alice: User, key: AccessKey) -> None:
    fake.deny(alice, "sts:GetSessionToken")
    with pytest.raises(
        AwsFailed, match=r"^sts:GetSessionToken is not allowed to the key .* \(AWS: on resource: arn:aws"
    ) as caught:
        make_session(aws, key)
    assert "AccessDenied" == caught.value.details["aws_code"]


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (timedelta(hours=14, minutes=50, seconds=30), "this clock is 14 h 50 min slow"),
        (-timedelta(days=3, seconds=30), "this clock is 3 d fast"),
    ],
)
def test_wrong_clock_is_measured_by_that_of_aws(
    fake: FakeAws, aws: Aws, key: AccessKey, ahead: timedelta, words: str
) -> None:
    fake.clock.advance(ahead)
    with pytest.raises(ClientClockSkewed, match=words):
        make_session(aws, key)


def test_place_that_is_no_region_is_refused_before_a_call(fake: FakeAws, aws: Aws, key: AccessKey) -> None:
    for region in ("evil.example/#-1", "us-iso-east-1"):
        with pytest.raises(Usage):
            aws.identify(mine(key), region=region)
    assert [] == fake.calls()


# --- secrets ------------------------------------------------------------------------------------


def test_no_secret_in_what_is_raised_nor_in_its_traceback(fake: FakeAws, aws: Aws, key: AccessKey) -> None:
    session = fake.add_session(key, mfa=False)
    said = f"The Canonical String should have been x-amz-security-token:{session.token} {session.secret}"
    for code in ("SignatureDoesNotMatch", "AccessDenied", "SomethingNew"):
        fake.fault(Fault.refuse(403, code, said))
        with pytest.raises(AwsFailed) as caught:
            aws.identify(mine(session), region=None)
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.details)
        assert session.token not in shown
        assert session.secret not in shown


def test_no_log_level_lets_a_secret_into_a_log(
    fake: FakeAws, caplog: pytest.LogCaptureFixture, key: AccessKey
) -> None:
    """botocore logs whole replies at DEBUG."""
    caplog.set_level(logging.DEBUG)
    make_session(at(fake.url), key)
    assert "" == caplog.text


def test_nothing_stays_signed_in_after_a_call(aws: Aws, key: AccessKey) -> None:
    """Clients are shared: one without a caller's credentials has none at all, and asks nowhere for some."""
    aws.identify(mine(key), region=None)
    with pytest.raises(AttributeError):
        aws._boto._client("sts", "us-east-1").get_caller_identity()
    assert not vars(aws._boto._signer._thread)
