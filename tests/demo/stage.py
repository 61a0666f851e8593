# SPDX-License-Identifier: Apache-2.0
"""The stage of the demo: a throw-away machine, somebody who types, and neighbours that end with it.

It knows nothing of what is shown. Whatever it starts it ends, also on Ctrl-C, and nothing outlives the directory.
"""

import base64
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from tests.procfs import has_ended
from tests.terminal import Terminal

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
COLUMNS = 110

#: What is asked, and what is typed then: a text, or what to make of the screen so far.
Dialogue = Sequence[tuple[str, str | Callable[[str], str]]]


class Unexpected(Exception):
    """The show is over: something came out otherwise than it should."""


class Stage:
    def __init__(self) -> None:
        # Below /tmp whatever TMPDIR says: a socket's path has 107 bytes at most.
        self.root = Path(tempfile.mkdtemp(prefix="awsvault-demo-", dir="/tmp"))
        for name in ("home", "home/.aws", "tmp"):
            (self.root / name).mkdir(mode=0o700)
        self.environment = {
            "PATH": f"{BIN}:{os.defpath}",
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "TERM": os.environ.get("TERM", "dumb")
            if sys.stdout.isatty()
            else "dumb",  # colour for who sees it
            "LANG": "C.UTF-8",
            "AWS_CONFIG_FILE": str(self.root / "home/.aws/config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.root / "home/.aws/credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._neighbours: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_reason: object) -> None:
        for neighbour in self._neighbours:
            self.end(neighbour)
        self._end_daemons()
        shutil.rmtree(self.root)

    # --- what the audience sees

    def say(self, text: str) -> None:
        print(f"\n# {text}", flush=True)

    def set(self, name: str, value: str) -> None:
        """A variable of the shell that the rest is typed into."""
        self.environment[name] = value
        print(f"$ export {name}={shlex.quote(value)}", flush=True)

    def run(self, line: str, *, status: int = 0, shows: Sequence[str] = (), dialogue: Dialogue = ()) -> str:
        """Type `line` on a terminal, answer what it asks; raises Unexpected on another outcome."""
        print(f"$ {line}", flush=True)
        with Terminal(["/bin/sh", "-c", line], self.environment, columns=COLUMNS) as terminal:
            shown = 0
            for question, answer in dialogue:
                screen = terminal.expect(question)
                print(screen[shown:], end="", flush=True)
                shown = len(screen)
                terminal.type(answer if isinstance(answer, str) else answer(screen))
            ended = terminal.end()
            print(terminal.screen[shown:], end="", flush=True)
        if status != ended:
            raise Unexpected(f"exit status {ended} instead of {status}: {line}")
        missing = [text for text in shows if text not in terminal.screen]
        if missing:
            raise Unexpected(f"{missing[0]!r} is missing in the answer of: {line}")
        return terminal.screen

    # --- behind the scene

    def start(self, *command: str, ready: str, given: str = "") -> tuple[subprocess.Popen[str], str]:
        """Start a neighbour; the first group of `ready`, a pattern that it prints, and the process."""
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=self.environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours alone: the daemon must still reach its AWS when we tidy up
        )
        self._neighbours.append(process)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(given)
        process.stdin.close()
        for line in process.stdout:
            if found := re.search(ready, line):
                return process, found[1]
        raise Unexpected(f"{' '.join(command)} did not start")

    def end(self, process: subprocess.Popen[str]) -> None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()

    def _end_daemons(self) -> None:
        """Whatever was started with a home below our directory."""
        for directory in Path("/proc").glob("[0-9]*"):
            try:
                words = (directory / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # ended meanwhile
            if b"vaultd" in words and any(word.startswith(os.fsencode(self.root)) for word in words):
                _end(int(directory.name))

    def find(self, secret: str) -> list[Path]:
        """The files of this machine that hold `secret`, in any form that a careless program might write."""
        raw = secret.encode()
        forms = [raw, raw[::-1], raw.hex().encode(), secret.encode("utf-16-le")]
        # Inside other data base64 may start at any of three offsets; the cut ends depend on the neighbours.
        forms += [base64.b64encode(b"\0" * shift + raw)[4:-4] for shift in range(3)]
        files = [path for path in self.root.rglob("*") if path.is_file()]
        return [path for path in files if any(form in path.read_bytes() for form in forms)]


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
        for _ in range(50):
            time.sleep(0.05)
            if has_ended(pid):
                return
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
