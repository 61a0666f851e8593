# SPDX-License-Identifier: Apache-2.0
"""Keys come in, are shown, changed and removed; ~/.aws/config follows."""

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests import canary
from tests.daemons import AWSVAULT, Daemon
from tests.fake_aws import AccessKey, FakeAws
from tests.scenarios.person import at_terminal, transcript

ARN = "arn:aws:iam::123456789012:user/alice"


@pytest.fixture(scope="module")
def shared() -> Iterator[FakeAws]:
    with FakeAws() as server:
        yield server


@pytest.fixture
def aws(shared: FakeAws) -> FakeAws:
    shared.start_over()
    return shared


@pytest.fixture
def key(aws: FakeAws) -> AccessKey:
    return key_of(aws, "alice")


def key_of(aws: FakeAws, name: str) -> AccessKey:
    user = aws.add_root() if name == "root" else aws.add_user(name)
    return aws.add_key(user, access_key_id=canary.access_key_id(name), secret=canary.secret(name))


@pytest.fixture(scope="module")
def running(shared: FakeAws) -> Iterator[Daemon]:
    with contextlib.closing(Daemon(config=f'[aws]\nendpoint_url = "{shared.url}"\n')) as made:
        made.start().init()
        yield made


@pytest.fixture
def vault(running: Daemon) -> Iterator[Daemon]:
    """Unlocked and empty; its AWS is the stand-in."""
    yield running
    running.start_over()


@pytest.fixture
def daemon(vault: Daemon) -> Daemon:
    """Unlocked, with the key profile `dev`."""
    vault.add("dev")
    return vault


def lines_of(key: AccessKey) -> bytes:
    return f"{key.access_key_id}\n{key.secret}\n".encode()


def config_of(daemon: Daemon) -> Path:
    return daemon.home.parent / "u/.aws/config"


def hook_line(daemon: Daemon, name: str = "dev") -> str:
    return f"credential_process = {AWSVAULT} --home {daemon.home} get {name}\n"


def csv_of(daemon: Daemon, *keys: AccessKey) -> Path:
    path = daemon.home.parent / "u/alice_accessKeys.csv"
    rows = "".join(f"{key.access_key_id},{key.secret}\r\n" for key in keys)
    path.write_bytes(f"\ufeffAccess key ID,Secret access key\r\n{rows}".encode())
    return path


def test_add_by_hand(vault: Daemon, key: AccessKey) -> None:
    with at_terminal(vault, "add", "dev", "--region", "eu-central-1") as terminal:
        terminal.answer("Access key ID: ", key.access_key_id)
        terminal.answer("Secret access key: ", key.secret)
        assert 0 == terminal.end()
    end = key.access_key_id[-4:]
    assert transcript(terminal, vault) == (
        f"Access key ID: {key.access_key_id}\n"
        "Secret access key: \n"
        "asking AWS whose key this is ...\n"
        "sessions are served: the key itself never leaves the daemon\n"
        f"dev is added: key ...{end} ({ARN}), serves session.\n"
        "~/.aws/config asks for it. Try: aws sts get-caller-identity --profile dev\n"
    )
    assert f"[profile dev]\n{hook_line(vault)}region = eu-central-1\n" == config_of(vault).read_text()
    assert b'"SessionToken":' in vault.get("dev").stdout


def test_add_from_a_pipe_says_nothing_on_stdout(vault: Daemon, key: AccessKey) -> None:
    done = vault.awsvault("add", "dev", "--stdin", "--no-config", stdin=lines_of(key))
    assert (0, b"") == (done.returncode, done.stdout)
    assert not config_of(vault).exists()


def test_add_from_what_create_access_key_prints(vault: Daemon, key: AccessKey) -> None:
    text = json.dumps({"AccessKey": {"AccessKeyId": key.access_key_id, "SecretAccessKey": key.secret}})
    assert 0 == vault.awsvault("add", "dev", "--stdin", "--no-config", stdin=text.encode()).returncode
    assert ARN == vault.call("show", profile="dev")["profile"]["arn"]


def test_add_from_the_consoles_file_and_delete_it(vault: Daemon, key: AccessKey) -> None:
    path = csv_of(vault, key)
    with at_terminal(vault, "add", "dev", "--csv", str(path)) as terminal:
        terminal.answer("still holds the secret in plain text. Delete it? [Y/n] ", "")
        assert 0 == terminal.end()
    assert terminal.screen.endswith(f"{path} is deleted.\n")
    assert not path.exists()


def test_a_program_deletes_the_file_by_a_flag_only(vault: Daemon, key: AccessKey) -> None:
    path = csv_of(vault, key)
    done = vault.awsvault("add", "dev", "--csv", str(path), "--no-config")
    assert f"{path} still holds the secret in plain text: delete it.\n".encode() in done.stderr
    content = path.read_bytes()
    path.unlink()  # before the home is searched for secrets
    path.write_bytes(content)
    assert 0 == vault.awsvault("add", "two", "--csv", str(path), "--no-config", "--delete-csv").returncode
    assert not path.exists()


def test_a_failed_add_keeps_the_file_and_changes_nothing(vault: Daemon, key: AccessKey) -> None:
    path = csv_of(vault, key)
    path.write_bytes(path.read_bytes().replace(key.secret.encode(), b"x" * 40))
    done = vault.awsvault("add", "dev", "--csv", str(path), "--delete-csv")
    assert 7 == done.returncode
    assert path.exists()
    assert not config_of(vault).exists()
    assert [] == vault.call("names")["names"]


def test_one_of_several_keys_is_chosen(vault: Daemon, aws: FakeAws, key: AccessKey) -> None:
    bob = key_of(aws, "bob")
    path = csv_of(vault, key, bob)
    done = vault.awsvault("add", "dev", "--csv", str(path))
    assert 2 == done.returncode
    assert f"row 1 ...{key.access_key_id[-4:]}, row 2 ...{bob.access_key_id[-4:]}".encode() in done.stderr
    flags = ("--csv-row", "2", "--delete-csv", "--no-config")
    assert 0 == vault.awsvault("add", "dev", "--csv", str(path), *flags).returncode
    assert bob.access_key_id == vault.call("show", profile="dev")["profile"]["access_key_id"]


def test_a_locked_vault_is_unlocked_in_the_same_flow(vault: Daemon, key: AccessKey) -> None:
    vault.lock_and_wait()
    with at_terminal(vault, "add", "dev", "--stdin", stdin=lines_of(key)) as terminal:
        terminal.answer("Passphrase: ", canary.PASSPHRASE)
        assert 0 == terminal.end()
    assert "dev is added" in terminal.screen
    vault.lock_and_wait()
    done = vault.awsvault("add", "two", "--stdin", stdin=lines_of(key))
    assert (3, b"awsvault: vault is locked; run: awsvault unlock\n") == (done.returncode, done.stderr)


def test_evidence_for_both_is_shown_and_a_person_decides(vault: Daemon, aws: FakeAws, key: AccessKey) -> None:
    aws.set_last_use(key, "iam", "us-east-1", datetime(2026, 1, 2, tzinfo=UTC))
    done = vault.awsvault("add", "dev", "--stdin", stdin=lines_of(key))
    assert 2 == done.returncode
    assert b"choose with --serve session or --serve key" in done.stderr
    with at_terminal(vault, "add", "dev", "--stdin", stdin=lines_of(key)) as terminal:
        terminal.expect("this key last called iam, which a session without MFA cannot")
        terminal.answer("session or key? [key] ", "both")
        terminal.answer("session or key? [key] ", "")
        assert 0 == terminal.end()
    assert "serves key." in terminal.screen
    assert b"SessionToken" not in vault.get("dev").stdout


def test_a_root_key_needs_a_flag(vault: Daemon, aws: FakeAws) -> None:
    root = key_of(aws, "root")
    done = vault.awsvault("add", "root", "--stdin", "--no-config", stdin=lines_of(root))
    assert 6 == done.returncode
    assert b"or add it with --allow-root" in done.stderr
    flags = ("--stdin", "--no-config", "--allow-root")
    assert 0 == vault.awsvault("add", "root", *flags, stdin=lines_of(root)).returncode


def test_what_is_no_key_is_refused_without_quoting_it(daemon: Daemon) -> None:
    secret = canary.secret("x")
    for access_key_id, secret_access_key in (
        ("ASIAIOSFODNN7EXAMPLE", secret),
        (canary.access_key_id("x"), "short"),
        (canary.access_key_id("x"), f"{secret[:20]} {secret[20:]}"),
        (canary.access_key_id("x"), f"{secret}\u00e9"),
        ("AKIA", secret),
        (secret, canary.access_key_id("x")),
    ):
        stdin = f"{access_key_id}\n{secret_access_key}\n".encode()
        done = daemon.awsvault("add", "x", "--stdin", "--no-config", "--no-verify", stdin=stdin)
        assert (2, 1) == (done.returncode, done.stderr.count(b"\n"))
    assert ["dev"] == daemon.call("names")["names"]


def test_white_space_round_a_key_is_cut_with_a_note(daemon: Daemon) -> None:
    stdin = f" {canary.access_key_id('x')} \r\n\t{canary.secret('x')}  \r\n".encode()
    done = daemon.awsvault("add", "x", "--stdin", "--no-config", "--no-verify", stdin=stdin)
    assert 0 == done.returncode
    assert 3 == done.stderr.count(b"\n")


def test_a_name_that_some_sdk_misreads_is_refused(daemon: Daemon) -> None:
    stdin = f"{canary.access_key_id('x')}\n{canary.secret('x')}\n".encode()
    for name in ("a b", "a\nb", "a]", "..", "../x", "\x1b[2J", "a.b", "1a", "caf\u00e9", "-x", "x" * 65):
        done = daemon.awsvault("add", "--stdin", "--no-verify", "--no-config", "--", name, stdin=stdin)
        assert (2, 1) == (done.returncode, done.stderr.count(b"\n"))
        assert b"\x1b" not in done.stderr
    assert ["dev"] == daemon.call("names")["names"]


def test_a_taken_name_is_refused_before_anybody_types_a_secret(daemon: Daemon) -> None:
    with at_terminal(daemon, "add", "dev", "--no-config") as terminal:
        assert 1 == terminal.end()
    assert (
        terminal.screen
        == "awsvault: there is a profile dev already; to exchange its key: awsvault add dev --replace\n"
    )
    stdin = f"{canary.access_key_id('new')}\n{canary.secret('new')}\n".encode()
    flags = ("--stdin", "--no-config", "--no-verify", "--replace")
    assert 0 == daemon.awsvault("add", "dev", *flags, stdin=stdin).returncode
    assert canary.access_key_id("new") == daemon.call("show", profile="dev")["profile"]["access_key_id"]


def test_another_source_in_the_profile_stops_add_before_it_begins(daemon: Daemon) -> None:
    config_of(daemon).parent.mkdir()
    config_of(daemon).write_text("[profile x]\nsso_session = y\n")
    done = daemon.awsvault("add", "x", "--stdin", stdin=b"")
    line = f"awsvault: {config_of(daemon)} line 2: sso_session would be used instead of the hook; remove that line, or use --no-config\n"
    assert (2, line.encode()) == (done.returncode, done.stderr)


# --- list, show, edit, remove


def test_list_for_people_and_for_programs(daemon: Daemon) -> None:
    end = canary.access_key_id("dev")[-4:]
    done = daemon.awsvault("list")
    heading, row = done.stdout.decode().splitlines()
    found = json.loads(daemon.awsvault("list", "--json").stdout)
    by = found[0]["rotate_by"][:10]
    assert "PROFILE  SERVES  KEY      ACCOUNT  AGE (DAYS)     USED   ROTATE BY   STATUS" == heading
    assert f"dev      key     ...{end}  -        ........ 0/90  never  {by}  unverified" == row
    keys = "profile kind serve account arn access_key_id created_at age_days rotate_by last_used_at status rotation"
    assert set(keys.split()) | {"used_in_aws_at", "snoozed_until"} <= found[0].keys()
    with at_terminal(daemon, "list") as terminal:
        assert 0 == terminal.end()
    assert "\u2591 0/90" in terminal.screen
    assert b"\x1b[" in terminal.raw
    assert "ACCOUNT" in terminal.screen
    with at_terminal(daemon, "list", columns=80) as narrow:
        assert 0 == narrow.end()
    assert "ACCOUNT" not in narrow.screen
    assert by in narrow.screen
    with at_terminal(daemon, "--no-color", "list") as plain:
        assert 0 == plain.end()
    assert b"\x1b[3" not in plain.raw


def test_an_empty_list_says_what_comes_next(vault: Daemon) -> None:
    done = vault.awsvault("list")
    assert (0, b"", b"No profile yet. Next: awsvault add PROFILE\n") == (
        done.returncode,
        done.stdout,
        done.stderr,
    )
    assert [] == json.loads(vault.awsvault("list", "--json").stdout)


def test_show(daemon: Daemon) -> None:
    shown = daemon.awsvault("show", "dev").stdout.decode()
    assert f"key        {canary.access_key_id('dev')}\n" in shown
    assert "dev" == json.loads(daemon.awsvault("show", "dev", "--json").stdout)["profile"]
    done = daemon.awsvault("show", "nope")
    assert (4, b'awsvault: no profile "nope"; run: awsvault list\n') == (done.returncode, done.stderr)


def test_edit_changes_the_vault_and_its_own_region_line(daemon: Daemon) -> None:
    stdin = f"{canary.access_key_id('x')}\n{canary.secret('x')}\n".encode()
    daemon.awsvault("add", "x", "--stdin", "--no-verify", "--region", "eu-west-1", stdin=stdin)
    done = daemon.awsvault("edit", "x", "--region", "us-east-2", "--serve", "key")
    assert (0, b"x is changed: serve key, region us-east-2\n") == (done.returncode, done.stderr)
    assert f"[profile x]\n{hook_line(daemon, 'x')}region = us-east-2\n" == config_of(daemon).read_text()
    assert 0 == daemon.awsvault("edit", "x", "--region", "").returncode
    assert f"[profile x]\n{hook_line(daemon, 'x')}" == config_of(daemon).read_text()
    assert daemon.call("show", profile="x")["profile"]["region"] is None
    assert 2 == daemon.awsvault("edit", "x", "--serve", "both").returncode


def test_remove_asks_for_the_name_and_takes_the_hook_out(daemon: Daemon) -> None:
    config_of(daemon).parent.mkdir()
    before = "[default]\nregion = x\n"
    config_of(daemon).write_text(before)
    stdin = f"{canary.access_key_id('x')}\n{canary.secret('x')}\n".encode()
    daemon.awsvault("add", "x", "--stdin", "--no-verify", "--region", "eu-west-1", stdin=stdin)
    with at_terminal(daemon, "remove", "x") as terminal:
        terminal.answer("Type x to remove it: ", "y")
        assert 2 == terminal.end()
    assert terminal.screen.endswith("awsvault: not confirmed; nothing was changed\n")
    with at_terminal(daemon, "remove", "x") as terminal:
        terminal.answer("Type x to remove it: ", "x")
        assert 0 == terminal.end()
    end = canary.access_key_id("x")[-4:]
    assert transcript(terminal, daemon) == (
        f"The vault forgets the secret of x: key ...{end}.\n"
        "Type x to remove it: x\n"
        "The hook is out of ~/.aws/config.\n"
        f"x is removed. Its key ...{end} still lives in AWS: delete it there when nothing needs it.\n"
    )
    assert before == config_of(daemon).read_text()
    assert ["dev"] == daemon.call("names")["names"]


def test_a_program_removes_by_a_flag_only(daemon: Daemon) -> None:
    done = daemon.awsvault("remove", "dev")
    assert (2, b"awsvault: no terminal to confirm on; use --yes\n") == (done.returncode, done.stderr)
    assert 0 == daemon.awsvault("remove", "dev", "--yes").returncode
    assert [] == daemon.call("names")["names"]


def test_a_config_that_cannot_be_edited_stops_remove_before_the_key_is_gone(daemon: Daemon) -> None:
    config_of(daemon).parent.mkdir()
    config_of(daemon).write_text("broken\n")
    assert 2 == daemon.awsvault("remove", "dev", "--yes").returncode
    assert ["dev"] == daemon.call("names")["names"]
    assert 0 == daemon.awsvault("remove", "dev", "--yes", "--no-config").returncode


def test_completion_adds_what_an_open_vault_knows(daemon: Daemon) -> None:
    words = {"_AWSVAULT_COMPLETE": "complete_bash", "COMP_WORDS": "awsvault get ", "COMP_CWORD": "2"}
    before = daemon.status()["locks_in_s"]
    done = daemon.awsvault(extra=words)
    assert (b"dev\n", b"") == (done.stdout, done.stderr)
    assert daemon.status()["locks_in_s"] <= before
