# SPDX-License-Identifier: Apache-2.0
"""The README says what runs: its transcript is executed, its tables are compared with the code."""

import os
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from awsvault.app import COMMANDS
from awsvault.commands.help import TOPICS
from tests import canary
from tests.conftest import DaemonFactory
from tests.daemons import Daemon
from tests.fake_aws import AccessKey, FakeAws
from tests.terminal import Terminal
from vaultd.core.policy import Settings
from vaultd.wire import durations, errors

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
CREDENTIALS_FAILED = 255  # the aws command's status when the hook fails
CONFORMANCE = ROOT / "tests/conformance"
TRANSCRIPT, FROM_CSV = (
    textwrap.dedent(found) for found in re.compile(r"```console\n(.*?)```", re.DOTALL).findall(README)
)


@pytest.fixture
def key() -> Iterator[tuple[FakeAws, AccessKey]]:
    with FakeAws() as server:
        user = server.add_user("alice")
        yield (
            server,
            server.add_key(user, access_key_id=canary.access_key_id("alice"), secret=canary.secret("alice")),
        )


def steps(transcript: str) -> list[tuple[str, str]]:
    """Each command of a transcript and what it prints."""
    found = []
    for part in re.split(r"^\$ ", transcript, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        found.append((command, output))
    return found


def pattern(output: str) -> re.Pattern[str]:
    """What is printed, with `…` for what differs from run to run."""
    lines = [".*?".join(map(re.escape, line.split("…"))) for line in output.strip().split("\n")]
    return re.compile("\n".join(line + r"[ ]*" for line in lines) + r"\Z")


def answer(terminal: Terminal, key: AccessKey) -> None:
    """Be the person: answer each prompt until the command ends."""
    replies = {
        "Make one now? [Y/n] ": "y",
        "New passphrase: ": canary.PASSPHRASE,
        "The same passphrase again: ": canary.PASSPHRASE,
        "Access key ID: ": key.access_key_id,
        "Secret access key: ": key.secret,
        "Delete it? [Y/n] ": "y",
    }
    while prompt := terminal.watch_for(*replies, " of 9: "):
        terminal.type(replies[prompt] if prompt in replies else asked_group(terminal.screen))
    assert terminal.end() in {0, CREDENTIALS_FAILED}


def asked_group(seen: str) -> str:
    """The group of the recovery code that the last prompt asks back."""
    code = re.search(r"(?:[0-9A-Z]{4}-){8}[0-9A-Z]{4}", seen)
    assert code
    return code[0].split("-")[int(re.findall(r"group (\d) of 9", seen)[-1]) - 1]


def play(transcript: str, daemon: Daemon, server: FakeAws, key: AccessKey) -> None:
    environment = daemon.environment(
        {
            "AWSVAULT_HOME": str(daemon.home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": server.url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    )
    for command, output in steps(transcript):
        with Terminal(["/bin/sh", "-c", command], environment, columns=200) as terminal:
            answer(terminal, key)
        assert pattern(output).match(terminal.screen.strip()), (
            f"$ {command}\n{terminal.screen}\n--- instead of\n{output}"
        )


@pytest.fixture
def daemon(daemons: DaemonFactory, key: tuple[FakeAws, AccessKey]) -> Daemon:
    return daemons(config=f'[aws]\nendpoint_url = "{key[0].url}"\n').start()


def test_the_transcript_is_what_happens(daemon: Daemon, key: tuple[FakeAws, AccessKey]) -> None:
    server, access_key = key
    play(TRANSCRIPT, daemon, server, access_key)
    assert {"GetCallerIdentity", "GetSessionToken"} <= {call.action for call in server.calls()}


def test_the_consoles_file_is_added_as_it_is_shown(daemon: Daemon, key: tuple[FakeAws, AccessKey]) -> None:
    daemon.init()
    downloads = daemon.home.parent / "u/Downloads"
    downloads.mkdir()
    text = f"\ufeffAccess key ID,Secret access key\r\n{key[1].access_key_id},{key[1].secret}\r\n"
    (downloads / "alice_accessKeys.csv").write_bytes(text.encode())
    play(FROM_CSV, daemon, *key)
    assert [] == [*downloads.iterdir()]


def table(marker: str) -> list[list[str]]:
    """The rows of the table that follows a marker comment."""
    text = README.partition(f"<!-- {marker}:")[2].partition("-->")[2].strip()
    rows = text.partition("\n\n")[0].splitlines()
    return [[cell.strip(" `") for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_the_settings_are_those_that_are_read() -> None:
    documented, section = {}, ""
    for first, key, default, _ in table("settings"):
        section = first.strip("[]") or section
        documented[section, key] = default
    real = {}
    for section in Settings.__dataclass_fields__:
        values = getattr(Settings(), section)
        for key in values.__dataclass_fields__:
            value = getattr(values, key)
            if (section, key) == ("session", "duration"):
                value = values.for_keys
            real[section, key] = value
    assert real.keys() == documented.keys()
    for name, value in real.items():
        text = documented[name]
        if isinstance(value, bool):
            assert str(value).lower() == text
        elif isinstance(value, int):
            assert value == durations.parse(text), name
        else:
            assert (value or "") == text, name


def test_the_exit_statuses_are_those_of_the_errors() -> None:
    documented = {int(row[0]) for row in table("exit")}
    assert {cls.exit_status for cls in errors.tree().values()} | {0, 130} == documented


#: Where the versions are pinned, and the program that has the line.
CLIENTS = {
    "aws": ("development.txt", "awscli=={}", None),
    "boto3": ("development.txt", "boto3=={}", "python/whoami.py"),
    "JavaScript 3": ("javascript/package.json", '"@aws-sdk/client-sts": "{}"', "javascript/whoami.js"),
    "Go 2": ("go/go.mod", "aws-sdk-go-v2/config v{}", "go/main.go"),
    "Rust": ("rust/Cargo.lock", 'name = "aws-config"\nversion = "{}"', "rust/src/main.rs"),
    "Java 2": ("java/pom.xml", "<version>{}</version>", "java/src/main/java/Whoami.java"),
}


def test_the_clients_are_those_that_are_tested_and_their_lines_what_was_run() -> None:
    rows = {name: (line, tested) for name, line, tested in table("clients")}
    assert CLIENTS.keys() <= rows.keys()
    for name, (pins, pin, program) in CLIENTS.items():
        line, tested = rows[name]
        version = re.findall(r"\d+\.[\d.]*\d", tested)[0]
        folder = ROOT / ".ci" if pins == "development.txt" else CONFORMANCE
        assert pin.format(version) in (folder / pins).read_text("utf-8"), name
        assert line in TOPICS["clients"], name
        if program:
            source = (CONFORMANCE / program).read_text("utf-8")
            assert line.replace('"prod"', "profile") in source, name


def test_the_version_of_the_toolkits_package_is_the_tested_one() -> None:
    (version,) = re.findall(r"credential-provider-process\s+([\d.]+\d)\)", README)
    package = (CONFORMANCE / "javascript/package.json").read_text("utf-8")
    assert f'"@aws-sdk/credential-provider-process": "{version}"' in package


def test_every_command_that_is_shown_exists() -> None:
    shown = set(re.findall(r"(?:`|^|^\$ )awsvault ([a-z][a-z-]*)", README, re.MULTILINE))
    assert {"init", "add", "unlock", "lock"} <= shown <= set(COMMANDS)
