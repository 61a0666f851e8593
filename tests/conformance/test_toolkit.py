# SPDX-License-Identifier: Apache-2.0
"""The AWS Toolkit for VS Code: from the .csv of the console's "Create access key" to a connection, and what comes later.

toolkit.js goes the Toolkit's way with the SDK packages that the Toolkit has. An editor window is not opened.
"""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conformance.steps import ALICE, LOCKED, made_with
from tests.fake_aws import AccessKey
from tests.scenarios.diary import Diary
from tests.scenarios.person import at_terminal
from tests.scenarios.vault_at_aws import REGION

HOURS = 1 / 24  # days
SESSION = 4.1 * HOURS  # longer than one lives
PROGRAM = Path(__file__).with_name("javascript") / "toolkit.js"


class Toolkit:
    """One window of the editor: what it knows, it keeps until it is closed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def connect(self, profile: str = "dev") -> Any:
        """Its `arn`, `region` and access key `id`, or what it `shows`."""
        print(profile, file=self._process.stdin, flush=True)
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())


@contextlib.contextmanager
def window(diary: Diary, modules: Path) -> Iterator[Toolkit]:
    environment = {
        "AWS": diary.stage.aws.url,
        "AWS_CONFIG_FILE": str(config_of(diary)),
        "AWS_SHARED_CREDENTIALS_FILE": str(config_of(diary).with_name("credentials")),
        "NODE_PATH": str(modules),
        "SHIFT": str(diary.stage.daemon.home.parent / "shift"),
    }
    with subprocess.Popen(
        ["node", str(PROGRAM)],
        env=diary.stage.environment(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Toolkit(process)
        assert process.stdin
        process.stdin.close()
        assert 0 == process.wait(20)


def config_of(diary: Diary) -> Path:
    return diary.stage.daemon.home.parent / "u/.aws/config"


def download(diary: Diary, key: AccessKey) -> Path:
    """What the console's "Download .csv file" leaves: with a byte order mark, and Windows' line ends."""
    path = diary.stage.daemon.home.parent / "u/alice_accessKeys.csv"
    text = f"\ufeffAccess key ID,Secret access key\r\n{key.access_key_id},{key.secret}\r\n"
    path.write_bytes(text.encode())
    return path


def add(diary: Diary, *more: str) -> None:
    """The walk-through's step: give the file to awsvault, and let it delete it."""
    path = download(diary, diary.keys["alice"])
    with at_terminal(
        diary.stage.daemon, "add", "dev", "--csv", str(path), "--region", REGION, *more
    ) as terminal:
        terminal.answer("still holds the secret in plain text. Delete it? [Y/n] ", "")
        assert 0 == terminal.end()
    assert not path.exists()


def test_from_the_consoles_file_to_a_connection(diary: Diary, modules: Path) -> None:
    add(diary)
    with window(diary, modules) as toolkit:
        found = toolkit.connect()
        assert {"arn": ALICE, "region": REGION, "id": found["id"]} == found
        assert diary.keys["alice"].access_key_id == made_with(diary, found["id"])
        assert found == toolkit.connect(), "it keeps what it has"


def test_after_a_rotation_it_comes_to_the_new_key_when_its_session_ends(diary: Diary, modules: Path) -> None:
    add(diary)
    old = diary.keys["alice"].access_key_id
    with window(diary, modules) as toolkit:
        before = toolkit.connect()
        assert 0 == diary.typed("rotate", "dev")[0]
        new = diary.show("dev")["access_key_id"]
        assert before == toolkit.connect(), "what it got before serves out its time"
        diary.pass_days(SESSION)
        after = toolkit.connect()
        assert (ALICE, new) == (after["arn"], made_with(diary, after["id"]))
    assert old != new


def test_a_locked_vault_is_told_when_its_session_ends(diary: Diary, modules: Path) -> None:
    add(diary)
    with window(diary, modules) as toolkit:
        before = toolkit.connect()
        diary.stage.daemon.lock_and_wait()
        assert before == toolkit.connect(), "a lock does not take back what was handed out"
        diary.pass_days(SESSION)
        (message,) = toolkit.connect().values()
        assert message.startswith('Credentials "profile:dev" failed to connect: Command failed: ')
        assert LOCKED in message.splitlines()
        diary.stage.daemon.unlock()
        assert ALICE == toolkit.connect()["arn"]


def test_a_key_left_in_plain_text_does_not_beat_the_hook(diary: Diary, modules: Path) -> None:
    add(diary)
    left = config_of(diary).with_name("credentials")
    left.write_text("[dev]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = none\n")
    with window(diary, modules) as toolkit:
        found = toolkit.connect()
    left.unlink()
    assert diary.keys["alice"].access_key_id == made_with(diary, found["id"])


def test_a_window_that_read_the_files_before_has_to_be_reloaded(diary: Diary, modules: Path) -> None:
    """The SDK reads each of them once in a process: what README says of it is true."""
    config_of(diary).parent.mkdir(exist_ok=True)
    config_of(diary).write_text("[profile other]\ncredential_process = /bin/false\n")
    with window(diary, modules) as toolkit:
        assert "Command failed" in toolkit.connect("other")["shows"]
        add(diary)
        assert "Profile dev could not be found in shared credentials file." in toolkit.connect()["shows"]
    with window(diary, modules) as reloaded:
        assert ALICE == reloaded.connect()["arn"]
