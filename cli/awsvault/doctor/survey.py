# SPDX-License-Identifier: Apache-2.0
"""Reads one of AWS's files to its end, whatever is wrong with it: its settings with their lines, and every defect.

vaultd.core.ini reads as strictly as botocore and stops at the first defect, which is right for whoever edits; a person
wants to hear of all of them. What one refuses, the other calls defective: a test holds them together.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from vaultd.core.awsfiles import PROCESS, profile_in
from vaultd.core.ini import indent_of, is_blank_or_comment, split

_HEADER = re.compile(r"\[(.+)\]")
_OPTION = re.compile(r"(.*?)\s*[=:]\s*(.*)$")
_BYTE_ORDER_MARK = "\ufeff"

Fault = Literal["no setting", "second section", "second setting", "byte order mark"]


@dataclass(slots=True)
class Setting:
    key: str
    value: str  # continuation lines joined by \n
    line: int


@dataclass(slots=True)
class Part:
    """A section. The first of a name holds what later ones of that name say, too."""

    header: str
    line: int
    settings: dict[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Defect:
    fault: Fault
    line: int
    name: str = ""  # of the section or the setting that is there twice


@dataclass(slots=True)
class Survey:
    parts: list[Part] = field(default_factory=list)
    defects: list[Defect] = field(default_factory=list)


def survey(text: str) -> Survey:
    """Everything in `text`, as Python's configparser would read it if it forgave."""
    found = Survey()
    if text.startswith(_BYTE_ORDER_MARK):
        found.defects.append(Defect("byte order mark", 1))
        text = text[1:]
    reader = _Reader(found)
    for number, line in enumerate(split(text), 1):
        if not is_blank_or_comment(line):
            reader.read(number, line)
    return found


class _Reader:
    def __init__(self, found: Survey) -> None:
        self._found = found
        self._by_header: dict[str, Part] = {}
        self._part: Part | None = None
        self._last: Setting | None = None  # what a deeper line would continue
        self._depth = 0

    def read(self, number: int, line: str) -> None:
        content = line.strip()
        depth = len(indent_of(line))
        if self._last and depth > self._depth:
            self._last.value += f"\n{content}"
            return
        self._depth = depth
        header = _HEADER.match(content)
        if header:
            self._open(header[1], number)
        else:
            self._set(content, number)

    def _open(self, header: str, number: int) -> None:
        self._last = None
        known = self._by_header.get(header)
        if known is None:
            known = self._by_header[header] = Part(header, number)
            self._found.parts.append(known)
        elif header != "DEFAULT":  # configparser's own section may come again
            self._found.defects.append(Defect("second section", number, header))
        self._part = known

    def _set(self, content: str, number: int) -> None:
        option = _OPTION.match(content)
        if self._part is None or not option or not option[1]:
            self._found.defects.append(Defect("no setting", number))
            return
        setting = Setting(option[1].rstrip().lower(), option[2].strip(), number)
        self._last = setting
        if setting.key in self._part.settings:
            self._found.defects.append(Defect("second setting", number, setting.key))
        else:
            self._part.settings[setting.key] = setting


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile by the name that tools are given, with its section in each file."""

    name: str
    config: Part | None = None
    credentials: Part | None = None

    def processes(self) -> Iterator[Setting]:
        """Each `credential_process`, the one that tools would run first: botocore puts `credentials` over `config`."""
        for part in (self.credentials, self.config):
            if part and PROCESS in part.settings:
                yield part.settings[PROCESS]


def profiles(config: Survey, credentials: Survey) -> dict[str, Profile]:
    """Every profile of both files, in their order."""
    found: dict[str, Profile] = {}
    for part in config.parts:
        name = profile_in(part.header)
        if name is not None and name not in found:
            found[name] = Profile(name, part)
    for part in credentials.parts:
        known = found.get(part.header)
        found[part.header] = Profile(part.header, known.config if known else None, part)
    return found
