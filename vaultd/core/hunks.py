# SPDX-License-Identifier: Apache-2.0
"""What an edit changed, line by line, so that it can be taken back in a file that has changed elsewhere since.

A hunk remembers a few unchanged lines round it, and is taken back only where they still stand. Pure; it must not know
what the lines mean.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vaultd.core.ini import indent_of, line_end_of, split

CONTEXT = 2  # lines kept on each side
_LOOK_AHEAD = (8, 64, 512)  # lines: how far apart the two texts may be before they meet again


@dataclass(frozen=True, slots=True)
class Hunk:
    """`line` counts from 0 in the text after the edit; the others are whole lines with their ends."""

    line: int
    above: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    below: tuple[str, ...]


class Changed(Exception):
    """The lines round a hunk, or its own, are not what they were; `line` says where it stood, as people count."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def between(before: str, after: str) -> list[Hunk]:
    """The hunks that lead from one text to the other, from the top down. What they enclose never touches."""
    old, new = split(before), split(after)
    found: list[tuple[int, int, int, int]] = []
    for start, end, first, last in _differences(old, new):
        if found and first - found[-1][3] <= 2 * CONTEXT:  # their surroundings would overlap
            start, first = found[-1][0], found[-1][2]  # noqa: PLW2901 - one hunk of both
            found.pop()
        found.append((start, end, first, last))
    return [
        Hunk(
            first,
            tuple(new[max(0, first - CONTEXT) : first]),
            tuple(old[start:end]),
            tuple(new[first:last]),
            tuple(new[last : last + CONTEXT]),
        )
        for start, end, first, last in found
    ]


def _differences(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """Where the texts differ, as ranges of lines in both. Any alignment is right; this one suits small edits."""
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old[i] == new[j]:
            i, j = i + 1, j + 1
            continue
        di, dj = _next_meeting(old, new, i, j)
        yield i, i + di, j, j + dj
        i, j = i + di, j + dj


def _next_meeting(old: Sequence[str], new: Sequence[str], i: int, j: int) -> tuple[int, int]:
    """How many lines of each to skip until both go on alike; everything that is left when they don't soon."""
    for reach in _LOOK_AHEAD:
        ahead: dict[str, int] = {}
        for dj, line in enumerate(new[j : j + reach]):
            ahead.setdefault(line, dj)
        met = [(di, ahead[line]) for di, line in enumerate(old[i : i + reach]) if line in ahead]
        if met:
            return min(met, key=sum)
    return len(old) - i, len(new) - j


def taken_back(text: str, hunks: Sequence[Hunk]) -> str:
    """The text without these changes; a hunk that stands as before already is done. Raises Changed."""
    lines = split(text)
    moved = 0
    done: list[tuple[int, Hunk]] = []
    for hunk in hunks:
        at, is_done = _found(lines, hunk, hunk.line + moved)
        if at is None:
            raise Changed(max(1, min(hunk.line + moved, len(lines) - 1) + 1))
        moved = at - hunk.line
        if is_done:
            moved += len(hunk.before) - len(hunk.after)
        else:
            done.append((at, hunk))
    for at, hunk in sorted(done, key=lambda found: -found[0]):
        lines[at : at + len(hunk.after)] = hunk.before
        _mend_ends(lines, at, at + len(hunk.before))
    return "".join(lines)


def _found(lines: Sequence[str], hunk: Hunk, expected: int) -> tuple[int | None, bool]:
    """Where it stands, and whether as before the edit; None when it does not, or cannot be told from its like."""
    after, before = hunk.after, hunk.before
    # What is the shorter form may be the beginning of the longer: it is looked for second, and more strictly.
    strict_before = len(before) < len(after)
    forms = [(after, False, False), (before, True, strict_before)]
    forms.sort(key=lambda form: -len(form[0]))
    for middle, is_before, at_end in forms:
        if _stands(lines, hunk, middle, expected, at_end=at_end):
            return expected, is_before
    places = {
        start: is_before
        for middle, is_before, at_end in reversed(forms)
        for start in _starts(lines, hunk, middle)
        if _stands(lines, hunk, middle, start, at_end=at_end)
    }
    return next(iter(places.items())) if len(places) == 1 else (None, False)


def _starts(lines: Sequence[str], hunk: Hunk, middle: Sequence[str]) -> list[int]:
    """Where it could begin, by its first line."""
    wanted = [*hunk.above, *middle, *hunk.below]
    first = wanted[0].rstrip("\r\n") if wanted else None
    return [index + len(hunk.above) for index, line in enumerate(lines) if line.rstrip("\r\n") == first]


def _stands(lines: Sequence[str], hunk: Hunk, middle: Sequence[str], at: int, *, at_end: bool) -> bool:
    """Does it stand there, with `middle` in it? `at_end`: what was at the end of the text must still be there."""
    wanted = [line.rstrip("\r\n") for line in (*hunk.above, *middle, *hunk.below)]
    start = at - len(hunk.above)
    if start < 0 or (len(hunk.above) < CONTEXT and start != 0):
        return False  # it stood at the top
    end = start + len(wanted)
    if [line.rstrip("\r\n") for line in lines[start:end]] != wanted:
        return False
    # What was added at the end since must not hang on to it.
    return len(hunk.below) == CONTEXT or end >= len(lines) or not (at_end or indent_of(lines[end]))


def _mend_ends(lines: list[str], start: int, end: int) -> None:
    """Only the last line of a text may be without an end."""
    for index in (start - 1, end - 1):
        if 0 <= index < len(lines) - 1 and not line_end_of(lines[index]):
            lines[index] += next(filter(None, map(line_end_of, lines)), "\n")
