# SPDX-License-Identifier: Apache-2.0
"""`awsvault lock`: every key out of the daemon's memory. Ends with 0 only when that has happened."""

import contextlib
import os
import time

import typer

from awsvault import launch, output
from awsvault.commands import home_of, new_app
from vaultd.wire import client
from vaultd.wire.errors import DaemonHung, DaemonUnreachable, NoVault, VaultError
from vaultd.wire.protocol import Frame

app = new_app()

TIMEOUT_S = 30.0  # a key that is being made in AWS is sealed first
POLL_S = 0.02


@app.command("lock", epilog="Example: awsvault lock")
def command(ctx: typer.Context) -> None:
    """Lock the vault; no key is left in vaultd's memory."""
    lock(home_of(ctx))
    output.say("The vault is locked.")


def lock(home: str | None) -> None:
    try:
        before = client.call("status", home=home)
        for note in client.call("lock", home=home)["notes"]:
            output.say(str(note))
    except (NoVault, DaemonUnreachable) as error:
        _nobody_listens(home, error)
        return
    await_lock(home, before)


def await_lock(home: str | None, before: Frame) -> None:
    """Until the image of `before` (an answer to `status`) is gone. Raises DaemonHung."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if _is_gone(int(before["pid"])):
            return
        with contextlib.suppress(DaemonUnreachable, NoVault):
            now = client.call("status", home=home)
            if now["instance"] != before["instance"]:
                if now["state"] == "unlocked":
                    raise VaultError("the vault was locked, and somebody has unlocked it since")
                return
        time.sleep(POLL_S)
    raise DaemonHung("vaultd does not lock", hint="run: awsvault daemon stop")


def _nobody_listens(home: str | None, error: VaultError) -> None:
    """No daemon has no keys. One that only cannot be reached may have them."""
    pid = launch.holder(home)
    if pid is not None:
        raise DaemonUnreachable(
            f"vaultd (pid {pid}) does not answer and may hold keys", hint="run: awsvault daemon stop"
        )
    if type(error) is not DaemonUnreachable:
        raise error


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):  # the second: the pid is somebody else's process by now
        return True
    return False
