# SPDX-License-Identifier: Apache-2.0
"""`awsvault revoke PROFILE`: take a key out of use in AWS, and say what that does not end."""

from typing import Annotated

import typer

from awsvault import completion, output, prompts, revoking
from awsvault.commands import home_of, new_app
from vaultd.wire import client
from vaultd.wire.errors import AwsFailed, Usage
from vaultd.wire.protocol import Frame

app = new_app()


@app.command("revoke", epilog="Example: awsvault revoke dev --sessions")
def command(
    ctx: typer.Context,
    profile: completion.Profile,
    *,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete the key; an inactive one can be activated again.")
    ] = False,
    sessions: Annotated[
        bool,
        typer.Option("--sessions", help="Deny everything to the sessions that the user has by now, too."),
    ] = False,
    via: Annotated[
        str | None,
        typer.Option("--via", metavar="PROFILE", help="Use another profile's rights.", show_default=False),
    ] = None,
    undo: Annotated[
        bool,
        typer.Option("--undo", help="Serve a revoked key again that is active again; --via activates it."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask for the name.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Set a key inactive in AWS, and serve it no more.

    Sessions live on when their key is inactive: the report names those that are known, and what would end them.
    """
    home = home_of(ctx)
    if undo:
        _undo(home, profile, via, odd=delete or sessions or as_json)
        return
    if not yes:
        _ask(home, profile, delete=delete, sessions=sessions)
    fields: Frame = {"profile": profile, "delete": delete, "sessions": sessions, "via": via}
    reply = client.call("revoke", home=home, on_progress=output.progress, **fields)
    revoking.answer(reply, as_json=as_json)
    (found,) = reply["profiles"]
    if found["missing"]:
        raise AwsFailed(
            f'"{profile}" is not revoked in all that was asked: {found["missing"]}',
            hint=f"run: {_again(profile, delete=delete, sessions=sessions)}",
        )
    if not delete:
        output.say(
            f"An inactive key cannot activate itself. If that was wrong: activate it in the IAM console, then run: "
            f"awsvault revoke {profile} --undo"
        )


def _again(profile: str, *, delete: bool, sessions: bool) -> str:
    flags = (" --delete" if delete else "") + (" --sessions" if sessions else "")
    return f"awsvault revoke {profile}{flags} --via PROFILE"


def _ask(home: str | None, profile: str, *, delete: bool, sessions: bool) -> None:
    if not prompts.available():
        raise Usage("no terminal to confirm on", hint="use --yes")
    found = client.call("show", home=home, profile=profile)["profile"]
    if found["kind"] == "role":
        raise Usage(
            f"{profile} is a role and has no key of its own", hint=f"run: awsvault revoke {found['source']}"
        )
    who = f" of {found['arn']}" if found["arn"] else ""
    end = "deleted" if delete else "set inactive"
    prompts.tell(f"The key {output.short_key(found['access_key_id'])}{who} is {end} in AWS.\n")
    if sessions:
        prompts.tell(
            "All sessions that the user has by now, and for another 15 minutes, are denied everything.\n"
        )
    prompts.must_type(profile, f"Type {profile} to revoke it:")


def _undo(home: str | None, profile: str, via: str | None, *, odd: bool) -> None:
    if odd:
        raise Usage("--undo goes with --via only")
    reply = client.call("unrevoke", home=home, on_progress=output.progress, profile=profile, via=via)
    for note in reply["notes"]:
        output.say(str(note))
    output.say(f"{profile} is served again with the key {output.short_key(reply['access_key_id'])}.")
