# SPDX-License-Identifier: Apache-2.0
"""The socket is found where the design says, whatever the environment, and only in a directory that is ours."""

import os
from pathlib import Path

import platformdirs
import pytest

from vaultd.edge.places import places
from vaultd.wire import paths
from vaultd.wire.errors import DaemonUnreachable, NoVault, Refused, Usage


def test_a_home_holds_everything_by_its_name(tmp_path: Path) -> None:
    where = places(str(tmp_path))
    found = {
        p.name
        for p in (
            where.vault,
            where.lock,
            where.backups,
            where.audit,
            where.high_water,
            where.agenda,
            where.settings,
            where.socket,
        )
    }
    assert found == {
        "vault",
        "vault.lock",
        "backups",
        "audit.jsonl",
        "highwater",
        "agenda.json",
        "config.toml",
        "vaultd.sock",
    }
    assert {where.vault.parent, where.audit.parent, where.settings.parent, where.socket.parent} == {tmp_path}


def test_the_socket_directory_does_not_come_from_xdg_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    before = paths.socket_dirs(None)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/tmp/elsewhere")
    monkeypatch.setenv("XDG_STATE_HOME", "/tmp/elsewhere")
    monkeypatch.setenv("HOME", "/tmp/elsewhere")
    assert before == paths.socket_dirs(None)
    assert not any(directory.startswith("/tmp") for directory in before)


def test_the_guess_where_the_vault_lies_is_where_it_lies(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """paths.unreachable may not use platformdirs; it must come to the same place."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert isinstance(paths.unreachable(None), NoVault)
    vault = Path(platformdirs.user_data_path("awsvault", appauthor=False)) / "vault"
    vault.parent.mkdir()
    vault.touch()
    assert isinstance(paths.unreachable(None), DaemonUnreachable)
    assert vault == places(None).vault


@pytest.mark.skipif(os.getuid() != 0, reason="sudo makes one root")
def test_through_sudo_the_owner_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", "1000")
    error = paths.unreachable(None)
    assert (6, "the vault belongs to uid 1000; run without sudo") == (error.exit_status, error.line)


def test_a_path_longer_than_the_kernel_takes_is_refused_by_us() -> None:
    longest = "/" + "x" * (paths.MAX_SOCKET_PATH - len("/" + "/vaultd.sock"))
    assert len(paths.socket_path(longest)) == paths.MAX_SOCKET_PATH
    with pytest.raises(Usage) as caught:
        paths.socket_path(longest + "x")
    assert "shorter AWSVAULT_HOME" in caught.value.line


@pytest.mark.parametrize("mode", [0o710, 0o701, 0o770, 0o777, 0o720, 0o704])
def test_a_directory_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "home"
    directory.mkdir(mode=0o700)
    paths.check_private_dir(str(directory))
    directory.chmod(mode)
    with pytest.raises(Refused) as caught:
        paths.check_private_dir(str(directory))
    assert caught.value.hint == f"run: chmod 700 {directory}"


def test_a_symlink_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(Refused):
        paths.check_private_dir(str(tmp_path / "link"))


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_somebody_elses_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o700)
    os.chown(tmp_path / "theirs", 1234, 1234)
    with pytest.raises(Refused) as caught:
        paths.check_private_dir(str(tmp_path / "theirs"))
    assert caught.value.line == "the vault belongs to uid 1234; run without sudo"


def test_a_home_that_does_not_exist_grows_no_second_vault(tmp_path: Path) -> None:
    with pytest.raises(NoVault):
        paths.need_home(str(tmp_path / "typo"))
