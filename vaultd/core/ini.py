# SPDX-License-Identifier: Apache-2.0
"""The lines of an ini file: what they mean to Python's configparser, and changing some without touching the others.

AWS's files are read by configparser (boto3, the AWS CLI), which refuses a whole file for one duplicate; so what it
would refuse is refused here, by line number. This module must not know what the sections are for (see awsfiles.py).
Decode with surrogateescape and every byte that is not changed comes back as it was.
"""

import re
from dataclasses import dataclass

from vaultd.wire.errors import Usage, printable

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")  # str.splitlines would also cut at U+0085 and its like
_HEADER = re.compile(r"\[(.+)\]")
_NO_CONTENT = ("", "#", ";")


@dataclass(frozen=True, slots=True)
class Option:
    key: str  # lower case, as configparser compares it
    value: str  # continuation lines joined by \n
    first: int  # index of its line
    last: int  # index of its last continuation line


@dataclass(frozen=True, slots=True)
class Section:
    header: str
    first: int
    options: tuple[Option, ...] = ()

    def option(self, key: str) -> Option | None:
        return next((option for option in self.options if option.key == key), None)


class IniFile:
    """One file, read. `where` is its name in messages. Raises Usage by line number."""

    def __init__(self, text: str, where: str) -> None:
        self.where = where
        self.lines = split(text)
        self.sections: list[Section] = []
        self._seen: set[tuple[str, str | None]] = set()
        self._read()

    def _read(self) -> None:
        """As configparser's: a line indented deeper than the open option continues it, whatever it looks like.

        Values are made when their section ends: seven thousand profiles are read in a third of a second.
        """
        depth = 0
        opened: _Opened | None = None
        for index, line in enumerate(self.lines):
            content = line.strip()
            if content[:1] in _NO_CONTENT:
                continue
            indent = line.find(content[0])
            if opened and opened.options and indent > depth:
                opened.options[-1].grow(index, content)
                continue
            depth = indent
            header = _HEADER.match(content) if content[0] == "[" else None
            if header:
                self._close(opened)
                opened = self._section(header[1], index)
            else:
                self._open_option(opened, index, content)
        self._close(opened)

    def _section(self, header: str, index: int) -> "_Opened":
        if (header, None) in self._seen and header != "DEFAULT":  # configparser's own section may come again
            raise self.refusal(index, f"has a second [{short(header)}]")
        self._seen.add((header, None))
        return _Opened(header, index)

    def _close(self, opened: "_Opened | None") -> None:
        if opened:
            options = tuple(Option(it.key, it.value, it.first, it.last) for it in opened.options)
            self.sections.append(Section(opened.header, opened.first, options))

    def _open_option(self, section: "_Opened | None", index: int, content: str) -> None:
        name, value = _halves(content)
        if section is None or not name:
            raise self.refusal(index, "is neither a [section] nor a setting")
        key = name.lower()
        if (section.header, key) in self._seen:
            raise self.refusal(index, f"has a second {short(key)} in [{short(section.header)}]")
        self._seen.add((section.header, key))
        section.options.append(_Growing(key, value, index))

    def refusal(self, index: int, fact: str) -> Usage:
        return Usage(f"{self.where} line {index + 1} {fact}", hint="mend that line, then try again")


def _halves(content: str) -> tuple[str, str]:
    """What stands before and after the first delimiter; no name without one."""
    equals, colon = content.find("="), content.find(":")
    cut = equals if colon < 0 else colon if equals < 0 else min(equals, colon)
    return (content[:cut].rstrip(), content[cut + 1 :].strip()) if cut > 0 else ("", "")


class _Opened:
    """A section whose end is not read yet."""

    __slots__ = ("first", "header", "options")

    def __init__(self, header: str, first: int) -> None:
        self.header = header
        self.first = first
        self.options: list[_Growing] = []


class _Growing:
    """An option that may have continuation lines."""

    __slots__ = ("first", "key", "last", "value")

    def __init__(self, key: str, value: str, first: int) -> None:
        self.key = key
        self.value = value
        self.first = self.last = first

    def grow(self, index: int, content: str) -> None:
        self.value += f"\n{content}"
        self.last = index


class Edit:
    """Changes to the lines of one file. Change from the bottom up: an index is good until something above it moved."""

    def __init__(self, file: IniFile) -> None:
        self._file = file
        self._lines = list(file.lines)

    def text(self) -> str:
        """The whole text; a file without a final line end stays without."""
        text = "".join(self._lines)
        bare = self._file.lines and not line_end_of(self._file.lines[-1])
        return text[: len(text) - len(line_end_of(text))] if bare else text

    def append_section(self, header: str, settings: list[str]) -> None:
        new = [f"[{header}]", *settings]
        self._insert(len(self._lines), ["", *new] if self._lines else new)

    def add(self, section: Section, after: Option | None, settings: list[str]) -> None:
        """Add settings below an option, or below the header, so that nothing is read as a continuation of another."""
        indent = self._indent_below(section, after)
        self._insert((after.last if after else section.first) + 1, [indent + setting for setting in settings])

    def _indent_below(self, section: Section, option: Option | None) -> str:
        if option:
            return indent_of(self._file.lines[option.first])
        # A following header that is indented deeper than the new setting would be read as its continuation.
        below = next((other for other in self._file.sections if other.first > section.first), section)
        return max((indent_of(self._file.lines[it.first]) for it in (section, below)), key=len)

    def _insert(self, index: int, new: list[str]) -> None:
        """Put lines in, with the line end of the lines before."""
        above = self._lines[:index]
        end = next((found for line in reversed(above) if (found := line_end_of(line))), "\n")
        if new and above and not line_end_of(above[-1]):
            self._lines[index - 1] += end
        self._lines[index:index] = [line + end for line in new]

    def replace(self, option: Option, setting: str) -> None:
        start = self._lines[option.first]
        self._cut(option, [f"{indent_of(start)}{setting}{line_end_of(start)}"])

    def drop(self, option: Option) -> None:
        self._cut(option, [])

    def _cut(self, option: Option, new: list[str]) -> None:
        """Exchange an option's lines; the comments and empty lines that it spans are not part of it and stay."""
        kept = filter(is_blank_or_comment, self._lines[option.first : option.last + 1])
        self._lines[option.first : option.last + 1] = [*new, *kept]

    def drop_empty_section(self, section: Section) -> None:
        """Take the header out, and the empty line that was written before it.

        Not when a comment follows it, and not when the next header is indented deeper: that would then be read as a
        continuation of whatever stands above.
        """
        below = self._lines[section.first + 1 :][:1]
        if below and below[0].strip() and is_blank_or_comment(below[0]):
            return
        if self._indent_below(section, None) != indent_of(self._file.lines[section.first]):
            return
        above = section.first and not self._lines[section.first - 1].strip()
        self._lines[section.first - 1 if above else section.first : section.first + 1] = []


def split(text: str) -> list[str]:
    """The lines with their ends; CR, LF and CRLF end a line, nothing else does."""
    return _LINE.findall(text)


def is_blank_or_comment(line: str) -> bool:
    return line.lstrip()[:1] in _NO_CONTENT


def indent_of(line: str) -> str:
    return line[: len(line) - len(line.lstrip())] if line.strip() else ""


def line_end_of(text: str) -> str:
    return next((end for end in ("\r\n", "\n", "\r") if text.endswith(end)), "")


def short(text: str) -> str:
    """A name from the file, fit for a message."""
    return printable(text)[:40]
