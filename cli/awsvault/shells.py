# SPDX-License-Identifier: Apache-2.0
"""Writes variables as shells and other programs read them: text out of names and values, nothing else known."""

import json
from collections.abc import Callable, Iterable, Mapping

from vaultd.wire.errors import Usage

Write = Callable[[Mapping[str, str], Iterable[str]], str]


def _sh(variables: Mapping[str, str], unset: Iterable[str]) -> str:
    """POSIX: everything but ' is itself inside quotes."""
    lines = [f"export {name}='{value.replace(QUOTE, ESCAPED)}'" for name, value in variables.items()]
    return "\n".join([f"unset {' '.join(unset)}", *lines])


def _fish(variables: Mapping[str, str], unset: Iterable[str]) -> str:
    """Inside its quotes fish reads \\\\ and \\' (fish language, "Quotes")."""
    lines = [f"set -gx {name} '{_for_fish(value)}'" for name, value in variables.items()]
    return "\n".join([*(f"set -e {name}" for name in unset), *lines])


def _for_fish(value: str) -> str:
    return value.replace(BACKSLASH, BACKSLASH * 2).replace(QUOTE, BACKSLASH + QUOTE)


def _powershell(variables: Mapping[str, str], unset: Iterable[str]) -> str:
    lines = [f"$Env:{name} = '{value.replace(QUOTE, QUOTE * 2)}'" for name, value in variables.items()]
    return "\n".join([*(f"$Env:{name} = $null" for name in unset), *lines])


def _dotenv(variables: Mapping[str, str], unset: Iterable[str]) -> str:  # noqa: ARG001 - a file unsets nothing
    """Bare values, as `docker run --env-file` wants them: it knows no quotes. Raises Usage for what needs some."""
    if any(
        not value.isascii() or not value.isprintable() or set(value) & set(" '\"\\#$`")
        for value in variables.values()
    ):
        raise Usage("a value cannot be written for dotenv", hint="use --format json")
    return "\n".join(f"{name}={value}" for name, value in variables.items())


def _json(variables: Mapping[str, str], unset: Iterable[str]) -> str:  # noqa: ARG001 - a document unsets nothing
    return json.dumps(variables, indent=2)


QUOTE, BACKSLASH = "'", "\\"
ESCAPED = "'\\''"
FORMATS: Mapping[str, Write] = {
    "sh": _sh,
    "fish": _fish,
    "powershell": _powershell,
    "dotenv": _dotenv,
    "json": _json,
}


def check(format_name: str) -> None:
    """Raises Usage for a format that there is not: before anything is asked for."""
    if format_name not in FORMATS:
        raise Usage("--format has a wrong value", hint=f"choose from {', '.join(FORMATS)}")


def write(format_name: str, variables: Mapping[str, str], unset: Iterable[str]) -> str:
    """The text that takes out `unset` and sets `variables`."""
    return FORMATS[format_name](variables, unset)
