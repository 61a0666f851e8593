# SPDX-License-Identifier: Apache-2.0
"""Changing ~/.aws: through links, with the file's own mode, whole or not at all, without a second copy of a secret."""

import fcntl
import multiprocessing
import os
import stat
import sys
from pathlib import Path

import pytest

from awsvault import hook, rewriting
from tests import canary
from vaultd.core import awsfiles
from vaultd.core.awsfiles import Hook
from vaultd.wire.errors import Conflict, Refused, Usage

pytestmark = pytest.mark.usefixtures("user")


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory, with awsvault in a bin of its own on PATH."""
    home = tmp_path / "user"
    home.mkdir()
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", str(program_in(tmp_path / "bin").parent))
    monkeypatch.setattr(sys, "argv", ["pytest"])
    return home


def program_in(folder: Path) -> Path:
    folder.mkdir(parents=True)
    path = folder / "awsvault"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def config_of(user: Path, content: bytes, mode: int = 0o600) -> Path:
    path = user / ".aws" / "config"
    path.parent.mkdir(mode=0o700)
    path.write_bytes(content)
    path.chmod(mode)
    return path


def add(name: str = "dev", home: str | None = None, region: str | None = None) -> bool:
    return hook.plan(name, home, region).write()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_first_file_is_made_for_its_owner_only(user: Path, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert add()
    finally:
        os.umask(before)
    path = user / ".aws" / "config"
    assert f"[profile dev]\ncredential_process = {tmp_path}/bin/awsvault get dev\n" == path.read_text()
    assert (0o600, 0o700) == (mode_of(path), mode_of(path.parent))
    assert ["config", "config.awsvault-lock"] == sorted(os.listdir(path.parent))


def test_twice_is_once(user: Path) -> None:
    assert add()
    before = (user / ".aws" / "config").stat()
    assert not add()
    assert before.st_ino == (user / ".aws" / "config").stat().st_ino


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640])
def test_the_files_mode_stays(user: Path, mode: int) -> None:
    path = config_of(user, b"[default]\n", mode)
    assert add()
    assert mode == mode_of(path)


def test_bytes_that_are_no_text_stay(user: Path) -> None:
    path = config_of(user, b"# caf\xe9 \xff\r\n[default]\r\nregion = x\r\n")
    assert add()
    assert path.read_bytes().startswith(b"# caf\xe9 \xff\r\n[default]\r\nregion = x\r\n\r\n[profile dev]\r\n")
    assert hook.remove("dev", None, None)
    assert b"# caf\xe9 \xff\r\n[default]\r\nregion = x\r\n" == path.read_bytes()


def test_a_link_stays_a_link(user: Path, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "aws-config"
    real.parent.mkdir()
    real.write_text("[default]\n")
    link = user / ".aws" / "config"
    link.parent.mkdir()
    link.symlink_to(real)
    assert add()
    assert link.is_symlink()
    assert "[profile dev]" in real.read_text()


def test_aws_variables_choose_the_files(user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "mine"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "~/secrets")
    (user / "secrets").write_text("[prod]\naws_access_key_id = x\n")
    assert add()
    assert "[profile dev]" in (tmp_path / "mine").read_text()
    assert not (user / ".aws").exists()
    with pytest.raises(Usage, match=r"user/secrets line 2: aws_access_key_id would be used"):
        add("prod")


def test_a_backup_is_made_once_and_without_secrets(user: Path) -> None:
    text = f"[default]\naws_secret_access_key = {canary.secret('x')}\nregion = x\n"
    path = config_of(user, text.encode(), 0o644)
    assert add()
    backup = path.with_name("config.awsvault-backup")
    assert "[default]\naws_secret_access_key = (cut out by awsvault)\nregion = x\n" == backup.read_text()
    assert 0o600 == mode_of(backup)
    assert add("second")
    assert "[profile dev]" not in backup.read_text()


def test_what_would_beat_the_hook_is_refused_by_line(user: Path) -> None:
    path = config_of(user, b"[profile dev]\nregion = x\nsso_session = x\n")
    with pytest.raises(Usage) as error:
        add()
    assert (
        f"{path} line 3: sso_session would be used instead of the hook; remove that line, or use --no-config"
        == error.value.line
    )
    assert b"[profile dev]\nregion = x\nsso_session = x\n" == path.read_bytes()


@pytest.mark.parametrize("content", [b"[a]\n[a]\n", b"no section\n", b"[a]\nx = 1\nx = 2\n"])
def test_a_malformed_file_is_not_touched(user: Path, content: bytes) -> None:
    path = config_of(user, content)
    for step in (add, lambda: hook.remove("dev", None, None), hook.check_readable):
        with pytest.raises(Usage, match=rf"{path} line \d"):
            step()
    assert content == path.read_bytes()
    assert hook.names(None) == []


def test_a_directory_that_cannot_be_written_is_found_before_anything_happens(
    user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_of(user, b"")
    monkeypatch.setattr(
        os, "access", lambda path, mode: mode == os.X_OK and "bin" in str(path)
    )  # root may do all
    with pytest.raises(Refused, match=r"\.aws cannot be written; .*--no-config|cannot be written"):
        hook.plan("dev", None, None)


def test_a_directory_that_could_not_even_be_made_is_found_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent/aws/config")
    with pytest.raises(Refused, match="/nonexistent/aws cannot be written"):
        hook.plan("dev", None, None)


def test_a_config_that_is_no_file_is_refused_and_does_not_hang(user: Path) -> None:
    (user / ".aws").mkdir()
    os.mkfifo(user / ".aws" / "config")
    with pytest.raises(Refused, match="is not a file"):
        add()


def test_a_directory_in_its_place_is_refused(user: Path) -> None:
    (user / ".aws" / "config").mkdir(parents=True)
    with pytest.raises(Refused, match="is not a file"):
        add()


def test_a_change_by_somebody_else_is_not_lost(user: Path) -> None:
    """Between reading and renaming another program adds a profile: ours is added to that."""
    path = config_of(user, b"[default]\n")
    raced: list[int] = []

    def change(config: awsfiles.AwsFile) -> str:
        if not raced:
            raced.append(path.write_bytes(b"[default]\n\n[profile theirs]\nregion = x\n"))
        return awsfiles.with_hook(config, Hook("dev", None), "/x/awsvault", None)

    assert hook.edit(change)
    assert "[profile theirs]" in path.read_text()
    assert "get dev" in path.read_text()


def test_a_file_that_never_rests_is_left_alone(user: Path) -> None:
    path = config_of(user, b"[default]\n")

    def change(config: awsfiles.AwsFile) -> str:
        path.write_text(path.read_text() + "\n")
        return awsfiles.with_hook(config, Hook("dev", None), "/x/awsvault", None)

    with pytest.raises(Conflict, match="keeps changing; nothing was written"):
        hook.edit(change)
    assert "dev" not in path.read_text()
    assert not [
        name
        for name in os.listdir(path.parent)
        if name not in ("config", "config.awsvault-lock", "config.awsvault-backup")
    ]


def test_one_awsvault_at_a_time(user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = config_of(user, b"")
    monkeypatch.setattr(rewriting, "LOCK_TIMEOUT_S", 0.05)
    with path.with_name("config.awsvault-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Conflict, match="another awsvault is changing"):
            add()


def _add_profile(number: int) -> None:
    hook.edit(lambda config: awsfiles.with_hook(config, Hook(f"p{number}", None), "/x/awsvault", None))


def test_many_at_once_all_get_in(user: Path) -> None:
    path = config_of(user, b"[default]\n")
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.map(_add_profile, range(12))
    assert sorted(f"p{number}" for number in range(12)) == sorted(
        found.name for found in awsfiles.hooks(awsfiles.AwsFile(path.read_text(), ""))
    )


def test_names_are_those_of_this_home(user: Path) -> None:
    config_of(
        user,
        b"[profile a]\ncredential_process = /x/awsvault get a\n"
        b"[profile b]\ncredential_process = /x/awsvault --home /h get b\n",
    )
    assert (["a"], ["b"]) == (hook.names(None), hook.names("/h"))


def test_remove_and_region_leave_a_missing_file_missing(user: Path) -> None:
    assert not hook.remove("dev", None, None)
    assert not hook.change_region("dev", None, None, "x-1")
    assert not (user / ".aws").exists()


# --- the program's path


def test_the_path_keeps_its_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pipx and Homebrew replace what a link points to at each upgrade; the link stays."""
    link = tmp_path / "links" / "awsvault"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "bin" / "awsvault")
    monkeypatch.setenv("PATH", str(link.parent))
    assert str(link) == hook.find_program()


def test_a_shim_gives_way_to_the_real_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim, real = program_in(tmp_path / "x" / "shims"), program_in(tmp_path / "versions" / "bin")
    monkeypatch.setenv("PATH", str(shim.parent))
    monkeypatch.setattr(sys, "argv", [str(real), "add", "dev"])
    assert str(real) == hook.find_program()


def test_off_path_the_running_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = program_in(tmp_path / "venv" / "bin")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(sys, "argv", ["venv/bin/awsvault"])
    assert str(real) == hook.find_program()


def test_no_program_is_no_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Usage, match="awsvault is not on PATH"):
        hook.plan("dev", None, None)


def test_a_path_with_a_space_is_refused_with_the_link_to_make(
    user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaced = program_in(tmp_path / "My Tools")
    monkeypatch.setenv("PATH", str(spaced.parent))
    with pytest.raises(Usage) as error:
        hook.find_program()
    link = user / ".local/bin/awsvault"
    assert f"run: mkdir -p {link.parent} && ln -s '{spaced}' {link}" == error.value.hint
    link.parent.mkdir(parents=True)
    link.symlink_to(spaced)
    assert str(link) == hook.find_program()


def test_another_awsvault_is_not_taken_for_ours(
    tmp_path: Path, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spaced = program_in(tmp_path / "My Tools")
    program_in(user / ".local/bin")
    monkeypatch.setenv("PATH", str(spaced.parent))
    with pytest.raises(Usage, match="has characters"):
        hook.find_program()


@pytest.mark.parametrize("home", ["/with space", "/quote'd", "/dollar$", "/caf\u00e9"])
def test_a_home_that_cannot_stand_in_the_line_is_refused(home: str) -> None:
    with pytest.raises(Usage, match="the home's path has characters"):
        hook.plan("dev", home, None)


@pytest.mark.parametrize("name", ["d ev", "dev\n", "dev]", "..", "-dev", "\x1b[2J", "", "a.b", "x" * 65])
def test_a_name_that_cannot_stand_in_the_line_is_refused(name: str) -> None:
    with pytest.raises(Usage):
        hook.plan(name, None, None)
