# SPDX-License-Identifier: Apache-2.0
"""What in ~/.aws a person should hear of: a key in plain text, and a hook line that calls something else than it did.

Text in, facts out. The files are other programs' and may be anything: what cannot be read as an ini file is read line by
line all the same, for a secret in a broken file is a secret.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from vaultd.core.awsfiles import PROCESS, profile_in

Thing = Literal["plaintext", "hook-changed"]

_SECTION: Final = re.compile(r"\s*\[(.+)\]")
_SETTING: Final = re.compile(r"\s*([A-Za-z_]+)\s*[=:]\s*(.*\S)")
_KEY: Final = "aws_secret_access_key"
_TOKENS: Final = frozenset({"aws_session_token", "aws_security_token"})


@dataclass(frozen=True, slots=True)
class Exposure:
    """`profile` is the file's name for it, of any characters."""

    thing: Thing
    profile: str
    file: str
    line: int


@dataclass(slots=True)
class _Found:
    secret: int | None = None
    has_token: bool = False
    process: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What one file holds: where secrets of long-term keys stand, and what each profile calls, with its line."""

    plaintext: tuple[Exposure, ...] = ()
    processes: Mapping[str, tuple[int, str]] = field(default_factory=dict)


def read(text: str, file: str, *, is_config: bool) -> Seen:
    """A session (a secret with a token beside it) is not said: it ends by itself, and other tools put it there daily."""
    sections: dict[str, _Found] = {}
    found: _Found | None = None
    for number, line in enumerate(text.splitlines(), 1):
        header = _SECTION.match(line)
        if header:
            name = profile_in(header[1]) if is_config else header[1]
            found = sections.setdefault(name, _Found()) if name is not None else None
            continue
        setting = _SETTING.match(line)
        if setting and found is not None:
            _note(found, number, setting[1].lower(), setting[2])
    plain = [
        Exposure("plaintext", name, file, it.secret)
        for name, it in sections.items()
        if it.secret is not None and not it.has_token
    ]
    return Seen(tuple(plain), {name: it.process for name, it in sections.items() if it.process})


def _note(found: _Found, number: int, key: str, value: str) -> None:
    if key == _KEY:
        found.secret = number
    elif key in _TOKENS:
        found.has_token = True
    elif key == PROCESS:
        found.process = number, " ".join(value.split())


def hooks_changed(
    known: Mapping[str, str], seen: Seen, file: str, is_ours: Callable[[str], bool]
) -> tuple[dict[str, str], tuple[Exposure, ...]]:
    """The lines that are ours, by profile, those of before that are not there included; and what calls something else now.

    One that calls us by another path is ours still.
    """
    ours = {name: value for name, (_, value) in seen.processes.items() if is_ours(value)}
    changed = [name for name in known if name in seen.processes and name not in ours]
    return {**known, **ours}, tuple(
        Exposure("hook-changed", name, file, seen.processes[name][0]) for name in changed
    )
