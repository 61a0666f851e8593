# SPDX-License-Identifier: Apache-2.0
"""`awsvault doctor` at a real vault: silent where all is well, and right about what is not; --fix mends what it says."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import canary
from tests.daemons import AWSVAULT
from tests.scenarios.person import at_terminal
from tests.scenarios.vault_at_aws import Stage, open_stage

OTHER = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY00"
PATH = {"PATH": "/usr/bin:/bin"}
#: Ours, with an aws command. It takes half a second for every hook: only where it is what a test is about.
AND_AWS = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    with open_stage() as stage:
        yield stage


@pytest.fixture
def stage(shared: Stage) -> Stage:
    """Well: `dev` is in the vault, and a hook asks for it."""
    if shared.daemon.state() == "locked":
        shared.daemon.unlock()
    shared.start_over()
    aws(shared).mkdir(mode=0o700)
    config(shared, hook(shared))
    return shared


def aws(stage: Stage) -> Path:
    return stage.daemon.home.parent / "u/.aws"


def hook(stage: Stage, name: str = "dev", program: str = str(AWSVAULT)) -> str:
    return f"[profile {name}]\ncredential_process = {program} --home {stage.daemon.home} get {name}\n"


def config(stage: Stage, text: str | bytes, file: str = "config") -> Path:
    path = aws(stage) / file
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o600)
    return path


def key_of(stage: Stage, secret: str | None = None) -> str:
    secret = secret or stage.key.secret
    return f"aws_access_key_id = {stage.key.access_key_id}\naws_secret_access_key = {secret}\n"


def doctor(stage: Stage, *words: str, **extra: str) -> "subprocess.CompletedProcess[str]":
    done = stage.run("doctor", *words, extra=PATH | extra)
    assert not canary.found_in(done.stdout + done.stderr)
    return done


def found(stage: Stage, *words: str, **extra: str) -> dict[str, dict[str, Any]]:
    """What is wrong, by the check's name."""
    done = doctor(stage, "--json", *words, **extra)
    rows = {row["check"]: row for row in json.loads(done.stdout) if row["verdict"] in ("problem", "warning")}
    assert (9 if rows else 0) == done.returncode
    return rows


def test_where_all_is_well_it_says_nothing(stage: Stage) -> None:
    done = doctor(stage, **AND_AWS)
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    rows = json.loads(doctor(stage, "--json", **AND_AWS).stdout)
    assert {"ok"} == {row["verdict"] for row in rows}
    assert len(rows) > 40
    lines = [json.loads(line) for line in stage.daemon.audit.splitlines()]
    assert {"ok"} == {line["verdict"] for line in lines if line["op"] == "get"}


def test_many_faults_are_all_told_and_those_that_are_safe_are_mended(stage: Stage) -> None:
    stage.add_key("prod")
    stage.add_key("spare")
    quoted = hook(stage, "prod").replace("process = ", 'process = "').replace(" --home", '" --home')
    config(stage, f"# mine\n{hook(stage, program='/gone/awsvault')}region = x-1\n\n{quoted}")
    kept = f"[other]\naws_access_key_id = AKIAEXAMPLE000000000\naws_secret_access_key = {OTHER}\naws_session_token = x\n"
    config(stage, f"[dev]\n{key_of(stage)}\n{kept}", "credentials").chmod(0o604)
    aws(stage).chmod(0o702)
    expected = {"static-keys", "hook-form", "hook-program", "profile-hook", "open-aws", "open-secrets"}
    told = found(stage)
    assert expected == told.keys()
    assert {row["check"] for row in told.values() if row["fixable"]} == expected
    done = doctor(stage, "--fix", "--yes", **AND_AWS)
    assert (0, "") == (done.returncode, done.stdout), done.stderr
    assert 6 == done.stderr.count("\n")
    assert (
        f"# mine\n{hook(stage)}region = x-1\n\n{hook(stage, 'prod')}" in (aws(stage) / "config").read_text()
    )
    assert hook(stage, "spare") in (aws(stage) / "config").read_text()
    assert f"\n{kept}" == (aws(stage) / "credentials").read_text()
    assert (0o700, 0o600) == (
        aws(stage).stat().st_mode & 0o777,
        (aws(stage) / "credentials").stat().st_mode & 0o777,
    )
    assert not canary.files_with(aws(stage).rglob("*"))
    done = doctor(stage, **AND_AWS)
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("file", ["config", "credentials"])
def test_a_key_that_the_vault_does_not_hold_stays(stage: Stage, file: str) -> None:
    """The right id with another secret: nobody else may have it."""
    path = config(stage, f"{hook(stage)}{key_of(stage, OTHER)}")
    if file == "credentials":
        config(stage, hook(stage))
        path = config(stage, f"[dev]\n{key_of(stage, OTHER)}", "credentials")
    before = path.read_bytes()
    done = doctor(stage, "--fix", "--yes")
    assert 9 == done.returncode
    assert "Not done: the vault holds another key for dev than" in done.stderr
    assert "stands beside the hook of dev" in done.stdout
    assert before == path.read_bytes()


def test_a_session_beside_the_hook_stays(stage: Stage) -> None:
    path = config(stage, f"{hook(stage)}{key_of(stage)}aws_session_token = x\n")
    before = path.read_bytes()
    assert "Not done" in doctor(stage, "--fix", "--yes").stderr
    assert before == path.read_bytes()
    path.unlink()


def test_a_person_is_asked_before_each_cure(stage: Stage) -> None:
    stage.add_key("prod")
    stage.add_key("spare")
    with at_terminal(stage.daemon, "doctor", "--fix", extra=PATH) as terminal:
        terminal.answer("Add the hook of prod to ~/.aws/config? [Y/n] ", "n")
        terminal.answer("Add the hook of spare to ~/.aws/config? [Y/n] ", "")
        assert 9 == terminal.end()
    assert "warning  no hook asks for prod: no tool finds it" in terminal.screen
    assert "checks, 1 found." in terminal.screen
    text = (aws(stage) / "config").read_text()
    assert ("get spare" in text, "get prod" in text) == (True, False)


def test_without_a_terminal_nothing_is_changed_unasked(stage: Stage) -> None:
    assert (2, "no terminal to ask on; use --yes") == stage.refused("doctor", "--fix")
    assert (2, "--yes belongs to --fix") == stage.refused("doctor", "--yes")


# --- what beats the hook, seen by those whom it beats


def test_what_botocore_really_uses_is_told(stage: Stage) -> None:
    config(
        stage,
        f"[dev]\naws_access_key_id = AKIAEXAMPLE00000WXYZ\naws_secret_access_key = {OTHER}\n",
        "credentials",
    )
    told = found(stage, **AND_AWS)
    assert {"static-keys", "hook-boto3", "hook-aws"} == told.keys()
    assert "boto3 takes the credentials of dev from shared-credentials-file" in told["hook-boto3"]["evidence"]
    assert "the aws command takes" in told["hook-aws"]["evidence"]
    assert ("dev", str(aws(stage) / "credentials"), 2) == tuple(
        told["static-keys"][name] for name in ("profile", "file", "line")
    )


def test_a_strange_program_is_named_and_not_run(stage: Stage, tmp_path: Path) -> None:
    """Every SDK would run it; who looks for what is wrong must not."""
    strange = tmp_path / "awsvault"
    strange.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    strange.chmod(0o755)
    config(stage, hook(stage, program=str(strange)))
    assert {"hook-program"} == found(stage).keys()
    assert "not tried: another program than this installation" in doctor(stage, "--fix", "--yes").stderr
    assert str(strange) in (aws(stage) / "config").read_text(), "it may be another installation that is meant"
    assert not (tmp_path / "ran").exists()


def test_an_error_of_botocore_is_quoted(stage: Stage) -> None:
    config(stage, f"{hook(stage)}role_arn = arn:aws:iam::123456789012:role/admin\n")
    told = found(stage, **AND_AWS)
    assert {"rivals", "hook-boto3", "hook-aws"} == told.keys()
    assert "Partial credentials found in assume-role" in told["hook-boto3"]["evidence"]


def test_the_environment_that_it_runs_in_is_looked_at(stage: Stage) -> None:
    told = found(
        stage,
        AWS_ACCESS_KEY_ID="AKIAEXAMPLE000000000",
        AWS_PROFILE="nothing",
        PYTHONVERBOSE="1",
    )
    assert {"env-keys", "env-profile", "env-python", "hook-runs"} == told.keys()
    assert "something writes to stderr" in told["hook-runs"]["evidence"]


def test_another_config_is_what_is_judged(stage: Stage, tmp_path: Path) -> None:
    other = tmp_path / "config"
    other.write_text(hook(stage).replace("dev]", "elsewhere]"))
    assert {"env-files"} == found(stage, AWS_CONFIG_FILE=str(other)).keys()


# --- the vault and AWS


def test_a_hook_and_a_vault_that_know_nothing_of_each_other(stage: Stage) -> None:
    config(stage, hook(stage, "nobody"))
    told = found(stage)
    assert {"hook-profile", "profile-hook"} == told.keys()
    assert ("nobody", "dev") == (told["hook-profile"]["profile"], told["profile-hook"]["profile"])


def test_only_the_named_profiles_are_judged(stage: Stage) -> None:
    stage.add_key("prod")
    config(stage, hook(stage).replace("[profile dev]", "[profile acme.dev]"))
    assert {"hook-name", "profile-hook"} == found(stage).keys()
    assert {"hook-name"} == found(stage, "dev").keys() == found(stage, "acme.dev").keys()
    assert {"profile-hook"} == found(stage, "prod").keys()
    assert (4, "neither ~/.aws nor the vault has such a profile; run: awsvault list") == stage.refused(
        "doctor", "nobody"
    )


def test_a_wrong_clock_and_a_silent_aws_are_told(stage: Stage) -> None:
    stage.aws.clock.offset = timedelta(seconds=-120)
    assert "s ahead of 127.0.0.1" in found(stage)["clock"]["evidence"]


def test_a_profile_that_waits_for_a_code_is_no_finding(stage: Stage) -> None:
    stage.daemon.call("edit", profile="dev", changes={"mfa_serial": "arn:aws:iam::123456789012:mfa/alice"})
    try:
        done = doctor(stage)
        assert (0, "") == (done.returncode, done.stdout)
        assert "the hook of dev was not tried: " in done.stderr
        assert "awsvault mfa dev" in done.stderr
    finally:
        stage.daemon.call("edit", profile="dev", changes={"mfa_serial": None})


def test_a_locked_vault_is_said_and_the_files_are_judged_all_the_same(stage: Stage) -> None:
    config(stage, f"{hook(stage)}sso_session = x\n")
    stage.daemon.lock_and_wait()
    done = doctor(stage)
    assert 9 == done.returncode
    assert (
        f"problem  {aws(stage)}/config line 3: sso_session stands beside the hook of dev: some tools use it instead, "
        "others fail\n         remove that line\n" == done.stdout
    )
    assert done.stderr.endswith("checks were not made: the vault is locked; run: awsvault unlock\n")
    assert {"unchecked", "ok", "problem"} == {
        row["verdict"] for row in json.loads(doctor(stage, "--json").stdout)
    }


def test_without_a_daemon_it_says_so(stage: Stage, tmp_path: Path) -> None:
    empty = tmp_path / "v"
    empty.mkdir(mode=0o700)
    done = doctor(stage, AWSVAULT_HOME=str(empty))
    assert (0, "") == (done.returncode, done.stdout)
    assert "there is no vault yet; run: awsvault init" in done.stderr
    assert f"not judged: another vault's; run: awsvault --home {stage.daemon.home} doctor" in done.stderr
    (empty / "vault").touch()
    assert "vaultd does not run; run: awsvault unlock" in doctor(stage, AWSVAULT_HOME=str(empty)).stderr
    assert ["vault"] == os.listdir(empty), "nothing is started or left"


# --- files that nobody can read

BROKEN: dict[str, tuple[bytes, str, int]] = {
    "a line that is nothing": (b"[default]\nnonsense\n", "files-form", 2),
    "a second section": (b"[profile x]\n[profile x]\n", "files-duplicates", 2),
    "another encoding": (b"[default]\n# caf\xe9\n", "files-encoding", 2),
    "a byte order mark": (b"\xef\xbb\xbf[default]\n", "files-form", 1),
}


@pytest.mark.parametrize(("data", "check", "line"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_told_by_line_and_left_as_it_is(
    stage: Stage, data: bytes, check: str, line: int
) -> None:
    """And boto3 does refuse it, which is why it counts."""
    path = config(stage, data + hook(stage).encode())
    stage.add_key("prod")
    told = found(stage)
    assert {check, "profile-hook"} == told.keys()
    assert line == told[check]["line"]
    done = doctor(stage, "--fix", "--yes")
    assert 9 == done.returncode
    if check != "files-encoding":  # which our own editor keeps byte for byte
        assert data + hook(stage).encode() == path.read_bytes()
    refused = subprocess.run(
        [sys.executable, "-c", "import botocore.session as s; s.Session(profile='dev').full_config"],
        env={"AWS_CONFIG_FILE": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Unable to parse config file" in refused.stderr


def test_a_directory_in_its_place_and_a_pipe_are_told(stage: Stage) -> None:
    (aws(stage) / "credentials").mkdir()
    assert {"files-readable"} == found(stage).keys()
    (aws(stage) / "credentials").rmdir()
    os.mkfifo(aws(stage) / "credentials")
    assert {"files-readable"} == found(stage).keys()


def test_what_other_tools_left_is_told_by_name_and_number_only(stage: Stage) -> None:
    user = aws(stage).parent
    (user / ".bash_history").write_text(f"ls\nexport AWS_SECRET_ACCESS_KEY={OTHER}\n")
    (aws(stage) / "cli/cache").mkdir(parents=True)
    (aws(stage) / "cli/cache/x.json").write_text(
        json.dumps(
            {
                "Credentials": {
                    "SecretAccessKey": OTHER,
                    "SessionToken": "x",
                    "Expiration": "2999-01-01T00:00:00Z",
                }
            }
        )
    )
    with contextlib.ExitStack() as after:
        after.callback((user / ".bash_history").unlink)
        told = found(stage)
        assert {"histories", "caches"} == told.keys()
        assert OTHER not in doctor(stage).stdout
        assert "a line of it looks like an AWS key" in told["histories"]["evidence"]
        doctor(stage, "--fix", "--yes")
        assert {"histories", "caches"} == found(stage).keys(), "what is not in the vault is not deleted"
