# SPDX-License-Identifier: Apache-2.0
"""`add-role --from-config`: role profiles of ~/.aws/config move into the vault, and every tool goes on using their names."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.daemons import AWSVAULT
from tests.scenarios.person import at_terminal
from tests.scenarios.vault_at_aws import ACCOUNT, Stage, open_stage

ARN = f"arn:aws:iam::{ACCOUNT}:role"
ROLE = f"role_arn = {ARN}/admin"


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    with open_stage() as opened:
        yield opened


@pytest.fixture
def stage(shared: Stage) -> Stage:
    shared.start_over()
    shared.aws.add_role("admin", shared.alice)
    return shared


def config(stage: Stage) -> Path:
    path = Path(stage.environment()["HOME"]) / ".aws" / "config"
    path.parent.mkdir(exist_ok=True)
    return path


def write(stage: Stage, text: str) -> Path:
    path = config(stage)
    path.write_text(text, "utf-8")
    return path


def hook(stage: Stage, name: str = "admin") -> str:
    return f"credential_process = {AWSVAULT} --home {stage.daemon.home} get {name}"


def shown(stage: Stage, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(stage.run("show", name, "--json").stdout)
    return found


def test_a_role_profile_with_everything_keeps_its_name_and_the_rest(stage: Stage) -> None:
    stage.aws.add_role(
        "tagged",
        stage.alice,
        external_id="xid",
        allows_tags=True,
        allows_source_identity=True,
        max_session_s=7_200,
    )
    write(
        stage,
        f"# mine\n[profile acme.tagged]\nrole_arn = {ARN}/tagged\nsource_profile = dev\noutput = json\n"
        "external_id = xid\nduration_seconds = 7200\nrole_session_name = me\ninclude_profile = tags\n"
        "region = eu-west-1\n\n[profile tags]\nsession_tags = team=eu,cost=7\ntransitive_session_tags = team\n"
        "source_identity = alice\n",
    )
    done = stage.run("add-role", "tagged", "--from-config", "acme.tagged")
    assert (0, "") == (done.returncode, done.stdout), done.stderr
    assert done.stderr.endswith(
        f"tagged is added: {ARN}/tagged, assumed from dev.\n"
        f"{config(stage)} asks for it. Try: aws sts get-caller-identity --profile acme.tagged\n"
    )
    assert config(stage).read_text() == (
        f"# mine\n[profile acme.tagged]\n{hook(stage, 'tagged')}\noutput = json\nregion = eu-west-1\n\n[profile tags]\n"
        "session_tags = team=eu,cost=7\ntransitive_session_tags = team\nsource_identity = alice\n"
    )
    (call,) = stage.aws.calls("AssumeRole")
    assert ("ok", "me", 7_200, "xid", {"team": "eu", "cost": "7"}, ("team",), "alice") == (
        call.outcome,
        call.terms.session_name,
        call.terms.duration_s,
        call.terms.external_id,
        dict(call.terms.tags),
        call.terms.transitive_tags,
        call.terms.source_identity,
    )
    assert "eu-west-1" == shown(stage, "tagged")["region"]
    assert json.loads(stage.run("get", "tagged").stdout)["SessionToken"]


def test_a_chain_is_taken_over_from_its_end(stage: Stage) -> None:
    """Each refusal names what comes first; a source is found by whom its hook asks."""
    stage.aws.add_role("audit", stage.aws.world.roles[f"{ARN}/admin"])
    write(
        stage,
        f"[profile acme.dev]\n{hook(stage, 'dev')}\n[profile admin]\n{ROLE}\nsource_profile = acme.dev\n"
        f"[profile audit]\nrole_arn = {ARN}/audit\nsource_profile = admin\n",
    )
    assert (
        4,
        "audit is assumed from admin, which is not in the vault; first run: awsvault add-role admin --from-config admin",
    ) == stage.refused("add-role", "audit", "--from-config", "audit")
    assert 0 == stage.run("add-role", "admin", "--from-config", "admin").returncode
    done = stage.run("add-role", "audit", "--from-config", "audit")
    assert 0 == done.returncode, done.stderr
    assert "lasts an hour at most" in done.stderr
    assert ("admin", "dev") == (shown(stage, "audit")["source"], shown(stage, "admin")["source"])


def test_the_command_line_wins_over_the_file(stage: Stage) -> None:
    write(stage, f"[profile admin]\n{ROLE}\ncredential_source = Environment\nduration_seconds = 900\n")
    assert (
        2,
        f"admin of {config(stage)} has no source_profile; choose one with --source",
    ) == stage.refused("add-role", "admin", "--from-config", "admin", "--duration", "1h")
    words = ["add-role", "admin", "--from-config", "admin", "--source", "dev"]
    assert (2, "the duration must be between 30 min and 12 h") == stage.refused(*words)
    assert 0 == stage.run(*words, "--duration", "30m", "--session-name", "her").returncode
    assert (1_800, "her") == (shown(stage, "admin")["duration_s"], shown(stage, "admin")["session_name"])
    assert f"[profile admin]\n{hook(stage)}\n" == config(stage).read_text()


def test_the_file_can_be_left_as_it_is(stage: Stage) -> None:
    path = write(stage, f"[profile admin]\n{ROLE}\nsource_profile = dev\n")
    before = path.read_bytes()
    assert 0 == stage.run("add-role", "admin", "--from-config", "admin", "--no-config").returncode
    assert before == path.read_bytes()


# --- the MFA device that the file names


def with_device(stage: Stage) -> str:
    device = stage.aws.add_mfa(stage.alice, seed="JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    stage.aws.world.roles[f"{ARN}/admin"].needs_mfa = True
    write(stage, f"[profile admin]\n{ROLE}\nsource_profile = dev\nmfa_serial = {device.serial}\n")
    return device.code(datetime.now(UTC))


def test_a_person_agrees_that_the_key_gets_the_device(stage: Stage) -> None:
    code = with_device(stage)
    device = f"arn:aws:iam::{ACCOUNT}:mfa/alice"
    with at_terminal(stage.daemon, "add-role", "admin", "--from-config", "admin") as terminal:
        terminal.expect(
            f"Give dev the MFA device {device}? From then on dev is served after a code only. [Y/n]"
        )
        terminal.type("")
        assert 0 == terminal.end()
    assert "not tried yet: it needs an MFA code first" in terminal.screen
    assert f"dev has the MFA device {device} now. Next: awsvault mfa dev" in terminal.screen
    assert f"[profile admin]\n{hook(stage)}\n" == config(stage).read_text()
    assert 0 == stage.run("mfa", "admin", code).returncode
    assert json.loads(stage.run("get", "admin").stdout)["SessionToken"]


def test_a_program_agrees_by_a_flag_only(stage: Stage) -> None:
    with_device(stage)
    words = ["add-role", "admin", "--from-config", "admin"]
    assert (2, "the role names an MFA device, which dev would get; to agree, use --yes") == stage.refused(
        *words
    )
    assert shown(stage, "dev")["mfa_serial"] is None
    assert 0 == stage.run(*words, "--yes").returncode
    assert f"arn:aws:iam::{ACCOUNT}:mfa/alice" == shown(stage, "dev")["mfa_serial"]
    again = stage.run(*words, "--yes", "--replace")
    assert (2, True) == (again.returncode, "names no role_arn" in again.stderr), "it is taken over already"


def test_a_role_that_is_refused_leaves_the_key_without_the_device(stage: Stage) -> None:
    with_device(stage)
    done = stage.run("add-role", "admin", "--from-config", "admin", "--yes", "--external-id", "?")
    assert 2 == done.returncode
    assert "dev is without an MFA device again." in done.stderr
    assert shown(stage, "dev")["mfa_serial"] is None
    assert ROLE in config(stage).read_text()


def test_another_device_is_a_conflict(stage: Stage) -> None:
    with_device(stage)
    stage.run("edit", "dev", "--mfa-serial", f"arn:aws:iam::{ACCOUNT}:mfa/other")
    status, line = stage.refused("add-role", "admin", "--from-config", "admin", "--yes")
    assert (1, True) == (
        status,
        line.startswith(f"dev has the MFA device arn:aws:iam::{ACCOUNT}:mfa/other, and the role"),
    )
    assert "awsvault edit dev --mfa-serial" in line


# --- what is refused, with everything left as it was


@pytest.mark.parametrize(
    ("text", "status", "line"),
    [
        ("", 2, "{config} has no such profile"),
        ("[profile admin]\nregion = x\n", 2, "the profile admin of {config} names no role_arn"),
        (
            f"[profile admin]\n{ROLE}\nsource_profile = acme.prod\n",
            4,
            (
                "admin is assumed from acme.prod, which is not in the vault; first run: awsvault add acme-prod, then use "
                "--source acme-prod"
            ),
        ),
        (
            f"[profile admin]\n{ROLE}\nsource_profile = admin\n",
            2,
            (
                "admin of {config} is assumed with keys of its own section; add them: awsvault add admin-key, then use "
                "--source admin-key"
            ),
        ),
        (
            f"[profile admin]\n{ROLE}\nsource_profile = dev\nsso_session = x\n",
            2,
            "{config} line 4: sso_session would be used instead of the hook; remove that line, or use --no-config",
        ),
        (
            f"[profile admin]\n{ROLE}\nsource_profile = dev\nweb_identity_token_file = x\n",
            2,
            (
                "{config} line 4: web_identity_token_file would be used instead of the hook; remove that line, or use "
                "--no-config"
            ),
        ),
        (
            f"[profile admin]\n{ROLE}\n{ROLE}\n",
            2,
            "{config} line 3 has a second role_arn in [profile admin]; mend that",
        ),
        (
            "[profile admin]\nrole_arn = admin\nsource_profile = dev\n",
            2,
            "the role's ARN has a form that AWS does not",
        ),
        (f"[profile admin]\n{ROLE}x\nsource_profile = dev\n", 7, "is not allowed sts:AssumeRole on"),
    ],
    ids=[
        "missing",
        "no role",
        "unknown source",
        "own keys",
        "sso",
        "web identity",
        "twice",
        "no ARN",
        "refused by AWS",
    ],
)
def test_what_cannot_be_taken_over_is_named(stage: Stage, text: str, status: int, line: str) -> None:
    path = write(stage, text)
    found, said = stage.refused("add-role", "admin", "--from-config", "admin")
    assert (status, True) == (found, line.format(config=path) in said), said
    assert text == path.read_text()
    assert ["dev"] == stage.daemon.call("names")["names"]


def test_adding_a_role_beside_its_profile_tells_of_the_other_way(stage: Stage) -> None:
    path = write(stage, f"[profile admin]\n{ROLE}\nsource_profile = dev\n")
    assert (
        2,
        (
            f"{path} line 2: role_arn would be used instead of the hook; take the role over: awsvault add-role admin "
            "--from-config admin, or use --no-config"
        ),
    ) == stage.refused("add-role", "admin", "--source", "dev", "--role-arn", f"{ARN}/admin")
