# SPDX-License-Identifier: Apache-2.0
"""`awsvault get PROFILE` for help and completion, and with options before it; the program is awsvault/get.py."""

import typer

from awsvault import completion
from awsvault.commands import new_app

app = new_app()


@app.command("get", epilog="In ~/.aws/config: credential_process = /usr/bin/awsvault get dev")
def command(ctx: typer.Context, profile: completion.Profile) -> None:
    """Print credentials as credential_process wants them. AWS's tools call this."""
    from awsvault.get import main

    main(ctx.find_root().params.get("home"), profile)
