# SPDX-License-Identifier: Apache-2.0
"""`awsvault status`: what state everything is in, what is due, and the last requests that were refused."""

from typing import Annotated, Any

import typer

from awsvault import output, reminding
from awsvault.commands import home_of, new_app
from vaultd.wire import client, durations
from vaultd.wire.errors import DaemonUnreachable, NoVault
from vaultd.wire.protocol import Frame

app = new_app()


@app.command("status", epilog="Example: awsvault status --json")
def command(
    ctx: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Show the state of everything, what is due, and what was refused.

    Many SDKs hide why they got no credentials; the last 20 refusals tell.
    """
    try:
        status = client.call("status", home=home_of(ctx))
        status["due"] = reminding.items(home_of(ctx))
    except (NoVault, DaemonUnreachable) as error:
        if as_json:
            output.answer_json({"state": error.code})
        raise
    if as_json:
        output.answer_json({key: value for key, value in status.items() if key != "ok"})
        return
    for line in _lines(status):
        output.answer(line)


def _lines(status: Frame) -> list[str]:
    facts = [
        ("vault", f"{_state(status)}  ({status['vault']})"),
        (
            "vaultd",
            f"pid {status['pid']}, version {status['version']}, up {durations.show(status['uptime_s'])}",
        ),
        ("socket", status["socket"]),
    ]
    if status["profiles"] is not None:
        facts.insert(1, ("profiles", status["profiles"]))
    lines = [f"{name:<9} {value}" for name, value in facts]
    lines += [f"{'warning':<9} {warning}" for warning in status["warnings"]]
    lines += [f"{'due':<9} {reminding.line_of(item)}" for item in status["due"]]
    if status["refusals"]:
        lines += ["", "refused lately:", *map(_refusal, status["refusals"])]
    return lines


def _state(status: Frame) -> str:
    if status["state"] == "no-vault":
        return "none yet; run: awsvault init"
    idle, latest = status["locks_in_s"], status["locks_at_latest_in_s"]
    if status["state"] != "unlocked" or idle is None:
        return str(status["state"])
    at_latest = f", at the latest in {durations.show(latest)}" if latest is not None and latest > idle else ""
    return (
        f"unlocked; locks in {durations.show(idle)} when unused{at_latest}"
        if at_latest
        else f"unlocked; locks in {durations.show(idle)}"
    )


def _refusal(refusal: dict[str, Any]) -> str:
    asked = " ".join(str(part) for part in (refusal["op"], refusal["profile"]) if part)
    by = f"  ({refusal['who']})" if refusal.get("who") else ""
    return f"  {refusal['at']}  {asked}: {refusal['line']}{by}"
