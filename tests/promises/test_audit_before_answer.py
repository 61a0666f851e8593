# SPDX-License-Identifier: Apache-2.0
"""No credentials without their line in the audit: it is there when the answer arrives, and without it there is none.

Whatever is wrong with the audit stops credentials only: `lock` works, and so do credentials once it is mended.
"""

import json
import os
import resource
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import canary
from tests.accounts import ALICE
from tests.conftest import DaemonFactory
from tests.daemons import Daemon, until
from vaultd.wire import protocol
from vaultd.wire.protocol import Frame

Spoiler = Callable[[Daemon], Callable[[], None]]

GET = protocol.encode(protocol.request("get", profile="dev"))


def lines(daemon: Daemon, op: str) -> list[dict[str, Any]]:
    """The whole lines about `op`."""
    whole = (json.loads(line) for line in daemon.audit.splitlines() if line.endswith(b"}"))
    return [line for line in whole if line["op"] == op]


def test_the_line_is_there_when_the_answer_arrives(daemon: Daemon) -> None:
    for count in range(1, 101):
        assert canary.secret("dev") == daemon.ask(GET)["SecretAccessKey"]
        assert count == len(lines(daemon, "get"))
    last = lines(daemon, "get")[-1]
    assert ("dev", "ok", canary.access_key_id("dev")) == (last["profile"], last["verdict"], last["key"])
    assert (os.getuid(), os.getpid()) == (last["who"]["uid"], last["who"]["pid"])


def test_a_killed_daemon_takes_no_line_with_it(daemon: Daemon) -> None:
    daemon.ask(GET)
    os.kill(daemon.pid, signal.SIGKILL)
    assert 1 == len(lines(daemon, "get"))


def test_what_is_refused_has_its_line_too(daemon: Daemon) -> None:
    daemon.ask(protocol.encode(protocol.request("get", profile="unknown")))
    daemon.lock_and_wait()
    daemon.ask(GET)
    assert ["no-such-profile", "locked"] == [line["verdict"] for line in lines(daemon, "get")]


def test_every_line_is_one_line_of_json(daemon: Daemon) -> None:
    """Whatever the caller's program is called: ASCII, no control characters."""
    for name in ("\u202e", "a\nb", "\x1b[31m", "é" * 50):
        daemon.ask(protocol.encode(protocol.request("get", profile=name)))
    for line in daemon.audit.splitlines():
        assert json.loads(line)
        assert all(0x20 <= byte < 0x7F for byte in line)


# --- audits that cannot be written


def full_disk(daemon: Daemon) -> Callable[[], None]:
    """A file that takes not one byte more: the next line does not fit, not even in part."""
    return _limited_to(daemon, 0)


def nearly_full_disk(daemon: Daemon) -> Callable[[], None]:
    """The beginning of the next line still fits, as on a disk that fills up."""
    return _limited_to(daemon, 30)


def _limited_to(daemon: Daemon, room: int) -> Callable[[], None]:
    """By RLIMIT_FSIZE of the running daemon: a write past it fails as on a full disk (EFBIG for ENOSPC)."""
    size = len(daemon.audit) + room
    before = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (size, before[1]))
    return lambda: (None, resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, before))[0]


def audit_path(daemon: Daemon) -> Path:
    return daemon.home / "audit.jsonl"


def dev_full(daemon: Daemon) -> Callable[[], None]:
    """ENOSPC by the kernel's own device for it."""
    if os.getuid() != 0:
        pytest.skip("making a device takes root")
    path, aside = audit_path(daemon), audit_path(daemon).with_suffix(".aside")
    path.rename(aside)
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 7))
    return lambda: (None, aside.replace(path))[0]


def symlink(daemon: Daemon) -> Callable[[], None]:
    """To wherever somebody wanted the lines to go, or not to go."""
    path, aside = audit_path(daemon), audit_path(daemon).with_suffix(".aside")
    path.rename(aside)
    path.symlink_to("/dev/null")
    return lambda: (None, aside.replace(path))[0]


def directory(daemon: Daemon) -> Callable[[], None]:
    path, aside = audit_path(daemon), audit_path(daemon).with_suffix(".aside")
    path.rename(aside)
    path.mkdir()

    def mend() -> None:
        path.rmdir()
        aside.rename(path)

    return mend


#: As the running daemon meets them, with the file open.
SPOILERS = [full_disk, nearly_full_disk, dev_full, symlink, directory]
#: As the next image meets them, when it opens the file.
AT_OPENING = [dev_full, symlink, directory]


def refused(daemon: Daemon) -> Frame:
    reply: Frame = daemon.ask(GET)
    assert list(reply) == ["error"]
    return dict(reply["error"])


def check_that_nothing_is_handed_out(daemon: Daemon) -> None:
    for _ in range(3):
        error = refused(daemon)
        assert (1, "storage-failed") == (error["exit"], error["code"])
        assert "the audit cannot be written" in error["message"]
    done = daemon.get("dev")
    assert (1, b"") == (done.returncode, done.stdout)
    assert any("no credentials until it can" in warning for warning in daemon.status()["warnings"])


def check_that_all_is_well(daemon: Daemon) -> None:
    before = len(lines(daemon, "get"))
    assert canary.secret("dev") == daemon.ask(GET)["SecretAccessKey"]
    assert before + 1 == len(lines(daemon, "get"))
    assert [] == daemon.status()["warnings"]


@pytest.mark.parametrize("spoil", SPOILERS)
def test_without_the_line_there_are_no_credentials(daemon: Daemon, spoil: Spoiler) -> None:
    check_that_all_is_well(daemon)
    mend = spoil(daemon)
    check_that_nothing_is_handed_out(daemon)
    mend()
    check_that_all_is_well(daemon)


@pytest.mark.parametrize("spoil", AT_OPENING)
def test_nor_are_there_when_it_cannot_be_opened(daemon: Daemon, spoil: Spoiler) -> None:
    daemon.lock_and_wait()
    mend = spoil(daemon)
    daemon.unlock()  # hands nothing out
    check_that_nothing_is_handed_out(daemon)
    mend()
    check_that_all_is_well(daemon)


@pytest.mark.parametrize("spoil", SPOILERS)
def test_a_lock_needs_no_audit(daemon: Daemon, spoil: Spoiler) -> None:
    spoil(daemon)
    assert "locked" == daemon.lock_and_wait()["state"]


def test_an_audit_that_may_not_be_written_stops_credentials(daemons: DaemonFactory) -> None:
    """Modes mean nothing to root, so this daemon is an ordinary user's."""
    daemon = daemons(uid=ALICE if os.getuid() == 0 else os.getuid()).start()
    daemon.init()
    daemon.add("dev")
    daemon.lock_and_wait()
    audit_path(daemon).chmod(0o400)
    daemon.unlock()
    done = daemon.get("dev")
    assert (1, b"") == (done.returncode, done.stdout)
    assert b"the audit cannot be written (Permission denied)" in done.stderr
    audit_path(daemon).chmod(0o600)
    assert 0 == daemon.get("dev").returncode


@pytest.mark.parametrize(
    "vanish", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["removed", "emptied"]
)
def test_a_line_is_written_where_it_can_be_read(daemon: Daemon, vanish: Callable[[Path], object]) -> None:
    """Not into a file that has no name any more: whoever removed it would have hidden all that follows."""
    daemon.ask(GET)
    vanish(audit_path(daemon))
    daemon.ask(GET)
    assert 1 == len(lines(daemon, "get"))


# --- lines that were cut off


def test_a_line_cut_off_by_a_crash_is_not_glued_to_the_next(daemon: Daemon) -> None:
    daemon.ask(GET)
    daemon.stop()
    whole = daemon.audit
    audit_path(daemon).write_bytes(whole + b'{"at":"2024-01-01T00:00:00Z","op":"ge')
    daemon.start()
    daemon.unlock()
    assert whole + b'{"at":"2024-01-01T00:00:00Z","op":"ge\n' == daemon.audit[: len(whole) + 38]
    assert "unlock" == json.loads(daemon.audit[len(whole) + 38 :].splitlines()[0])["op"]


def test_a_line_cut_off_by_a_full_disk_is_not_glued_to_the_next(daemon: Daemon) -> None:
    daemon.ask(GET)
    before = daemon.audit
    mend = nearly_full_disk(daemon)
    refused(daemon)
    cut = daemon.audit[len(before) :]
    assert 0 < len(cut) <= 30, "the control: a part of the line was written"
    mend()
    daemon.ask(GET)
    rest = daemon.audit[len(before) :].splitlines()
    assert cut.rstrip(b"\n") == rest[0]
    assert "ok" == json.loads(rest[-1])["verdict"]


def test_a_failed_write_is_told_once_it_can_be(daemon: Daemon) -> None:
    mend = full_disk(daemon)
    refused(daemon)
    mend()
    daemon.ask(GET)
    recorded = until(
        lambda: [entry for entry in daemon.status()["refusals"] if entry["op"] == "get"], "the refusal"
    )
    assert "storage-failed" == recorded[0]["code"]
