# SPDX-License-Identifier: Apache-2.0
"""`exec --server`: programs that run longer than a session do not notice that one ends; nor do those with the hook."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemons import AWSVAULT
from tests.long_running import Way, live_through_expiries
from tests.scenarios.person import at_terminal
from tests.scenarios.vault_at_aws import REGION, Stage, open_stage

#: A program that asks AWS who it is for every line that it reads, with botocore's clock put forward in the same way.
PROGRAM = """
import sys, os
from datetime import timedelta
import boto3
sts = boto3.client("sts", endpoint_url=os.environ["AWS"])
credentials = sts._request_signer._credentials
true = credentials._time_fetcher
credentials._time_fetcher = lambda: true() + timedelta(seconds=int(open(os.environ["SHIFT"]).read()))
for line in sys.stdin:
    print(sts.get_caller_identity()["Arn"], credentials.access_key, flush=True)
"""
ALICE = "arn:aws:iam::123456789012:user/alice"
IDENTITY = "import boto3, os; print(boto3.client('sts', endpoint_url=os.environ['AWS']).get_caller_identity()['Arn'])"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_stage() as opened:
        yield opened


def test_a_real_sdk_gets_its_session_there(stage: Stage) -> None:
    extra = {"AWS": stage.aws.url, "AWS_ACCESS_KEY_ID": "AKIAOLD", "AWS_SECRET_ACCESS_KEY": "old"}
    done = stage.run("exec", "--server", "dev", "--", sys.executable, "-c", IDENTITY, extra=extra)
    assert f"{ALICE}\n" == done.stdout, done.stderr
    assert "dev: sessions are renewed while the vault is unlocked. The vault locks in " in done.stderr


def test_the_program_gets_an_address_and_no_credentials(stage: Stage) -> None:
    """Two variables, the region, and no way into IMDS: the words on stderr come also where that is a log."""
    show = "import json, os; print(json.dumps({n: v for n, v in os.environ.items() if n.startswith('AWS_')}))"
    done = stage.run("exec", "--server", "dev", "--", sys.executable, "-c", show, extra={"AWS_PROFILE": "x"})
    found = json.loads(done.stdout)
    assert found.pop("AWS_CONTAINER_CREDENTIALS_FULL_URI").endswith("/creds/dev")
    assert 64 == len(found.pop("AWS_CONTAINER_AUTHORIZATION_TOKEN"))
    assert {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
    } == found


def test_a_session_token_of_4_kib_gets_through(stage: Stage) -> None:
    """By both ways: an environment that is that long, and an answer that has to fit a socket's buffer."""
    stage.add_key("bob")
    stage.aws.world.token_length = 4_096
    show = 'printf %s "$AWS_SESSION_TOKEN" | wc -c'
    ask = (
        'curl -s -H "Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN" "$AWS_CONTAINER_CREDENTIALS_FULL_URI"'
    )
    try:
        document = json.loads(stage.run("exec", "--server", "bob", "--", "sh", "-c", ask).stdout)
    finally:
        stage.aws.world.token_length = 350
    assert 4_096 == len(document["Token"]) == int(stage.run("exec", "bob", "--", "sh", "-c", show).stdout)


def test_an_sdk_shows_why_there_is_nothing(stage: Stage) -> None:
    """C6: botocore quotes the whole answer; `locked` is an answer that nobody repeats for minutes."""
    script = (
        "import os, sys, botocore.utils as u; u.ContainerMetadataFetcher.SLEEP_TIME = 0; os.read(0, 1);"
        + IDENTITY
    )
    process = subprocess.Popen(
        [AWSVAULT, "exec", "--server", "dev", "--", sys.executable, "-c", script],
        env=stage.environment({"AWS": stage.aws.url}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    assert process.stderr.readline().startswith("dev: sessions are renewed")
    stage.daemon.lock_and_wait()
    try:
        _, said = process.communicate("x", timeout=30)
    finally:
        stage.daemon.unlock()
    assert 1 == process.returncode
    assert "awsvault: vault is locked; run: awsvault unlock" in said


def test_what_would_be_used_instead_is_named(stage: Stage) -> None:
    """C4: SDKs look at [default] before they look for an endpoint."""
    folder = Path(stage.environment()["HOME"]) / ".aws"
    folder.mkdir(exist_ok=True)
    credentials = folder / "credentials"
    config = folder / "config"
    try:
        credentials.write_text("[default]\naws_access_key_id = AKIAOLD\naws_secret_access_key = old\n")
        done = stage.run("exec", "--server", "dev", "--", "true")
        assert (
            f"awsvault: {credentials} line 2: aws_access_key_id of [default] is used instead of the endpoint by most "
            "programs: remove that line\n"
        ) in done.stderr
        credentials.unlink()
        config.write_text(f"[default]\ncredential_process = {AWSVAULT} --home {stage.daemon.home} get dev\n")
        assert "instead of the endpoint" not in stage.run("exec", "--server", "dev", "--", "true").stderr
    finally:
        credentials.unlink(missing_ok=True)
        config.unlink(missing_ok=True)


def test_an_interrupt_is_the_programs_and_credentials_are_there_while_it_ends(stage: Stage) -> None:
    ask = 'curl -s -o /dev/null -w "%{http_code}\\n" -H "Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN" '
    script = (
        f"trap '{ask}$AWS_CONTAINER_CREDENTIALS_FULL_URI; exit 9' INT; echo up; while :; do sleep 0.01; done"
    )
    with at_terminal(stage.daemon, "exec", "--server", "dev", "--", "sh", "-c", script) as terminal:
        terminal.expect("up")
        terminal.press(b"\x03")
        terminal.expect("200")
        assert 9 == terminal.end()


# --- time passes


@pytest.mark.parametrize("way", ["endpoint", "hook"])
def test_a_program_lives_through_three_expiries(way: Way) -> None:
    live_through_expiries([sys.executable, "-c", PROGRAM], way)
