# SPDX-License-Identifier: Apache-2.0
"""The `vaultd` command: harden first, then become an isolated interpreter with a clean environment, then run."""

import os
import sys

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
    from vaultd.wire.errors import VaultError

    try:
        become_isolated(sys.argv[1:])
        from vaultd import daemon

        sys.exit(daemon.main(sys.argv[1:]))
    except VaultError as error:
        sys.stderr.write(f"vaultd: {error.line}\n")
        sys.exit(error.exit_status)


if __name__ == "__main__":
    main()
