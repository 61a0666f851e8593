# SPDX-License-Identifier: Apache-2.0
"""Every command line ends with its own status and one clear line; a failure shows neither a traceback nor what was typed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from awsvault import app
from awsvault.commands.help import TOPICS
from tests.canary import MARK, found_in
from tests.daemons import AWSVAULT
from vaultd.wire.errors import MAX_LINE

SECRET = MARK + "x" * 30


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A user who has nothing yet."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWSVAULT_HOME": str(tmp_path / "v"),
        "LANG": "C.UTF-8",
    }


def run(environment: dict[str, str], *words: str, **options: object) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [str(AWSVAULT), *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert not found_in(done.stdout + done.stderr)
    return done


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("add", "PROFILE is missing; run: awsvault add --help"),
        (f"add dev AKIAX {SECRET}", "too many arguments; run: awsvault add --help"),
        (f"list {SECRET}", "too many arguments; run: awsvault list --help"),
        ("--nope", "there is no option --nope; run: awsvault --help"),
        ("list --nope", "there is no option --nope; run: awsvault list --help"),
        (f"add dev --{SECRET}", "there is no option like that; run: awsvault add --help"),
        (f"add dev --secret={SECRET}", "there is no option --secret; run: awsvault add --help"),
        (f"add dev --csv-row {SECRET}", "--csv-row has a wrong value; run: awsvault add --help"),
        ("add dev --csv x --csv-row 0", "--csv-row has a wrong value; run: awsvault add --help"),
        ("unlock --passphrase-fd -1", "--passphrase-fd has a wrong value; run: awsvault unlock --help"),
        (
            f"unlock --passphrase-fd {SECRET}",
            "--passphrase-fd has a wrong value; run: awsvault unlock --help",
        ),
        ("list --json=yes", "--json is not used like that; run: awsvault --help"),
        ("unlock --for", "--for is not used like that; run: awsvault --help"),
        ("lsit", "there is no such command; did you mean: awsvault list"),
        (SECRET, "there is no such command; run: awsvault --help"),
        ("daemon", "a command is missing; run: awsvault daemon --help"),
        (f"daemon {SECRET}", "there is no such command; run: awsvault daemon --help"),
        ("unlock --for 5x", "--for must be a length of time like 15m, 12h or 90d"),
        ("add dev --csv-row 1", "--csv-row, --access-key-id and --delete-csv belong to --csv"),
        ("add dev --stdin --csv x", "use one of --stdin or --csv FILE"),
        ("add dev", "no terminal to ask for the key on; use --stdin or --csv FILE"),
        ("init", "no terminal to ask on; use --passphrase-fd or --passphrase-file"),
        (
            "init --passphrase-fd 0",
            "no terminal to show the recovery code on; use --recovery-file FILE or --no-recovery",
        ),
        ("init --no-recovery --recovery-file x", "use one of --recovery-file FILE or --no-recovery"),
        ("passwd", "no terminal to ask on; use --passphrase-fd or --passphrase-file"),
        (
            "passwd --passphrase-fd 0",
            "no terminal to ask on; use --new-passphrase-fd or --new-passphrase-file",
        ),
        ("recover", "no terminal to ask on; use --code-fd or --code-file"),
        ("recover --code-fd 0", "no terminal to ask on; use --passphrase-fd or --passphrase-file"),
        (
            "recover --code-fd 0 --passphrase-fd 3",
            "no terminal to show the recovery code on; use --recovery-file FILE",
        ),
        ("edit dev", "there is nothing to change; run: awsvault edit --help"),
        ("help nothing", f"there is no such topic; choose from {', '.join(TOPICS)}"),
        (
            "daemon install",
            "units serve the usual places only; run with another home: awsvault --home DIR unlock",
        ),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(
    environment: dict[str, str],
    words: str,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process: there are many, and each start costs a tenth of a second."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert 2 == app.run(words.split())
    assert ("", f"awsvault: {line}\n") == capsys.readouterr()


@pytest.mark.parametrize(
    "words", ["status", "list", "show dev", "edit dev --serve key", "remove dev --yes", "lock", "unlock"]
)
def test_without_a_vault_everything_says_so(environment: dict[str, str], words: str) -> None:
    home = Path(environment["AWSVAULT_HOME"])
    done = run(environment, *words.split())
    assert (3, f"awsvault: there is no vault in {home}; run: awsvault --home {home} init\n") == (
        done.returncode,
        done.stderr,
    )
    home.mkdir(mode=0o700)
    if words != "unlock":  # that one starts a daemon
        done = run(environment, *words.split())
        assert (3, "awsvault: no vault yet; run: awsvault init\n") == (done.returncode, done.stderr)


def test_an_open_home_is_refused_with_what_to_do(environment: dict[str, str]) -> None:
    home = Path(environment["AWSVAULT_HOME"])
    home.mkdir()
    home.chmod(0o755)
    for words in ("status", "unlock", "init --passphrase-fd 0 --no-recovery"):
        done = run(environment, *words.split())
        assert (6, f"awsvault: {home} is open to other users; run: chmod 700 {home}\n") == (
            done.returncode,
            done.stderr,
        )


@pytest.mark.skipif(os.getuid() != 0, reason="sudo makes root")
@pytest.mark.parametrize("words", ["status", "unlock", "init --passphrase-fd 0 --no-recovery", "list"])
def test_through_sudo_it_is_the_wrong_user(environment: dict[str, str], words: str) -> None:
    del environment["AWSVAULT_HOME"]
    done = run(environment | {"SUDO_UID": "1000"}, *words.split())
    assert (6, "awsvault: the vault belongs to uid 1000; run without sudo\n") == (
        done.returncode,
        done.stderr,
    )


def test_a_home_that_is_too_deep_for_a_socket_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    home = tmp_path / ("d" * 100)
    home.mkdir(mode=0o700)
    done = run(environment | {"AWSVAULT_HOME": str(home)}, "status")
    assert 2 == done.returncode
    assert "longer than the 107 bytes" in done.stderr


def test_help_is_the_answer(environment: dict[str, str]) -> None:
    done = run(environment)
    assert (0, "") == (done.returncode, done.stderr)
    for name in app.COMMANDS:
        assert f"\n  {name} " in done.stdout
    assert "..." not in done.stdout.partition("Commands:")[2]


@pytest.mark.parametrize("name", app.COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == app.run([name, "--help"])
    shown = capsys.readouterr()
    assert f"Usage: awsvault {name} " in shown.out
    assert "" == shown.err


def test_topics_that_messages_name_exist(environment: dict[str, str]) -> None:
    assert 0 == run(environment, "help").returncode
    for topic in ("session", "import", "damaged", "exit"):
        assert run(environment, "help", topic).stdout


def test_version(environment: dict[str, str]) -> None:
    from importlib.metadata import version

    assert f"awsvault {version('awsvaultd')}\n" == run(environment, "--version").stdout


def test_an_unexpected_failure_shows_where_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_args: object, **_fields: object) -> None:
        raise KeyError(SECRET)

    monkeypatch.setattr("vaultd.wire.client.call", fail)
    assert 1 == app.run(["list"])
    shown = capsys.readouterr()
    assert "" == shown.out
    assert shown.err.startswith("awsvault: unexpected KeyError at test_app.py:")
    assert not found_in(shown.err)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, EOFError])
def test_an_interruption_is_130_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], interruption: type[BaseException]
) -> None:
    def interrupt(*_args: object, **_fields: object) -> None:
        raise interruption

    monkeypatch.setattr("vaultd.wire.client.call", interrupt)
    assert 130 == app.run(["list"])
    assert "" == capsys.readouterr().err.strip()


def test_a_reader_that_left_is_no_error_to_show(environment: dict[str, str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [str(AWSVAULT), "--help"], env=environment, stdout=write_end, stderr=subprocess.PIPE, check=False
    )
    os.close(write_end)
    assert (1, b"") == (done.returncode, done.stderr)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_confuse_it(environment: dict[str, str], closed: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f"exec {AWSVAULT} status {closed}"], env=environment, capture_output=True, check=False
    )
    assert 3 == done.returncode
    assert b"Traceback" not in done.stderr


def test_lines_fit_what_sdks_show(environment: dict[str, str]) -> None:
    done = run(environment | {"AWSVAULT_HOME": "/" + "x" * 3000}, "status")
    assert len(done.stderr) <= MAX_LINE


@pytest.mark.parametrize("variable", ["PYTHONWARNINGS", "PYTHONVERBOSE", "PYTHONDONTWRITEBYTECODE"])
def test_python_variables_do_not_change_the_answer(environment: dict[str, str], variable: str) -> None:
    value = {"PYTHONWARNINGS": "error", "PYTHONVERBOSE": "", "PYTHONDONTWRITEBYTECODE": "1"}[variable]
    assert 3 == run(environment | {variable: value}, "list").returncode


# --- completion


def complete(environment: dict[str, str], shell: str, line: str) -> "subprocess.CompletedProcess[str]":
    words = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    return run(environment | words | {"_AWSVAULT_COMPLETE": f"complete_{shell}"})


@pytest.fixture
def hooked(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Two hooks, one of them for another vault, and no daemon."""
    home = environment["AWSVAULT_HOME"]
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text(
        f"[profile dev]\ncredential_process = /x/awsvault --home {home} get dev\n"
        "[profile other]\ncredential_process = /x/awsvault get other\n"
    )
    return environment


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("line", "expected"), [("awsvault sho", "show"), ("awsvault get d", "dev"), ("awsvault remove ", "dev")]
)
def test_each_shell_completes_commands_and_profiles(
    hooked: dict[str, str], shell: str, line: str, expected: str
) -> None:
    done = complete(hooked, shell, line)
    assert (0, "") == (done.returncode, done.stderr)
    assert expected in done.stdout
    assert "other" not in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_follows_the_home_option(hooked: dict[str, str], shell: str) -> None:
    home = hooked.pop("AWSVAULT_HOME")
    assert "dev" in complete(hooked, shell, f"awsvault --home {home} get ").stdout


def test_completion_starts_nothing_and_says_nothing(hooked: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".aws/config").write_text("broken")
    done = complete(hooked, "bash", "awsvault get ")
    assert ("", "") == (done.stdout.strip(), done.stderr)
    assert not Path(hooked["AWSVAULT_HOME"]).exists()


@pytest.mark.parametrize("value", ["", "x", "complete_nothing", "source_bash", "complete_bash"])
def test_a_strange_completion_request_is_silent_on_stderr(environment: dict[str, str], value: str) -> None:
    assert "" == run(environment | {"_AWSVAULT_COMPLETE": value}, "--version").stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed_for_each_shell(environment: dict[str, str], shell: str) -> None:
    done = run(
        environment | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}, "--show-completion", shell
    )
    assert f"_AWSVAULT_COMPLETE=complete_{shell}" in done.stdout


def test_the_interpreter_does_not_choose_the_program_name() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "awsvault", "--help"], capture_output=True, text=True, check=True
    )
    assert "Usage: awsvault [OPTIONS]" in done.stdout
