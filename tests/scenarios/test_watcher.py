# SPDX-License-Identifier: Apache-2.0
"""A key that lands in plain text in ~/.aws, or a hook line that calls something else, is told within seconds, locked or not."""

import json
import os
from pathlib import Path

import pytest

from tests import canary
from tests.conftest import DaemonFactory
from tests.daemons import Daemon, until

PLAIN = "[acme.prod]\naws_access_key_id = AKIAEXAMPLE000000000\naws_secret_access_key = {}\n"
EVENTS_ONLY = "from vaultd import daemon; daemon.WATCH_S = 3600.0"
TIMER_ONLY = """
from vaultd import daemon
from vaultd.edge import watch
daemon.WATCH_S = 0.05
watch._Hints.on = classmethod(lambda cls, *_: None)
"""


def aws_of(daemon: Daemon) -> Path:
    return daemon.home.parent / "u/.aws"


def whats(daemon: Daemon) -> list[tuple[str, str]]:
    done = daemon.awsvault("due", "--json")
    return [(item["profile"], item["what"]) for item in json.loads(done.stdout or b"[]")]


def await_(daemon: Daemon, expected: list[tuple[str, str]]) -> None:
    until(lambda: expected == whats(daemon), f"due says {expected}", patience_s=5)


@pytest.mark.parametrize("preamble", [EVENTS_ONLY, TIMER_ONLY], ids=["events", "timer"])
def test_a_plaintext_key_is_told_and_forgotten_when_it_is_gone(daemons: DaemonFactory, preamble: str) -> None:
    daemon = daemons(preamble=preamble)
    aws_of(daemon).mkdir()
    daemon.start().init()
    assert [] == whats(daemon)
    (aws_of(daemon) / "credentials").write_text(PLAIN.format("not-the-canary-of-the-tests-0123456789ab"))
    await_(daemon, [("acme-prod", "plaintext")])
    status = daemon.awsvault("status").stdout.decode()
    assert f"a key lies in plain text in {aws_of(daemon)}/credentials line 3" in status
    (line,) = [json.loads(line) for line in daemon.audit.splitlines() if b'"watch"' in line]
    assert ("acme-prod", "plaintext") == (line["profile"], line["verdict"])
    (aws_of(daemon) / "credentials").unlink()
    await_(daemon, [])
    assert not canary.found_in(daemon.audit)


def test_a_locked_daemon_tells_too_and_remembers_over_the_lock(daemons: DaemonFactory) -> None:
    daemon = daemons(preamble="from vaultd import daemon; daemon.WATCH_S = 0.05")
    daemon.start().init()
    daemon.lock_and_wait()
    aws_of(daemon).mkdir()
    (aws_of(daemon) / "config").write_text(PLAIN.replace("[", "[profile ").format("x" * 40))
    until(lambda: ("acme-prod", "plaintext") in whats(daemon), "due", patience_s=5)
    daemon.unlock()
    before = daemon.audit.count(b'"watch"')
    daemon.lock_and_wait()
    until(lambda: ("acme-prod", "plaintext") in whats(daemon), "due", patience_s=5)
    assert before == daemon.audit.count(b'"watch"'), "it is told once"


def test_a_hook_line_that_calls_something_else_is_told_until_it_calls_us_again(
    daemons: DaemonFactory,
) -> None:
    daemon = daemons(preamble="from vaultd import daemon; daemon.WATCH_S = 0.05").start()
    daemon.init()
    daemon.awsvault(
        "add", "dev", "--stdin", "--no-verify", stdin=b"AKIAEXAMPLE000000000\n" + b"k" * 40 + b"\n"
    )
    config = aws_of(daemon) / "config"
    ours = config.read_text()
    assert [] == whats(daemon), "it has looked, and knows the line"
    evil = ours.replace(ours.split("credential_process = ")[1].split()[0], "/tmp/awsvault")
    config.write_text(evil)
    assert [("dev", "hook-changed")] == whats(daemon)
    config.write_text(ours)
    assert [] == whats(daemon)


def test_a_directory_that_appears_or_becomes_a_link_is_watched(
    daemons: DaemonFactory, tmp_path: Path
) -> None:
    daemon = daemons(preamble="from vaultd import daemon; daemon.WATCH_S = 0.05").start()
    daemon.init()
    aws_of(daemon).mkdir()
    (aws_of(daemon) / "credentials").write_text(PLAIN.format("x" * 40))
    await_(daemon, [("acme-prod", "plaintext")])
    aws_of(daemon).rename(tmp_path / "away")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/credentials").write_text(PLAIN.replace("acme.prod", "other").format("x" * 40))
    os.symlink(tmp_path / "other", aws_of(daemon))
    await_(daemon, [("other", "plaintext")])
    (tmp_path / "other/credentials").write_text("")
    await_(daemon, [])


def warnings(daemon: Daemon) -> list[str]:
    return [str(warning) for warning in daemon.status()["warnings"]]


@pytest.mark.parametrize("what", ["an older save", "something else", "nothing"])
def test_a_vault_file_that_somebody_else_put_there_is_told_and_never_loaded(
    daemons: DaemonFactory, what: str
) -> None:
    daemon = daemons(preamble="from vaultd import daemon; daemon.WATCH_S = 0.05").start()
    daemon.init()
    older = (daemon.home / "vault").read_bytes()
    daemon.add("dev")
    ours = (daemon.home / "vault").read_bytes()
    assert [] == warnings(daemon)
    stray = daemon.home / "stray"
    stray.write_bytes(older if what == "an older save" else b"AWSVAULT and more")
    stray.chmod(0o600)
    if what == "nothing":
        (daemon.home / "vault").unlink()
    else:
        stray.rename(daemon.home / "vault")
    until(lambda: warnings(daemon), "the warning", patience_s=5)
    told = {
        "an older save": "another save of this vault (number 1)",
        "something else": "not a save",
        "nothing": "gone",
    }
    assert told[what] in warnings(daemon)[0]
    assert 0 == daemon.get("dev").returncode, "what is open is served on"
    assert daemon.awsvault("edit", "dev", "--region", "eu-west-1").returncode, "nothing is saved over it"
    assert b"vault-replaced" in daemon.audit
    (daemon.home / "vault").write_bytes(ours)
    (daemon.home / "vault").chmod(0o600)
    until(lambda: not warnings(daemon), "the warning goes", patience_s=5)
    assert 0 == daemon.awsvault("edit", "dev", "--region", "eu-west-1").returncode
