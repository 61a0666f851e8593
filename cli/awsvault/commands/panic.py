# SPDX-License-Identifier: Apache-2.0
"""`awsvault panic`: every key out of use in AWS, at once, and the vault locked."""

from typing import Annotated

import typer

from awsvault import launch, output, passphrases, prompts, revoking
from awsvault.commands import home_of, new_app
from vaultd.wire import client
from vaultd.wire.errors import AwsFailed, Locked, NoVault, Usage
from vaultd.wire.protocol import Frame

app = new_app()


@app.command("panic", epilog="Example: awsvault panic")
def command(
    ctx: typer.Context,
    *,
    no_sessions: Annotated[
        bool, typer.Option("--no-sessions", help="Leave the sessions alive that were made so far.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Take every key out of use in AWS, and lock the vault.

    Each key is set inactive, and its user's older sessions are denied everything. What cannot be done now is done after
    the next unlock; until then its profile is not served.
    """
    from awsvault.commands import lock

    home = home_of(ctx)
    if not yes:
        _ask(no_sessions=no_sessions)
    before = _opened(home)
    reply = client.call("panic", home=home, on_progress=output.progress, sessions=not no_sessions)
    revoking.answer(reply, as_json=as_json)
    lock.await_lock(home, before)
    output.say("The vault is locked.")
    if reply["failed"]:
        raise AwsFailed(
            f"{reply['failed']} of {len(reply['profiles'])} profiles are not revoked",
            hint="run: awsvault unlock, then awsvault due",
        )


def _ask(*, no_sessions: bool) -> None:
    if not prompts.available():
        raise Usage("no terminal to confirm on", hint="use --yes")
    sessions = "" if no_sessions else ", and what their users' sessions may do is denied"
    prompts.tell(f"Every key of this vault is set inactive in AWS{sessions}. Programs that use them fail.\n")
    prompts.must_type("panic", "Type panic to go on:")


def _opened(home: str | None) -> Frame:
    """The status of the daemon that has the open vault; at a terminal the passphrase is asked for."""
    from awsvault.commands import unlock

    has_person = prompts.available()
    status = launch.ensure_daemon(home) if has_person else client.call("status", home=home)
    if status["state"] == "no-vault":
        raise NoVault
    if status["state"] == "unlocked":
        return status
    if not has_person:
        raise Locked
    unlock.unlock(home, passphrases.Source(None, None))
    return client.call("status", home=home)
