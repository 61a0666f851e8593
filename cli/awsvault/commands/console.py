# SPDX-License-Identifier: Apache-2.0
"""`awsvault console PROFILE`: a link that signs a browser in to the AWS console."""

from typing import Annotated

import typer

from awsvault import completion, output, rolesettings
from awsvault.commands import home_of, new_app
from vaultd.wire import client

app = new_app()


@app.command("console", epilog="Example: awsvault console admin --destination /s3/home --open")
def command(
    ctx: typer.Context,
    profile: completion.Profile,
    *,
    destination: Annotated[
        str | None, typer.Option("--destination", metavar="URL|PATH", help="The page of the console to open.")
    ] = None,
    duration: Annotated[
        str | None,
        typer.Option("--duration", metavar="TIME", help="For a role that a key assumes: how long it lasts."),
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open it in a browser instead of printing it.")
    ] = False,
) -> None:
    """Print a link that signs in to the console. Whoever has the link is signed in: it works for 15 minutes."""
    reply = client.call(
        "console",
        home=home_of(ctx),
        profile=profile,
        destination=destination,
        duration_s=rolesettings.seconds(duration),
    )
    output.say(f"Made by {reply['by']}; the link works for 15 minutes.")
    if open_browser and _opened(reply["url"]):
        return
    output.answer(reply["url"])


def _opened(url: str) -> bool:
    import webbrowser

    return webbrowser.open(url)
