# SPDX-License-Identifier: Apache-2.0
"""`make demo` comes out as it says, and leaves nothing behind: no file, no process, however it ends."""

import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DEMO = [sys.executable, "-m", "tests.demo"]


def stage_of(screen: str) -> Path:
    return Path(re.findall(r"export HOME=(\S+)/home", screen)[0])


def processes_with(directory: Path) -> list[bytes]:
    """The command lines of everything that runs with a path below `directory`."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes())
        except OSError:
            continue  # ended meanwhile
    return [line for line in lines if bytes(directory) in line]


def check_tidy(stage: Path) -> None:
    assert not stage.exists()
    assert [] == processes_with(stage)


def test_the_demo_shows_the_main_job() -> None:
    done = subprocess.run(
        DEMO, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=150, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    for line in (
        "$ awsvault init",
        "run: awsvault import",
        "$ aws sts get-caller-identity --profile dev",
        "arn:aws:iam::123456789012:user/alice",
        "a key was made, the old one deactivated, then deleted, and one is left",
        "vault is locked; run: awsvault unlock",
        "no, in none of these",
    ):
        assert line in done.stdout
    check_tidy(stage_of(done.stdout))


def test_a_demo_that_is_cut_short_tidies_up() -> None:
    with subprocess.Popen(
        DEMO, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        assert demo.stdout is not None
        screen = ""
        while "The vault is made" not in screen:  # the daemon runs, holding a key
            line = demo.stdout.readline()
            assert line, screen
            screen += line
        demo.send_signal(signal.SIGINT)
        demo.stdout.read()
    assert 130 == demo.returncode
    check_tidy(stage_of(screen))
