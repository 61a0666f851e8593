# SPDX-License-Identifier: Apache-2.0
"""`awsvault daemon ...`: vaultd itself, with systemd where the user has it and plainly where not."""

import os

import typer

from awsvault import launch, output, units
from awsvault.commands import home_of, new_app
from vaultd.wire.errors import Usage

app = new_app("Start, stop and install vaultd, the daemon that holds the keys.")

LOG_LINES = 50


@app.command("install", epilog="Example: awsvault daemon install")
def install(ctx: typer.Context) -> None:
    """Start vaultd at every login, by systemd user units."""
    if home_of(ctx):
        raise Usage(
            "units serve the usual places only", hint="run with another home: awsvault --home DIR unlock"
        )
    if not units.manager_runs():
        output.say("No systemd user manager runs here: nothing is installed. Starting vaultd plainly.")
        launch.ensure_daemon(None)
        return
    install_units()


def install_units() -> None:
    """A daemon that was started plainly gives way: there is one for each vault."""
    launch.stop(None)
    units.install()
    launch.ensure_daemon(None)
    output.say(
        "vaultd starts at every login from now on. For cron and ssh without a login: loginctl enable-linger"
    )


@app.command("uninstall")
def uninstall() -> None:
    """Undo `install`. The vault and its keys stay."""
    output.say("The units are gone." if units.uninstall() else "No units are installed.")


@app.command("start")
def start(ctx: typer.Context) -> None:
    """Start vaultd; the vault stays locked."""
    home = home_of(ctx)
    if _by_systemd(home):
        units.start()
    status = launch.ensure_daemon(home)
    state = "there is no vault yet" if status["state"] == "no-vault" else f"the vault is {status['state']}"
    output.say(f"vaultd runs (pid {status['pid']}); {state}.")


@app.command("stop")
def stop(ctx: typer.Context) -> None:
    """End vaultd, and with it what it holds in memory."""
    home = home_of(ctx)
    if _by_systemd(home):
        units.stop()
    output.say("vaultd has ended." if launch.stop(home) or _by_systemd(home) else "vaultd was not running.")


@app.command("restart")
def restart(ctx: typer.Context) -> None:
    """End vaultd and start it again, after an upgrade or when it hangs. The vault is locked then."""
    stop(ctx)
    start(ctx)


@app.command("logs")
def logs(ctx: typer.Context) -> None:
    """Show the last lines that vaultd logged."""
    home = home_of(ctx)
    if _by_systemd(home):
        os.execvp(
            "journalctl", ["journalctl", "--user", "-u", units.SERVICE, "-n", str(LOG_LINES), "--no-pager"]
        )
    path = _log_path(home)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.readlines()[-LOG_LINES:]
    except FileNotFoundError:
        output.say(f"There is no {path} yet.")
        return
    for line in lines:
        output.answer(line.rstrip("\n"))


def _by_systemd(home: str | None) -> bool:
    return home is None and units.are_installed() and units.manager_runs()


def _log_path(home: str | None) -> str:
    import platformdirs

    return os.path.join(home or platformdirs.user_state_dir("awsvault", appauthor=False), "vaultd.log")
