# SPDX-License-Identifier: Apache-2.0
"""`awsvault env PROFILE`: credentials as variables, for a shell or a program that takes nothing else."""

import sys
from typing import Annotated

import typer

from awsvault import completion, environment, lending, output, shells
from awsvault.commands import home_of, new_app

app = new_app()


@app.command("env", epilog='Example: eval "$(awsvault env dev)"')
def command(
    ctx: typer.Context,
    profile: completion.Profile,
    *,
    format_name: Annotated[
        str, typer.Option("--format", metavar="|".join(shells.FORMATS), help="Whom it is written for.")
    ] = "sh",
    serve: Annotated[
        str | None,
        typer.Option("--serve", metavar="session|key", help="`key`: print the long-term key itself."),
    ] = None,
) -> None:
    """Print a profile's credentials as variables.

    They are a session, which ends at AWS_CREDENTIAL_EXPIRATION. Every program that is started in that shell inherits them; `awsvault exec` gives them to one.
    """
    shells.check(format_name)
    home = home_of(ctx)
    document = lending.credentials(home, profile, serve)
    variables = environment.of_credentials(document, lending.region(home, profile))
    unset = [name for name in environment.CONFLICTING if name not in variables]
    if sys.stdout and sys.stdout.isatty():
        output.say(
            f'These are secrets, and stay on the screen. To use them unseen: eval "$(awsvault env {profile})"'
        )
    output.answer(shells.write(format_name, variables, unset))
