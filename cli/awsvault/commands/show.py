# SPDX-License-Identifier: Apache-2.0
"""`awsvault show PROFILE`: everything that is kept about a key, but the secret."""

from typing import Annotated

import typer

from awsvault import completion, output
from awsvault.commands import home_of, new_app
from awsvault.commands.list import max_days
from vaultd.wire import client

app = new_app()

FACTS = (
    ("profile", "profile"),
    ("serves", "serve"),
    ("key", "access_key_id"),
    ("account", "account"),
    ("arn", "arn"),
    ("partition", "partition"),
    ("region", "region"),
    ("mfa", "mfa_serial"),
    ("created", "created_at"),
    ("added", "added_at"),
    ("verified", "verified_at"),
    ("last used", "last_used_at"),
    ("rotate by", "rotate_by"),
    ("status", "status"),
)


@app.command("show", epilog="Example: awsvault show dev")
def command(
    ctx: typer.Context,
    profile: completion.Profile,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, as `list --json` has it.")
    ] = False,
) -> None:
    """Show one profile; never the secret."""
    found = client.call("show", home=home_of(ctx), profile=profile)["profile"]
    if as_json:
        output.answer_json(found)
        return
    for name, key in FACTS:
        if found[key] is not None:
            output.answer(f"{name:<10} {found[key]}")
    bar = output.age_bar(found["age_days"], max_days(found), found["status"])
    output.answer(f"{'age':<10} {bar.text} days")
