# SPDX-License-Identifier: Apache-2.0
"""A person is reminded: by `due`, at the end of a command, by `status`; and not when they asked to be left alone."""

import json
import re
import subprocess
import sys

from tests.conftest import DaemonFactory
from tests.daemons import Daemon, until
from tests.scenarios.calendar import Calendar
from tests.scenarios.person import at_terminal, transcript

DUE = re.compile(
    r"dev: the key is to be rotated by \d{4}-\d\d-\d\d \(9 days left\); run: awsvault rotate dev\n"
)
OVERDUE = re.compile(
    r"dev: the key is overdue for rotation since \d{4}-\d\d-\d\d \(5 days\); run: awsvault rotate dev\n"
)

SLOW = """
import time
from vaultd.edge import reminding
replace = reminding._replace
def slow(*arguments):
    time.sleep(0.3)
    replace(*arguments)
reminding._replace = slow
"""

STUMBLING = """
from vaultd import daemon
from vaultd.edge import reminding
daemon.TICK_S = 0.02
async def stumble(self):
    raise KeyError("what it says")
reminding.Reminding.tick = stumble
"""


def ran(daemon: Daemon, *words: str) -> tuple[int, str, str]:
    done = daemon.awsvault(*words)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_due_tells_prompts_cron_and_people_locked_or_not(daemons: DaemonFactory) -> None:
    calendar = Calendar(daemons)
    daemon = calendar.daemon
    daemon.add("dev")
    assert (0, "", "") == ran(daemon, "due")  # cron mails what is written
    assert (0, "[]\n", "") == ran(daemon, "due", "--json")
    daemon.lock_and_wait()
    calendar.pass_days(80.5)
    status, text, nothing = ran(daemon, "due")
    assert (9, "") == (status, nothing)
    assert DUE.fullmatch(text)
    daemon.unlock()
    assert (9, text, "") == ran(daemon, "due")
    status, found, nothing = ran(daemon, "due", "--json")
    assert (9, "") == (status, nothing)
    (item,) = json.loads(found)
    assert ("dev", "rotate-due", False) == (item["profile"], item["what"], item["urgent"])
    assert (9, "", "") == ran(daemon, "--no-color", "due", "--quiet"), "the long way"
    assert 2 == ran(daemon, "due", "--quiet", "--json")[0]
    daemon.stop()
    assert (5, "", "awsvault: vault is locked (vaultd is not running); run: awsvault unlock\n") == ran(
        daemon, "due"
    )
    assert (5, "", "") == ran(daemon, "due", "--quiet")


def test_a_person_is_told_once_at_the_end_and_a_program_never(daemons: DaemonFactory) -> None:
    calendar = Calendar(daemons)
    daemon = calendar.daemon
    daemon.add("dev")
    with at_terminal(daemon, "due") as terminal:
        assert 0 == terminal.end()
    assert "Nothing is due.\n" == transcript(terminal, daemon)
    calendar.pass_days(95.5)
    for words in (["list"], ["edit", "dev", "--region", "eu-west-1"]):
        with at_terminal(daemon, *words) as terminal:
            assert 0 == terminal.end()
        assert 1 == terminal.screen.count("run: awsvault")
        assert terminal.screen.splitlines()[-1].startswith("Due: dev: the key is overdue for rotation since ")
    with at_terminal(daemon, "status") as terminal:
        assert 0 == terminal.end()
    assert 1 == len(OVERDUE.findall(terminal.screen)), "where it belongs, and not again at the end"
    (item,) = json.loads(ran(daemon, "status", "--json")[1])["due"]
    assert "rotate-overdue" == item["what"]
    for words in (
        ["get", "dev"],
        ["exec", "dev", "--serve", "key", "--", "true"],
        ["env", "dev", "--serve", "key"],
    ):
        with at_terminal(daemon, *words) as terminal:
            assert 0 == terminal.end()
        assert "overdue" not in terminal.screen, words
    with at_terminal(daemon, "show", "nobody") as terminal:
        assert 4 == terminal.end()
    assert "overdue" not in terminal.screen, "an error is the last thing on the screen"
    assert "" == ran(daemon, "list")[2]
    daemon.add("prod")
    calendar.pass_days(100)
    with at_terminal(daemon, "list") as terminal:
        assert 0 == terminal.end()
    assert re.fullmatch(
        r"2 reminders, the first: dev: the key is overdue .*; run: awsvault due",
        terminal.screen.splitlines()[-1],
    )


def test_a_snooze_by_command(daemons: DaemonFactory) -> None:
    calendar = Calendar(daemons)
    daemon = calendar.daemon
    daemon.add("dev")
    calendar.pass_days(80.5)
    status, nothing, text = ran(daemon, "snooze", "dev")
    assert (0, "") == (status, nothing)
    assert re.fullmatch(r"No reminders of dev until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\.\n", text)
    assert (0, "", "") == ran(daemon, "due")
    assert (0, "", "dev is reminded of again.\n") == ran(daemon, "snooze", "dev", "--for", "0s")
    assert 9 == ran(daemon, "due")[0]
    assert (2, "awsvault: --for must be a length of time like 15m, 12h or 90d\n") == ran(
        daemon, "snooze", "dev", "--for", "soon"
    )[::2]
    daemon.lock_and_wait()
    assert (3, "awsvault: vault is locked; run: awsvault unlock\n") == ran(daemon, "snooze", "dev")[::2]


def test_a_locked_vault_without_an_agenda_says_that_it_is_locked(daemons: DaemonFactory) -> None:
    calendar = Calendar(daemons, "[reminders]\nwhile_locked = false\n")
    daemon = calendar.daemon
    daemon.add("dev")
    calendar.pass_days(95)
    assert 9 == ran(daemon, "due")[0]
    daemon.lock_and_wait()
    assert (3, "", "awsvault: vault is locked; run: awsvault unlock\n") == ran(daemon, "due")
    assert (3, "", "") == ran(daemon, "due", "--quiet")
    assert not (daemon.home / "agenda.json").exists()


def test_a_lock_waits_for_the_agenda(daemons: DaemonFactory) -> None:
    """What was added just before it is due while locked, too; on a slow disk as well."""
    daemon = daemons(preamble=SLOW).start()
    daemon.init()
    daemon.add("dev")
    daemon.lock_and_wait()
    assert b'"dev"' in (daemon.home / "agenda.json").read_bytes()


def test_trouble_with_reminders_ends_no_agent(daemons: DaemonFactory) -> None:
    daemon = daemons(preamble=STUMBLING).start()
    daemon.may_stumble = True
    daemon.init()
    daemon.add("dev")
    until(lambda: "unexpected KeyError at stumble:" in daemon.log, "the trouble")
    assert "no more reminders until a restart" in daemon.log
    assert "what it says" not in daemon.log
    assert 0 == daemon.get("dev").returncode


def test_the_quick_way_of_a_prompt_loads_no_parser(daemons: DaemonFactory) -> None:
    daemon = daemons().start()
    command = [sys.executable, "-X", "importtime", "-m", "awsvault", "due", "--quiet"]
    environment = daemon.environment({"AWSVAULT_HOME": str(daemon.home)})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert 3 == done.returncode
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "awsvault.reminding" in loaded
    assert set() == loaded & {"typer", "rich", "asyncio", "platformdirs", "pathlib"}
