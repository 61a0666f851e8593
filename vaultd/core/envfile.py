# SPDX-License-Identifier: Apache-2.0
"""The access key in a .env file or a shell's start-up file, and the same text with AWS_PROFILE in its place.

Only what every reader of such files understands in the same way is touched: one plain assignment to a line. Text in,
text out.
"""

import re
from dataclasses import dataclass
from typing import Final

from vaultd.core.ini import line_end_of, split
from vaultd.core.plaintext import Found, Place, shape
from vaultd.core.secret import Secret

KEY_ID: Final = "AWS_ACCESS_KEY_ID"
SECRET: Final = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the variable's name
TOKENS: Final = ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
PROFILE: Final = "AWS_PROFILE"
_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
_KNOWN: Final = (KEY_ID, SECRET, *TOKENS, PROFILE, *_REGIONS)

_NAMES = "|".join(_KNOWN)
_ASSIGNED = re.compile(
    rf"(?P<start>(?:export[ \t]+)?)(?P<name>{_NAMES})="
    r"""(?:'(?P<single>[^'\r\n]*)'|"(?P<double>[^"$`\\\r\n]*)"|(?P<bare>[^\s"'$`\\;&|<>()#]*))[ \t]*(?:#.*)?"""
)
_MENTIONED = re.compile(rf"[^#]*\b(?:{KEY_ID}|{SECRET})\b")
_REGION = re.compile(r"[a-z0-9-]{1,40}")


@dataclass(frozen=True, slots=True)
class _Line:
    index: int
    start: str  # `export ` or nothing
    value: str


def found_in(text: str, where: str, profile: str) -> list[Found]:
    """The key of the file, if it holds one or a part of one. It has no profile yet: `profile` is to be its name."""
    lines = _assignments(text)
    places = [line.index for name in (KEY_ID, SECRET) for line in lines.get(name, [])]
    strange = _not_understood(text)
    if not places and strange is None:
        return []
    key_id, secret = (lines[name][-1].value if name in lines else "" for name in (KEY_ID, SECRET))
    has_token = any(lines[name][-1].value for name in TOKENS if name in lines)
    regions = [lines[name][-1].value for name in _REGIONS if name in lines]
    place = Place(where, (min(places) if places else strange or 0) + 1)
    return [
        Found(
            profile,
            (place,),
            key_id,
            Secret(secret.encode("utf-8", "surrogateescape")),
            region=next((region for region in regions if _REGION.fullmatch(region)), None),
            obstacle=_obstacle(lines, strange) or shape(key_id, secret, has_token=has_token),
        )
    ]


def _assignments(text: str) -> dict[str, list[_Line]]:
    """What each line of the known form assigns. A line that is indented stands in a block, and is none."""
    found: dict[str, list[_Line]] = {}
    for index, line in enumerate(split(text)):
        match = _ASSIGNED.fullmatch(line.rstrip("\r\n"))
        if match:
            value = match["single"] or match["double"] or match["bare"] or ""
            found.setdefault(match["name"], []).append(_Line(index, match["start"], value))
    return found


def _not_understood(text: str) -> int | None:
    """The first line that sets or uses a half of a key in a way that is not ours to rewrite."""
    for index, line in enumerate(split(text)):
        if _MENTIONED.match(line) and not _ASSIGNED.fullmatch(line.rstrip("\r\n")):
            return index
    return None


def _obstacle(lines: dict[str, list[_Line]], strange: int | None) -> str:
    if strange is not None:
        return f"line {strange + 1} names it in a way that cannot be rewritten"
    for name in (KEY_ID, SECRET):
        if len(lines.get(name, [])) > 1:
            return f"line {lines[name][1].index + 1} sets {name} again"
    if PROFILE in lines:
        return f"line {lines[PROFILE][0].index + 1} sets {PROFILE}, too"
    return ""


def without_key(text: str, access_key_id: str, secret: Secret, profile: str) -> str:
    """The text with `AWS_PROFILE=profile` in the place of this key; another key stays. Twice changes nothing."""
    lines = _assignments(text)
    here = [lines.get(name, []) for name in (KEY_ID, SECRET)]
    if any(len(found) != 1 for found in here):
        return text
    (key_line,), (secret_line,) = here
    held = Secret(secret_line.value.encode("utf-8", "surrogateescape"))
    if key_line.value != access_key_id or held != secret:
        return text
    whole = split(text)
    whole[key_line.index] = f"{key_line.start}{PROFILE}={profile}{line_end_of(whole[key_line.index])}"
    del whole[secret_line.index]
    return "".join(whole)
