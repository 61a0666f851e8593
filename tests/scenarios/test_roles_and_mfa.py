# SPDX-License-Identifier: Apache-2.0
"""Roles, codes and the console by the command line, against a stand-in for AWS that refuses as AWS does."""

import json
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests import canary
from tests.scenarios.person import at_terminal
from tests.scenarios.vault_at_aws import ACCOUNT, Stage, open_stage
from tests.terminal import Terminal

ARN = f"arn:aws:iam::{ACCOUNT}:role"


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    with open_stage() as opened:
        yield opened


@pytest.fixture
def stage(shared: Stage) -> Stage:
    shared.start_over()
    return shared


def config_of(stage: Stage) -> str:
    return (Path(stage.environment()["HOME"]) / ".aws" / "config").read_text("utf-8")


def guarded(stage: Stage) -> str:
    """Alice has a device, and the role admin asks for it; the device's code of now."""
    device = stage.aws.add_mfa(stage.alice, seed="JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    stage.aws.add_role("admin", stage.alice, needs_mfa=True)
    assert 0 == stage.run("edit", "dev", "--mfa-serial", device.serial).returncode
    assert 0 == stage.run("add-role", "admin", "--source", "dev", "--role-arn", f"{ARN}/admin").returncode
    return device.code(datetime.now(UTC))


def test_a_role_is_added_with_everything_and_served(stage: Stage, tmp_path: Path) -> None:
    stage.aws.add_role("plain", stage.alice, external_id="xid", allows_tags=True)
    policy = tmp_path / "policy.json"
    policy.write_text(
        '{"Version": "2012-10-17",\n "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
    )
    done = stage.run(
        *("add-role", "plain", "--source", "dev", "--role-arn", f"{ARN}/plain", "--external-id", "xid"),
        *("--tag", "team=eu", "--transitive-tag", "team", "--policy", str(policy), "--read-only"),
        *("--duration", "30m", "--region", "eu-west-1"),
    )
    assert (0, "") == (done.returncode, done.stdout), done.stderr
    assert f"plain is added: {ARN}/plain, assumed from dev." in done.stderr
    assert "[profile plain]" in config_of(stage)
    terms = stage.aws.calls("AssumeRole")[-1].terms
    assert ("xid", 1_800, {"team": "eu"}, ("team",)) == (
        terms.external_id,
        terms.duration_s,
        dict(terms.tags),
        terms.transitive_tags,
    )
    assert ("arn:aws:iam::aws:policy/ReadOnlyAccess",) == terms.policy_arns
    assert "\n" not in str(terms.policy)
    assert json.loads(stage.run("get", "plain").stdout)["SessionToken"]
    shown = json.loads(stage.run("show", "plain", "--json").stdout)
    assert ("role", "dev", "xid") == (shown["kind"], shown["source"], shown["external_id"])
    assert "by dev" in stage.run("list").stdout


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (["--source", "dev"], 2, "a role needs --source PROFILE and --role-arn ARN"),
        (
            ["--source", "nobody", "--role-arn", f"{ARN}/x"],
            4,
            'is assumed from "nobody", which does not exist',
        ),
        (["--source", "dev", "--role-arn", "x"], 2, "the role's ARN has a form that AWS does not give out"),
        (["--source", "dev", "--role-arn", f"{ARN}/x"], 7, "role/x"),
        (
            ["--source", "dev", "--role-arn", "arn:aws-cn:iam::123456789012:role/x"],
            2,
            "is in aws-cn, but its source",
        ),
        (["--source", "dev", "--role-arn", f"{ARN}/x", "--tag", "a"], 2, "KEY=VALUE"),
        (["--source", "dev", "--role-arn", f"{ARN}/x", "--policy", "/no/such/file"], 2, "cannot be read"),
        (["--source", "dev", "--role-arn", f"{ARN}/x", "--policy", "{nonsense"], 2, "not JSON"),
        (["--source", "dev", "--role-arn", f"{ARN}/x", "--duration", "5m"], 2, "between 30 min and 12 h"),
    ],
)
def test_a_role_that_cannot_work_is_refused_in_one_line_and_not_kept(
    stage: Stage, words: list[str], status: int, line: str
) -> None:
    refused, said = stage.refused("add-role", "x", *words)
    assert status == refused
    assert line in said
    assert ["dev"] == stage.daemon.call("names")["names"]


def test_a_code_as_an_argument_or_by_a_pipe_opens_all_profiles_of_the_key(stage: Stage) -> None:
    code = guarded(stage)
    for words in (
        ["get", "admin"],
        ["exec", "admin", "--", "true"],
        ["exec", "--server", "admin", "--", "true"],
    ):
        assert (7, 'MFA code needed for "admin"; run: awsvault mfa admin') == stage.refused(*words)
    done = stage.run("mfa", "admin", stdin=f"{code}\n")
    assert (0, "") == (done.returncode, done.stdout)
    assert "dev has an MFA session until" in done.stderr
    for profile in ("dev", "admin"):
        assert json.loads(stage.run("get", profile).stdout)["SessionToken"]
    status, line = stage.refused("mfa", "dev", code)
    assert 7 == status
    assert "wait for the next code" in line
    assert (2, "an MFA code is 6 digits") == stage.refused("mfa", "dev", "12")


def test_a_person_is_asked_for_the_code(stage: Stage) -> None:
    code = guarded(stage)
    with Terminal(
        ["awsvault", "mfa", "admin"], stage.environment({"PATH": f"{_bin()}:{os.environ['PATH']}"})
    ) as terminal:
        terminal.expect("MFA code for dev: ")
        terminal.type(code)
        terminal.expect("dev has an MFA session until")
        assert 0 == terminal.end()


def test_who_mistypes_is_asked_again_and_a_program_is_not(stage: Stage) -> None:
    code = guarded(stage)
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    with at_terminal(stage.daemon, "mfa", "admin") as terminal:
        terminal.answer("MFA code for dev: ", wrong)
        terminal.answer("wait for the next code, then try again\nMFA code for dev: ", "12")
        terminal.answer("an MFA code is 6 digits\nMFA code for dev: ", code)
        terminal.expect("dev has an MFA session until")
        assert 0 == terminal.end()
    assert 7 == stage.refused("mfa", "admin", wrong)[0]


def test_without_a_device_nobody_is_asked_for_a_code(stage: Stage) -> None:
    stage.aws.add_role("plain", stage.alice)
    stage.run("add-role", "plain", "--source", "dev", "--role-arn", f"{ARN}/plain")
    for profile in ("dev", "plain"):
        with at_terminal(stage.daemon, "mfa", profile) as terminal:
            assert 2 == terminal.end()
        assert "awsvault: dev has no MFA device; run: awsvault edit dev --mfa-serial ARN\n" == terminal.screen


def test_a_wrong_serial_and_a_device_of_somebody_else_are_named(stage: Stage) -> None:
    guarded(stage)
    other = stage.aws.add_mfa(stage.aws.add_user("mallory"))
    for serial in (other.serial, f"arn:aws:iam::{ACCOUNT}:mfa/nothing"):
        assert 0 == stage.run("edit", "dev", "--mfa-serial", serial).returncode
        status, line = stage.refused("mfa", "dev", "123456")
        assert (7, True) == (status, line.startswith(f"this user has no MFA device {serial};"))
    assert (2, True) == (stage.refused("edit", "dev", "--mfa-serial", "x")[0], True)


def _bin() -> str:
    from tests.daemons import AWSVAULT

    return str(AWSVAULT.parent)


def program(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_profiles_own_command_gives_the_code_without_a_shell(stage: Stage, tmp_path: Path) -> None:
    code = guarded(stage)
    asked = program(tmp_path, "oath", f'#!/bin/sh\n[ "$1" = "a;b" ] && echo {code}\n')
    assert 0 == stage.run("edit", "dev", "--mfa-process", f"{asked} 'a;b'").returncode
    done = stage.run("mfa", "admin")
    assert 0 == done.returncode, done.stderr
    failing = program(tmp_path, "failing", "#!/bin/sh\nexit 3\n")
    stage.run("edit", "dev", "--mfa-process", str(failing))
    assert (1, "the profile's mfa_process failed (exit status 3)") == stage.refused("mfa", "admin")


PINENTRY = """#!/bin/sh
echo "OK Pleased to meet you"
while read -r command rest; do
    echo "$command $rest" >> "$0.log"
    case $command in
        GETPIN) [ -n "{code}" ] && echo "D {code}" && echo OK || echo "ERR 83886179 Operation cancelled" ;;
        BYE) echo OK; exit ;;
        *) echo OK ;;
    esac
done
"""


@pytest.mark.parametrize("says_no", [False, True])
def test_pinentry_asks_for_the_code(stage: Stage, tmp_path: Path, *, says_no: bool) -> None:
    code = guarded(stage)
    asked = program(tmp_path, "my-pinentry", PINENTRY.format(code="" if says_no else code))
    done = stage.run("mfa", "admin", "--pinentry", extra={"PINENTRY": str(asked)})
    assert (130 if says_no else 0) == done.returncode, done.stderr
    assert "SETDESC MFA code for dev" in asked.with_name("my-pinentry.log").read_text()


def test_a_stored_seed_needs_nobody_and_is_said_to_be_weaker(stage: Stage) -> None:
    guarded(stage)
    done = stage.run("edit", "dev", "--totp-stdin", stdin="JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP\n")
    assert 0 == done.returncode
    assert "no second factor any more" in done.stderr
    assert "JBSW" not in done.stderr
    assert json.loads(stage.run("get", "admin").stdout)["SessionToken"]
    assert (
        2,
        "the TOTP seed is not base32; copy the secret key that AWS shows beside the QR code",
    ) == _edit_seed(stage)


def _edit_seed(stage: Stage) -> tuple[int, str]:
    done = stage.run("edit", "dev", "--totp-stdin", stdin="not base32!\n")
    return done.returncode, done.stderr.splitlines()[-1].removeprefix("awsvault: ")


def test_the_console_is_a_link_on_stdout_and_says_by_which_call(stage: Stage) -> None:
    stage.aws.add_role("plain", stage.alice)
    stage.run("add-role", "plain", "--source", "dev", "--role-arn", f"{ARN}/plain")
    for profile, by in (("plain", "AssumeRole"), ("dev", "GetFederationToken")):
        done = stage.run("console", profile, "--destination", "/s3/home")
        (url,) = done.stdout.splitlines()
        asked = parse_qs(urlsplit(url).query)
        assert ["https://console.aws.amazon.com/s3/home"] == asked["Destination"]
        assert f"Made by {by}; the link works for 15 minutes.\n" == done.stderr
    status, line = stage.refused("console", "plain", "--destination", "https://evil.example/")
    assert (2, True) == (status, "console" in line)
    assert 2 == stage.refused("console", "dev", "--duration", "1h")[0]


def test_edit_changes_and_clears_a_roles_settings(stage: Stage) -> None:
    stage.aws.add_role("plain", stage.alice)
    stage.run(
        "add-role",
        "plain",
        "--source",
        "dev",
        "--role-arn",
        f"{ARN}/plain",
        "--session-name",
        "me",
        "--no-verify",
    )
    done = stage.run("edit", "plain", "--read-only", "--duration", "1h", "--clear", "session-name")
    assert 0 == done.returncode, done.stderr
    shown = json.loads(stage.run("show", "plain", "--json").stdout)
    assert (None, 3_600, ["arn:aws:iam::aws:policy/ReadOnlyAccess"]) == (
        shown["session_name"],
        shown["duration_s"],
        shown["policy_arns"],
    )
    assert 2 == stage.refused("edit", "plain", "--serve", "key")[0]
    assert 2 == stage.refused("edit", "plain", "--clear", "name")[0]
    assert 2 == stage.refused("remove", "dev", "--yes")[0]
    assert "its sessions live until they expire" in stage.run("remove", "plain", "--yes").stderr.lower()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--policy-arn", "arn:aws:iam::aws:policy/ReadOnlyAccess"], "GetFederationToken takes no code"),
        (["--mfa-process", "'open"], "--mfa-process has a quote that does not end"),
        (["--duration", "soon"], "--duration must be a length of time like 15m, 12h or 90d"),
        (["--source", "dev"], "a key has none of these settings"),
    ],
    ids=["narrowed with MFA", "quote", "duration", "role's"],
)
def test_an_edit_that_makes_no_sense_says_why(stage: Stage, words: list[str], line: str) -> None:
    guarded(stage)
    status, said = stage.refused("edit", "dev", *words)
    assert (2, True) == (status, line in said), said


def test_a_narrowed_key_is_no_source_of_roles(stage: Stage) -> None:
    """GetFederationToken's sessions may not assume roles: said at the change, not at the next use."""
    stage.aws.add_role("plain", stage.alice)
    stage.run("add-role", "plain", "--source", "dev", "--role-arn", f"{ARN}/plain")
    status, line = stage.refused("edit", "dev", "--read-only")
    assert (2, True) == (status, '"plain" cannot be assumed from "dev", which is narrowed' in line)
    assert 0 == stage.run("remove", "plain", "--yes").returncode
    assert 0 == stage.run("edit", "dev", "--read-only").returncode
    assert json.loads(stage.run("get", "dev").stdout)["SessionToken"]
    assert "GetFederationToken" == stage.aws.calls()[-1].action
    assert 2 == stage.refused("add-role", "plain", "--source", "dev", "--role-arn", f"{ARN}/plain")[0]


def test_roles_that_go_round_in_a_circle_are_named(stage: Stage) -> None:
    for name, source in (("one", "dev"), ("two", "one"), ("three", "two")):
        words = ["add-role", name, "--source", source, "--role-arn", f"{ARN}/{name}", "--no-verify"]
        assert 0 == stage.run(*words).returncode
    status, line = stage.refused("edit", "one", "--source", "three")
    assert (2, True) == (status, "the roles go round in a circle: one -> three -> two -> one" in line), line
    assert "dev" == json.loads(stage.run("show", "one", "--json").stdout)["source"]


def test_what_is_shown_of_a_role(stage: Stage) -> None:
    stage.aws.add_role("plain", stage.alice)
    words = ["add-role", "plain", "--source", "dev", "--role-arn", f"{ARN}/plain", "--duration", "1h"]
    stage.run(*words, "--tag", "team=eu", "--no-config", "--no-verify")
    lines = stage.run("show", "plain").stdout.splitlines()
    for line in (
        f"role       {ARN}/plain",
        "assumed by dev",
        "duration   1 h",
        "tags       team=eu",
        "status     unverified",
    ):
        assert line in lines
    assert "plain" in stage.run("list").stdout


def test_no_seed_is_in_what_is_printed_or_kept_in_the_clear(stage: Stage) -> None:
    guarded(stage)
    seed = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    stage.run("edit", "dev", "--totp-stdin", stdin=f"{seed}\n")
    shown = "".join(
        stage.run(*words.split()).stdout for words in ("show dev", "show dev --json", "list --json")
    )
    assert "mfa seed   kept" in shown
    kept = b"".join(path.read_bytes() for path in stage.daemon.home.rglob("*") if path.is_file())
    assert seed not in shown
    assert seed.encode() not in kept


@pytest.mark.parametrize(
    "words",
    [
        "exec SECRET -- true",
        "exec dev -- SECRET",
        "exec dev SECRET",
        "exec --serve SECRET dev -- true",
        "env SECRET",
        "env dev --format SECRET",
        "env dev --serve SECRET",
        "mfa SECRET",
        "mfa dev SECRET",
        "console SECRET",
        "console dev --destination SECRET",
        "console dev --duration SECRET",
        "add-role SECRET --source dev --role-arn ARN",
        "add-role x --source SECRET --role-arn ARN",
        "add-role x --source dev --role-arn SECRET",
        "add-role x --source dev --role-arn ARN --external-id SECRET!",
        "add-role x --source dev --role-arn ARN --session-name SECRET!",
        "add-role x --source dev --role-arn ARN --tag SECRET",
        "add-role x --source dev --role-arn ARN --duration SECRET",
        "add-role x --source dev --role-arn ARN --policy SECRET",
        "add-role x --source dev --role-arn ARN --policy {SECRET",
        "add-role x --source dev --role-arn ARN --policy-arn SECRET",
        "add-role x --source dev --role-arn ARN --transitive-tag SECRET",
        "add-role x --from-config SECRET",
        "edit dev --mfa-process 'SECRET",
        "edit dev --clear SECRET",
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(shared: Stage, words: str) -> None:
    """In whatever state the vault is after the other tests."""
    secret = canary.secret("typed")
    given = [word.replace("SECRET", secret).replace("ARN", f"{ARN}/plain") for word in words.split()]
    done = shared.run(*given)
    assert done.returncode in (2, 4, 7, 127)
    assert done.stderr.startswith("awsvault: ")
    kept = (done.stdout, done.stderr, shared.daemon.audit, json.dumps(shared.daemon.status()))
    assert [] == [text for text in kept if canary.found_in(text)]
