# SPDX-License-Identifier: Apache-2.0
"""`awsvault rotate` as people type it, and what the other commands say while a rotation is open."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.daemons import until
from tests.scenarios.diary import Diary, open_diary
from tests.scenarios.person import at_terminal

TRIES = "".join(f"trying the key NEW ({number} of 3) ...\n" for number in range(3))
BEGIN = f"asking AWS about the user's keys and rights ...\nmaking the new key ...\n{TRIES}"
SERVED = "key ...NEW is served now. The old key ...OLD stays active until TIME."


@pytest.fixture(scope="module")
def shared() -> Iterator[Diary]:
    with open_diary() as opened:
        yield opened


@pytest.fixture
def diary(shared: Diary) -> Diary:
    shared.begin("dev")
    return shared


def test_a_rotation_as_it_is_told_from_its_beginning_to_its_end(diary: Diary) -> None:
    assert (0, f"{BEGIN}dev: {SERVED}\n") == diary.typed("rotate", "dev")
    assert (0, f"dev: {SERVED}\n") == diary.typed("rotate", "dev"), "asked again it says how far it is"
    heading = "PROFILE  STATE  SINCE (UTC)  NEXT STEP (UTC)  OLD KEY  NEW KEY  HOST".split()
    status, table = diary.typed("rotate", "--status")
    first, row = table.splitlines()
    assert (0, " ".join(heading)) == (status, " ".join(first.split()))
    assert "dev grace DATE DATE ...OLD ...NEW".split() == row.split()[:-1]
    assert "rotation: grace" in diary.typed("list")[1]
    assert f"rotation   {SERVED}\n" in diary.typed("show", "dev")[1]
    assert (0, "Nothing is due.\n") == diary.typed("due")
    diary.pass_days(1.1)
    diary.until_state("dev", "soak")
    assert "rotation: soak" in diary.typed("list")[1]
    inactive = "key ...NEW is served now. The old key ...OLD is inactive, and is deleted at TIME."
    assert f"rotation   {inactive}\n" in diary.typed("show", "dev")[1]
    assert (0, f"dev: {inactive}\n") == diary.typed("rotate", "dev")
    diary.pass_days(7.1)
    diary.until_state("dev", None)
    assert (0, "No rotation is open.\n") == diary.typed("rotate", "--status")
    assert "rotation" not in diary.typed("show", "dev")[1]


def test_where_a_key_rotates_by_itself_is_shown(diary: Diary, monkeypatch: pytest.MonkeyPatch) -> None:
    """DHCP may give a machine another name, and then nothing would rotate any more."""
    assert 0 == diary.stage.run("edit", "dev", "--auto-rotate").returncode
    assert "by itself  yes\n" in diary.stage.run("show", "dev").stdout
    found = diary.show("dev") | {"auto_rotate_elsewhere": "laptop"}
    monkeypatch.setattr("vaultd.wire.client.call", lambda *_, **__: {"profile": found})
    line = "by itself  not here: on laptop; to have it here: awsvault edit dev --auto-rotate\n"
    assert line in diary.stage.run("show", "dev").stdout


def test_what_programs_read_of_an_open_rotation(diary: Diary) -> None:
    done = diary.stage.run("rotate", "dev", "--json")
    assert (0, diary.named(f"dev: {SERVED}\n")) == (done.returncode, diary.named(done.stderr))
    (reply,) = json.loads(done.stdout)
    (listed,) = json.loads(diary.stage.run("rotate", "--status", "--json").stdout)
    assert listed == {"profile": "dev", **reply["rotation"]}
    assert ("grace", None, False, diary.keys["dev"].access_key_id) == (
        *(listed[name] for name in ("state", "waits", "rolled_back", "old_key")),
    )
    assert [] == json.loads(diary.stage.run("rotate", "--status", "nobody", "--json").stdout)
    (profile,) = json.loads(diary.stage.run("list", "--json").stdout)
    assert reply["rotation"] == profile["rotation"]


def test_a_dry_run_shows_the_plan_and_ends_with_9_when_it_would_be_refused(diary: Diary) -> None:
    status, plan = diary.typed("rotate", "dev", "--dry-run", columns=400)
    assert 0 == status
    head, key, *rest = plan.splitlines()
    assert "dev: user dev of account 123456789012" == head
    assert key.startswith("  key DEV: active, made TIME, last used TIME by iam in us-east-1, in this vault")
    assert [
        "  rights unknown: iam:CreateAccessKey, iam:TagUser",
        "  1. make a new key, and save it",
        "  2. try it until it works everywhere",
        "  3. serve it in place of the old one",
        "  4. after 1 d: deactivate the old key DEV, unless something still uses it",
        "  5. after 7 d more: delete the old key",
    ] == rest[1:]
    diary.stage.aws.deny(diary.keys["dev"].user, "iam:DeleteAccessKey", "cloudtrail:LookupEvents")
    done = diary.stage.run("rotate", "dev", "--dry-run")
    assert (9, "") == (done.returncode, done.stderr)
    assert "  rights missing: cloudtrail:LookupEvents, iam:DeleteAccessKey\n" in done.stdout
    assert "  note: cloudtrail:LookupEvents is not allowed: " in done.stdout
    assert "  It would be refused: a rotation needs iam:DeleteAccessKey for dev" in done.stdout
    (found,) = json.loads(diary.stage.run("rotate", "dev", "--dry-run", "--json").stdout)
    assert ("aws-failed", 7) == (found["refusal"]["code"], found["refusal"]["exit"])
    assert (None, 1) == (diary.state("dev"), len(diary.stage.aws.world.keys))


def test_a_plan_beside_an_open_rotation_says_how_far_it_is_and_refuses_nothing(diary: Diary) -> None:
    diary.stage.run("rotate", "dev")
    status, plan = diary.typed("rotate", "dev", "--dry-run", columns=400)
    assert (0, f"  A rotation is open. dev: {SERVED}") == (status, plan.splitlines()[-1])
    assert 2 == plan.count("in this vault")


def test_without_a_grace_the_name_is_typed(diary: Diary) -> None:
    told = "The old key is deleted as soon as the new one works. What still uses it fails.\nType dev to rotate without a grace: "
    with at_terminal(diary.stage.daemon, "rotate", "dev", "--now") as terminal:
        terminal.answer("grace: ", "dve")
        assert 2 == terminal.end()
    assert f"{told}dve\nawsvault: not confirmed; nothing was changed\n" == terminal.screen
    assert (None, 1) == (diary.state("dev"), len(diary.stage.aws.world.keys))
    with at_terminal(diary.stage.daemon, "rotate", "dev", "--now") as terminal:
        terminal.answer("grace: ", "dev")
        terminal.answer("End the sessions that were made with it, too? [Y/n] ", "")
        assert 0 == terminal.end()
    (last,) = diary.stage.aws.world.keys
    _, after = terminal.screen.split("[Y/n] \n")
    trying, deactivating, deleting, note, over = after.replace(last, "NEW").splitlines()[4:]
    assert "trying the key NEW (2 of 3) ..." == trying
    old = diary.keys["dev"].access_key_id
    assert (f"deactivating the old key {old} ...", f"deleting the old key {old} ...") == (
        deactivating,
        deleting,
    )
    assert "dev: sessions that the user's keys made before this moment are denied everything" in note
    assert f"dev: the rotation is over. Key ...{last[-4:]} is served." == over
    assert {"awsvault-deny-older-sessions"} == diary.keys["dev"].user.policies.keys()


def test_without_a_terminal_nothing_is_asked_and_nothing_done(diary: Diary) -> None:
    other = diary.stage.aws.add_key(diary.keys["dev"].user).access_key_id
    for words in (("--now",), ("--now", "--sessions"), ("--replace", other)):
        assert (2, "no terminal to confirm on; use --yes") == diary.stage.refused("rotate", "dev", *words)
    assert (2, "older sessions are ended only for a key that leaked: add --now") == diary.stage.refused(
        "rotate", "dev", "--sessions"
    )
    for whose in ((), ("dev", "--all"), ("--all", "--due")):
        assert (2, "say whose keys; name profiles, or use --all or --due") == diary.stage.refused(
            "rotate", *whose
        )
    assert (None, 2) == (diary.state("dev"), len(diary.stage.aws.world.keys))
    assert 0 == diary.stage.run("rotate", "dev", "--replace", other, "--yes").returncode
    assert other not in diary.stage.aws.world.keys


def test_a_second_key_is_shown_and_its_deletion_confirmed(diary: Diary) -> None:
    other = diary.stage.aws.add_key(diary.keys["dev"].user).access_key_id
    status, line = diary.stage.refused("rotate", "dev")
    assert (6, True) == (status, line.endswith(f"to delete it: awsvault rotate dev --replace {other}"))
    with at_terminal(diary.stage.daemon, "rotate", "dev", "--replace", other, columns=400) as terminal:
        terminal.answer(f"Type dev to delete the key {other}: ", "dev")
        assert 0 == terminal.end()
    assert f"  key {other}: active, made " in terminal.screen
    assert f"  1. delete the key {other}\n  2. make a new key" in terminal.screen
    assert other not in diary.stage.aws.world.keys
    status, screen = diary.typed("rotate", "dev", "--replace", "AKIAUNKNOWN000000000")
    assert (2, False) == (status, "Type dev" in screen), "what would be refused is not asked for"


def test_who_interrupts_leaves_the_rest_to_the_daemon(diary: Diary) -> None:
    diary.begin("dev", "prod")
    diary.stage.aws.pace.new_key = timedelta(hours=1)  # by when this test lets it work
    with at_terminal(diary.stage.daemon, "rotate", "dev", "prod") as terminal:
        terminal.expect("trying the key ")
        terminal.press(b"\x03")
        assert 130 == terminal.end()
    said = "vaultd goes on with dev; how far it is: awsvault rotate --status. Not begun: prod."
    assert said == terminal.screen.splitlines()[-1]
    assert ("created", None) == (diary.state("dev"), diary.state("prod"))
    for key in diary.stage.aws.world.keys.values():
        key.works_at = None
    diary.until_state("dev", "grace")
    assert None is diary.state("prod")


def test_a_rollback_serves_the_old_key_again(diary: Diary) -> None:
    old = diary.keys["dev"].access_key_id
    diary.stage.run("rotate", "dev")
    status, screen = diary.typed("rotate", "dev", "--rollback")
    assert 0 == status
    assert "dev: key ...NEW is served again. The new key ...OLD stays active until TIME.\n" in screen
    assert old == diary.show("dev")["access_key_id"]
    assert " grace (rolled back) " in diary.typed("rotate", "--status")[1]
    done = diary.stage.run("rotate", "dev", "--rollback", "--now", "--yes")
    assert (2, "awsvault: a rollback goes with nothing else\n") == (done.returncode, done.stderr)


def test_one_that_fails_does_not_stop_the_others(diary: Diary) -> None:
    diary.begin("alpha", "beta", "gamma")
    diary.stage.aws.deny(diary.keys["beta"].user, "iam:UpdateAccessKey")
    done = diary.stage.run("rotate", "--all", "--json")
    assert 7 == done.returncode
    first, second, third = json.loads(done.stdout)
    assert ("grace", "grace") == (first["rotation"]["state"], third["rotation"]["state"])
    assert ("beta", "aws-failed") == (second["profile"], second["error"]["code"])
    assert second["error"]["line"] in done.stderr
    assert re.findall(r"^(\w+): ", done.stderr, re.MULTILINE) == ["alpha", "beta", "gamma"]
    done = diary.stage.run("rotate", "gamma", "nobody", "beta")
    assert (4, "") == (done.returncode, done.stdout), "the first failure's"


def test_all_that_is_due_is_rotated_and_a_shared_key_once(diary: Diary) -> None:
    assert (0, "No key is due.\n") == diary.typed("rotate", "--due")
    diary.pass_days(80)
    key = diary.keys["dev"]
    diary.stage.daemon.add(
        "twin", access_key_id=key.access_key_id, secret_access_key=key.secret, serve="session"
    )
    diary.stage.daemon.call("snooze", profile="twin", for_s=0)
    assert "dev: the key is to be rotated by " in diary.stage.run("due").stdout
    done = diary.stage.run("rotate", "--due")
    assert (0, 1) == (done.returncode, done.stderr.count("is served now")), done.stderr
    assert diary.show("dev")["access_key_id"] == diary.show("twin")["access_key_id"] != key.access_key_id
    assert 0 == diary.stage.run("rotate", "--all").returncode, "by the name under which it is open"
    assert (0, "") == ((done := diary.stage.run("due")).returncode, done.stdout)


def test_who_waits_is_told_when_the_old_key_is_gone(diary: Diary) -> None:
    with at_terminal(diary.stage.daemon, "rotate", "dev", "--wait") as terminal:
        terminal.expect("stays active until ")
        diary.pass_days(1.1)
        terminal.expect(" is inactive, and is deleted at ")
        diary.pass_days(7.1)
        assert 0 == terminal.end()
    assert terminal.screen.splitlines()[-1].startswith("dev: the rotation is over. Key ...")
    assert 1 == len(diary.stage.aws.world.keys)


def test_who_waits_is_told_when_the_vault_is_locked_meanwhile(diary: Diary) -> None:
    try:
        with at_terminal(diary.stage.daemon, "rotate", "dev", "--wait") as terminal:
            terminal.expect("stays active until ")
            diary.stage.daemon.lock_and_wait()
            assert 3 == terminal.end()
        told = "awsvault: the vault was locked; the rotation of dev goes on when it is open; run: awsvault unlock"
        assert told == terminal.screen.splitlines()[-1]
    finally:
        diary.stage.daemon.unlock()


def test_what_a_rotation_waits_for_is_said_wherever_somebody_looks(diary: Diary) -> None:
    diary.stage.run("rotate", "dev")
    now = diary.stage.aws.clock.now()
    diary.stage.aws.set_last_use(diary.keys["dev"], "s3", "eu-west-3", now + timedelta(hours=20))
    diary.pass_days(1.1)
    until(lambda: diary.show("dev")["rotation"]["waits"], "it waits")
    waits = "the old key was used on DATE at TIME UTC by s3 in eu-west-3; to go on all the same: awsvault rotate dev --force"

    def said(*words: str) -> tuple[int, str]:
        status, screen = diary.typed(*words, columns=80)
        return status, re.sub(r"\d\d:\d\d UTC", "TIME UTC", screen)

    status, screen = said("rotate", "--status")
    assert (0, f"dev waits: {waits}") == (status, screen.splitlines()[-1])
    assert (9, f"dev: a rotation is open and does not go on since DATE: {waits}\n") == said("due")
    assert f"rotation   the rotation waits (grace): {waits}\n" in said("show", "dev")[1]
    assert "rotation waits (grace)" in said("list")[1]
    assert (0, f"dev: the rotation waits (grace): {waits}\n") == said("rotate", "dev")
    status, screen = said("rotate", "dev", "--wait")
    assert (7, f"awsvault: the rotation waits: {waits}\n") == (status, screen)
    status, screen = said("rotate", "dev", "--force")
    assert (0, True) == (status, "is inactive, and is deleted at TIME." in screen)


def test_a_daemon_that_ends_is_no_end_of_a_rotation(diary: Diary) -> None:
    diary.stage.run("rotate", "dev")
    diary.stage.daemon.stop()
    assert (5, "vault is locked (vaultd is not running); run: awsvault unlock") == diary.stage.refused(
        "rotate", "dev"
    )
    diary.pass_days(1.1)
    diary.stage.daemon.start()
    assert (3, "vault is locked; run: awsvault unlock") == diary.stage.refused("rotate", "--status")
    diary.stage.daemon.unlock()
    diary.until_state("dev", "soak")


def test_a_user_with_mfa_is_asked_for_one_code(diary: Diary) -> None:
    user = diary.keys["dev"].user
    device = diary.stage.aws.add_mfa(user)
    diary.stage.aws.require_mfa(user)
    assert 0 == diary.stage.run("edit", "dev", "--mfa-serial", device.serial).returncode
    status, line = diary.stage.refused("rotate", "dev")
    assert (7, True) == (status, line.endswith("; run: awsvault mfa dev")), line
    with at_terminal(diary.stage.daemon, "rotate", "dev") as terminal:
        terminal.answer("MFA code for dev: ", device.code(diary.stage.aws.clock.now()))
        assert 0 == terminal.end()
    assert f"dev: {SERVED}" == diary.screen(terminal).splitlines()[-1]
    diary.pass_days(1.1)
    until(lambda: diary.show("dev")["rotation"]["waits"], "it waits for the next code")
    assert "; run: awsvault mfa dev\n" in diary.typed("rotate", "--status")[1]
    assert 0 == diary.stage.run("mfa", "dev", device.code(diary.stage.aws.clock.now())).returncode
    diary.until_state("dev", "soak")
