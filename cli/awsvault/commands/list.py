# SPDX-License-Identifier: Apache-2.0
"""`awsvault list`: every profile, how old its key is, and what it needs."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from awsvault import output
from awsvault.commands import home_of, new_app
from awsvault.output import Cell
from vaultd.wire import client

app = new_app()

HEADINGS = ("PROFILE", "SERVES", "KEY", "ACCOUNT", "AGE (DAYS)", "USED", "STATUS")


@app.command("list", epilog="Example: awsvault list --json")
def command(
    ctx: typer.Context,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON array, one object for each profile.")
    ] = False,
) -> None:
    """List the profiles; never a secret."""
    profiles = client.call("list", home=home_of(ctx))["profiles"]
    if as_json:
        output.answer_json(profiles)
        return
    if not profiles:
        output.say("No profile yet. Next: awsvault add PROFILE")
        return
    output.table(HEADINGS, [_row(profile) for profile in profiles])


def _row(profile: dict[str, Any]) -> list[Cell]:
    status = str(profile["status"])
    is_role = profile["kind"] == "role"
    return [
        Cell(str(profile["profile"])),
        Cell("role" if is_role else str(profile["serve"])),
        Cell(f"by {profile['source']}" if is_role else output.short_key(profile["access_key_id"])),
        Cell(profile["account"] or ""),
        Cell("") if is_role else output.age_bar(profile["age_days"], max_days(profile), status),
        Cell(_ago(profile["last_used_at"])),
        Cell(status, output.STYLES.get(status, "")),
    ]


def max_days(profile: dict[str, Any]) -> int:
    """How old the key may get: from its making to the day on which it wants to be rotated."""
    born = datetime.fromisoformat(profile["created_at"] or profile["added_at"])
    return (datetime.fromisoformat(profile["rotate_by"]) - born).days


def _ago(moment: str | None) -> str:
    """When it was last handed out, in the days that matter for a key."""
    if moment is None:
        return "never"
    days = (datetime.now(UTC) - datetime.fromisoformat(moment)).days
    return f"{days} d ago" if days > 0 else "today"
