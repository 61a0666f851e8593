# SPDX-License-Identifier: Apache-2.0
"""The daemon's reminders on a desktop: what reaches notify-send in every run, and a real desktop where there are the programs.

The real one is dunst on a virtual display, with a bus of its own: apt install xvfb dbus dunst libnotify-bin.
"""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import DaemonFactory
from tests.daemons import until
from tests.scenarios.calendar import Calendar

PROGRAMS = ("Xvfb", "dbus-daemon", "dunst", "notify-send")
MISSING = [program for program in PROGRAMS if not shutil.which(program)]
BUS = """<busconfig><type>session</type><listen>unix:dir={0}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>
"""


def test_the_daemon_notifies_once_a_day_through_locks_and_louder_when_overdue(
    daemons: DaemonFactory, tmp_path: Path
) -> None:
    program, shown = tmp_path / "notify-send", tmp_path / "shown"
    program.write_text(f'#!/bin/sh\nenv >> {tmp_path}/env\necho "$*" >> {shown}\n')
    program.chmod(0o755)
    tmp_path.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CREDENTIALS_DIRECTORY": "/x", "DISPLAY": ":7"}
    calendar = Calendar(daemons, **environment)
    calendar.daemon.add("dev")
    calendar.pass_days(0.5)
    calendar.daemon.add("prod")

    def lines() -> list[str]:
        return shown.read_text().splitlines() if shown.exists() else []

    calendar.pass_days(75.7)
    until(lambda: len(lines()) == 1, "a notification")
    assert lines()[0].startswith(
        "--app-name=awsvault --urgency=normal -- AWS profile dev the key is to be rotated"
    )
    calendar.daemon.lock_and_wait()
    calendar.pass_days(0.5)
    until(lambda: len(lines()) > 1, "what came to be due while locked, by the agenda")
    assert ["dev", "prod"] == [line.split()[5] for line in lines()], (
        "the new image knows what the old one said"
    )
    calendar.pass_days(0.6)
    until(lambda: len(lines()) > 2, "the next day's")
    assert lines()[0].partition(" (")[0] == lines()[2].partition(" (")[0]
    calendar.pass_days(13)
    loud = "--app-name=awsvault --urgency=critical -- AWS profile dev the key is overdue"
    until(lambda: any(line.startswith(loud) for line in lines()), "the overdue one's")
    assert "awsvault rotate dev" in calendar.daemon.log
    given = (tmp_path / "env").read_text()
    assert "DISPLAY=:7\n" in given
    assert "CREDENTIALS" not in given


@contextlib.contextmanager
def running(
    words: Sequence[str], environment: dict[str, str], output: int
) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(words, env=environment, stdout=output, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


def first_line(process: "subprocess.Popen[bytes]") -> str:
    assert process.stdout
    return process.stdout.readline().decode().strip()


@pytest.fixture
def display(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An X server and a bus: the way to a desktop on which nobody shows notifications yet."""
    if MISSING:
        pytest.skip(f"a real desktop needs {', '.join(MISSING)}")
    (tmp_path / "bus.conf").write_text(BUS.format(tmp_path))
    base = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    screen = ["Xvfb", "-displayfd", "1", "-screen", "0", "640x480x24", "-nolisten", "tcp"]
    bus = ["dbus-daemon", "--nofork", "--print-address", f"--config-file={tmp_path / 'bus.conf'}"]
    with running(screen, base, subprocess.PIPE) as x, running(bus, base, subprocess.PIPE) as dbus:
        yield base | {"DISPLAY": f":{first_line(x)}", "DBUS_SESSION_BUS_ADDRESS": first_line(dbus)}


def test_a_real_desktop_shows_what_is_due_even_if_it_comes_up_later(
    daemons: DaemonFactory, display: dict[str, str], tmp_path: Path
) -> None:
    """As at a login: the daemon is there first, and what nobody has shown is said again."""
    calendar = Calendar(daemons, **{name: display[name] for name in ("DISPLAY", "DBUS_SESSION_BUS_ADDRESS")})
    calendar.daemon.add("dev")
    calendar.pass_days(95.5)
    until(lambda: "reminder: dev" in calendar.daemon.log, "a reminder that only the journal gets")
    shown = tmp_path / "shown"
    with shown.open("wb") as output, running(["dunst", "-print"], display, output.fileno()):
        ready = ["notify-send", "ready"]
        until(
            lambda: not subprocess.run(ready, env=display, stderr=subprocess.DEVNULL, check=False).returncode,
            "dunst",
        )

        def is_shown() -> bool:
            """The notify-send that found no desktop may still run, and then it is said at a later look."""
            calendar.pass_days(0.01)
            return "AWS profile dev" in shown.read_text()

        until(is_shown, "the notification")
    text = shown.read_text()
    assert "appname: 'awsvault'" in text
    assert "urgency: CRITICAL" in text
    assert re.search(r"\(\d+ days\)\. Run: awsvault rotate dev'", text)
