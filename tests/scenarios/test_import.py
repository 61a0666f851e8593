# SPDX-License-Identifier: Apache-2.0
"""`import`: keys in plain text move into the vault, the files keep everything else, and every tool goes on working."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import canary
from tests.daemons import AWSVAULT
from tests.fake_aws import AccessKey
from tests.scenarios.vault_at_aws import Stage, open_stage


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    with open_stage() as opened:
        yield opened


@pytest.fixture
def stage(shared: Stage) -> Iterator[Stage]:
    shared.start_over()
    yield shared
    for path in (credentials(shared), config(shared)):
        path.unlink(missing_ok=True)  # before the home is searched for secrets


def folder(stage: Stage) -> Path:
    path = stage.daemon.home.parent / "u/.aws"
    path.mkdir(exist_ok=True)
    return path


def credentials(stage: Stage) -> Path:
    return folder(stage) / "credentials"


def config(stage: Stage) -> Path:
    return folder(stage) / "config"


def user_key(stage: Stage, name: str) -> AccessKey:
    user = stage.aws.add_user(name)
    return stage.aws.add_key(user, access_key_id=canary.access_key_id(name), secret=canary.secret(name))


def lines(key: AccessKey) -> str:
    return f"aws_access_key_id = {key.access_key_id}\naws_secret_access_key = {key.secret}\n"


def hook(stage: Stage, name: str) -> str:
    return f"credential_process = {AWSVAULT} --home {stage.daemon.home} get {name}\n"


def names(stage: Stage) -> list[str]:
    return list(stage.daemon.call("names")["names"])


def test_all_move_and_the_rest_of_the_files_stays(stage: Stage) -> None:
    work, prod = user_key(stage, "work"), user_key(stage, "prod")
    credentials(stage).write_text(
        f"# mine\n[work]\n{lines(work)}\n[acme.prod]\n{lines(prod)}region = eu-west-1\n"
    )
    config(stage).write_text("[profile work]\noutput = json\n")
    done = stage.run("import", "--all", "--yes")
    assert 0 == done.returncode, done.stderr
    assert not canary.found_in(done.stdout + done.stderr)
    assert "# mine\n\n[acme.prod]\nregion = eu-west-1\n" == credentials(stage).read_text()
    assert (
        f"[profile work]\noutput = json\n{hook(stage, 'work')}\n[profile acme.prod]\n{hook(stage, 'acme-prod')}"
        == config(stage).read_text()
    )
    assert ["acme-prod", "dev", "work"] == names(stage)
    assert json.loads(stage.run("get", "acme-prod").stdout)["SessionToken"]
    again = stage.run("import", "--all", "--yes")
    assert (0, "") == (again.returncode, again.stdout)
    assert "There is no key in plain text in ~/.aws/credentials or ~/.aws/config." in again.stderr
