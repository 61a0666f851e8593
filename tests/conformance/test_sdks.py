# SPDX-License-Identifier: Apache-2.0
"""AWS's SDKs for Python, JavaScript, Go, Rust and Java, by the hook that `awsvault add` wrote into ~/.aws/config.

Not all of their clocks cannot be moved. So AWS and the daemon begin in the past, by just less than a session's length, and come to
the present while the program has its first session: for the program it ends after a few seconds.
"""

import contextlib
import subprocess
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from tests.conformance.programs import BUILDERS
from tests.conformance.steps import ALICE, LOCKED, add, made_with, requests
from tests.daemons import until
from tests.scenarios.calendar import DAY_S
from tests.scenarios.diary import Diary

SESSION_S = 4 * 3600
GET = b'"op":"get"'
BY_NAME = {"AWS_PROFILE": "dev"}
NO_MORE: Mapping[str, str] = {}
LEFT_S = 6  # enough to be good when the program gets it


@pytest.fixture(scope="module", params=BUILDERS)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def program(language: str) -> list[str]:
    return BUILDERS[language]()


class Program:
    def __init__(self, diary: Diary, process: "subprocess.Popen[str]", errors: Path) -> None:
        self._diary = diary
        self._process = process
        self._errors = errors

    def say(self) -> str:
        """What it prints, for one line."""
        print("who", file=self._process.stdin, flush=True)
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def ask(self) -> str:
        """The access key id with which it was alice."""
        assert ALICE == self.say()
        return str(requests(self._diary)[-1].access_key_id)

    @property
    def stderr(self) -> str:
        return self._errors.read_text()


@contextlib.contextmanager
def running(
    diary: Diary, program: list[str], folder: Path, extra: Mapping[str, str] = NO_MORE
) -> Iterator[Program]:
    environment = {
        "AWS_ENDPOINT_URL": diary.stage.aws.url,
        "AWS_EC2_METADATA_DISABLED": "true",
        **extra,
    }
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    errors = folder / "stderr"
    with errors.open("w") as file:
        process = subprocess.Popen(program, env=diary.stage.environment(environment), stderr=file, **pipes)  # type: ignore[call-overload]
    with process:
        yield Program(diary, process, errors)
        process.stdin.close()
        assert 0 == process.wait(20)


@pytest.mark.parametrize("named_in", ["environment", "code"])
def test_it_asks_once_for_many_requests(
    diary: Diary, program: list[str], named_in: str, tmp_path: Path
) -> None:
    key = add(diary)
    asked = diary.stage.daemon.audit.count(GET)
    words, extra = (program, BY_NAME) if named_in == "environment" else ([*program, "dev"], {})
    with running(diary, words, tmp_path, extra) as client:
        (session,) = {client.ask() for _ in range(4)}
    assert key.access_key_id == made_with(diary, session)
    assert 1 == diary.stage.daemon.audit.count(GET) - asked


def test_a_session_that_ends_is_followed_by_one_of_the_new_key(
    diary: Diary, program: list[str], tmp_path: Path
) -> None:
    diary.pass_days((LEFT_S - SESSION_S) / DAY_S)
    old = add(diary)
    with running(diary, [*program, "dev"], tmp_path) as client:
        first = client.ask()
        assert 0 == diary.typed("rotate", "dev")[0]
        new = diary.show("dev")["access_key_id"]
        diary.pass_days((SESSION_S - LEFT_S) / DAY_S)
        # A request may be under way when the session ends.
        diary.stage.aws.clock.offset = timedelta(minutes=-1)
        second = until(lambda: found if (found := client.ask()) != first else None, "another session")
    assert [old.access_key_id, new] == [made_with(diary, session) for session in (first, second)]
    assert {"ok"} == {call.outcome for call in requests(diary)}


def test_a_locked_vault_is_told(diary: Diary, language: str, program: list[str], tmp_path: Path) -> None:
    add(diary)
    diary.stage.daemon.lock_and_wait()
    with running(diary, [*program, "dev"], tmp_path) as client:
        error = client.say()
        assert error.startswith("error: ")
        match language:
            case "go":  # the hook writes on the program's own stderr
                assert LOCKED in client.stderr.splitlines()
                assert "exit status 3" in error
            case "javascript":  # `status` has it
                assert "Could not load credentials from any providers" in error
                assert "vault is locked" in diary.stage.run("status").stdout
            case _:
                assert LOCKED in error
        diary.stage.daemon.unlock()
        assert ALICE == client.say(), "it goes on without a new start"


@pytest.mark.parametrize("language", ["java"], indirect=True)
def test_javas_default_chain_keeps_why_to_itself(diary: Diary, program: list[str], tmp_path: Path) -> None:
    """So the documentation names ProfileCredentialsProvider, and `status` for those who cannot change the program."""
    add(diary)
    diary.stage.daemon.lock_and_wait()
    with running(diary, program, tmp_path, BY_NAME) as client:
        error = client.say()
    assert "Failed to refresh process-based credentials." in error
    assert LOCKED not in error
    assert "vault is locked" in diary.stage.run("status").stdout
