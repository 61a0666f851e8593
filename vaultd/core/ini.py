# SPDX-License-Identifier: Apache-2.0
"""The lines of an ini file: what they mean to Python's configparser, and changing some without touching the others.

AWS's files are read by configparser (boto3, the AWS CLI), which refuses a whole file for one duplicate; so what it
would refuse is refused here, by line number. This module must not know what the sections are for (see awsfiles.py).
Decode with surrogateescape and every byte that is not changed comes back as it was.
"""

import re
from dataclasses import dataclass, replace

from vaultd.wire.errors import Usage, printable

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")  # str.splitlines would also cut at U+0085 and its like
_HEADER = re.compile(r"\[(.+)\]")
_OPTION = re.compile(r"(.*?)\s*[=:]\s*(.*)$")


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
        """As configparser's: a line indented deeper than the open option continues it, whatever it looks like."""
        depth = 0
        for index, line in enumerate(self.lines):
            content = line.strip()
            if is_blank_or_comment(line):
                continue
            section = self.sections[-1] if self.sections else None
            if section and section.options and len(indent_of(line)) > depth:
                self._continue_option(section, index, content)
                continue
            depth = len(indent_of(line))
            header = _HEADER.match(content)
            if header:
                self._open_section(header[1], index)
            else:
                self._open_option(section, index, content)

    def _continue_option(self, section: Section, index: int, content: str) -> None:
        option = section.options[-1]
        grown = replace(option, value=f"{option.value}\n{content}", last=index)
        self.sections[-1] = replace(section, options=(*section.options[:-1], grown))

    def _open_section(self, header: str, index: int) -> None:
        if (header, None) in self._seen and header != "DEFAULT":  # configparser's own section may come again
            raise self.refusal(index, f"has a second [{short(header)}]")
        self._seen.add((header, None))
        self.sections.append(Section(header, index))

    def _open_option(self, section: Section | None, index: int, content: str) -> None:
        found = _OPTION.match(content)
        if section is None or not found or not found[1]:
            raise self.refusal(index, "is neither a [section] nor a setting")
        key = found[1].rstrip().lower()
        if (section.header, key) in self._seen:
            raise self.refusal(index, f"has a second {short(key)} in [{short(section.header)}]")
        self._seen.add((section.header, key))
        option = Option(key, found[2].strip(), index, index)
        self.sections[-1] = replace(section, options=(*section.options, option))

    def refusal(self, index: int, fact: str) -> Usage:
        return Usage(f"{self.where} line {index + 1} {fact}", hint="mend that line, then try again")


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
    return line.lstrip()[:1] in ("", "#", ";")


def indent_of(line: str) -> str:
    return line[: len(line) - len(line.lstrip())] if line.strip() else ""


def line_end_of(text: str) -> str:
    return next((end for end in ("\r\n", "\n", "\r") if text.endswith(end)), "")


def short(text: str) -> str:
    """A name from the file, fit for a message."""
    return printable(text)[:40]
