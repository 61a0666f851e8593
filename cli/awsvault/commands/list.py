# SPDX-License-Identifier: Apache-2.0
"""`awsvault list`: every profile, how old its key is, and what it needs."""

import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import typer

from awsvault import output
from awsvault.commands import home_of, new_app
from awsvault.output import Cell
from vaultd.wire import client

app = new_app()

_T = TypeVar("_T")

HEADINGS = ("PROFILE", "SERVES", "KEY", "ACCOUNT", "AGE (DAYS)", "USED", "ROTATE BY", "STATUS")
ACCOUNT = HEADINGS.index("ACCOUNT")
WIDTH = (
    96  # on a terminal that is narrower the accounts are left out: every other column says what is to be done
)


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
    rows = [_row(profile) for profile in profiles]
    if sys.stdout and sys.stdout.isatty() and shutil.get_terminal_size().columns < WIDTH:
        output.table(_without_account(HEADINGS), list(map(_without_account, rows)))
        return
    output.table(HEADINGS, rows)


def _without_account(columns: Sequence[_T]) -> Sequence[_T]:
    return [*columns[:ACCOUNT], *columns[ACCOUNT + 1 :]]


def _row(profile: dict[str, Any]) -> list[Cell]:
    status, rotation = str(profile["status"]), profile["rotation"]
    is_role = profile["kind"] == "role"
    return [
        Cell(str(profile["profile"])),
        Cell("role" if is_role else str(profile["serve"])),
        Cell(f"by {profile['source']}" if is_role else output.short_key(profile["access_key_id"])),
        Cell(profile["account"] or ""),
        Cell("") if is_role else output.age_bar(profile["age_days"], max_days(profile), status),
        Cell(_ago(_last_use(profile))),
        Cell("" if is_role else str(profile["rotate_by"])[:10]),
        _state(status, rotation if not profile["revocation"] else None),
    ]


def _state(status: str, rotation: dict[str, Any] | None) -> Cell:
    if rotation is None:
        return Cell(status, output.STYLES.get(status, ""))
    if rotation["waits"]:
        return Cell(f"rotation waits ({rotation['state']})", output.STYLES["due"])
    return Cell(f"rotation: {rotation['state']}", output.STYLES.get(status, ""))


def max_days(profile: dict[str, Any]) -> int:
    """How old the key may get: from its making to the day on which it wants to be rotated."""
    born = datetime.fromisoformat(profile["created_at"] or profile["added_at"])
    return (datetime.fromisoformat(profile["rotate_by"]) - born).days


def _last_use(profile: dict[str, Any]) -> str | None:
    """When it was last handed out, or used elsewhere as AWS tells."""
    return max(filter(None, (profile["last_used_at"], profile.get("used_in_aws_at"))), default=None)


def _ago(moment: str | None) -> str:
    """In the days that matter for a key."""
    if moment is None:
        return "never"
    days = (datetime.now(UTC) - datetime.fromisoformat(moment)).days
    return f"{days} d ago" if days > 0 else "today"
