# SPDX-License-Identifier: Apache-2.0
"""`awsvault snooze PROFILE`: no reminders of a profile for a while."""

from typing import Annotated

import typer

from awsvault import completion, output
from awsvault.commands import home_of, new_app
from vaultd.wire import client, durations
from vaultd.wire.errors import Usage

app = new_app()


@app.command("snooze", epilog="Example: awsvault snooze dev --for 7d")
def command(
    ctx: typer.Context,
    profile: completion.Profile,
    *,
    length: Annotated[
        str, typer.Option("--for", metavar="TIME", help="For how long: 12h, 7d; 0s ends a snooze.")
    ] = "7d",
) -> None:
    """Remind of nothing about a profile for a while. A key that AWS holds for leaked is reminded of all the same."""
    try:
        for_s = durations.parse(length)
    except Usage as error:
        raise Usage(f"--for {error.message}") from None
    reply = client.call("snooze", home=home_of(ctx), profile=profile, for_s=for_s)
    if reply["until"]:
        output.say(f"No reminders of {profile} until {reply['until']}.")
    else:
        output.say(f"{profile} is reminded of again.")
