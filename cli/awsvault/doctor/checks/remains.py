# SPDX-License-Identifier: Apache-2.0
"""Credentials in the clear outside ~/.aws/credentials: what other tools cache, and what a shell remembers."""

from collections.abc import Iterator

from awsvault.doctor.findings import Check, Finding, warning, word
from awsvault.doctor.machine import Cache, Machine

_WHAT = {
    "session": "holds a session in plain text",
    "sign-in": "holds a sign-in that renews itself, in plain text",
    "key": "holds a key in plain text",
    "copy": "is like a file of AWS's and holds a key in plain text",
}


def caches(machine: Machine) -> Iterator[Finding]:
    """Those that are over are nobody's danger."""
    for cache in machine.caches:
        if cache.until and cache.until <= machine.now:
            continue
        until = f", good until {cache.until}" if cache.until else ""
        yield warning(f"it {_WHAT[cache.what]}{until}", _mend(cache), file=cache.path)


def _mend(cache: Cache) -> str:
    if cache.what == "key":
        return "put that key into the vault, and take it out of there"
    if cache.what == "copy":
        return f"run: awsvault import --file {word(cache.path)}; then, if nothing else in it is needed: rm {word(cache.path)}"
    if "/.aws/sso/" in cache.path:
        return "when you do not need it: aws sso logout"
    if "/.aws/login/" in cache.path:
        return "when you do not need it: aws logout"
    return f"run: rm {word(cache.path)}"


def histories(machine: Machine) -> Iterator[Finding]:
    for path, count in machine.histories.items():
        lines = "a line of it looks" if count == 1 else f"{count} lines of it look"
        yield warning(
            f"{lines} like an AWS key with its secret",
            "take them out, then give the key up: awsvault rotate PROFILE --now",
            file=path,
        )


CHECKS = (
    Check("caches", "do other tools keep credentials in plain text", caches),
    Check("histories", "does a shell remember a key", histories),
)
