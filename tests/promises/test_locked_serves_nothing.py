# SPDX-License-Identifier: Apache-2.0
"""A locked vault serves nothing: each operation of the daemon's table, so that a new one cannot be forgotten."""

import contextlib
import json
import os
import re
from collections.abc import Iterator

import pytest

from tests import canary
from tests.conftest import DaemonFactory
from tests.daemons import WAIT_WHEN_ASKED, Daemon, until
from vaultd.core import recovery_code
from vaultd.edge.handlers import OPERATIONS
from vaultd.wire import protocol
from vaultd.wire.errors import WrongPassphrase
from vaultd.wire.protocol import Frame

#: What may be asked of a locked daemon. Whoever adds one says below what it may answer.
OPEN_WHILE_LOCKED = {"status", "init", "unlock", "lock", "recover", "due"}
GATED = sorted(OPERATIONS.keys() - OPEN_WHILE_LOCKED)

#: Values that a handler would act on, by field name, else by type.
EXAMPLES: dict[str, object] = {
    "profile": "dev",
    "changes": {"region": "eu-central-1"},
    "access_key_id": canary.access_key_id("new"),
    "secret_access_key": canary.secret("new"),
    "old": canary.PASSPHRASE,
    "new": canary.PASSPHRASE,
    "verify": False,
    "serve": "key",
    "replace": True,
    "for_s": 60,
    "source": "dev",
    "role_arn": "arn:aws:iam::123456789012:role/admin",
    "names": ["dev"],
    "made": [],
    "pieces": [canary.secret("undo")],
    "begin": True,
}

#: Needs AWS, a device or an import to succeed; that its own error comes back shows that it was looked at.
OWN_ERROR = {
    "mfa": "usage",
    "console": "aws-failed",
    "add_role": "usage",
    "unrevoke": "usage",
    "probe": "aws-failed",
    "import_undo": "refused",
}

#: Say what they do, and ask AWS then: nothing else can be tried on the same daemon.
GO_ON = {"panic", "revoke", "rotate"}


def frame(op: str) -> bytes:
    """A request that is fine while unlocked, with every field that the operation knows."""
    known = OPERATIONS[op].fields
    missing = {name for name, entry in known.items() if entry.default is ... and name not in EXAMPLES}
    assert not missing, f"give an example of {missing} in EXAMPLES"
    return protocol.encode(
        protocol.request(
            op,
            **{name: EXAMPLES[name] for name, f in known.items() if isinstance(EXAMPLES.get(name), f.type)},
        )
    )


@pytest.fixture(scope="module")
def locked() -> Iterator[Daemon]:
    """Was unlocked, and used, and locked."""
    with contextlib.closing(Daemon()) as daemon:
        daemon.start().init()
        daemon.add("dev")
        assert 0 == daemon.get("dev").returncode
        daemon.lock_and_wait()
        yield daemon


def test_the_table_opens_no_other_operation_while_locked() -> None:
    assert {name for name, operation in OPERATIONS.items() if operation.while_locked} == OPEN_WHILE_LOCKED


@pytest.mark.parametrize("op", GATED)
def test_a_locked_vault_refuses(locked: Daemon, op: str) -> None:
    reply = locked.ask(frame(op))
    assert list(reply) == ["error"]
    assert (3, "locked", {}) == (reply["error"]["exit"], reply["error"]["code"], reply["error"]["details"])
    assert "vault is locked; run: awsvault unlock" == reply["error"]["line"]


@contextlib.contextmanager
def unlocked() -> Iterator[Daemon]:
    with contextlib.closing(Daemon(config='[aws]\nendpoint_url = "http://127.0.0.1:9"\n')) as daemon:
        daemon.start().init()  # port 9: discard, where nobody answers
        yield daemon


@pytest.fixture(scope="module")
def shared() -> Iterator[Daemon]:
    with unlocked() as daemon:
        yield daemon


@pytest.mark.parametrize("op", sorted(set(GATED) - GO_ON))
def test_the_same_request_is_answered_when_unlocked(shared: Daemon, op: str) -> None:
    shared.start_over()
    shared.add("dev")
    assert OWN_ERROR.get(op) == shared.ask(frame(op)).get("error", {}).get("code")


@pytest.mark.parametrize("op", sorted(GO_ON))
def test_so_is_one_that_takes_its_time(op: str) -> None:
    with unlocked() as daemon:
        daemon.add("dev")
        assert "progress" in daemon.ask(frame(op))


@pytest.mark.parametrize(
    "request_",
    [
        protocol.request("get", profile="no such/name"),
        protocol.request("get", profile="unknown"),
        protocol.request("add", profile="x", access_key_id="?", secret_access_key="?"),
        protocol.request("passwd", old="", new=""),
    ],
    ids=["impossible name", "unknown name", "impossible key", "empty passphrase"],
)
def test_that_it_is_locked_is_said_before_the_request_is_looked_at(locked: Daemon, request_: Frame) -> None:
    assert "locked" == locked.ask(protocol.encode(request_))["error"]["code"]


def test_a_lock_holds_from_its_answer_on(daemon: Daemon) -> None:
    """Not from when the new image is up: what comes in between is refused as well."""
    with daemon.connect() as sock, sock.makefile("rb") as replies:
        sock.sendall(protocol.encode(protocol.request("lock")) + frame("get") + frame("list"))
        assert {"ok": True, "locking": True, "notes": []} == protocol.decode(replies.readline())
        rest = replies.read()  # to the end: the process replaces itself
    assert b"Version" not in rest
    assert b"dev" not in rest


def test_a_daemon_that_was_never_unlocked_serves_nothing(daemons: DaemonFactory, daemon: Daemon) -> None:
    daemon.stop()
    fresh = daemons()
    (fresh.home / "vault").write_bytes((daemon.home / "vault").read_bytes())
    (fresh.home / "vault").chmod(0o600)
    fresh.start()
    for op in GATED:
        assert "locked" == fresh.ask(frame(op))["error"]["code"], op


def test_without_a_vault_there_is_nothing_to_serve(bare_daemon: Daemon) -> None:
    for op in GATED:
        reply = bare_daemon.ask(frame(op))
        assert (3, "no-vault") == (reply["error"]["exit"], reply["error"]["code"]), op


# --- what may be asked of it tells nothing of what is inside


def test_status_of_a_locked_vault_tells_no_more_than_that(locked: Daemon) -> None:
    reply = locked.status()
    assert "locked" == reply["state"]
    for fact in ("profiles", "generation", "locks_in_s", "locks_at_latest_in_s"):
        assert reply[fact] is None, fact
    assert canary.access_key_id("dev") not in json.dumps(reply)


def test_what_is_due_in_a_locked_vault_is_told_by_name_and_date_alone(locked: Daemon) -> None:
    """Its agenda says so (THREATS.md): nothing of a key, an account or a user."""
    agenda = (locked.home / "agenda.json").read_text("ascii")
    assert re.fullmatch(r'\{"agenda":1,"entries":\[\["dev","rotate",\d+,\d+,null\]\]\}', agenda)
    assert 0o600 == (locked.home / "agenda.json").stat().st_mode & 0o777
    assert {"ok": True, "items": []} == locked.call("due")


def test_init_does_not_replace_a_locked_vault(locked: Daemon) -> None:
    before = (locked.home / "vault").read_bytes()
    reply = locked.ask(protocol.encode(protocol.request("init", passphrase=canary.NEW_PASSPHRASE)))
    assert "conflict" == reply["error"]["code"]
    assert before == (locked.home / "vault").read_bytes()
    assert "locked" == locked.state()


def test_a_lock_of_a_locked_vault_leaves_it_locked(locked: Daemon) -> None:
    assert "locked" == locked.lock_and_wait()["state"]


@pytest.mark.parametrize(
    ("op", "fields"),
    [
        ("unlock", {"passphrase": canary.NEW_PASSPHRASE}),
        (
            "recover",
            {
                "code": recovery_code.spell(bytes(recovery_code.SIZE)).reveal(),
                "passphrase": canary.NEW_PASSPHRASE,
            },
        ),
    ],
    ids=["unlock", "recover"],
)
def test_a_wrong_guess_opens_nothing(daemon: Daemon, op: str, fields: dict[str, str]) -> None:
    before = daemon.lock_and_wait()["instance"]
    reply = daemon.ask(protocol.encode(protocol.request(op, **fields)))
    assert "wrong-passphrase" == reply["error"]["code"]
    assert "locked" == daemon.await_new_image(before)["state"]
    assert "locked" == daemon.ask(frame("get"))["error"]["code"]


# --- an unlock under way when the lock comes

UNLOCK = protocol.encode(protocol.request("unlock", passphrase=canary.PASSPHRASE))
SLOW = """
import time
from vaultd.core import vault
quick = vault.unlock
def slow(*arguments):
    opened = quick(*arguments)
    time.sleep(0.3)
    return opened
vault.unlock = slow
"""


def test_a_lock_wins_over_an_unlock_that_waits(daemons: DaemonFactory) -> None:
    """After a wrong guess the next one waits. Else its person is told that the vault is open, or it is."""
    daemon = daemons(preamble=WAIT_WHEN_ASKED).start()
    daemon.init()
    before = daemon.lock_and_wait()["instance"]
    with pytest.raises(WrongPassphrase):
        daemon.unlock(canary.NEW_PASSPHRASE)
    daemon.await_new_image(before)
    with daemon.connect() as sock, sock.makefile("rb") as replies:
        sock.sendall(UNLOCK)
        assert "progress" in protocol.decode(replies.readline())
        daemon.lock_and_wait()
        assert "locked" == protocol.decode(replies.readline())["error"]["code"]
    assert "locked" == daemon.state()


def test_a_lock_wins_over_an_unlock_that_derives(daemons: DaemonFactory) -> None:
    daemon = daemons(preamble=SLOW).start()
    daemon.init()
    before = daemon.lock_and_wait()["instance"]
    with daemon.connect() as sock, sock.makefile("rb") as replies:
        sock.sendall(UNLOCK)
        until(lambda: threads_of(daemon) > 1, "the derivation has begun")
        daemon.call("lock")
        assert "locked" == protocol.decode(replies.readline())["error"]["code"]
    assert "locked" == daemon.await_new_image(before)["state"]


def threads_of(daemon: Daemon) -> int:
    return len(os.listdir(f"/proc/{daemon.pid}/task"))
