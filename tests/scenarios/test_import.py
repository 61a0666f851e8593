# SPDX-License-Identifier: Apache-2.0
"""`import`: keys in plain text move into the vault, the files keep everything else, and every tool goes on working."""

import json
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests import canary
from tests.daemons import AWSVAULT
from tests.fake_aws import AccessKey, Fault, User
from tests.scenarios.person import at_terminal, transcript
from tests.scenarios.vault_at_aws import ACCOUNT, Stage, open_stage
from vaultd.wire import client
from vaultd.wire.protocol import Frame

#: A new key is tried for ten seconds.
HURRY = "from vaultd.edge import rotation_steps; rotation_steps.VERIFY_PAUSE_S = 0.01"


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    with open_stage(preamble=HURRY) as opened:
        yield opened


@pytest.fixture
def stage(shared: Stage) -> Iterator[Stage]:
    shared.start_over()
    yield shared
    for path in (credentials(shared), config(shared)):
        path.unlink(missing_ok=True)  # before the home is searched for secrets


def folder(stage: Stage) -> Path:
    path = stage.daemon.home.parent / "u/.aws"
    path.mkdir(exist_ok=True)
    return path


def credentials(stage: Stage) -> Path:
    return folder(stage) / "credentials"


def config(stage: Stage) -> Path:
    return folder(stage) / "config"


def user_key(stage: Stage, name: str) -> AccessKey:
    user = stage.aws.add_user(name)
    return stage.aws.add_key(user, access_key_id=canary.access_key_id(name), secret=canary.secret(name))


def user_of(stage: Stage, name: str) -> User:
    return next(user for user in stage.aws.world.users if user.name == name)


def lines(key: AccessKey) -> str:
    return f"aws_access_key_id = {key.access_key_id}\naws_secret_access_key = {key.secret}\n"


def hook(stage: Stage, name: str) -> str:
    return f"credential_process = {AWSVAULT} --home {stage.daemon.home} get {name}\n"


def names(stage: Stage) -> list[str]:
    return list(stage.daemon.call("names")["names"])


def test_all_move_and_the_rest_of_the_files_stays(stage: Stage) -> None:
    work, prod = user_key(stage, "work"), user_key(stage, "prod")
    credentials(stage).write_text(
        f"# mine\n[work]\n{lines(work)}\n[acme.prod]\n{lines(prod)}region = eu-west-1\n"
    )
    config(stage).write_text("[profile work]\noutput = json\n")
    done = stage.run("import", "--all", "--yes")
    assert 0 == done.returncode, done.stderr
    assert not canary.found_in(done.stdout + done.stderr)
    assert "# mine\n\n[acme.prod]\nregion = eu-west-1\n" == credentials(stage).read_text()
    assert (
        f"[profile work]\noutput = json\n{hook(stage, 'work')}\n[profile acme.prod]\n{hook(stage, 'acme-prod')}"
        == config(stage).read_text()
    )
    assert ["acme-prod", "dev", "work"] == names(stage)
    assert json.loads(stage.run("get", "acme-prod").stdout)["SessionToken"]
    again = stage.run("import", "--all", "--yes")
    assert (0, "") == (again.returncode, again.stdout)
    assert "There is no key in plain text in ~/.aws/credentials or ~/.aws/config." in again.stderr


def test_at_a_terminal(stage: Stage) -> None:
    work, prod = user_key(stage, "work"), user_key(stage, "prod")
    temporary = lines(user_key(stage, "tmp")) + "aws_session_token = t\n"
    credentials(stage).write_text(f"[work]\n{lines(work)}\n[prod]\n{lines(prod)}\n[tmp]\n{temporary}")
    with at_terminal(stage.daemon, "import", columns=200) as terminal:
        terminal.answer("Which ones? Names, or Return for all that can move: ", "work")
        terminal.answer("Move this key into the vault, and rewrite ~/.aws/credentials? [Y/n] ", "")
        terminal.answer("Rotate work now, so that those are worth nothing? [y/N] ", "")
        assert 0 == terminal.end()
    end = work.access_key_id[-4:]
    told = transcript(terminal, stage.daemon).split("rewrite ~/.aws/credentials? [Y/n] \n", 1)[1]
    assert told.startswith(
        "asking AWS whose key this is ...\n"
        f"work is in the vault: key ...{end} (arn:aws:iam::{ACCOUNT}:user/work), serves session.\n"
        "~/.aws/config is rewritten.\n"
        "~/.aws/credentials is rewritten.\n"
        "To take it back within a week: awsvault import --undo\n"
        "Older copies in plain text may exist elsewhere: in backups, shell histories, dotfile repositories.\n"
        "Rotate work now, so that those are worth nothing? [y/N] \n"
        "A new key makes them worthless: awsvault rotate work\n"
    )
    assert "stays: temporary: it ends by itself" in terminal.screen
    assert ["dev", "work"] == names(stage)
    assert f"[prod]\n{lines(prod)}\n[tmp]\n{temporary}" == credentials(stage).read_text().lstrip()


def test_on_a_narrow_terminal_nothing_is_cut_off(stage: Stage) -> None:
    credentials(stage).write_text(
        f"[work]\naws_access_key_id = {canary.secret('work')}\naws_secret_access_key = AKIAEXAMPLE000000000\n"
    )
    with at_terminal(stage.daemon, "import", "--dry-run", columns=80) as terminal:
        assert 0 == terminal.end()
    words = terminal.screen.split()
    assert {"PROFILE", "work", "belongs"} <= set(words), terminal.screen


def test_a_person_may_rotate_at_once(stage: Stage) -> None:
    work = user_key(stage, "work")
    credentials(stage).write_text(f"[work]\n{lines(work)}")
    with at_terminal(stage.daemon, "import", "work") as terminal:
        terminal.answer("Move this key into the vault", "y")
        terminal.answer("Rotate work now", "y")
        assert 0 == terminal.end()
    new = stage.daemon.call("show", profile="work")["profile"]["access_key_id"]
    assert work.access_key_id != new
    assert (6, True) == refused_undo(stage), "the old key is to end"


def refused_undo(stage: Stage) -> tuple[int, bool]:
    status, line = stage.refused("import", "--undo", "--yes")
    return status, "there is no import to take back" in line


def test_a_dry_run_changes_nothing_and_tells_everything(stage: Stage) -> None:
    work = user_key(stage, "work")
    text = f"[work]\n{lines(work)}[half]\naws_access_key_id = x\n"
    credentials(stage).write_text(text)
    done = stage.run("import", "--dry-run", "--json")
    assert 0 == done.returncode, done.stderr
    first, second = json.loads(done.stdout)
    assert ("ready", "session", ACCOUNT, work.access_key_id) == (
        first["status"], first["serve"], first["account"], first["access_key_id"],
    )  # fmt: skip
    assert [{"file": str(credentials(stage)), "line": 2}] == first["places"]
    assert ("refused", "only half a key: the secret is missing") == (second["status"], second["why_not"])
    assert text == credentials(stage).read_text()
    assert ["credentials"] == [path.name for path in folder(stage).iterdir()]
    assert ["dev"] == names(stage)
    table = stage.run("import", "--dry-run").stdout
    assert "PROFILE  WHERE                 KEY      ACCOUNT       AGE     BECOMES" == table.splitlines()[0]
    assert f"work     ~/.aws/credentials:2  ...{work.access_key_id[-4:]}" in table
    assert "0 days  work, serves session" in table


def test_an_id_that_was_left_alone_is_told_and_no_failure(stage: Stage) -> None:
    credentials(stage).write_text(
        f"[half]\naws_access_key_id = AKIAEXAMPLE000000000\n[work]\n{lines(user_key(stage, 'work'))}"
    )
    done = stage.run("import", "--all", "--yes")
    assert (0, True) == (
        done.returncode,
        "only half a key: the secret is missing" in done.stdout + done.stderr,
    )
    assert credentials(stage).read_text().startswith("[half]\naws_access_key_id = AKIAEXAMPLE000000000\n")


def test_without_a_terminal_it_takes_two_words(stage: Stage) -> None:
    credentials(stage).write_text(f"[work]\n{lines(user_key(stage, 'work'))}")
    for words in ([], ["--all"], ["work"]):
        status, line = stage.refused("import", *words)
        assert (2, True) == (
            status,
            line.startswith("no terminal to ask on; name profiles or use --all, and --yes"),
        )
    assert 4 == stage.run("import", "nope", "--yes").returncode


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--from", "x"], "--from takes the name of a tool"),
        (["--from", "granted"], "name the profiles of granted"),
        (["a", "--all"], "use one of --all or names"),
        (["--serve", "x"], "--serve takes session or key"),
    ],
)
def test_words_that_make_no_sense(stage: Stage, words: list[str], line: str) -> None:
    status, said = stage.refused("import", *words)
    assert (2, True) == (status, said.startswith(line))


def test_a_secret_in_the_place_of_the_id_is_not_shown(stage: Stage) -> None:
    key = user_key(stage, "work")
    text = f"aws_access_key_id = {key.secret}\naws_secret_access_key = {key.access_key_id}\n"
    credentials(stage).write_text(f"[work]\n{text}[half]\naws_access_key_id = {key.secret}\n")
    env = folder(stage) / "x.env"
    env.write_text(f"AWS_ACCESS_KEY_ID={key.secret}\nAWS_SECRET_ACCESS_KEY={key.access_key_id}\n")
    for words in (["--dry-run"], ["--dry-run", "--json"], ["--all", "--yes", "--no-verify"]):
        done = stage.run("import", *words, "--file", str(env))
        assert "the access key id stands where the secret" in done.stdout
        assert key.secret[-4:] not in done.stdout + done.stderr
    assert key.secret[-4:] not in stage.run("doctor").stdout
    env.unlink()


# --- what AWS says


def test_a_key_that_last_called_iam_is_a_persons_decision(stage: Stage) -> None:
    work = user_key(stage, "work")
    stage.aws.set_last_use(work, "iam", "us-east-1", datetime(2026, 1, 2, tzinfo=UTC))
    credentials(stage).write_text(f"[work]\n{lines(work)}")
    with at_terminal(stage.daemon, "import", "--all", columns=200) as terminal:
        terminal.expect("work, serves key: this key last called iam")
        terminal.answer("session or key? [key] ", "")
        terminal.answer("Move this key", "y")
        terminal.answer("Rotate work now", "n")
        assert 0 == terminal.end()
    assert "key" == stage.daemon.call("show", profile="work")["profile"]["serve"]


def test_without_a_person_what_works_today_goes_on_working(stage: Stage) -> None:
    work = user_key(stage, "work")
    stage.aws.set_last_use(work, "iam", "us-east-1", datetime(2026, 1, 2, tzinfo=UTC))
    credentials(stage).write_text(f"[work]\n{lines(work)}")
    assert 0 == stage.run("import", "--all", "--yes").returncode
    assert "key" == stage.daemon.call("show", profile="work")["profile"]["serve"]


def test_a_key_that_aws_does_not_know_is_kept_and_marked(stage: Stage) -> None:
    text = f"aws_access_key_id = {canary.access_key_id('dead')}\naws_secret_access_key = {canary.secret('dead')}\n"
    credentials(stage).write_text(f"[dead]\n{text}")
    done = stage.run("import", "--all", "--yes")
    assert 0 == done.returncode, done.stderr
    assert "dead, unverified: AWS does not take this key" in done.stdout
    assert "(unverified), serves key" in done.stderr
    assert "awsvault rotate" not in done.stderr
    shown = stage.daemon.call("show", profile="dead")["profile"]
    assert ("unverified", canary.access_key_id("dead")) == (shown["status"], shown["access_key_id"])
    assert "" == credentials(stage).read_text()


def test_an_aws_that_is_down_stops_it_unless_it_is_not_asked(stage: Stage) -> None:
    text = f"[work]\n{lines(user_key(stage, 'work'))}"
    credentials(stage).write_text(text)
    stage.aws.fault(Fault.unavailable(), times=20)
    status, line = stage.refused("import", "--all", "--yes")
    assert (7, True) == (status, "--no-verify" in line), line
    assert (text, ["dev"]) == (credentials(stage).read_text(), names(stage))
    done = stage.run("import", "--all", "--yes", "--no-verify")
    assert 0 == done.returncode, done.stderr
    shown = stage.daemon.call("show", profile="work")["profile"]
    assert ("unverified", "key") == (shown["status"], shown["serve"])


def test_a_root_key_needs_a_flag(stage: Stage) -> None:
    root = stage.aws.add_key(
        stage.aws.add_root(), access_key_id=canary.access_key_id("root"), secret=canary.secret("root")
    )
    credentials(stage).write_text(f"[root]\n{lines(root)}")
    done = stage.run("import", "--all", "--yes")
    assert (6, True) == (done.returncode, "--allow-root takes it" in done.stdout)
    assert 0 == stage.run("import", "--all", "--yes", "--allow-root").returncode


# --- what the vault says


def test_a_key_that_the_vault_has_already_is_only_taken_out(stage: Stage) -> None:
    credentials(stage).write_text(f"[dev]\n{lines(stage.key)}")
    done = stage.run("import", "--all", "--yes")
    assert 0 == done.returncode, done.stderr
    assert "dev, which the vault has already" in done.stdout
    assert ("", f"[profile dev]\n{hook(stage, 'dev')}") == (
        credentials(stage).read_text(),
        config(stage).read_text(),
    )


def test_a_name_that_another_key_has_is_refused_and_the_others_move(stage: Stage) -> None:
    other = user_key(stage, "other")
    text = f"[dev]\n{lines(user_key(stage, 'work'))}"
    credentials(stage).write_text(f"{text}[other]\n{lines(other)}")
    done = stage.run("import", "--all", "--yes")
    assert 6 == done.returncode
    assert "the vault's dev has another key: to exchange it, awsvault add dev --replace" in done.stderr
    assert (text, ["dev", "other"]) == (credentials(stage).read_text(), names(stage))
    assert (6, True) == (
        stage.run("import", "dev", "--yes").returncode,
        text == credentials(stage).read_text(),
    )


def test_the_same_id_with_another_secret_is_another_key(stage: Stage) -> None:
    """The vault's may be the wrong one: what is in the file is not thrown away."""
    text = f"[dev]\n{lines(stage.key)}".replace(stage.key.secret, canary.secret("mistyped"))
    credentials(stage).write_text(text)
    assert 6 == stage.run("import", "--all", "--yes").returncode
    assert text == credentials(stage).read_text()


# --- roles

ROLE = f"role_arn = arn:aws:iam::{ACCOUNT}:role/admin\n"


def test_roles_that_are_assumed_from_a_key_are_taken_over(stage: Stage) -> None:
    work = user_key(stage, "work")
    stage.aws.add_role("admin", user_of(stage, "work"))
    credentials(stage).write_text(f"[work]\n{lines(work)}")
    config(stage).write_text(f"[profile acme.admin]\n{ROLE}source_profile = work\nregion = eu-west-1\n")
    done = stage.run("import", "--all", "--yes")
    assert 0 == done.returncode, done.stderr
    assert (
        f"[profile acme.admin]\n{hook(stage, 'acme-admin')}region = eu-west-1\n\n[profile work]\n{hook(stage, 'work')}"
        == config(stage).read_text()
    )
    assert json.loads(stage.run("get", "acme-admin").stdout)["SessionToken"]


def test_a_role_that_aws_refuses_stays_and_is_told(stage: Stage) -> None:
    text = f"[profile admin]\n{ROLE}source_profile = work\n"
    credentials(stage).write_text(f"[work]\n{lines(user_key(stage, 'work'))}")
    config(stage).write_text(text)
    done = stage.run("import", "--all", "--yes")
    assert 0 == done.returncode
    assert "admin stays a role of the file: " in done.stderr
    assert "Later: awsvault add-role admin --from-config admin" in done.stderr
    assert f"{text}\n[profile work]\n{hook(stage, 'work')}" == config(stage).read_text()


def test_a_person_may_leave_roles_as_they_are(stage: Stage) -> None:
    text = f"[profile admin]\n{ROLE}source_profile = work\n"
    credentials(stage).write_text(f"[work]\n{lines(user_key(stage, 'work'))}")
    config(stage).write_text(text)
    with at_terminal(stage.daemon, "import") as terminal:
        terminal.answer("Take them over, too, so that they work in every tool? [Y/n] ", "n")
        terminal.answer("Move this key", "y")
        terminal.answer("Rotate work now", "n")
        assert 0 == terminal.end()
    assert config(stage).read_text().startswith(text)


def test_a_device_that_would_stop_what_works_needs_a_word_more(stage: Stage) -> None:
    serial = f"arn:aws:iam::{ACCOUNT}:mfa/work"
    text = f"[profile admin]\n{ROLE}source_profile = work\nmfa_serial = {serial}\n"
    key = f"[work]\n{lines(user_key(stage, 'work'))}mfa_serial = {serial}\n"
    credentials(stage).write_text(key)
    config(stage).write_text(text)
    done = stage.run("import", "--all", "--yes")
    assert 0 == done.returncode, done.stderr
    assert "admin stays a role of the file: with its MFA device work would be served after" in done.stderr
    assert f"awsvault edit work --mfa-serial {serial}" in done.stderr
    assert config(stage).read_text().startswith(text)
    assert 0 == stage.run("get", "work").returncode
    assert 0 == stage.run("import", "--undo", "--yes").returncode
    done = stage.run("import", "--all", "--yes", "--roles")
    assert f"work has the MFA device {serial} now" in done.stderr
    assert "awsvault edit work" not in done.stderr
    assert ["admin", "dev", "work"] == names(stage)


def test_a_role_with_the_key_of_its_own_section_moves_whole_or_stays(stage: Stage) -> None:
    text = f"[profile admin]\n{ROLE}source_profile = admin\n{lines(user_key(stage, 'work'))}"
    config(stage).write_text(text)
    done = stage.run("import", "--all", "--yes")
    assert (6, text) == (done.returncode, config(stage).read_text())
    stage.aws.add_role("admin", user_of(stage, "work"))
    done = stage.run("import", "--all", "--yes")
    assert 0 == done.returncode, done.stderr
    assert f"[profile admin]\n{hook(stage, 'admin')}" == config(stage).read_text()
    assert ["admin", "admin-key", "dev"] == names(stage)


# --- other places


def test_a_dotenv_gets_the_profile_instead_and_a_csv_is_pointed_at(stage: Stage) -> None:
    work, bob = user_key(stage, "work"), user_key(stage, "bob")
    shop = stage.daemon.home.parent / "u/shop"
    shop.mkdir(exist_ok=True)
    (shop / ".env").write_text(
        f"A=1\nAWS_ACCESS_KEY_ID={work.access_key_id}\nAWS_SECRET_ACCESS_KEY={work.secret}\n"
    )
    csv = shop / "bob_accessKeys.csv"
    csv.write_text(f"Access key ID,Secret access key\r\n{bob.access_key_id},{bob.secret}\r\n")
    done = stage.run("import", "--all", "--yes", "--file", str(shop / ".env"), "--file", str(csv))
    csv.unlink()
    assert 0 == done.returncode, done.stderr
    assert "A=1\nAWS_PROFILE=shop\n" == (shop / ".env").read_text()
    assert f"{csv} still holds the secret in plain text: delete it.\n" in done.stderr
    assert (
        f"[profile shop]\n{hook(stage, 'shop')}\n[profile bob]\n{hook(stage, 'bob')}"
        == config(stage).read_text()
    )
    assert [] == [path.name for path in shop.iterdir() if "backup" in path.name]
    assert 0 == stage.run("import", "--undo", "--yes").returncode
    assert work.secret in (shop / ".env").read_text()
    (shop / ".env").unlink()


def test_a_dotenv_does_not_take_the_name_of_a_profile_with_other_credentials(stage: Stage) -> None:
    work = user_key(stage, "work")
    path = stage.daemon.home.parent / "u/shop.env"
    text = f"AWS_ACCESS_KEY_ID={work.access_key_id}\nAWS_SECRET_ACCESS_KEY={work.secret}\n"
    for section in ("sso_session = x", hook(stage, "dev")):
        path.write_text(text)
        config(stage).write_text(f"[profile shop-env]\n{section}\n")
        done = stage.run("import", "--all", "--yes", "--file", str(path))
        assert 6 == done.returncode
        assert "there is a profile shop-env already, which has other credentials" in done.stdout
        assert text == path.read_text()
    path.unlink()


def test_a_dotenv_is_no_exception_when_its_name_needs_no_change(stage: Stage) -> None:
    work = user_key(stage, "work")
    shop = stage.daemon.home.parent / "u/shop"
    shop.mkdir(exist_ok=True)
    text = f"AWS_ACCESS_KEY_ID={work.access_key_id}\nAWS_SECRET_ACCESS_KEY={work.secret}\n"
    (shop / ".env").write_text(text)
    config(stage).write_text("[profile shop]\nsso_session = x\n")
    done = stage.run("import", "--all", "--yes", "--file", str(shop / ".env"))
    assert (6, text) == (done.returncode, (shop / ".env").read_text())
    assert "there is a profile shop already, which has other credentials" in done.stdout
    (shop / ".env").unlink()


def test_an_old_copy_of_a_file_loses_its_keys_too(stage: Stage) -> None:
    work, prod = user_key(stage, "work"), user_key(stage, "prod")
    old = f"# old\r\n[work]\r\n{lines(work)}[acme.prod]\n{lines(prod)}region = eu-west-1\n"
    copy, second = folder(stage) / "credentials.bak", folder(stage) / "config~"
    copy.write_bytes(old.encode())
    second.write_text(f"[profile work]\n{lines(work)}output = json\n")
    credentials(stage).write_text(f"[work]\n{lines(work)}")
    files = [word for path in (copy, second, credentials(stage)) for word in ("--file", str(path))]
    done = stage.run("import", "--all", "--yes", *files)
    assert 0 == done.returncode, done.stderr
    assert "work, the same key as in ~/.aws/credentials:2" in done.stdout
    assert "awsvault rotate work acme-prod\n" in done.stderr
    assert b"# old\r\n[acme.prod]\nregion = eu-west-1\n" == copy.read_bytes()
    assert "[profile work]\noutput = json\n" == second.read_text()
    asked = f"[profile work]\n{hook(stage, 'work')}\n[profile acme.prod]\n{hook(stage, 'acme-prod')}"
    assert asked == config(stage).read_text()
    assert 0 == stage.run("import", "--undo", "--yes").returncode
    assert (old.encode(), ["dev"]) == (copy.read_bytes(), names(stage))
    copy.unlink()
    second.unlink()


def test_what_doctor_names_is_what_helps(stage: Stage) -> None:
    """Its command lines, word for word, and a --yes."""
    odd = f"[my work]\n{lines(user_key(stage, 'work'))}"
    credentials(stage).write_text(f"{odd}[-x]\n{lines(user_key(stage, 'prod'))}")
    copy = folder(stage) / "old credentials"
    copy.write_text(f"[two]\n{lines(user_key(stage, 'two'))}")
    for path in (credentials(stage), copy):
        path.chmod(0o600)
    rows = json.loads(stage.run("doctor", "--json").stdout)
    found = [row for row in rows if "awsvault import" in (row["mend"] or "")]
    assert 3 == len(found)
    for row in found:
        line = row["mend"].removeprefix("run: awsvault ").partition(";")[0]
        done = stage.run(
            *shlex.split(line.replace("import", "import --yes")), *(["--all"] * ("--file" in line))
        )
        assert 0 == done.returncode, (line, done.stderr)
    assert ("", "") == (credentials(stage).read_text(), copy.read_text())
    copy.unlink()


def tool(stage: Stage, name: str, answer: str) -> dict[str, str]:
    """Another program on PATH, which says what it was asked and answers."""
    bin_ = stage.daemon.home.parent / "bin"
    bin_.mkdir(exist_ok=True)
    (bin_ / name).write_text(f"#!/bin/sh\necho \"$@\" > '{bin_}/asked'\ncat '{bin_}/answer'\n")
    (bin_ / name).chmod(0o755)
    (bin_ / "answer").write_text(answer)
    return {"PATH": f"{bin_}:{AWSVAULT.parent}:/usr/bin:/bin"}


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("aws-vault", "export --no-session --format=json work"),
        ("granted", "credential-process --profile work"),
    ],
)
def test_another_tool_is_asked_for_what_it_holds(stage: Stage, name: str, asked: str) -> None:
    work = user_key(stage, "work")
    answer = {"Version": 1, "AccessKeyId": work.access_key_id, "SecretAccessKey": work.secret}
    extra = tool(stage, name, json.dumps(answer))
    config(stage).write_text(
        f"[profile work]\ncredential_process = /usr/bin/{name} export work\nregion = eu-west-2\n"
    )
    done = stage.run("import", "--from", name, "work", "--yes", extra=extra)
    bin_ = stage.daemon.home.parent / "bin"
    (bin_ / "answer").unlink()
    assert 0 == done.returncode, done.stderr
    assert f"{asked}\n" == (bin_ / "asked").read_text()
    assert f"[profile work]\n{hook(stage, 'work')}region = eu-west-2\n" == config(stage).read_text()
    assert f"{name} still holds the key of work, too." in done.stderr


def test_a_session_of_another_tool_is_not_taken(stage: Stage) -> None:
    work = user_key(stage, "work")
    answer = {"AccessKeyId": work.access_key_id, "SecretAccessKey": work.secret, "SessionToken": "t"}
    extra = tool(stage, "granted", json.dumps(answer))
    status = stage.run("import", "--from", "granted", "work", "--yes", extra=extra).returncode
    (stage.daemon.home.parent / "bin/answer").unlink()
    assert (6, ["dev"]) == (status, names(stage))
    assert (2, True) == (
        (
            refused := stage.refused(
                "import", "--from", "aws-vault", "x", "--yes", extra={"PATH": "/nonexistent"}
            )
        )[0],
        refused[1].startswith("aws-vault is not installed"),
    )


# --- the way back


def test_an_import_is_taken_back_to_the_last_byte(stage: Stage) -> None:
    work, prod = user_key(stage, "work"), user_key(stage, "prod")
    before = f"# caf\u00e9\r\n[work]\r\n{lines(work)}\r\n[prod]\r\n{lines(prod)}".encode("latin-1")
    credentials(stage).write_bytes(before)
    config(stage).write_bytes(b"[profile work]\nregion = eu-west-2")
    credentials(stage).chmod(0o640)
    assert 0 == stage.run("import", "--all", "--yes").returncode
    assert not canary.found_in(credentials(stage).read_bytes())
    with at_terminal(stage.daemon, "import", "--undo") as terminal:
        terminal.answer(
            "Put the keys back into ~/.aws/credentials and ~/.aws/config in plain text, and take work, prod out of "
            "the vault? [y/N] ",
            "y",
        )
        assert 0 == terminal.end()
    assert "The import is taken back. work, prod are out of the vault." in terminal.screen
    assert (before, b"[profile work]\nregion = eu-west-2") == (
        credentials(stage).read_bytes(),
        config(stage).read_bytes(),
    )
    assert (["dev"], 0o640) == (names(stage), credentials(stage).stat().st_mode & 0o777)
    assert (6, True) == refused_undo(stage)


def test_a_change_elsewhere_in_the_files_stays_when_it_is_taken_back(stage: Stage) -> None:
    before = f"[work]\n{lines(user_key(stage, 'work'))}"
    credentials(stage).write_text(f"{before}\n[z]\nregion = x\n")
    assert 0 == stage.run("import", "--all", "--yes").returncode
    credentials(stage).write_text(credentials(stage).read_text() + "\n[later]\nregion = y\n")
    assert 0 == stage.run("import", "--undo", "--yes").returncode
    assert f"{before}\n[z]\nregion = x\n\n[later]\nregion = y\n" == credentials(stage).read_text()


def test_changed_lines_are_refused_and_nothing_is_taken_back(stage: Stage) -> None:
    credentials(stage).write_text(f"[work]\n{lines(user_key(stage, 'work'))}")
    config(stage).write_text("[profile work]\nregion = eu-west-2\n")
    assert 0 == stage.run("import", "--all", "--yes").returncode
    changed = config(stage).read_text().replace("region = eu-west-2", "region = eu-west-3")
    config(stage).write_text(changed)
    status, line = stage.refused("import", "--undo", "--yes")
    assert (6, True) == (status, f"{config(stage)} line 3 was changed since the import" in line), line
    assert (changed, "") == (config(stage).read_text(), credentials(stage).read_text())
    assert ["dev", "work"] == names(stage)


def test_a_new_section_of_that_name_is_refused(stage: Stage) -> None:
    credentials(stage).write_text(f"[work]\n{lines(user_key(stage, 'work'))}")
    assert 0 == stage.run("import", "--all", "--yes").returncode
    credentials(stage).write_text("[work]\nregion = x\n")
    status, line = stage.refused("import", "--undo", "--yes")
    assert (6, True) == (status, "has a second [work]" in line), line


@pytest.mark.parametrize("change", ["rotate", "revoke", "remove", "add"])
def test_a_key_that_changed_since_is_not_put_back(stage: Stage, change: str) -> None:
    credentials(stage).write_text(f"[work]\n{lines(user_key(stage, 'work'))}")
    assert 0 == stage.run("import", "--all", "--yes").returncode
    if change == "add":
        new = user_key(stage, "new")
        key = {"access_key_id": new.access_key_id, "secret_access_key": new.secret}
        stage.daemon.add("work", **key, replace=True)
    else:
        assert 0 == stage.run(change, "work", "--yes").returncode
    assert (6, True) == refused_undo(stage)


def test_a_role_that_came_later_keeps_its_source(stage: Stage) -> None:
    credentials(stage).write_text(f"[work]\n{lines(user_key(stage, 'work'))}")
    assert 0 == stage.run("import", "--all", "--yes").returncode
    stage.aws.add_role("admin", user_of(stage, "work"))
    words = ["--source", "work", "--role-arn", ROLE.split()[2], "--no-config"]
    assert 0 == stage.run("add-role", "later", *words).returncode
    assert (
        2,
        '"work" is what these roles are assumed from: later; remove or edit them first',
    ) == stage.refused("import", "--undo", "--yes")


# --- bad luck


@pytest.mark.parametrize("content", ["[a]\n[a]\n", "no section\n", "[a]\nx = 1\nx = 2\n"])
def test_a_file_that_aws_refuses_stops_it_by_line(stage: Stage, content: str) -> None:
    credentials(stage).write_text(content)
    status, line = stage.refused("import", "--all", "--yes")
    assert (2, True) == (status, line.startswith(f"{credentials(stage)} line ")), line
    assert content == credentials(stage).read_text()


def test_two_at_once_are_one_after_another(stage: Stage) -> None:
    credentials(stage).write_text(f"[work]\n{lines(user_key(stage, 'work'))}")
    with at_terminal(stage.daemon, "import") as terminal:
        terminal.expect("Move this key")
        status, line = stage.refused("import", "--all", "--yes")
        assert (1, "another awsvault import is under way; wait for its end") == (status, line)
        terminal.press(b"\x03")
        assert 130 == terminal.end()
    assert ["dev"] == names(stage)


def test_ctrl_c_before_the_files_leaves_everything_as_it_was(stage: Stage) -> None:
    text = f"[work]\n{lines(user_key(stage, 'work'))}"
    credentials(stage).write_text(text)
    for question in ("Which ones?", "Move "):
        credentials(stage).write_text(f"{text}[two]\n{lines(stage.key)}")
        with at_terminal(stage.daemon, "import") as terminal:
            if question == "Move ":
                terminal.answer("Which ones?", "")
            terminal.expect(question)
            terminal.press(b"\x03")
            assert 130 == terminal.end()
        assert (f"{text}[two]\n{lines(stage.key)}", ["dev"]) == (credentials(stage).read_text(), names(stage))


def test_a_link_stays_a_link(stage: Stage) -> None:
    real = stage.daemon.home.parent / "u/dotfiles-credentials"
    real.write_text(f"[work]\n{lines(user_key(stage, 'work'))}")
    credentials(stage).symlink_to(real)
    assert 0 == stage.run("import", "--all", "--yes").returncode
    assert (True, "") == (credentials(stage).is_symlink(), real.read_text())


def test_a_comment_with_a_secret_and_a_device_are_pointed_at(stage: Stage) -> None:
    serial = f"arn:aws:iam::{ACCOUNT}:mfa/work"
    credentials(stage).write_text(
        f"[work]\n# aws_secret_access_key = old\n{lines(user_key(stage, 'work'))}mfa_serial = {serial}\n"
    )
    done = stage.run("import", "--all", "--yes")
    assert "~/.aws/credentials line 2: a comment that looks like a secret is left there." in done.stderr
    assert f"awsvault edit work --mfa-serial {serial}" in done.stderr
    assert stage.daemon.call("show", profile="work")["profile"]["mfa_serial"] is None


def test_a_key_that_fails_in_the_middle_takes_back_those_before_it(stage: Stage) -> None:
    work, prod = user_key(stage, "work"), user_key(stage, "prod")
    text = f"[work]\n{lines(work)}[prod]\n{lines(prod)}"
    credentials(stage).write_text(text)
    with at_terminal(stage.daemon, "import", "--all") as terminal:
        terminal.expect("Move these 2 keys into the vault")
        stage.aws.remove_key(prod)
        terminal.type("y")
        assert 7 == terminal.end()
    assert "The vault is put back as it was; no file was changed." in terminal.screen
    assert (text, ["dev"]) == (credentials(stage).read_text(), names(stage))


def racing(stage: Stage, monkeypatch: pytest.MonkeyPatch, times: int, change: Callable[[], object]) -> None:
    """Somebody changes a file at the worst moment: when the way back is sealed, and nothing is written yet."""
    call, left = client.call, [times]

    def late(op: str, **fields: Any) -> Frame:
        if op == "import_seal" and fields["pieces"] and left[0]:
            left[0] -= 1
            change()
        return call(op, **fields)

    monkeypatch.setattr(client, "call", late)


def test_a_file_that_changes_under_the_edit_is_read_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = f"[work]\n{lines(user_key(stage, 'work'))}"
    credentials(stage).write_text(before)
    theirs = "[profile theirs]\nregion = eu-west-1\n"
    racing(stage, monkeypatch, 1, lambda: config(stage).write_text(theirs))
    assert 0 == stage.run("import", "--all", "--yes").returncode
    assert f"{theirs}\n[profile work]\n{hook(stage, 'work')}" == config(stage).read_text()
    assert 0 == stage.run("import", "--undo", "--yes").returncode
    assert (theirs, before) == (config(stage).read_text(), credentials(stage).read_text())


def test_a_key_that_came_under_the_edit_stays(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    new = f"[work]\n{lines(user_key(stage, 'new'))}"
    credentials(stage).write_text(f"[work]\n{lines(user_key(stage, 'work'))}")
    racing(stage, monkeypatch, 1, lambda: credentials(stage).write_text(new))
    stage.run("import", "--all", "--yes")
    assert new == credentials(stage).read_text()


def test_files_that_never_rest_are_left_with_the_key_in_both(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"[work]\n{lines(user_key(stage, 'work'))}"
    credentials(stage).write_text(text)
    count = iter(range(100))
    racing(stage, monkeypatch, 99, lambda: config(stage).write_text(f"# {next(count)}\n"))
    done = stage.run("import", "--all", "--yes")
    assert (1, True) == (done.returncode, "the files keep changing; the keys are in the vault" in done.stderr)
    assert (text, ["dev", "work"]) == (credentials(stage).read_text(), names(stage))
    monkeypatch.undo()
    assert 0 == stage.run("import", "--all", "--yes").returncode
    assert "" == credentials(stage).read_text()


def test_ctrl_c_while_the_files_are_written_comes_after(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials(stage).write_text(f"[work]\n{lines(user_key(stage, 'work'))}")
    racing(stage, monkeypatch, 1, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGINT))
    assert 130 == stage.run("import", "--all", "--yes").returncode
    assert ("", f"[profile work]\n{hook(stage, 'work')}") == (
        credentials(stage).read_text(),
        config(stage).read_text(),
    )


def test_hundreds_of_keys_fit_the_socket(stage: Stage) -> None:
    """The way back is longer than a frame."""
    text = "".join(f"[p{number}]\n# {'c' * 900}\n{lines(stage.key)}\n" for number in range(70))
    credentials(stage).write_text(text)
    assert 0 == stage.run("import", "--all", "--yes", "--no-verify").returncode
    assert not canary.found_in(credentials(stage).read_text())
    assert 0 == stage.run("import", "--undo", "--yes").returncode
    assert (text, ["dev"]) == (credentials(stage).read_text(), names(stage))
