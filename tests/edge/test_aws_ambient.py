# SPDX-License-Identifier: Apache-2.0
"""Nothing ambient reaches AWS, and AWS is reached where it lives: real host names, tunnelled to a stand-in."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fake_aws import FakeAws
from tests.fake_aws.tunnel import HOSTS, Tunnel, certificate
from vaultd.core.secret import Secret
from vaultd.core.sessions import Credentials
from vaultd.edge.aws import Aws, AwsSettings
from vaultd.wire.errors import AwsFailed

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class World:
    """AWS's host names, all at one stand-in behind a proxy."""

    fake: FakeAws
    tunnel: Tunnel
    settings: AwsSettings

    def key(self, partition: str = "aws") -> Credentials:
        key = self.fake.add_key(self.fake.add_user("alice", partition=partition))
        return Credentials(key.access_key_id, Secret(key.secret))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    trusted, tls = certificate(tmp_path, *HOSTS)
    with FakeAws(tls=tls) as fake, Tunnel(fake.port) as tunnel:
        yield World(fake, tunnel, AwsSettings(proxy=tunnel.url, ca_bundle=str(trusted)))


STS = {
    "aws": "sts.us-east-1.amazonaws.com",
    "aws-cn": "sts.cn-north-1.amazonaws.com.cn",
    "aws-us-gov": "sts.us-gov-west-1.amazonaws.com",
}
IAM = {
    "aws": "iam.amazonaws.com",
    "aws-cn": "iam.cn-north-1.amazonaws.com.cn",
    "aws-us-gov": "iam.us-gov.amazonaws.com",
}


@pytest.mark.parametrize(("asked", "partition"), list(enumerate(STS, 1)), ids=list(STS))
def test_partition_is_found_by_asking_one_after_the_other(world: World, partition: str, asked: int) -> None:
    found, identity = Aws(world.settings).identify(world.key(partition), region=None)
    assert (partition, partition) == (found, identity.partition)
    assert list(STS.values())[:asked] == world.tunnel.hosts


def test_partition_of_a_given_region_is_the_only_one_asked(world: World) -> None:
    with pytest.raises(AwsFailed, match=r"does not know the key .* in aws-cn"):
        Aws(world.settings).identify(world.key("aws"), region="cn-north-1")
    assert [STS["aws-cn"]] == world.tunnel.hosts


def test_configured_region_says_which_partition_to_ask_first(world: World) -> None:
    settings = AwsSettings(
        proxy=world.settings.proxy, ca_bundle=world.settings.ca_bundle, region="us-gov-west-1"
    )
    assert "aws-us-gov" == Aws(settings).identify(world.key("aws-us-gov"), region=None)[0]
    assert [STS["aws-us-gov"]] == world.tunnel.hosts


def test_key_that_nobody_knows_is_asked_for_everywhere(world: World) -> None:
    unknown = Credentials("AKIAIOSFODNN7EXAMPLE", Secret("s" * 40))
    with pytest.raises(AwsFailed) as caught:
        Aws(world.settings).identify(unknown, region=None)
    assert (
        "AWS does not know the key ...MPLE (asked aws, aws-cn, aws-us-gov): it was deleted or is inactive"
        == (caught.value.message)
    )
    assert list(STS.values()) == world.tunnel.hosts


def test_partition_behind_a_firewall_does_not_hide_that_a_key_is_unknown(world: World) -> None:
    world.tunnel.closed.add(STS["aws-cn"])
    unknown = Credentials("AKIAIOSFODNN7EXAMPLE", Secret("s" * 40))
    with pytest.raises(AwsFailed, match=r"does not know .* \(asked aws, aws-us-gov\)"):
        Aws(world.settings, attempts=1).identify(unknown, region=None)
    world.tunnel.closed.add(STS["aws"])
    with pytest.raises(AwsFailed, match=r"cannot reach sts\.us-east-1"):
        Aws(world.settings, attempts=1).identify(unknown, region=None)


@pytest.mark.parametrize("partition", list(IAM))
def test_sts_is_regional_and_iam_where_the_partition_has_it(world: World, partition: str) -> None:
    """The global STS endpoint's tokens do not work in every region."""
    key, aws = world.key(partition), Aws(world.settings)
    aws.session_token(key, partition=partition, region=None, duration_s=3600)
    assert aws.key_created_at(key, partition=partition, region=None, user_name="alice")
    assert [STS[partition], IAM[partition]] == world.tunnel.hosts


def test_certificate_of_somebody_else_is_not_trusted(world: World) -> None:
    with pytest.raises(AwsFailed) as caught:
        Aws(AwsSettings(proxy=world.tunnel.url), attempts=1).identify(world.key(), region="us-east-1")
    assert (
        "cannot reach sts.us-east-1.amazonaws.com: no trusted TLS connection; check [aws] ca_bundle"
        == caught.value.line
    )
    assert [] == world.fake.calls()


def test_missing_ca_bundle_is_no_way_round_the_check(world: World, tmp_path: Path) -> None:
    settings = AwsSettings(proxy=world.tunnel.url, ca_bundle=str(tmp_path / "missing.pem"))
    with pytest.raises(AwsFailed, match="no trusted TLS connection"):
        Aws(settings, attempts=1).identify(world.key(), region="us-east-1")
    assert [] == world.fake.calls()


def test_dead_proxy_is_named_without_its_password(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    settings = AwsSettings(proxy=f"http://user:hunter2@127.0.0.1:{port}", ca_bundle=world.settings.ca_bundle)
    with pytest.raises(AwsFailed) as caught:
        Aws(settings, attempts=1).identify(world.key(), region="us-east-1")
    assert caught.value.line == (
        "cannot reach sts.us-east-1.amazonaws.com: the proxy does not answer; check [aws] proxy"
    )


# --- a hostile environment ----------------------------------------------------------------------


@contextmanager
def trap() -> Iterator[tuple[str, list[bytes]]]:
    """An address that nobody has a reason to call, and whoever did."""
    caught: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def wait() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        caught.append(connection.recv(1000))
            except OSError:
                return

        thread = threading.Thread(target=wait)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}", caught
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


#: Says what a daemon in this environment would call, and then calls.
PROGRAM = """
import json, sys
from vaultd.core.secret import Secret
from vaultd.core.sessions import Credentials
from vaultd.edge.aws import Aws, AwsSettings
from vaultd.edge.boto import Boto

asked = json.load(sys.stdin)
key = Credentials(asked["id"], Secret(asked["secret"]))
clients = [Boto(AwsSettings())._client(service, "eu-west-1") for service in ("sts", "iam")]
aws = Aws(AwsSettings(**asked["settings"]))
partition, identity = aws.identify(key, region=None)
session = aws.session_token(key, partition=partition, region=None, duration_s=3600)
aws.last_used(key, partition=partition, region=None)
federated = aws.federation_token(key, name="alice", partition=partition, region=None, duration_s=3600)
Aws(AwsSettings(**asked["settings"])).signin_url(federated, partition=partition, region=None)
json.dump({
    "endpoints": [client.meta.endpoint_url for client in clients],
    "retries": clients[0].meta.config.retries,
    "verify": clients[0]._endpoint.http_session._verify,
    "arn": identity.arn,
    "account": aws.identify(session.credentials, region=None)[1].account,
}, sys.stdout)
"""


def hostile(home: Path, address: str) -> dict[str, str]:
    """A home and an environment in which everything that botocore may look at leads astray."""
    marker = home / "recursion"
    plant(home / ".aws/models/sts/2011-06-15/service-2.json", "{}")
    plant(home / ".aws/models/iam/2010-05-08/service-2.json", "{}")
    plant(home / "plugin_of_a_stranger.py", f"open({str(marker)!r}, 'w').close()\n")
    config = (
        f"[default]\nregion = mars-north-1\ncredential_process = touch {marker}\nendpoint_url = http://{address}\n"
        f"ca_bundle = {home}/none.pem\nsts_regional_endpoints = legacy\nmax_attempts = 9\nuse_fips_endpoint = true\n"
        "[profile trap]\nsource_profile = trap\nrole_arn = arn:aws:iam::999999999999:role/x\n"
    )
    credentials = (
        "[default]\naws_access_key_id = AKIASTRANGERSTRANGER\naws_secret_access_key = " + "x" * 40 + "\n"
    )
    for folder, name in ((home / ".aws", ""), (home, "planted-")):
        plant(folder / f"{name}config", config)
        plant(folder / f"{name}credentials", credentials)
    plant(home / ".aws/config", config + config)  # a section twice: botocore refuses such a file altogether
    url = f"http://{address}"
    return {
        "HOME": str(home),
        "PYTHONPATH": f"{ROOT}:{home}",
        "PATH": os.defpath,
        "AWS_PROFILE": "trap",
        "AWS_DEFAULT_PROFILE": "trap",
        "AWS_CONFIG_FILE": str(home / "planted-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "planted-credentials"),
        "AWS_ACCESS_KEY_ID": "AKIASTRANGERSTRANGER",
        "AWS_SECRET_ACCESS_KEY": "x" * 40,
        "AWS_SESSION_TOKEN": "stranger",
        "AWS_REGION": "mars-north-1",
        "AWS_DEFAULT_REGION": "mars-north-1",
        "AWS_DATA_PATH": str(home / ".aws/models"),
        "AWS_CA_BUNDLE": str(home / "none.pem"),
        "REQUESTS_CA_BUNDLE": str(home / "none.pem"),
        "AWS_ENDPOINT_URL": url,
        "AWS_ENDPOINT_URL_STS": url,
        "AWS_ENDPOINT_URL_IAM": url,
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
        "AWS_STS_REGIONAL_ENDPOINTS": "legacy",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_MAX_ATTEMPTS": "9",
        "AWS_RETRY_MODE": "legacy",
        "AWS_DEFAULTS_MODE": "auto",
        "AWS_EXECUTION_ENV": "stranger",
        "AWS_SDK_UA_APP_ID": "stranger",
        "AWS_LAMBDA_FUNCTION_NAME": "stranger",
        "_X_AMZN_TRACE_ID": "stranger",
        "AWS_CSM_ENABLED": "true",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": url,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/creds",
        "BOTOCORE_EXPERIMENTAL__PLUGINS": "stranger=plugin_of_a_stranger",
        "SSLKEYLOGFILE": str(home / "tls-keys"),
        **{
            name: url
            for scheme in ("http", "https", "all")
            for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper())
        },
        "no_proxy": "",
    }


def plant(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("behind", ["the endpoint of the settings", "the proxy of the settings"])
def test_hostile_environment_and_files_change_nothing(world: World, tmp_path: Path, behind: str) -> None:
    home = tmp_path / "home"
    with FakeAws() as plain, trap() as (address, caught):
        direct = behind.startswith("the endpoint")
        fake = plain if direct else world.fake
        key = fake.add_key(fake.add_user("alice"))
        ours = {"proxy": world.tunnel.url, "ca_bundle": str(world.settings.ca_bundle)}
        settings = {"endpoint_url": plain.url} if direct else ours
        asked = {"id": key.access_key_id, "secret": key.secret, "settings": settings}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM],
            env=hostile(home, address),
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (0, "") == (done.returncode, done.stderr)
    assert json.loads(done.stdout) == {
        "endpoints": ["https://sts.eu-west-1.amazonaws.com", "https://iam.amazonaws.com"],
        "verify": True,
        "retries": {"mode": "standard", "total_max_attempts": 3},
        "arn": "arn:aws:iam::123456789012:user/alice",
        "account": "123456789012",
    }
    assert [] == caught
    assert not (home / "recursion").exists(), "a program of the environment's was run"
    assert not (home / "tls-keys").exists(), "TLS keys were written down"
    assert ["ok"] * 6 == [call.outcome for call in fake.calls()]
    assert not any("stranger" in call.user_agent for call in fake.calls())


def test_boto3_is_not_loaded_before_it_is_needed() -> None:
    """A locked daemon has 40 MiB; boto3 alone takes half of that."""
    program = "import sys, vaultd.edge.broker; sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    assert 0 == subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode
