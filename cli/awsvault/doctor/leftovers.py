# SPDX-License-Identifier: Apache-2.0
"""Finds credentials that other tools and shells left in the clear. Of what they hold only the kind and the end are kept."""

import json
import os
import re
import stat
from collections.abc import Iterator
from typing import Any

from awsvault.doctor.machine import Cache

MAX_FILE = 16 * 1024 * 1024  # of a history its end
CACHES = (".aws/cli/cache", ".aws/boto/cache", ".aws/sso/cache", ".aws/login/cache", ".awsume/cache")
FILES_READ = 500  # of one directory
HISTORIES = (
    ".bash_history",
    ".zsh_history",
    ".zhistory",
    ".histfile",
    ".sh_history",
    ".local/share/fish/fish_history",
    ".python_history",
    ".node_repl_history",
)
READ_BY_AWS = ("config", "credentials")
SETTINGS = (".boto", ".s3cfg", ".config/rclone/rclone.conf")
STAMP = 19  # characters of YYYY-MM-DDTHH:MM:SS

_KEY_ID = re.compile(rb"(?<![A-Z0-9])A(?:KIA|SIA)[A-Z0-9]{16}(?![A-Z0-9])")
_SECRET = re.compile(rb"(?<![A-Za-z0-9/+=])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")
_NAMED = re.compile(rb"""(?i)secret_?(?:access_?)?key["']?[\s:=]+["']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])""")
_SETTING = re.compile(rb"(?im)^\s*(?:aws_)?(?:secret_key|secret_access_key)\s*=\s*[A-Za-z0-9/+]{40}\s*$")


def caches(home: str) -> Iterator[Cache]:
    for folder in CACHES:
        for path in _files_in(os.path.join(home, folder)):
            found = _cached(_read(path))
            if found:
                yield Cache(path, *found)
    for name in SETTINGS:
        path = os.path.join(home, name)
        if _SETTING.search(_read(path)):
            yield Cache(path, "key")
    yield from _copies(home)


def _copies(home: str) -> Iterator[Cache]:
    """Files beside AWS's own that hold a key in their form: `credentials.bak`, an editor's `credentials~`."""
    for path in _files_in(os.path.join(home, ".aws")):
        if os.path.basename(path) not in READ_BY_AWS and _SETTING.search(_read(path)):
            yield Cache(path, "copy")


def _files_in(directory: str) -> list[str]:
    try:
        return [os.path.join(directory, name) for name in sorted(os.listdir(directory))[:FILES_READ]]
    except OSError:
        return []


def histories(home: str, chosen: str | None) -> dict[str, int]:
    """Lines that look like a key with its secret, by file."""
    paths = [os.path.join(home, name) for name in HISTORIES]
    found = {path: _keys_in(_read(path)) for path in dict.fromkeys([*paths, *([chosen] if chosen else [])])}
    return {path: count for path, count in found.items() if count}


def _keys_in(data: bytes) -> int:
    return sum(
        1
        for line in data.splitlines()
        if _NAMED.search(line) or (_KEY_ID.search(line) and _SECRET.search(line))
    )


def _read(path: str) -> bytes:
    """Its last MAX_FILE bytes; nothing where there is no file that we may read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        return b""
    with open(fd, "rb") as file:
        try:
            file.seek(max(0, info.st_size - MAX_FILE))
            return file.read(MAX_FILE)
        except OSError:
            return b""


def _cached(data: bytes) -> "tuple[Any, str] | None":
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    for facts in _objects(document):
        secret = facts.get("secretaccesskey") or facts.get("accesstoken")
        if not (isinstance(secret, str) and secret):
            continue
        if _text(document, "refreshtoken"):
            return "sign-in", ""
        is_session = "accesstoken" in facts or facts.get("sessiontoken")
        until = _stamp(facts.get("expiration") or facts.get("expiresat"))
        return ("session", until) if is_session else ("key", "")
    return None


def _objects(value: Any, depth: int = 4) -> Iterator[dict[str, Any]]:
    """Every object in a document, its names in one spelling; the innermost first."""
    if isinstance(value, dict) and depth:
        for inner in value.values():
            yield from _objects(inner, depth - 1)
        yield {str(name).lower().replace("_", ""): inner for name, inner in value.items()}


def _text(document: Any, name: str) -> str:
    found = {key.lower(): value for key, value in document.items()} if isinstance(document, dict) else {}
    return str(found.get(name) or "")


def _stamp(until: object) -> str:
    text = str(until or "").replace(" ", "T")[:STAMP]
    return f"{text}Z" if re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text) else ""
