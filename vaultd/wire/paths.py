# SPDX-License-Identifier: Apache-2.0
"""Where the socket is, and whether its directory can be trusted.

`awsvault get` loads this, so it imports nothing that a bare interpreter has not loaded already. The other places
(vault, audit, settings) are the daemon's business: see edge/places.py.

The socket's directory does not come from XDG_RUNTIME_DIR: cron, IDEs and ssh sessions disagree about it, and a client
that looks elsewhere than the daemon listens is a lost client. It is AWSVAULT_HOME when that is set, else
/run/user/<uid>/awsvault where logind made /run/user/<uid>, else <state>/run below the home directory that the user
database names (HOME may be missing or, under sudo, somebody else's). Never /tmp.
"""

import os
import pwd
import stat
import sys

from vaultd.wire.errors import DaemonUnreachable, NoVault, Refused, Usage, VaultError, printable

SOCKET_NAME = "vaultd.sock"
MAX_SOCKET_PATH = (
    107 if sys.platform == "linux" else 103
)  # bytes: sun_path less its NUL (unix(7); macOS: sys/un.h)


def home_override(option: str | None) -> str | None:
    """The directory that holds everything, from `--home` or AWSVAULT_HOME, absolute; None for the usual places."""
    chosen = option or os.environ.get("AWSVAULT_HOME")
    return os.path.abspath(chosen) if chosen else None


def login_home() -> str:
    """The user's home directory by the user database."""
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        raise Refused(
            f"uid {os.getuid()} is not in the user database",
            hint="set AWSVAULT_HOME to a directory of its own",
        ) from None


def state_run_dir() -> str:
    below = "Library/Application Support" if sys.platform == "darwin" else ".local/state"  # not run on macOS
    return os.path.join(login_home(), below, "awsvault", "run")


def socket_dirs(home: str | None) -> list[str]:
    """The directories in which a daemon may listen, best first. The daemon takes the first; a client tries all."""
    if home:
        return [home]
    runtime = f"/run/user/{os.getuid()}"
    try:
        ours = os.stat(runtime).st_uid == os.getuid()
    except OSError:
        ours = False
    return [f"{runtime}/awsvault", state_run_dir()] if ours else [state_run_dir()]


def socket_path(directory: str) -> str:
    """The socket in `directory`. Raises Usage when the kernel could not take the name."""
    path = os.path.join(directory, SOCKET_NAME)
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise Usage(
            f"the socket's path is longer than the {MAX_SOCKET_PATH} bytes that a Unix socket can have",
            hint="choose a shorter AWSVAULT_HOME",
        )
    return path


def check_private_dir(directory: str) -> None:
    """Raise Refused unless `directory` is a real directory (no symlink), owned by us, closed to others.

    Another uid that can write here could replace the socket and be sent the passphrase. FileNotFoundError passes
    through: a missing directory is no danger.
    """
    info = os.lstat(directory)
    if not stat.S_ISDIR(info.st_mode):
        raise Refused(f"{directory} is not a directory", hint="remove it")
    if info.st_uid != os.getuid():
        if os.getuid() == 0:
            # Through sudo: root could read everything, but would leave root-owned files in the user's places.
            raise Refused(f"the vault belongs to uid {info.st_uid}", hint="run without sudo")
        raise Refused(
            f"{directory} belongs to uid {info.st_uid}", hint="set AWSVAULT_HOME to a directory of your own"
        )
    if info.st_mode & 0o077:
        raise Refused(f"{directory} is open to other users", hint=f"run: chmod 700 {directory}")


def unreachable(home: str | None) -> VaultError:
    """Why nothing answers: through sudo it is the wrong user, else there is no vault yet, or no daemon.

    Only a guess at what to tell the user, from this side of the socket: the daemon knows where the vault is.
    """
    if home is None and os.getuid() == 0 and os.environ.get("SUDO_UID", "0") not in ("", "0"):
        return Refused(
            f"the vault belongs to uid {printable(os.environ['SUDO_UID'])}", hint="run without sudo"
        )
    base = "Library/Application Support" if sys.platform == "darwin" else ".local/share"
    data = home or os.path.join(
        os.environ.get("XDG_DATA_HOME") or os.path.join(login_home(), base), "awsvault"
    )
    return DaemonUnreachable() if os.path.lexists(os.path.join(data, "vault")) else NoVault()


def need_home(home: str | None) -> None:
    """Raise NoVault when an explicit home does not exist: a typing error must not grow a second vault."""
    if home and not os.path.isdir(home):
        raise NoVault(f"there is no vault in {home}", hint=f"run: awsvault --home {home} init")
