# SPDX-License-Identifier: Apache-2.0
"""`awsvault mfa PROFILE`: give the code of an MFA device ahead of use; every profile of that key is served then."""

import sys
from typing import Annotated

import typer

from awsvault import codes, completion, output
from awsvault.commands import home_of, new_app
from vaultd.wire import client

app = new_app()


@app.command("mfa", epilog="Example: awsvault mfa prod 123456")
def command(
    ctx: typer.Context,
    profile: completion.Profile,
    code: Annotated[
        str | None,
        typer.Argument(
            show_default=False, help="Left out: the stored seed's, the profile's command's, or asked for."
        ),
    ] = None,
    *,
    pinentry: Annotated[bool, typer.Option("--pinentry", help="Ask in a window of pinentry.")] = False,
) -> None:
    """Start an MFA session. It is kept sealed in the vault, and survives a lock."""
    home = home_of(ctx)
    shown = client.call("show", home=home, profile=profile)["profile"]
    holder = shown.get("mfa_profile") or profile
    key = shown if holder == profile else client.call("show", home=home, profile=holder)["profile"]
    if code is None and not (key.get("totp") and not pinentry):
        code = codes.code_for(holder, list(key.get("mfa_process") or ()), pinentry=pinentry, stdin=sys.stdin)
    reply = client.call("mfa", home=home, on_progress=output.progress, profile=profile, code=code)
    output.say(f"{reply['profile']} has an MFA session until {reply['expires_at']}.")
