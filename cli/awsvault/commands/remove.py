# SPDX-License-Identifier: Apache-2.0
"""`awsvault remove PROFILE`: forget a key here and take its hook out. The key itself lives on in AWS."""

from typing import Annotated

import typer

from awsvault import completion, output, prompts
from awsvault.commands import home_of, new_app
from vaultd.wire import client
from vaultd.wire.errors import Usage

app = new_app()


@app.command("remove", epilog="Example: awsvault remove dev")
def command(
    ctx: typer.Context,
    profile: completion.Profile,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask for the name.")] = False,
    no_config: Annotated[bool, typer.Option("--no-config", help="Leave ~/.aws/config as it is.")] = False,
) -> None:
    """Remove a key from the vault and its hook from ~/.aws/config.

    The key still lives in AWS; this program only forgets its secret.
    """
    from awsvault import hook

    home = home_of(ctx)
    found = client.call("show", home=home, profile=profile)["profile"]
    if not no_config:
        hook.check_readable()
    if not yes:
        if not prompts.available():
            raise Usage("no terminal to confirm on", hint="use --yes")
        where = f" of account {found['account']}" if found["account"] else ""
        if found["kind"] == "role":
            prompts.tell(f"The vault forgets the role {found['role_arn']}.\n")
        else:
            key = output.short_key(found["access_key_id"])
            prompts.tell(f"The vault forgets the secret of {profile}: key {key}{where}.\n")
        prompts.must_type(profile, f"Type {profile} to remove it:")
    removed = client.call("remove", home=home, profile=profile)
    if not no_config and hook.remove(profile, home, found["region"]):
        output.say(f"The hook is out of {hook.config_path()}.")
    if found["kind"] == "role":
        output.say(f"{profile} is removed. Its sessions live until they expire.")
        return
    account = f" in account {removed['account']}" if removed["account"] else ""
    for other in removed["other_keys"]:
        output.say(f"A rotation was open: its other key {other} lives on in AWS, too.")
    output.say(
        f"{profile} is removed. Its key {output.short_key(removed['access_key_id'])} still lives in AWS{account}: "
        "delete it there when nothing needs it."
    )
