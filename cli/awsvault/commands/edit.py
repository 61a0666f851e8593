# SPDX-License-Identifier: Apache-2.0
"""`awsvault edit PROFILE`: change how a key is served without entering it again."""

from typing import Annotated

import typer

from awsvault import completion, output
from awsvault.commands import home_of, new_app
from vaultd.wire import client
from vaultd.wire.errors import Usage, VaultError

app = new_app()


@app.command("edit", epilog="Example: awsvault edit dev --serve key")
def command(
    ctx: typer.Context,
    profile: completion.Profile,
    *,
    serve: Annotated[
        str | None, typer.Option("--serve", metavar="session|key", help="What `get` hands out.")
    ] = None,
    region: Annotated[
        str | None, typer.Option("--region", metavar="REGION", help="The region of its calls; '' for none.")
    ] = None,
    mfa_serial: Annotated[
        str | None, typer.Option("--mfa-serial", metavar="ARN", help="Its MFA device; '' for none.")
    ] = None,
) -> None:
    """Change a profile: what it serves, its region, its MFA device."""
    given = {"serve": serve, "region": region, "mfa_serial": mfa_serial}
    changes = {name: value or None for name, value in given.items() if value is not None}
    if not changes:
        raise Usage("there is nothing to change", hint="choose from --serve, --region, --mfa-serial")
    home = home_of(ctx)
    before = client.call("show", home=home, profile=profile)["profile"]
    client.call("edit", home=home, profile=profile, changes=changes)
    if "region" in changes:
        _follow(profile, home, before["region"], changes["region"])
    output.say(
        f"{profile} is changed: " + ", ".join(f"{name} {value or 'none'}" for name, value in changes.items())
    )


def _follow(profile: str, home: str | None, old: str | None, new: str | None) -> None:
    """The region line that `add` wrote beside the hook says the same."""
    from awsvault import hook

    try:
        hook.change_region(profile, home, old, new)
    except VaultError as error:
        output.say(f"the region in {hook.config_path()} stays: {error.line}")
