# SPDX-License-Identifier: Apache-2.0
"""`awsvault exec PROFILE -- CMD`: its help and its options; the program is awsvault/running.py."""

from typing import Annotated

import typer

from awsvault import completion, running
from awsvault.commands import home_of, new_app

app = new_app()


@app.command("exec", epilog="Example: awsvault exec dev -- terraform plan")
def command(
    ctx: typer.Context,
    profile: completion.Profile,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- COMMAND", show_default=False, help="The command and its arguments."),
    ] = None,
    *,
    server: Annotated[
        bool,
        typer.Option("--server", help="Hand out sessions at an address, renewed for as long as it runs."),
    ] = False,
    serve: Annotated[
        str | None,
        typer.Option("--serve", metavar="session|key", help="`key`: hand out the long-term key itself."),
    ] = None,
    nested: Annotated[bool, typer.Option("--nested", help="Run inside another `awsvault exec`.")] = False,
) -> None:
    """Run a command with a profile's credentials.

    The command takes this process over: signals, job control and the exit status are its own. For programs that run
    longer than a session, --server gives them an address on this machine at which SDKs renew it by themselves.
    """
    wish = running.Wish(profile, tuple(words or ()), serve=serve, server=server, nested=nested)
    running.run(home_of(ctx), wish)
