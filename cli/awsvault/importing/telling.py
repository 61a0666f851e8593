# SPDX-License-Identifier: Apache-2.0
"""How an import is told: what was found and what becomes of it, as a table or as JSON, and what is left to do."""

import os
from collections.abc import Sequence
from typing import Any

from awsvault import output
from awsvault.importing.candidates import Candidate
from awsvault.output import Cell
from vaultd.wire.errors import printable

HEADINGS = ("PROFILE", "WHERE", "KEY", "ACCOUNT", "AGE", "BECOMES")


def show(candidates: Sequence[Candidate]) -> None:
    output.table(HEADINGS, [_row(candidate) for candidate in candidates], sentences=HEADINGS[-1])


def _row(candidate: Candidate) -> list[Cell]:
    facts, found = candidate.facts, candidate.found
    age = f"{facts['age_days']} days" if facts.get("created_at") else ""
    key = output.short_key(found.shown_id) if found.shown_id else ""
    texts = (found.profile, where(candidate), key, str(facts.get("account") or ""), age)
    style = "yellow" if candidate.why_not else ""
    return [
        *(Cell(printable(text)) for text in texts),
        Cell(printable(becomes(candidate)), style),
    ]


def where(candidate: Candidate) -> str:
    return ", ".join(
        f"{short(place.where)}:{place.line}" if place.line else place.where
        for place in candidate.found.places
    )


def short(path: str) -> str:
    home = os.path.expanduser("~")
    return f"~{path.removeprefix(home)}" if path.startswith(f"{home}/") else path


def becomes(candidate: Candidate) -> str:
    """What will be, in a few words."""
    name = candidate.name
    if candidate.why_not:
        return f"stays: {candidate.why_not}"
    if candidate.twin:
        return f"{name}, the same key as in {where(candidate.twin)}"
    if candidate.held:
        return f"{name}, which the vault has already"
    if candidate.dead:
        return f"{name}, unverified: AWS does not take this key"
    if candidate.undecided:
        return f"{name}, serves {candidate.serve}: {candidate.undecided}"
    return f"{name}, serves {candidate.serve}" + (
        "" if candidate.facts.get("verified_at") else ", unverified"
    )


def as_json(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    return [
        {
            "profile": it.found.profile,
            "places": [{"file": place.where, "line": place.line} for place in it.found.places],
            "access_key_id": it.found.shown_id or None,
            "name": it.name,
            "status": it.status,
            "why_not": it.why_not or None,
            "serve": None if it.why_not else it.serve,
            "undecided": it.undecided or None,
            "account": it.facts.get("account"),
            "arn": it.facts.get("arn"),
            "created_at": it.facts.get("created_at"),
            "age_days": it.facts.get("age_days") if it.facts.get("created_at") else None,
        }
        for it in candidates
    ]
