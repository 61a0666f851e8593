# SPDX-License-Identifier: Apache-2.0
"""Terraform's own S3 backend, by the hook. It has its credentials from the code that the AWS provider has them from.

The provider itself is not run: it comes from a registry of its own. STS is our stand-in, S3 is moto's.
"""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.conformance.steps import LOCKED, add, made_with, requests
from tests.scenarios.diary import Diary

MODULE = """
terraform {
  backend "s3" {
    bucket         = "state"
    key            = "terraform.tfstate"
    region         = "eu-central-1"
    profile        = "dev"
    endpoints      = { sts = "STS", s3 = "S3" }
    use_path_style = true
  }
}
resource "terraform_data" "thing" {
  input = "made"
}
"""

pytestmark = pytest.mark.skipif(not shutil.which("terraform"), reason="terraform is not installed")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The URL of an S3 with a bucket."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    nobody = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **nobody).create_bucket(Bucket="state")
    yield url
    server.stop()


@pytest.fixture
def module(diary: Diary, s3: str, tmp_path: Path) -> Path:
    text = MODULE.replace("STS", diary.stage.aws.url).replace("S3", s3)
    (tmp_path / "main.tf").write_text(text, "ascii")
    return tmp_path


def terraform(
    module: Path, environment: Mapping[str, str], *words: str
) -> "subprocess.CompletedProcess[str]":
    own = {"TF_CLI_CONFIG_FILE": "/dev/null", "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    return subprocess.run(
        ["terraform", *words, "-input=false", "-no-color"],
        cwd=module,
        env={**environment, **own},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_its_state_is_kept_with_sessions_of_the_hook(diary: Diary, module: Path) -> None:
    key = add(diary)
    for words, said in ((["init"], "successfully initialized"), (["apply", "-auto-approve"], "1 added")):
        done = terraform(module, diary.stage.environment(), *words)
        assert (0, True) == (done.returncode, said in done.stdout), done.stderr
    used = {call.access_key_id or "" for call in requests(diary)}
    assert {key.access_key_id} == {made_with(diary, session) for session in used}
    assert {"ok"} == {call.outcome for call in requests(diary)}


def test_a_locked_vault_is_told(diary: Diary, module: Path) -> None:
    add(diary)
    diary.stage.daemon.lock_and_wait()
    done = terraform(module, diary.stage.environment(), "init")
    assert 1 == done.returncode
    assert LOCKED in done.stderr.splitlines()
    assert "No valid credential sources found" in done.stderr
