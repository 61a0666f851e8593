# SPDX-License-Identifier: Apache-2.0
"""`exec` and `env`: a program gets one profile's session, and is run as if nobody stood before it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests import canary
from tests.daemons import AWSVAULT
from tests.scenarios.person import at_terminal
from tests.scenarios.vault_at_aws import REGION, Stage, open_stage

SHOW = (sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))")
WHO = "import boto3, os; print(boto3.client('sts', endpoint_url=os.environ['AWS']).get_caller_identity()['Arn'])"


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_stage() as opened:
        opened.add_key("bob", serve="key")
        yield opened


def seen_by_child(stage: Stage, *words: str, extra: dict[str, str] | None = None) -> dict[str, str]:
    done = stage.run("exec", *words, "--", *SHOW, extra=extra)
    assert (0, "") == (done.returncode, done.stderr), "in a pipe it is silent"
    found: dict[str, str] = json.loads(done.stdout)
    return found


# --- what the program gets


def test_a_session_its_end_and_the_region_and_nothing_that_conflicts(stage: Stage) -> None:
    extra = {
        "AWS_PROFILE": "x",
        "AWS_SESSION_TOKEN": "old",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x",
        "OTHER": "1",
    }
    found = seen_by_child(stage, "dev", extra=extra)
    (call,) = stage.aws.calls("GetSessionToken")[-1:]
    session = stage.aws.world.sessions[found["AWS_ACCESS_KEY_ID"]]
    assert {
        "AWS_SECRET_ACCESS_KEY": session.secret,
        "AWS_SESSION_TOKEN": session.token,
        "AWS_CREDENTIAL_EXPIRATION": session.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "AWS_ACCOUNT_ID": "123456789012",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWSVAULT_PROFILE": "dev",
        "OTHER": "1",
    }.items() <= found.items()
    assert stage.key.access_key_id == call.access_key_id
    assert not {"AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"} & found.keys()


def test_a_real_sdk_is_who_the_profile_says(stage: Stage) -> None:
    extra = {"AWS": stage.aws.url, "AWS_PROFILE": "nothing"}
    done = stage.run("exec", "dev", "--", sys.executable, "-c", WHO, extra=extra)
    assert "arn:aws:iam::123456789012:user/alice\n" == done.stdout, done.stderr


def test_a_key_is_handed_out_only_when_it_is_named(stage: Stage) -> None:
    """Also of a profile whose hook serves the key: `exec` is for sessions."""
    assert "AWS_SESSION_TOKEN" in seen_by_child(stage, "bob")
    found = seen_by_child(stage, "--serve", "key", "dev")
    assert (stage.key.access_key_id, stage.key.secret) == (
        found["AWS_ACCESS_KEY_ID"],
        found["AWS_SECRET_ACCESS_KEY"],
    )
    assert not {"AWS_SESSION_TOKEN", "AWS_CREDENTIAL_EXPIRATION"} & found.keys(), (
        "botocore would stop at its end"
    )
    assert b'"serve":"key"' in stage.daemon.audit


def test_the_region_is_that_of_the_config_as_for_any_tool(stage: Stage) -> None:
    path = stage.daemon.home.parent / "u/.aws/config"
    path.parent.mkdir(exist_ok=True)
    hook = f"credential_process = {AWSVAULT} --home {stage.daemon.home} get dev"
    try:
        path.write_text(f"[profile acme.dev]\n{hook}\nregion = eu-west-3\n")
        assert "eu-west-3" == seen_by_child(stage, "dev")["AWS_REGION"]
        path.write_text("not a config\n")
        assert REGION == seen_by_child(stage, "dev")["AWS_REGION"], "what cannot be read is no reason to fail"
    finally:
        path.unlink()
    assert "us-east-1" == seen_by_child(stage, "bob", extra={"AWS_REGION": "us-east-1"})["AWS_REGION"]


# --- as if nobody stood before it


def test_it_becomes_the_program(stage: Stage) -> None:
    """No parent stays: the process that was started is the one that runs."""
    process = subprocess.Popen(
        [AWSVAULT, "exec", "dev", "--", "sh", "-c", "echo $$"],
        env=stage.environment(),
        stdout=subprocess.PIPE,
    )
    out, _ = process.communicate(timeout=30)
    assert process.pid == int(out)


@pytest.mark.parametrize("words", [("dev", "--"), ("--nested", "dev", "--")], ids=["short", "typer"])
def test_the_exit_status_and_the_words_are_the_programs_own(stage: Stage, words: tuple[str, ...]) -> None:
    script = 'printf "%s|" "$@" >&2; exit 41'
    done = stage.run("exec", *words, "sh", "-c", script, "x", "a b", "", "ü", "end")
    assert (41, "a b||ü|end|") == (done.returncode, done.stderr)


def test_what_stands_after_the_dashes_is_not_read(stage: Stage) -> None:
    done = stage.run(
        "exec", "--nested", "dev", "--", "sh", "-c", 'echo "$@"', "x", "--server", "--", "--help"
    )
    assert "--server -- --help\n" == done.stdout


def test_signals_are_as_in_a_fresh_process(stage: Stage) -> None:
    """Python ignores SIGPIPE, and an ignored signal is inherited: `exec dev -- yes | head` would not end."""
    shown = "grep -E 'Sig(Ign|Cgt|Blk)' /proc/self/status"
    expected = subprocess.run(["env", "sh", "-c", shown], capture_output=True, text=True, check=True)
    assert expected.stdout == stage.run("exec", "dev", "--", "sh", "-c", shown).stdout


def test_an_ignored_interrupt_stays_ignored(stage: Stage) -> None:
    """nohup, and jobs in the background of a script."""
    done = subprocess.run(
        ["sh", "-c", f"trap '' INT HUP; exec {AWSVAULT} exec dev -- grep SigIgn /proc/self/status"],
        env=stage.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    ignored = int(done.stdout.split()[1], 16)
    assert all(ignored >> (number - 1) & 1 for number in (signal.SIGINT, signal.SIGHUP))


def test_a_signal_ends_it_by_that_signal(stage: Stage) -> None:
    process = subprocess.Popen(
        [AWSVAULT, "exec", "dev", "--", "sh", "-c", "echo up; sleep 60 & wait"],
        env=stage.environment(),
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout
    assert b"up\n" == process.stdout.readline()
    os.killpg(process.pid, signal.SIGTERM)
    assert -signal.SIGTERM == process.wait(20)
    process.stdout.close()


def test_the_callers_descriptors_are_passed_on_and_none_of_ours(stage: Stage) -> None:
    reader, writer = os.pipe()
    try:
        done = stage.run(
            "exec",
            "dev",
            "--",
            "sh",
            "-c",
            f"ls /proc/self/fd; echo through > /proc/self/fd/{writer}",
            pass_fds=[writer],
        )
        assert (0, "") == (done.returncode, done.stderr)
        assert b"through\n" == os.read(reader, 100)
    finally:
        os.close(reader)
        os.close(writer)
    assert {"0", "1", "2", str(writer)} == set(done.stdout.split()) - {"3" if writer != 3 else ""}  # ls's own


def test_closed_descriptors_stay_closed(stage: Stage) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{AWSVAULT} exec dev -- ls /proc/self/fd <&- 2>&-"],
        env=stage.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "0" == done.stdout.split()[0], "ls's own directory took the free number"
    assert "2" not in done.stdout.split()


def test_a_script_without_a_first_line_is_run_by_sh(stage: Stage) -> None:
    path = stage.daemon.home.parent / "u/script"
    path.write_text('echo "$1 $AWSVAULT_PROFILE"\n')
    path.chmod(0o755)
    assert "x dev\n" == stage.run("exec", "dev", "--", str(path), "x").stdout


def test_job_control_is_the_programs(stage: Stage) -> None:
    """Ctrl-C at the terminal reaches the program, and only what it makes of it ends it."""
    script = "trap 'echo got it; exit 7' INT; echo up; while :; do sleep 0.01; done"
    with at_terminal(stage.daemon, "exec", "dev", "--", "sh", "-c", script) as terminal:
        terminal.expect("dev: a session until ")
        terminal.expect(" The vault locks in ")
        terminal.expect("up")
        terminal.press(b"\x03")
        terminal.expect("got it")
        assert 7 == terminal.end()


# --- what is refused


def test_inside_another_one_it_is_refused_unless_asked_for(stage: Stage) -> None:
    inside = {"AWSVAULT_PROFILE": "dev"}
    assert (
        6,
        "this runs in `awsvault exec dev` already; use --nested to do it anyway",
    ) == stage.refused("exec", "bob", "--", "true", extra=inside)
    assert "bob" == seen_by_child(stage, "--nested", "bob", extra=inside)["AWSVAULT_PROFILE"]
    secret = {"AWSVAULT_PROFILE": canary.secret("dev")}
    assert not canary.found_in(stage.refused("exec", "bob", "--", "true", extra=secret)[1])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["dev"], (2, "a command is missing; run: awsvault exec dev -- COMMAND")),
        (["dev", "--"], (2, "a command is missing; run: awsvault exec dev -- COMMAND")),
        ([], (2, "PROFILE is missing; run: awsvault exec --help")),
        (["dev", "--", "no-such-command"], (127, "no-such-command: the command is not found")),
        (["dev", "--", "/etc/passwd"], (126, "passwd: the command is not executable")),
        (
            ["dev", "aws", "--debug"],
            (2, "there is no option --debug; if it is the command's: awsvault exec PROFILE -- COMMAND"),
        ),
        (["nobody", "--", "true"], (4, 'no profile "nobody"; run: awsvault list')),
        (["--serve", "both", "dev", "--", "true"], (2, "--serve is session or key")),
        (
            ["--server", "--serve", "key", "dev", "--", "true"],
            (2, "--server hands out sessions only; use --serve key without --server"),
        ),
    ],
    ids=[
        "no command",
        "nothing after --",
        "no profile",
        "127",
        "126",
        "no dashes",
        "unknown",
        "serve",
        "key over http",
    ],
)
def test_wrong_command_lines(stage: Stage, words: list[str], expected: tuple[int, str]) -> None:
    assert expected == stage.refused("exec", *words)


def test_a_command_that_is_not_there_costs_no_credentials(stage: Stage) -> None:
    before = stage.daemon.audit
    stage.refused("exec", "dev", "--", "no-such-command")
    assert before == stage.daemon.audit


def test_a_locked_vault_runs_nothing(stage: Stage) -> None:
    stage.daemon.lock_and_wait()
    try:
        for words in (
            ["exec", "dev", "--", "true"],
            ["exec", "--server", "dev", "--", "true"],
            ["env", "dev"],
        ):
            assert (3, "vault is locked; run: awsvault unlock") == stage.refused(*words)
    finally:
        stage.daemon.unlock()


# --- env


def test_a_shell_takes_what_env_prints(stage: Stage) -> None:
    script = f'AWS_PROFILE=x; export AWS_PROFILE; eval "$({AWSVAULT} env dev)"; env'
    done = subprocess.run(
        ["sh", "-c", script], env=stage.environment(), capture_output=True, text=True, check=True
    )
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert stage.aws.world.sessions[found["AWS_ACCESS_KEY_ID"]].token == found["AWS_SESSION_TOKEN"]
    assert REGION == found["AWS_REGION"]
    assert "AWS_PROFILE" not in found
    assert "AWSVAULT_PROFILE" not in found, "a shell is no nested exec"
    assert "" == done.stderr


def test_env_writes_for_programs_as_well(stage: Stage) -> None:
    document = json.loads(stage.run("env", "dev", "--format", "json").stdout)
    lines = stage.run("env", "dev", "--format", "dotenv").stdout.splitlines()
    assert document == dict(line.split("=", 1) for line in lines)
    assert (
        stage.key.access_key_id
        == json.loads(stage.run("env", "dev", "--serve", "key", "--format", "json").stdout)[
            "AWS_ACCESS_KEY_ID"
        ]
    )


def test_on_a_screen_env_says_that_these_are_secrets(stage: Stage) -> None:
    with at_terminal(stage.daemon, "env", "dev") as terminal:
        terminal.expect(
            'These are secrets, and stay on the screen. To use them unseen: eval "$(awsvault env dev)"'
        )
        assert 0 == terminal.end()


def test_an_unknown_format_is_refused_before_anything_is_asked(stage: Stage) -> None:
    expected = (2, "--format has a wrong value; choose from sh, fish, powershell, dotenv, json")
    assert expected == stage.refused("env", "nobody", "--format", "cmd")
