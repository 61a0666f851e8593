# SPDX-License-Identifier: Apache-2.0
"""What a check says: what it found, where, and what mends it. No value here is a secret."""

import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from awsvault.doctor.machine import Machine
from vaultd.core.awsfiles import Hook
from vaultd.wire.errors import printable

#: "problem": credentials are wrong, missing or exposed. "warning": some program, or one day all, will be. "unchecked"
#: says why a check could not be made, and is no finding.
Verdict = Literal["ok", "warning", "problem", "unchecked"]


@dataclass(frozen=True, slots=True)
class CloseToOthers:
    """Take rights away from a file or a directory."""

    path: str
    rights: int

    @property
    def question(self) -> str:
        return f"Close {self.path} to other users?"


@dataclass(frozen=True, slots=True)
class Rehook:
    """Write the `credential_process` of a profile of ~/.aws/config as every program takes it."""

    profile: str
    hook: Hook

    @property
    def question(self) -> str:
        return f"Write the hook line of {self.profile} anew?"


@dataclass(frozen=True, slots=True)
class Unplain:
    """Take a key out of a file of AWS, if the vault holds the very same."""

    profile: str
    file: str
    hook: Hook

    @property
    def question(self) -> str:
        return f"Take the key of {self.profile} out of {self.file}, if the vault holds it?"


@dataclass(frozen=True, slots=True)
class AddHook:
    """Put a hook into ~/.aws/config for a profile of the vault."""

    name: str

    @property
    def question(self) -> str:
        return f"Add the hook of {self.name} to ~/.aws/config?"


Fix = CloseToOthers | Rehook | Unplain | AddHook


@dataclass(frozen=True, slots=True)
class Finding:
    """`profile` is its name in AWS's files, or else in the vault; `line` is `file`'s."""

    verdict: Verdict
    evidence: str
    mend: str = ""
    profile: str | None = None
    file: str | None = None
    line: int | None = None
    fix: Fix | None = None

    @property
    def place(self) -> str:
        if not self.file:
            return ""
        return f"{self.file} line {self.line}" if self.line else self.file


problem = partial(Finding, "problem")
warning = partial(Finding, "warning")
unchecked = partial(Finding, "unchecked")


@dataclass(frozen=True, slots=True)
class Check:
    """`looks_at` says, for people, what was looked at. One that `wants_vault` is not made of a closed one."""

    name: str
    looks_at: str
    judge: Callable[[Machine], Iterable[Finding]]
    wants_vault: bool = False

    def made(self, machine: Machine) -> Iterable[Finding]:
        if self.wants_vault and machine.vault is None:
            return [unchecked(machine.why_closed())]
        return self.judge(machine)


def word(text: str) -> str:
    """A name or a path as a word of a command that a person copies: whole, and quoted where a shell wants that."""
    quoted = shlex.quote(printable(text))
    return f"-- {quoted}" if text.startswith("-") else quoted


def shown(text: str, limit: int = 60) -> str:
    """Something from a file that is anybody's: on one line, and not all of a long one."""
    text = printable(text)
    return text if len(text) <= limit else f"{text[:limit]}..."


def together(found: Iterable[tuple[str, str]], fact: str) -> Iterator[Finding]:
    """What was not checked of many profiles, by (profile, why): one finding for each reason, and for each lone profile."""
    by_why: dict[str, list[str]] = {}
    for name, why in found:
        by_why.setdefault(why, []).append(name)
    for why, names in by_why.items():
        if len(names) == 1:
            yield unchecked(f"the hook of {shown(names[0])} was not {fact}{why}", profile=names[0])
        else:
            yield unchecked(f"the hooks of {shown(names[0])} and {len(names) - 1} more were not {fact}{why}")


def judge(
    checks: Iterable[Check], machine: Machine, wanted: frozenset[str]
) -> Iterator[tuple[Check, Finding]]:
    """All findings of all checks, of `wanted` profiles only where they are of a profile; "ok" for a check without."""
    for check in checks:
        made = check.made(machine)
        found = [it for it in made if not wanted or it.profile is None or it.profile in wanted]
        for finding in found or [Finding("ok", "")]:
            yield check, finding
