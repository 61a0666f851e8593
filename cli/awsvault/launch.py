# SPDX-License-Identifier: Apache-2.0
"""Starts and ends the daemon for the commands that may: `unlock`, `init`, `daemon`. `get` never comes here.

The vault's lock file, not the socket, says whether a daemon lives: one that hangs, or whose socket vanished, still
holds the lock, and perhaps the keys.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time

from vaultd.wire import client, paths
from vaultd.wire.errors import DaemonUnreachable, NoVault, Refused, VaultError
from vaultd.wire.protocol import Frame

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0  # the daemon gives answers under way 2 s, then ends
POLL_S = 0.02


def command(home: str | None) -> list[str]:
    """Isolated: no PYTHON* variable, current directory or user's site-packages chooses the code that holds the keys."""
    return [sys.executable, "-I", "-m", "vaultd", *(["--home", home] if home else [])]


def ensure_daemon(home: str | None) -> Frame:
    """The `status` of the daemon, which is started when nothing listens."""
    try:
        return client.call("status", home=home)
    except (NoVault, DaemonUnreachable) as error:
        # A daemon that hangs or speaks another version is there; a home that is not there is a typing error.
        if type(error) not in (NoVault, DaemonUnreachable) or (home and not os.path.isdir(home)):
            raise
    return _start(home)


def make_home(home: str | None) -> None:
    """Create an explicit home for `init`; its parent must exist, so that a typing error grows no tree."""
    if not home:
        return
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(home, 0o700)
    except OSError as error:
        raise Refused(f"{home} cannot be made ({error.strerror})", hint="make it, closed to others") from None
    paths.check_private_dir(home)


def _start(home: str | None) -> Frame:
    """Until it listens its stderr is ours to read; then it writes to its own log."""
    with subprocess.Popen(
        command(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd="/",
        start_new_session=True,
    ) as daemon:
        status = _wait_for(daemon, home)
        daemon.returncode = 0  # it lives on, and is nobody's to wait for
    return status


def _wait_for(daemon: "subprocess.Popen[bytes]", home: str | None) -> Frame:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        ended = daemon.poll()
        try:
            return client.call("status", home=home)
        except (NoVault, DaemonUnreachable) as error:
            if type(error) not in (NoVault, DaemonUnreachable):
                raise
        if ended is not None:
            raise _last_words(daemon, ended)
        time.sleep(POLL_S)
    daemon.kill()
    raise DaemonUnreachable(
        f"vaultd did not start within {START_TIMEOUT_S:.0f} s", hint="run: awsvault daemon logs"
    )


def _last_words(daemon: "subprocess.Popen[bytes]", status: int) -> VaultError:
    """The one line that vaultd ends with, as our own error."""
    said = daemon.stderr.read().decode("utf-8", "replace").splitlines() if daemon.stderr else []
    lines = [line.removeprefix("vaultd: ") for line in said if line.startswith("vaultd: ")]
    error = DaemonUnreachable(lines[-1] if lines else f"vaultd ended at once with status {status}", hint="")
    error.exit_status = status if lines and 0 < status < signal.NSIG * 2 else DaemonUnreachable.exit_status
    return error


def holder(home: str | None) -> int | None:
    """The pid of the daemon that holds the vault; None when none does."""
    import platformdirs

    data = home or platformdirs.user_data_dir("awsvault", appauthor=False)
    try:
        fd = os.open(os.path.join(data, "vault.lock"), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(fd)
    return None


def stop(home: str | None) -> bool:
    """End the daemon and wait until it is gone; False when there was none."""
    pid = holder(home)
    if pid is None:
        return False
    for number in (
        signal.SIGTERM,
        signal.SIGKILL,
    ):  # one that hangs has the keys in its memory, and must go too
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            if holder(home) != pid:
                return True
            time.sleep(POLL_S)
    raise DaemonUnreachable(f"vaultd (pid {pid}) does not end", hint=f"run: kill -9 {pid}")
