# SPDX-License-Identifier: Apache-2.0
"""Notifications: said once, loud when it matters, to a notify-send that is given nothing and waited for by nobody."""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.daemons import until
from vaultd.core.reminders import Reminder, What
from vaultd.edge import notify
from vaultd.edge.notify import DAY_S, QUIET_S, Notifier

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SCRIPT = """#!/bin/sh
printf '%s\\n' "$@" end >> {0}/argv
env > {0}/env
for fd in /proc/$$/fd/*; do echo "${{fd##*/}}"; done > {0}/fds
echo $$ > {0}/pid
. {0}/then
"""


@dataclass
class Desktop:
    """A notify-send of ours, first on PATH."""

    place: Path
    booted: float = 1000.0
    enabled: bool = True
    notifier: Notifier = field(init=False)

    def __post_init__(self) -> None:
        self.notifier = Notifier(lambda: self.booted, enabled=lambda: self.enabled)
        program = self.place / "notify-send"
        program.write_text(SCRIPT.format(self.place))
        program.chmod(0o755)
        self.then("exit 0")

    def then(self, command: str) -> None:
        """What it does in the end."""
        (self.place / "then").write_text(f"{command}\n")

    def shown(self) -> list[list[str]]:
        """The arguments of each that ran, in order, after all have ended."""
        for thread in threading.enumerate():
            if thread.name == "notify-send":
                thread.join(20)
        path = self.place / "argv"
        text = path.read_text() if path.exists() else ""
        path.unlink(missing_ok=True)
        return [block.split("\n") for block in text.split("\nend\n") if block]

    async def settled(self) -> list[list[str]]:
        """The same, and the loop has heard how they ended."""
        found = self.shown()
        await asyncio.sleep(0)
        return found


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desktop:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return Desktop(tmp_path)


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def reminder(profile: str = "dev", what: What = "rotate-due") -> Reminder:
    return Reminder(profile, what, NOW, NOW + timedelta(days=7) if what == "rotate-due" else None)


def test_a_reminder_is_shown_with_its_command(desktop: Desktop) -> None:
    async def scenario() -> None:
        desktop.notifier.remind([reminder()], NOW)
        assert [
            [
                "--app-name=awsvault",
                "--urgency=normal",
                "--",
                "AWS profile dev",
                "the key is to be rotated by 2026-12-01 (7 days left). Run: awsvault rotate dev",
            ]
        ] == desktop.shown()

    play(scenario)


@pytest.mark.parametrize(
    ("what", "urgency"),
    [
        ("rotate-due", "normal"),
        ("rotate-overdue", "critical"),
        ("unused", "normal"),
        ("root-key", "normal"),
        ("quarantined", "critical"),
        ("rotation-open", "normal"),
    ],
)
def test_what_is_overdue_or_leaked_is_loud(desktop: Desktop, what: What, urgency: str) -> None:
    async def scenario() -> None:
        desktop.notifier.remind([reminder(what=what)], NOW)
        (words,) = desktop.shown()
        assert f"--urgency={urgency}" in words

    play(scenario)


def test_each_is_shown_once_a_day_and_its_next_stage_at_once(desktop: Desktop) -> None:
    async def scenario() -> None:
        for _ in range(3):
            desktop.notifier.remind([reminder()], NOW)
            desktop.booted += DAY_S / 4
        assert 1 == len(await desktop.settled())
        desktop.notifier.remind([reminder(what="rotate-overdue")], NOW)
        assert 1 == len(await desktop.settled())
        desktop.booted += DAY_S / 4 - 1
        desktop.notifier.remind([reminder()], NOW)
        assert [] == await desktop.settled()
        desktop.booted += 1
        desktop.notifier.remind([reminder()], NOW)
        assert 1 == len(await desktop.settled())

    play(scenario)


def test_what_aws_said_is_no_markup(desktop: Desktop) -> None:
    async def scenario() -> None:
        note = 'see <a href="https://evil.example/">the <b>console</b></a> &amp; more'
        desktop.notifier.remind([Reminder("dev", "rotation-open", NOW, note=note)], NOW)
        ((*_, text),) = await desktop.settled()
        assert 'see (a href="https://evil.example/")the (b)console(/b)(/a) +amp; more' in text

    play(scenario)


@pytest.mark.parametrize("number", [3, 4, 200])
def test_many_at_once_are_one_notification(desktop: Desktop, number: int) -> None:
    async def scenario() -> None:
        many = [reminder(f"p{n}", "rotate-overdue" if n == 1 else "unused") for n in range(number)]
        desktop.notifier.remind(many, NOW)
        shown = await desktop.settled()
        if number <= notify.ONE_BY_ONE:
            assert number == len(shown)
            return
        title, text = (
            f"{number} reminders about AWS keys",
            f"p0, p1, p2 and {number - 3} more. Run: awsvault due",
        )
        assert [["--app-name=awsvault", "--urgency=critical", "--", title, text]] == shown
        desktop.notifier.remind(many, NOW)
        assert [] == await desktop.settled(), "all of them were shown"

    play(scenario)


def test_a_person_may_want_none(desktop: Desktop) -> None:
    async def scenario() -> None:
        desktop.enabled = False
        desktop.notifier.remind([reminder()], NOW)
        desktop.notifier.code_wanted("dev")
        assert [] == await desktop.settled()
        desktop.enabled = True
        desktop.notifier.remind([reminder()], NOW)
        assert 1 == len(await desktop.settled()), "it counts as not said"

    play(scenario)


def test_what_no_desktop_has_shown_is_tried_again(desktop: Desktop) -> None:
    """At a login the daemon is up before the desktop."""

    async def scenario() -> None:
        desktop.then("exit 1")
        desktop.notifier.remind([reminder()], NOW)
        assert 1 == len(await desktop.settled())
        desktop.then("exit 0")
        desktop.notifier.remind([reminder()], NOW)
        assert 1 == len(await desktop.settled())
        desktop.notifier.remind([reminder()], NOW)
        assert [] == await desktop.settled()

    play(scenario)


def test_without_notify_send_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    notifier = Notifier(lambda: 0.0, enabled=lambda: True)

    async def scenario() -> None:
        notifier.remind([reminder()], NOW)
        assert not [thread for thread in threading.enumerate() if thread.name == "notify-send"]

    play(scenario)


def test_a_desktop_that_hangs_is_ended_after_a_while(
    desktop: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_TIMEOUT_S", 0.2)

    async def scenario() -> None:
        desktop.then("exec sleep 60")
        desktop.notifier.remind([reminder()], NOW)
        await desktop.settled()
        desktop.then("exit 0")
        monkeypatch.setattr(notify, "_TIMEOUT_S", 60.0)
        desktop.notifier.remind([reminder()], NOW)
        assert 1 == len(await desktop.settled()), "nobody has seen it"

    play(scenario)


def test_a_lock_ends_what_hangs(desktop: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the exec nobody would."""
    monkeypatch.setattr(notify, "_TIMEOUT_S", 60.0)

    async def scenario() -> None:
        desktop.then("exec sleep 60")
        desktop.notifier.remind([reminder()], NOW)
        file = desktop.place / "pid"
        pid = int(await asyncio.to_thread(until, lambda: file.exists() and file.read_text(), "its start"))
        desktop.notifier.close()
        await desktop.settled()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    play(scenario)


def test_it_is_given_no_more_than_the_way_to_the_desktop(
    desktop: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/x", "DISPLAY": ":7", "WAYLAND_DISPLAY": "wayland-7"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_SECRET_ACCESS_KEY", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "LISTEN_FDS", "FOO"):
        monkeypatch.setenv(name, "x")
    held = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(held, True)

    async def scenario() -> None:
        desktop.notifier.remind([reminder()], NOW)
        assert 1 == len(desktop.shown())

    try:
        play(scenario)
    finally:
        os.close(held)
    lines = (desktop.place / "env").read_text().splitlines()
    names = {line.partition("=")[0] for line in lines} - {"PWD", "OLDPWD", "SHLVL", "_"}  # the shell's own
    assert set(given) <= names <= set(notify._ENVIRONMENT)
    assert str(held) not in (desktop.place / "fds").read_text().split()


def test_a_code_is_asked_for_once_until_it_was_given(desktop: Desktop) -> None:
    async def scenario() -> None:
        for _ in range(3):
            desktop.notifier.code_wanted("dev")
        (words,) = await desktop.settled()
        assert ["MFA code needed for dev", "Run: awsvault mfa dev"] == words[-2:]
        desktop.booted += QUIET_S
        desktop.notifier.code_wanted("dev")
        assert 1 == len(await desktop.settled())
        desktop.notifier.forget("dev")
        desktop.notifier.code_wanted("dev")
        assert 1 == len(await desktop.settled())

    play(scenario)


def test_what_was_said_today_is_known_to_the_next_image(desktop: Desktop) -> None:
    async def scenario() -> None:
        desktop.notifier.remind([reminder()], NOW)
        assert 1 == len(await desktop.settled())
        carried = desktop.notifier.reminded.carry()
        desktop.notifier = Notifier(lambda: desktop.booted, enabled=lambda: True)
        desktop.notifier.reminded.resume(carried)
        desktop.notifier.remind([reminder()], NOW)
        assert [] == await desktop.settled()
        desktop.booted += DAY_S
        assert {} == desktop.notifier.reminded.carry(), "what is old is not carried"

    play(scenario)


def test_no_more_is_carried_than_fits(desktop: Desktop) -> None:
    for number in range(1000):
        desktop.booted += 1
        desktop.notifier.reminded.said(f"unused p{number}")
    carried = desktop.notifier.reminded.carry()
    assert {f"unused p{number}" for number in range(600, 1000)} == carried.keys()
