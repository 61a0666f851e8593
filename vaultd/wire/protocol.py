# SPDX-License-Identifier: Apache-2.0
"""Frames: one JSON object a line, at most 64 KiB, decoded strictly. PROTOCOL.md is the specification.

Python's json accepts duplicate keys, NaN and lone surrogates; two readers of one frame could then see two different
requests, so all three are refused here. Nothing of a bad frame is echoed: it may hold a passphrase.
"""

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from vaultd.wire.errors import ProtocolMismatch, Usage, VaultError, printable, tree

PROTOCOL = 1  # bumped by hand whenever an old client and a new daemon would misunderstand each other
MAX_FRAME = 64 * 1024  # bytes, line end included
MAX_PART = 48 * 1024  # bytes of a long list in one frame
FRAME_TIMEOUT_S = 5.0  # a whole request must arrive in this time
GET_DEADLINE_S = 2.5  # the daemon answers `get` by then, whatever AWS does
CLIENT_DEADLINE_S = 3.0  # `get` gives up then (R13; the tightest SDK cuts at 5 s)
GET_ANSWER = b'{"Version":1,'  # how the one reply that is no {"ok"...} or {"error"...} object begins

Frame = dict[str, Any]


def encode(frame: Frame) -> bytes:
    """One line: compact, ASCII, no NaN. Raises Usage when it is over MAX_FRAME."""
    data = json.dumps(frame, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode() + b"\n"
    if len(data) > MAX_FRAME:
        raise Usage("too much for one request")
    return data


def encode_answer(frame: Frame) -> bytes:
    """As many lines as `frame` needs: what a list is too long for goes ahead in `{"more":{name:[...]}}` lines."""
    whole = json.dumps(frame, separators=(",", ":")).encode()
    if len(whole) < MAX_FRAME:
        return whole + b"\n"
    lines = []
    for name, value in frame.items():
        if isinstance(value, list):
            lines += [encode({"more": {name: part}}) for part in _parts(value)]
    return b"".join(lines) + encode({k: [] if isinstance(v, list) else v for k, v in frame.items()})


def _parts(items: list[Any]) -> Iterator[list[Any]]:
    """`items` in order, in pieces that fit a frame."""
    part: list[Any] = []
    room = MAX_PART
    for item in items:
        size = len(json.dumps(item, separators=(",", ":"))) + 1
        if part and size > room:
            yield part
            part, room = [], MAX_PART
        part.append(item)
        room -= size
    yield part


def join_more(frame: Frame, earlier: dict[str, list[Any]]) -> Frame:
    """The answer whose lists began in `earlier`."""
    return {**frame, **{name: [*items, *frame.get(name, [])] for name, items in earlier.items()}}


def decode(line: bytes) -> Frame:
    """The object in `line`. Raises Usage, naming no part of the input."""
    if len(line) > MAX_FRAME:
        raise Usage("a frame is longer than 64 KiB")
    try:
        frame = json.loads(line.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse)
        json.dumps(frame, ensure_ascii=False).encode("utf-8")  # fails on lone surrogates
    except (ValueError, RecursionError):
        raise Usage("a frame is not a strict JSON object") from None
    if not isinstance(frame, dict):
        raise Usage("a frame is not a strict JSON object")
    return frame


def _unique(pairs: list[tuple[str, Any]]) -> Frame:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _refuse(_constant: str) -> NoReturn:
    raise ValueError("not a JSON number")


def request(op: str, **fields: Any) -> Frame:
    return {"v": PROTOCOL, "op": op, **fields}


def error_frame(error: VaultError) -> Frame:
    """`exit` and `line` come first, in this order: `awsvault get` finds them without a JSON parser."""
    return {
        "error": {
            "exit": error.exit_status,
            "line": error.line,
            "code": error.code,
            "message": printable(error.message),
            "hint": printable(error.hint),
            "details": error.details,
        }
    }


def raise_error(reply: Frame) -> None:
    """Raise what an error reply says, as the class that it was; an unknown code keeps its exit status."""
    body = reply.get("error")
    if body is None:
        return
    if not isinstance(body, dict):
        raise ProtocolMismatch
    cls = tree().get(str(body.get("code")), VaultError)
    error = cls(
        str(body.get("message", "")), hint=str(body.get("hint", "")), details=body.get("details") or {}
    )
    if cls is VaultError and isinstance(body.get("exit"), int):
        error.exit_status = body["exit"]
    raise error
