# SPDX-License-Identifier: Apache-2.0
"""`awsvault show PROFILE`: everything that is kept about a key or a role, but the secret."""

from typing import Annotated

import typer

from awsvault import completion, output, rotating
from awsvault.commands import home_of, new_app
from awsvault.commands.list import max_days
from vaultd.wire import client, durations
from vaultd.wire.protocol import Frame

app = new_app()

FACTS = (
    ("profile", "profile"),
    ("serves", "serve"),
    ("key", "access_key_id"),
    ("account", "account"),
    ("arn", "arn"),
    ("partition", "partition"),
    ("region", "region"),
    ("role", "role_arn"),
    ("assumed by", "source"),
    ("ext. id", "external_id"),
    ("session", "session_name"),
    ("duration", "duration_s"),
    ("tags", "tags"),
    ("transitive", "transitive_tags"),
    ("identity", "source_identity"),
    ("policies", "policy_arns"),
    ("policy", "policy"),
    ("mfa", "mfa_serial"),
    ("mfa of", "mfa_profile"),
    ("mfa until", "mfa_expires_at"),
    ("mfa seed", "totp"),
    ("mfa by", "mfa_process"),
    ("created", "created_at"),
    ("added", "added_at"),
    ("verified", "verified_at"),
    ("last used", "last_used_at"),
    ("in AWS", "used_in_aws_at"),
    ("rotate by", "rotate_by"),
    ("by itself", "auto_rotate"),
    ("revocation", "revocation"),
    ("snoozed", "snoozed_until"),
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
        if found.get(key) and not (found["kind"] == "role" and key in ("arn", "serve")):
            output.answer(f"{name:<10} {_words(key, found)}")
    if found["kind"] == "role":
        return
    if found["rotation"]:
        output.answer(f"{'rotation':<10} {rotating.words(found['rotation'])}")
    bar = output.age_bar(found["age_days"], max_days(found), found["status"])
    output.answer(f"{'age':<10} {bar.text} days")


def _by_itself(found: Frame) -> str:
    """A machine that got another name rotates nothing any more, and here it is seen."""
    machine = found["auto_rotate_elsewhere"]
    again = f"awsvault edit {found['profile']} --auto-rotate"
    return f"not here: on {machine}; to have it here: {again}" if machine else "yes"


def _words(key: str, found: Frame) -> str:
    value = found[key]
    if key == "duration_s":
        return durations.show(value)
    if key == "auto_rotate":
        return _by_itself(found)
    if value is True:
        return "kept"
    if isinstance(value, dict):
        return " ".join(f"{key}={text}" for key, text in value.items() if text is not None)
    return " ".join(value) if isinstance(value, list) else str(value)
