# SPDX-License-Identifier: Apache-2.0
"""`awsvault due`: what wants to be done about the keys, for people, shell prompts and cron."""

import sys
from typing import Annotated

import typer

from awsvault import output, reminding
from awsvault.commands import home_of, new_app
from vaultd.wire import client
from vaultd.wire.errors import Found, Usage

app = new_app()


@app.command("due", epilog="Example: awsvault due --quiet; [ $? = 9 ] && echo Look at: awsvault due")
def command(
    ctx: typer.Context,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON array, one object for each reminder.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing: the exit status tells. For a shell prompt.")
    ] = False,
) -> None:
    """Show what is due. The exit status is 9 when something is, else 0.

    It works while the vault is locked, too: by names and dates alone, which are kept outside it.
    """
    home = home_of(ctx)
    if quiet:
        if as_json:
            raise Usage("use one of --json or --quiet")
        reminding.quiet(home)
    items = client.call("due", home=home)["items"]
    if as_json:
        output.answer_json(items)
    for item in [] if as_json else items:
        output.answer(reminding.line_of(item))
    if items:
        raise typer.Exit(Found.exit_status)
    if not as_json and sys.stderr and sys.stderr.isatty():  # cron mails what is written
        output.say("Nothing is due.")
