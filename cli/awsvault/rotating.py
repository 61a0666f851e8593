# SPDX-License-Identifier: Apache-2.0
"""How a rotation is told to people: the plan before it, how far it came, and what it waits for."""

from collections.abc import Iterator, Sequence
from typing import Any

from awsvault import output
from awsvault.output import Cell
from vaultd.wire.protocol import Frame

HEADINGS = ("PROFILE", "STATE", "SINCE (UTC)", "NEXT STEP (UTC)", "OLD KEY", "NEW KEY", "HOST")
_DOES = {
    "intent": "the new key is being made",
    "uncertain": "it is not known yet whether AWS made a key",
    "created": "the new key is tried",
    "verified": "the new key works",
    "undoing": "the new key is deleted again",
    "deactivating": "the old key is deactivated",
    "deleting": "the old key is deleted",
}


def plan_lines(profile: str, plan: Frame) -> Iterator[str]:
    yield f"{profile}: user {plan['user']} of account {plan['account']}"
    for key in plan["keys"]:
        state = "active" if key["active"] else "inactive"
        used = (
            f"last used {key['last_used_at']} by {key['last_used_by']}"
            if key["last_used_at"]
            else "no use known"
        )
        held = ", in this vault" if key["ours"] else ""
        yield f"  key {key['access_key_id']}: {state}, made {key['created_at']}, {used}{held}"
    for word in ("proven", "missing", "unknown"):
        rights = sorted(right for right, found in plan["rights"].items() if found == word)
        if rights:
            yield f"  rights {word}: {', '.join(rights)}"
    yield from (f"  note: {note}" for note in plan["notes"])
    if plan["open"]:
        yield f"  A rotation is open. {told(profile, plan['open'])}"
        return
    yield from (f"  {number}. {step}" for number, step in enumerate(plan["steps"], 1))
    if plan["refusal"]:
        yield f"  It would be refused: {plan['refusal']['line']}"


def told(profile: str, run: Frame) -> str:
    """One line for how far it came."""
    return f"{profile}: {words(run)}"


def words(run: Frame) -> str:
    """How far it came."""
    if run["waits"]:
        return f"the rotation waits ({run['state']}): {run['waits']}"
    served, other = (run["new_key"] and output.short_key(run["new_key"])), output.short_key(run["old_key"])
    again, which = ("again", "new") if run["rolled_back"] else ("now", "old")
    if run["state"] == "grace":
        return f"key {served} is served {again}. The {which} key {other} stays active until {run['next_at']}."
    if run["state"] == "soak":
        return (
            f"key {served} is served {again}. "
            f"The {which} key {other} is inactive, and is deleted at {run['next_at']}."
        )
    return f"{_DOES.get(run['state'], run['state'])} (since {run['since']})."


def over(profile: str, key_id: str) -> str:
    """One line for a rotation that is over."""
    return f"{profile}: the rotation is over. Key {output.short_key(key_id)} is served."


def table(profiles: Sequence[dict[str, Any]]) -> None:
    """What each waits for stands below: it is a line of its own, however wide the terminal is."""
    runs = {str(profile["profile"]): profile["rotation"] for profile in profiles}
    output.table(HEADINGS, [_row(name, run) for name, run in runs.items()])
    for name, run in runs.items():
        if run["waits"]:
            output.answer(f"{name} waits: {run['waits']}")


def _row(name: str, run: dict[str, Any]) -> list[Cell]:
    texts = (
        name,
        f"{run['state']}{' (rolled back)' if run['rolled_back'] else ''}",
        _short(run["since"]),
        _short(run["next_at"]),
        output.short_key(run["old_key"]),
        output.short_key(run["new_key"]) if run["new_key"] else "",
        run["host"].partition(":")[0],
    )
    return [Cell(text) for text in texts]


def _short(moment: str) -> str:
    return moment[:16].replace("T", " ")
