# SPDX-License-Identifier: Apache-2.0
"""systemd's user units of vaultd: rendered from the templates, checked, installed, taken out again.

Only ever the user's own manager. Where none runs (containers, WSL without systemd, macOS) callers start vaultd plainly.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile

from awsvault import launch
from vaultd.wire.errors import StorageFailed, VaultError, printable

SOCKET, SERVICE = "vaultd.socket", "vaultd.service"
TIMEOUT_S = 40.0  # longer than the service's TimeoutStopSec


def manager_runs() -> bool:
    """Does a systemd user manager answer? `show-environment` needs it and changes nothing."""
    return _systemctl("show-environment").returncode == 0


def are_installed() -> bool:
    return os.path.exists(os.path.join(_directory(), SERVICE))


def install() -> None:
    """Put both units in place, enabled and started. Raises VaultError; then nothing is installed."""
    units = _rendered()
    _verify(units)
    directory = _directory()
    try:
        os.makedirs(directory, exist_ok=True)
        for name, text in units.items():
            _write(os.path.join(directory, name), text)
    except OSError as error:
        raise StorageFailed(
            f"{directory} cannot be written ({error.strerror})", hint="mend that, then try again"
        ) from None
    try:
        _must("daemon-reload")
        _must("enable", "--now", SOCKET, SERVICE)
    except VaultError:
        uninstall()
        raise


def drift() -> list[tuple[str, bool, bool]]:
    """Each unit's path, whether it is installed, and whether it is what `install` would write today."""
    found = []
    for name, text in _rendered().items():
        path = os.path.join(_directory(), name)
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                found.append((path, True, file.read() == text))
        except OSError:
            found.append((path, False, False))
    return found


def _rendered() -> dict[str, str]:
    return {SOCKET: _template(SOCKET), SERVICE: _template(SERVICE).replace("@VAULTD@", _command_line())}


def uninstall() -> bool:
    """Undo `install`; False when there was nothing to undo."""
    if not are_installed():
        return False
    _systemctl("disable", "--now", SOCKET, SERVICE)  # without a manager there is nothing to disable
    for name in (SOCKET, SERVICE):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(_directory(), name))
    _systemctl("daemon-reload")
    return True


def start() -> None:
    _must("start", SOCKET, SERVICE)


def stop() -> None:
    """Both: the socket alone would start the service again for the next client."""
    _must("stop", SOCKET, SERVICE)


def _directory() -> str:
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(config, "systemd", "user")


def _template(name: str) -> str:
    """From the installation; in a checkout, which may not be installed, from beside the package."""
    checkout = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "systemd")
    for folder in (os.path.join(sys.prefix, "share", "systemd", "user"), checkout):
        try:
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            continue
    raise VaultError(f"{name} is missing from this installation", hint="install awsvault again")


def _command_line() -> str:
    """ExecStart=, each word quoted as systemd.syntax(7) and systemd.service(5) want it."""
    return " ".join(_quoted(word) for word in launch.command(None))


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if set(word) & set(" \t\"'\\;") else escaped


def _verify(units: dict[str, str]) -> None:
    """systemd's own opinion, before anything is installed: it answers 0 to a misspelt directive, and complains on stderr."""
    if shutil.which("systemd-analyze") is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        files = [os.path.join(folder, name) for name in units]
        for path, text in zip(files, units.values(), strict=True):
            _write(path, text)
        done = _run("systemd-analyze", "--user", "--man=no", "verify", *files)
    if done.returncode or done.stderr.strip():
        complaint = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[0]
        raise VaultError(
            f"systemd does not take the units ({printable(complaint)})",
            hint="start without: awsvault daemon start",
        )


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _must(*arguments: str) -> None:
    done = _systemctl(*arguments)
    if done.returncode:
        complaint = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise VaultError(
            f"systemctl --user {arguments[0]} failed ({printable(complaint)})",
            hint="run: systemctl --user status vaultd",
        )


def _systemctl(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return _run("systemctl", "--user", *arguments)


def _run(*command: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer within {TIMEOUT_S:.0f} s")
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 1, "", f"there is no {command[0]}")
