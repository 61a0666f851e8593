# SPDX-License-Identifier: Apache-2.0
"""A person takes keys out of use: is asked, is told what was done, what lives on, and what to do when it was wrong."""

import json
import re
from collections.abc import Iterator

import pytest

from tests import canary
from tests.fake_aws import AccessKey
from tests.scenarios.person import at_terminal, transcript
from tests.scenarios.vault_at_aws import Stage, open_stage
from vaultd.core.userpolicy import DENIAL

ADMIN = "arn:aws:iam::123456789012:role/admin"


@pytest.fixture(scope="module")
def opened() -> Iterator[Stage]:
    with open_stage() as stage:
        yield stage


@pytest.fixture
def stage(opened: Stage) -> Stage:
    if opened.daemon.state() != "unlocked":
        opened.daemon.unlock()
    opened.start_over()
    return opened


def tail(key: AccessKey) -> str:
    return f"...{key.access_key_id[-4:]}"


def test_revoke_asks_for_the_name_and_says_how_to_undo_it(stage: Stage) -> None:
    key = stage.key
    with at_terminal(stage.daemon, "revoke", "dev", "--sessions") as terminal:
        terminal.answer("Type dev to revoke it: ", "dev")
        assert 0 == terminal.end()
    told = re.sub(r"before \S+Z are", "before ... are", transcript(terminal, stage.daemon))
    assert told == (
        f"The key {tail(key)} of arn:aws:iam::123456789012:user/alice is set inactive in AWS.\n"
        "All sessions that the user has by now, and for another 15 minutes, are denied everything.\n"
        "Type dev to revoke it: dev\n"
        "revoking the key of dev ...\n"
        f"dev: the key {tail(key)} is inactive.\n"
        "dev: older sessions of alice are denied everything (inline policy awsvault-deny-older-sessions).\n"
        "sessions that any key of the user makes before ... are denied everything, too\n"
        "An inactive key cannot activate itself. If that was wrong: activate it in the IAM console, then run: "
        "awsvault revoke dev --undo\n"
    )
    assert ("Inactive", True) == (key.status, DENIAL in stage.alice.policies)
    status, line = stage.refused("get", "dev")
    ways_out = "; run: awsvault add dev --replace, or awsvault revoke dev --undo"
    assert (6, True) == (status, line.endswith(ways_out))
    assert "revoked" == json.loads(stage.run("list", "--json").stdout)[0]["status"]
    assert re.search(
        r"^revocation asked_at=.* wanted=inactive", stage.run("show", "dev").stdout, re.MULTILINE
    )
    assert "activate it in the IAM console" in stage.refused("revoke", "dev", "--undo")[1]
    key.status = "Active"
    note, line = stage.run("revoke", "dev", "--undo").stderr.splitlines()
    assert note.endswith("Z are denied everything, too")
    assert f"dev is served again with the key {tail(key)}." == line
    assert 0 == stage.run("get", "dev").returncode


def test_without_the_name_nothing_is_revoked(stage: Stage) -> None:
    with at_terminal(stage.daemon, "revoke", "dev", "--delete") as terminal:
        terminal.expect("is deleted in AWS.")
        terminal.answer("Type dev to revoke it: ", "prod")
        assert 2 == terminal.end()
    assert "Active" == stage.key.status
    assert (2, "no terminal to confirm on; use --yes") == stage.refused("revoke", "dev")
    assert (2, "--undo goes with --via only") == stage.refused("revoke", "dev", "--undo", "--delete")


def test_a_role_is_named_its_source(stage: Stage) -> None:
    stage.aws.add_role("admin", stage.alice)
    stage.run("add-role", "admin", "--source", "dev", "--role-arn", ADMIN, "--no-config")
    status, line = stage.refused("revoke", "admin", "--yes")
    assert (2, '"admin" is a role and has no key of its own; use its source: dev') == (status, line)


def test_what_lives_on_is_said_and_what_ends_it(stage: Stage) -> None:
    stage.aws.add_role("admin", stage.alice)
    stage.run("add-role", "admin", "--source", "dev", "--role-arn", ADMIN, "--no-config")
    done = stage.run("revoke", "dev", "--yes", "--sessions")
    assert 0 == done.returncode
    lives = (
        rf'  admin: {ADMIN}, until \S+Z; to end it: the role\'s "Revoke active sessions" in the IAM console'
    )
    assert re.fullmatch(lives, done.stdout.splitlines()[-1])


def test_what_a_key_may_not_do_is_named_and_another_profile_does_it(stage: Stage) -> None:
    stage.aws.quarantine(stage.alice)
    stage.add_key("ops")
    done = stage.run("revoke", "dev", "--yes")
    assert 7 == done.returncode
    fact = f"AWS has quarantined the user, which denies iam:UpdateAccessKey to the key {tail(stage.key)}"
    assert f"dev: the key {tail(stage.key)} is NOT revoked.\ndev: NOT done: {fact}.\n" == done.stdout
    assert done.stderr == (
        f'awsvault: "dev" is not revoked in all that was asked: {fact}; run: awsvault revoke dev --via PROFILE\n'
    )
    due = stage.run("due")
    assert (9, True) == (due.returncode, "run: awsvault revoke dev --via PROFILE" in due.stdout)
    assert 0 == stage.run("revoke", "dev", "--via", "ops", "--yes").returncode
    assert ("Inactive", 0) == (stage.key.status, stage.run("due").returncode)
    found = json.loads(stage.run("revoke", "dev", "--via", "ops", "--yes", "--delete", "--json").stdout)
    assert [{"access_key_id": stage.key.access_key_id, "became": "deleted"}] == found["profiles"][0]["keys"]


def test_panic_revokes_everything_and_locks(stage: Stage) -> None:
    ops = stage.add_key("ops")
    with at_terminal(stage.daemon, "panic") as terminal:
        terminal.answer("Type panic to go on: ", "panic")
        assert 0 == terminal.end()
    assert transcript(terminal, stage.daemon) == (
        "Every key of this vault is set inactive in AWS, and what their users' sessions may do is denied. "
        "Programs that use them fail.\n"
        "Type panic to go on: panic\n"
        "revoking the keys of 2 profiles ...\n"
        f"dev: the key {tail(stage.key)} is inactive.\n"
        "dev: older sessions of alice are denied everything (inline policy awsvault-deny-older-sessions).\n"
        f"ops: the key {tail(ops)} is inactive.\n"
        "ops: older sessions of ops are denied everything (inline policy awsvault-deny-older-sessions).\n"
        "The vault is locked.\n"
    )
    assert "locked" == stage.daemon.state()
    assert {"Inactive"} == {key.status for key in stage.aws.world.keys.values()}
    assert 3 == stage.run("panic", "--yes").returncode, "nobody is there to unlock it"


def test_panic_unlocks_first_and_tells_what_it_could_not_do(stage: Stage) -> None:
    stage.aws.deny(stage.alice, "iam:PutUserPolicy")
    stage.daemon.lock_and_wait()
    with at_terminal(stage.daemon, "panic", "--yes") as terminal:
        terminal.answer("Passphrase: ", canary.PASSPHRASE)
        assert 7 == terminal.end()
    assert "dev: NOT done: the right iam:PutUserPolicy is missing" in terminal.screen
    assert terminal.screen.splitlines()[-2:] == [
        "The vault is locked.",
        "awsvault: 1 of 1 profiles are not revoked; run: awsvault unlock, then awsvault due",
    ]
    assert "Inactive" == stage.key.status


def test_panic_without_a_terminal_needs_yes(stage: Stage) -> None:
    assert (2, "no terminal to confirm on; use --yes") == stage.refused("panic")
    done = stage.run("panic", "--yes", "--json", "--no-sessions")
    assert 0 == done.returncode
    assert (0, None) == (
        json.loads(done.stdout)["failed"],
        json.loads(done.stdout)["profiles"][0]["sessions"],
    )
    assert {} == stage.alice.policies
