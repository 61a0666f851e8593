# SPDX-License-Identifier: Apache-2.0
"""Programs that ask AWS all the time while the key behind their profile is rotated, from before it to its very end.

Time stands while a request is under way and jumps in between: a session is good for hours, and no request takes one.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from tests.daemons import AWSVAULT, until
from tests.scenarios.diary import Diary
from tests.scenarios.vault_at_aws import REGION

ARN = "arn:aws:iam::123456789012:user/dev"
HOUR = 1 / 24  # days
LANES = 20

#: The aws command's own program, a process for each command, as many at once as there are lanes, until stdin ends.
#: Forked from one that has run it once, and has read the models of AWS's services for them: so many starts of an
#: interpreter, and so much JSON, would take most of the time. Credentials are each command's own.
AWS_LOOP = """
import functools, os, select, sys
from awscli.clidriver import create_clidriver
session = sys.modules[type(create_clidriver().session).__module__]
session.create_loader = functools.cache(session.create_loader)
out = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
words = "sts get-caller-identity --output text".split()
print(create_clidriver().main(words), file=out, flush=True)
running, paused, started = set(), False, 0
while True:
    while not paused and len(running) < int(sys.argv[1]):
        started += 1
        pid = os.fork()
        if not pid:
            os.environ["AWS_PROFILE"] = sys.argv[2 + started % (len(sys.argv) - 2)]
            os._exit(create_clidriver().main(words))
        running.add(pid)
    if running:
        pid, status = os.wait()
        running.remove(pid)
        print(os.waitstatus_to_exitcode(status), file=out, flush=True)
    elif paused:
        print("paused", file=out, flush=True)
        paused = False
        if not sys.stdin.readline():
            break
    if select.select([sys.stdin], [], [], 0)[0]:
        paused = True
        sys.stdin.readline()
"""


class Loop:
    """Commands one after another in each of the lanes."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.done = 0

    def run_on(self, commands: int) -> None:
        """Until so many more have ended, all of them well."""
        for _ in range(commands):
            assert "0" == self._line(), "a command failed; see stderr"
            self.done += 1

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        self._say("pause")
        while (line := self._line()) != "paused":
            assert "0" == line, "a command failed; see stderr"
            self.done += 1
        yield
        self._say("go on")

    def end(self) -> None:
        self._say("pause")
        assert self._process.stdin
        self._process.stdin.close()
        assert self._process.stdout
        *statuses, last = self._process.stdout.read().split()
        assert ({"0"}, "paused") == ({"0", *statuses}, last)
        self.done += len(statuses)

    def _say(self, word: str) -> None:
        print(word, file=self._process.stdin, flush=True)

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()


class Program:
    """Somebody else's: for every line that it reads it asks AWS who it is, and prints its ARN and its access key id."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self) -> str:
        """The access key id that it used."""
        assert self._process.stdout
        print("who", file=self._process.stdin, flush=True)
        arn, key_id = self._process.stdout.readline().split()
        assert ARN == arn
        return str(key_id)


def live_through_a_rotation(
    diary: Diary, program: Sequence[str], extra: Mapping[str, str], *, lanes: int = 0
) -> int:
    """No request of a program with a session, of one with the key itself, and of the aws command in a loop fails.

    `AWS` is the URL of the programs' AWS; `SHIFT` names a file with the seconds by which their clocks are to be put
    forward. The number of commands that were run in the loop.
    """
    stage = diary.stage
    diary.begin("dev")
    old = diary.keys["dev"]
    stage.daemon.add(
        "raw", access_key_id=old.access_key_id, secret_access_key=old.secret, serve="key", verify=True
    )
    stage.aws.pace.new_key = timedelta(seconds=0.3)
    with contextlib.ExitStack() as stack:
        environment = _environment(diary, extra)

        def start(words: Sequence[str], **more: str) -> Any:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            started = subprocess.Popen(words, env={**environment, **more}, **pipes)  # type: ignore[call-overload]
            return stack.enter_context(started)

        dev, raw = (Program(start(program, AWS_PROFILE=name)) for name in ("dev", "raw"))
        loop = None
        if lanes:
            words = [sys.executable, "-c", AWS_LOOP, str(lanes), "dev", "raw"]
            loop = Loop(start(words, AWS_PROFILE="dev"))
            loop.run_on(2)
        _rotate_under(diary, dev, raw, loop)
        if loop:
            loop.end()
    theirs = [call for call in stage.aws.calls("GetCallerIdentity") if "awsvault/" not in call.user_agent]
    assert {"ok"} == {call.outcome for call in theirs}
    return loop.done if loop else 0


def _environment(diary: Diary, extra: Mapping[str, str]) -> dict[str, str]:
    home = diary.stage.daemon.home
    config = home.parent / "u/config"
    hook = f"credential_process = {AWSVAULT} --home {home} get"
    config.write_text(
        "".join(f"[profile {name}]\n{hook} {name}\nregion = {REGION}\n" for name in ("dev", "raw"))
    )
    return diary.stage.environment(
        {
            "AWS": diary.stage.aws.url,
            "AWS_ENDPOINT_URL": diary.stage.aws.url,
            "AWS_CONFIG_FILE": str(config),
            "AWS_EC2_METADATA_DISABLED": "true",
            "SHIFT": str(home.parent / "shift"),
            **extra,
        }
    )


def _rotate_under(diary: Diary, dev: Program, raw: Program, loop: Loop | None) -> None:
    old, session = diary.keys["dev"].access_key_id, dev.ask()
    assert old == raw.ask()
    with ThreadPoolExecutor(1) as thread:
        rotating = thread.submit(diary.stage.daemon.call, "rotate", profile="dev")
        while not rotating.done():
            assert {session, old} == {dev.ask(), raw.ask()}
        new = str(rotating.result()["profile"]["access_key_id"])
    diary.pass_days(HOUR / 2)
    assert {session, old} == {dev.ask(), raw.ask()}, "what they got before serves out its time"

    def all_ask_until(state: str | None) -> None:
        def reached() -> bool:
            assert (new, True) == (raw.ask(), session != dev.ask())
            return diary.state("dev") == state

        until(reached, f"the rotation comes to {state}")

    _pass_days(diary, 1, loop)
    all_ask_until("soak")
    _pass_days(diary, 7, loop)
    all_ask_until(None)
    assert [new] == [*diary.stage.aws.world.keys]
    assert (new, True) == (raw.ask(), session != dev.ask())
    if loop:
        loop.run_on(2)


def _pass_days(diary: Diary, days: float, loop: Loop | None) -> None:
    """Between two requests; then all go on at once."""
    with loop.paused() if loop else contextlib.nullcontext():
        diary.pass_days(days)
