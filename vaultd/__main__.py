# SPDX-License-Identifier: Apache-2.0
"""The `vaultd` command: harden first, then become an isolated interpreter with a clean environment, then run."""

import os
import sys

from vaultd import __version__
from vaultd.edge import harden

#: What the daemon may inherit. Everything else goes: PYTHON* and LD_* would change the program, AWS_* would change
#: whom we ask, and a shell's environment may hold a secret that we don't want to own.
ENVIRONMENT = (
    "HOME USER LOGNAME LANG TZ PATH DBUS_SESSION_BUS_ADDRESS DISPLAY WAYLAND_DISPLAY NOTIFY_SOCKET "
    "CREDENTIALS_DIRECTORY STATE_DIRECTORY RUNTIME_DIRECTORY AWSVAULT_HOME JOURNAL_STREAM"
).split()
ENVIRONMENT_PREFIXES = ("LC_", "XDG_", "WATCHDOG_", "LISTEN_")


def clean_environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k in ENVIRONMENT or k.startswith(ENVIRONMENT_PREFIXES)}


def become_isolated(arguments: list[str]) -> None:
    """Exec `python -I -m vaultd` with a clean environment, unless that is what we are already.

    Isolated means that neither PYTHON* variables nor the current directory nor the user's site-packages choose the
    code which will hold the secrets.
    """
    environment = clean_environment()
    if sys.flags.isolated and environment.keys() == os.environ.keys():
        return
    command = [sys.executable, "-I", "-m", "vaultd", *arguments]
    if not sys.flags.isolated:
        _check_importable_isolated()
    os.execve(command[0], command, environment)


def _check_importable_isolated() -> None:
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-c", "import vaultd.daemon"],
        clean_environment(),
        file_actions=[(os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0)],
    )
    _, status = os.waitpid(pid, 0)
    if status:
        from vaultd.wire.errors import Refused

        raise Refused(
            "an isolated python cannot import vaultd (pip install --user, or PYTHONPATH)",
            hint="install it with pipx or into a venv",
        )


def main() -> None:
    harden.harden()
    from vaultd.wire import paths
    from vaultd.wire.errors import VaultError

    try:
        home = _home_option(sys.argv[1:])
        become_isolated(sys.argv[1:])
        from vaultd import daemon

        sys.exit(daemon.run(paths.home_override(home)))
    except VaultError as error:
        sys.stderr.write(f"vaultd: {error.line}\n")
        sys.exit(error.exit_status)


def _home_option(arguments: list[str]) -> str | None:
    """The one option there is; argparse would cost 9 ms of every lock."""
    match arguments:
        case []:
            return None
        case ["--home", home]:
            return home
        case ["--version"]:
            sys.stdout.write(f"vaultd {__version__}\n")
        case ["--help" | "-h"]:
            sys.stdout.write(
                "usage: vaultd [--home DIR]\n\nThe daemon behind awsvault. Stop it with SIGTERM.\n"
            )
        case _:
            from vaultd.wire.errors import Usage

            raise Usage("vaultd takes --home DIR and nothing else", hint="run: vaultd --help")
    sys.exit(0)


if __name__ == "__main__":
    main()
