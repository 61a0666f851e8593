# SPDX-License-Identifier: Apache-2.0
"""What a person or a program gets to see. The answer goes to stdout, everything else to stderr.

Colour is decided for each stream by itself; no meaning is carried by colour alone. rich is loaded only to draw a
table on a terminal. Nothing here asks (prompts.py) or decides.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from vaultd.wire.errors import printable

BAR_WIDTH = 8
STYLES = {
    "ok": "green",
    "due": "yellow",
    "overdue": "bold red",
    "unverified": "dim",
    "revoked": "dim",
    "revoking": "bold red",
}


def answer(text: str) -> None:
    if sys.stdout:
        sys.stdout.write(f"{text}\n")


def say(text: str) -> None:
    """A line about what happened, for a person: it is in nobody's pipe."""
    if sys.stderr:
        sys.stderr.write(f"{printable(text)}\n")


def progress(text: str) -> None:
    """What a long piece of work does at this moment. Only a terminal is told: a log has no use for it."""
    if sys.stderr and sys.stderr.isatty():
        say(f"{text} ...")


def answer_json(value: Any) -> None:
    import json

    answer(json.dumps(value, indent=2, ensure_ascii=True))


def may_colour(stream: TextIO) -> bool:
    """https://no-color.org: any value but the empty one counts. `--no-color` sets it."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


@dataclass(frozen=True, slots=True)
class Cell:
    """A text, and the style in which a terminal may show it."""

    text: str
    style: str = ""


def table(headings: Sequence[str], rows: Sequence[Sequence[Cell]], *, sentences: str = "") -> None:
    """Rows as columns: drawn on a terminal, plain words and spaces for a pipe. `sentences`: the heading of a column of such."""
    if sys.stdout and sys.stdout.isatty():
        _draw(headings, rows, sentences)
        return
    lines = [list(headings), *([cell.text or "-" for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        answer("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _draw(headings: Sequence[str], rows: Sequence[Sequence[Cell]], sentences: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False, no_color=not may_colour(sys.stdout))
    drawn = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for number, heading in enumerate(headings):
        wraps = number == 0 or heading == sentences  # where it is narrow, these take more lines
        drawn.add_column(heading, no_wrap=not wraps, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell.text, style=cell.style) for cell in row))
    console.print(drawn)


def age_bar(age_days: int, max_days: int, status: str) -> Cell:
    """How much of its time a key has had: `####.... 45/90`, or the same in blocks."""
    filled = min(BAR_WIDTH, BAR_WIDTH * age_days // max_days) if max_days > 0 else BAR_WIDTH
    full, empty = ("\u2588", "\u2591") if _can_show_blocks() else ("#", ".")
    return Cell(
        f"{full * filled}{empty * (BAR_WIDTH - filled)} {age_days}/{max_days}", STYLES.get(status, "")
    )


def _can_show_blocks() -> bool:
    encoding = (sys.stdout.encoding if sys.stdout else None) or "ascii"
    try:
        "\u2588\u2591".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return sys.stdout.isatty()


def short_key(access_key_id: str) -> str:
    """The id as messages and tables show it."""
    return f"...{access_key_id[-4:]}"
