# SPDX-License-Identifier: Apache-2.0
"""systemd's user units: written whole, checked by systemd itself, taken out again. No test starts a systemd.

`systemctl` here is a script that writes down what it is asked: the neighbour is faked, not our code.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

from awsvault import units
from vaultd.wire.errors import VaultError

SYSTEMCTL = """#!/bin/sh
echo "$*" >>"$LOG"
[ "$2" != "$FAILS" ] || { echo "Failed to do it" >&2; exit 1; }
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with a manager that obeys; what it was asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "systemctl").write_text(SYSTEMCTL)
    (folder / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("FAILS", "nothing")
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    return tmp_path / "log"


def asked(log: Path) -> list[str]:
    return [line.removeprefix("--user ") for line in log.read_text().splitlines()]


def test_install_and_uninstall(log: Path, tmp_path: Path) -> None:
    folder = tmp_path / ".config/systemd/user"
    assert not units.are_installed()
    units.install()
    assert units.are_installed()
    assert ["daemon-reload", "enable --now vaultd.socket vaultd.service"] == asked(log)
    assert f"ExecStart={sys.executable} -I -m vaultd\n" in (folder / "vaultd.service").read_text()
    assert "@VAULTD@" not in (folder / "vaultd.service").read_text()
    log.unlink()
    assert units.uninstall()
    assert ["disable --now vaultd.socket vaultd.service", "daemon-reload"] == asked(log)
    assert [] == list(folder.iterdir())
    assert not units.uninstall()


def test_the_users_configuration_directory_counts(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))
    units.install()
    assert (tmp_path / "elsewhere/systemd/user/vaultd.socket").exists()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing")
def test_what_systemd_does_not_take_is_not_installed(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(VaultError, match="systemd does not take the units"):
        units.install()
    assert not units.are_installed()
    assert not log.exists()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing")
def test_a_complaint_counts_whatever_the_status(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd-analyze answers 0 to a misspelt directive: a limit that is not there must not go unnoticed."""
    folder = tmp_path / "share/systemd/user"
    folder.mkdir(parents=True)
    templates = Path(__file__).parents[2] / "systemd"
    for name in (units.SOCKET, units.SERVICE):
        text = (templates / name).read_text().replace("NoNewPrivileges=", "NoNewPrivilege=")
        (folder / name).write_text(text)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(VaultError, match="NoNewPrivilege"):
        units.install()
    assert not units.are_installed()


def test_a_manager_that_fails_is_quoted_and_nothing_stays(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILS", "enable")
    with pytest.raises(VaultError, match=r"systemctl --user enable failed \(Failed to do it\)"):
        units.install()
    assert not units.are_installed()


def test_a_manager_runs_when_it_answers(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert units.manager_runs()
    monkeypatch.setenv("FAILS", "show-environment")
    assert not units.manager_runs()
    monkeypatch.setenv("PATH", "/nonexistent")
    assert not units.manager_runs()


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("/usr/bin/python3", "/usr/bin/python3"),
        ("-I", "-I"),
        ("/My Tools/python3", '"/My Tools/python3"'),
        ("/50%/python3", "/50%%/python3"),
        ("/$HOME/python3", "/$$HOME/python3"),
        ('/a"b\\c', '"/a\\"b\\\\c"'),
        ("/a;b", '"/a;b"'),
    ],
)
def test_words_are_quoted_as_systemd_reads_them(word: str, quoted: str) -> None:
    assert quoted == units._quoted(word)
