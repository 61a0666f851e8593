# SPDX-License-Identifier: Apache-2.0
"""The console's URL as AWS gives it: asked for where AWS's sign-in lives, the safe way, telling nobody the secret."""

import http.client
import logging
import socket
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.fake_aws import AccessKey, FakeAws, Fault, IssuedSession, User
from tests.fake_aws.asking import ask, assume, issued
from tests.fake_aws.tunnel import HOSTS, Tunnel, certificate
from vaultd.core.secret import Secret
from vaultd.core.sessions import Credentials, Session
from vaultd.edge.aws import Aws, AwsSettings
from vaultd.wire.errors import AwsFailed, Usage

PLACE: dict[str, Any] = {"partition": "aws", "region": "eu-west-1"}


@pytest.fixture
def fake() -> Iterator[FakeAws]:
    with FakeAws() as server:
        yield server


@pytest.fixture
def aws(fake: FakeAws) -> Aws:
    return at(fake.url)


@pytest.fixture
def session(fake: FakeAws, alice: User, key: AccessKey) -> IssuedSession:
    return assume(fake, key, fake.add_role("admin", alice))


def at(url: str, *, read_timeout_s: float = 5) -> Aws:
    return Aws(AwsSettings(endpoint_url=url), read_timeout_s=read_timeout_s)


def ours(session: IssuedSession) -> Session:
    credentials = Credentials(session.access_key_id, Secret(session.secret), Secret(session.token))
    return Session(credentials, session.expires_at)


def opened(fake: FakeAws, url: str) -> str | None:
    """Where a browser that opens this URL is sent."""
    connection = http.client.HTTPConnection("127.0.0.1", fake.port, timeout=5)
    try:
        connection.request("GET", f"/federation?{urlsplit(url).query}")
        return connection.getresponse().headers["Location"]
    finally:
        connection.close()


def test_role_session_becomes_a_url_that_opens_the_page(
    fake: FakeAws, aws: Aws, session: IssuedSession
) -> None:
    url = aws.signin_url(ours(session), **PLACE, destination="/s3/home", duration_s=7200)
    assert url.startswith(f"{fake.url}/federation?Action=login&Issuer=awsvault&")
    assert "https://console.aws.amazon.com/s3/home" == opened(fake, url)
    (call,) = fake.calls("getSigninToken")
    assert ("POST", session.arn, 7200, None) == (call.method, call.user, call.terms.duration_s, call.region)
    assert call.user_agent.startswith("awsvault/")


def test_narrowed_session_opens_the_regions_home(fake: FakeAws, aws: Aws, key: AccessKey) -> None:
    federated = issued(fake, ask(fake, key, "GetFederationToken", Name="alice"))
    page = opened(fake, aws.signin_url(ours(federated), **PLACE))
    assert "https://console.aws.amazon.com/console/home?region=eu-west-1" == page
    assert fake.calls("getSigninToken")[0].terms.duration_s is None


def test_region_of_another_partition_is_not_opened(fake: FakeAws, aws: Aws, session: IssuedSession) -> None:
    page = opened(fake, aws.signin_url(ours(session), partition="aws-cn", region="eu-west-1"))
    assert "https://console.amazonaws.cn/console/home?region=cn-north-1" == page


@pytest.mark.parametrize("mfa", [True, False])
def test_session_of_a_key_is_refused_in_words(fake: FakeAws, aws: Aws, key: AccessKey, mfa: bool) -> None:
    with pytest.raises(AwsFailed, match="AWS gives this session no console") as caught:
        aws.signin_url(ours(fake.add_session(key, mfa=mfa)), **PLACE)
    assert "400" == caught.value.details["aws_code"]


def test_other_destinations_and_lengths_are_refused_before_a_call(
    fake: FakeAws, aws: Aws, session: IssuedSession
) -> None:
    wrong: list[dict[str, Any]] = [{"destination": "https://evil.example/"}, {"duration_s": 43_201}]
    for asked in wrong:
        with pytest.raises(Usage):
            aws.signin_url(ours(session), **PLACE, **asked)
    assert [] == fake.calls("getSigninToken")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault.internal(), "AWS failed at signin:getSigninToken (500)"),
        (Fault.unavailable(), "AWS failed at signin:getSigninToken (503)"),
        (Fault.reset(), "cannot reach HOST: the connection failed"),
        (Fault.lose_reply(), "cannot reach HOST: the connection failed"),
        (Fault.cut(), "HOST did not answer as AWS does"),
        (Fault.truncate(), "HOST did not answer as AWS does"),
        (Fault.garbage(), "HOST did not answer as AWS does"),
        (Fault.refuse(200, "deep", "[" * 100_000), "HOST did not answer as AWS does"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_each_fault_is_one_clear_line(
    fake: FakeAws, aws: Aws, session: IssuedSession, fault: Fault, message: str
) -> None:
    fake.fault(fault, action="getSigninToken")
    with pytest.raises(AwsFailed) as caught:
        aws.signin_url(ours(session), **PLACE)
    assert message.replace("HOST", f"127.0.0.1:{fake.port}") == caught.value.message
    aws.signin_url(ours(session), **PLACE)


def test_late_answer_is_no_answer(fake: FakeAws, session: IssuedSession) -> None:
    fake.fault(Fault.delay(30), action="getSigninToken")
    with pytest.raises(AwsFailed, match="no answer in time"):
        at(fake.url, read_timeout_s=0.2).signin_url(ours(session), **PLACE)


def test_nobody_there_names_the_host(session: IssuedSession) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with pytest.raises(AwsFailed, match=f"^cannot reach 127.0.0.1:{port}: the connection failed$"):
        at(f"http://127.0.0.1:{port}").signin_url(ours(session), **PLACE)


def test_no_secret_in_an_error_nor_in_a_log(
    fake: FakeAws, aws: Aws, session: IssuedSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for fault in (Fault.refuse(400, "x", session.token), Fault.reset(), Fault.garbage()):
        fake.fault(fault, action="getSigninToken")
        with pytest.raises(AwsFailed) as caught:
            aws.signin_url(ours(session), **PLACE)
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.details)
        assert session.token not in shown
        assert session.secret not in shown
    aws.signin_url(ours(session), **PLACE)
    assert "" == caplog.text


# --- real host names, tunnelled to the stand-in -----------------------------------------------------


@pytest.mark.parametrize(
    ("partition", "region", "host", "console", "method"),
    [
        ("aws", "us-east-1", "signin.aws.amazon.com", "console.aws.amazon.com", "POST"),
        ("aws-cn", "cn-north-1", "signin.amazonaws.cn", "console.amazonaws.cn", "POST"),
        ("aws-us-gov", "us-gov-west-1", "signin.amazonaws-us-gov.com", "console.amazonaws-us-gov.com", "GET"),
    ],
    ids=["aws", "aws-cn", "aws-us-gov"],
)
def test_each_partition_signs_in_at_its_own_place_through_the_proxy(
    tmp_path: Path, partition: str, region: str, host: str, console: str, method: str
) -> None:
    trusted, tls = certificate(tmp_path, *HOSTS)
    with FakeAws(tls=tls) as fake, Tunnel(fake.port) as tunnel:
        key = fake.add_key(fake.add_user("bob", partition=partition))
        aws = Aws(AwsSettings(proxy=tunnel.url, ca_bundle=str(trusted)))
        place: dict[str, Any] = {"partition": partition, "region": None}
        mine = Credentials(key.access_key_id, Secret(key.secret))
        session = aws.federation_token(mine, name="bob", duration_s=3600, **place)
        url = aws.signin_url(session, **place)
        assert host == tunnel.hosts[-1]
        assert (host, "/federation") == urlsplit(url)[1:3]
        page = f"https://{console}/console/home?region={region}"
        assert [page] == parse_qs(urlsplit(url).query)["Destination"]
        assert method == fake.calls("getSigninToken")[0].method


def test_certificate_of_somebody_else_is_not_trusted(tmp_path: Path) -> None:
    _, tls = certificate(tmp_path, *HOSTS)
    with FakeAws(tls=tls) as fake, Tunnel(fake.port) as tunnel:
        session = fake.add_session(fake.add_key(fake.add_user("bob")), mfa=False)
        with pytest.raises(
            AwsFailed, match=r"cannot reach signin\.aws\.amazon\.com: no trusted TLS connection"
        ):
            Aws(AwsSettings(proxy=tunnel.url)).signin_url(ours(session), **PLACE)
        assert [] == fake.calls()


def test_key_log_of_the_environment_gets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SSLKEYLOGFILE: whoever sets it could read the secrets out of recorded traffic."""
    trusted, tls = certificate(tmp_path, *HOSTS)
    with FakeAws(tls=tls) as fake, Tunnel(fake.port) as tunnel:
        session = fake.add_session(fake.add_key(fake.add_user("bob")), mfa=False)
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
        with pytest.raises(AwsFailed, match="no console"):
            Aws(AwsSettings(proxy=tunnel.url, ca_bundle=str(trusted))).signin_url(ours(session), **PLACE)
    assert not (tmp_path / "keys").exists()
