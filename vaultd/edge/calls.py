# SPDX-License-Identifier: Apache-2.0
"""One request: checked field by field before any handler sees it."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from vaultd.edge.peer import Peer
from vaultd.wire import protocol
from vaultd.wire.errors import ProtocolMismatch, Usage

_REQUEST_ID = re.compile(r"[0-9a-f]{32}\Z")

Progress = Callable[[str], Awaitable[None]]


@dataclass(slots=True)
class Call:
    """A request in work. `audit` collects what the audit line says beside who, what and the verdict."""

    op: str
    fields: dict[str, Any] = field(
        repr=False
    )  # passphrases and secrets as they came, until a handler wraps them
    peer: Peer
    progress: Progress
    request: str | None = None
    audit: dict[str, Any] = field(default_factory=dict)
    urgent: bool = True  # False: this audit line may wait up to a second for its fsync

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]


@dataclass(frozen=True, slots=True)
class Field:
    type: type
    default: Any = ...

    def read(self, name: str, frame: protocol.Frame) -> Any:
        if name not in frame:
            if self.default is ...:
                raise Usage(f"the request lacks {name}")
            return self.default
        value = frame[name]
        if value is None and self.default is None:
            return None
        if not isinstance(value, self.type) or (self.type is int and isinstance(value, bool)):
            raise Usage(f"the request's {name} has the wrong type")
        return value


def read_fields(schema: dict[str, Field], frame: protocol.Frame) -> dict[str, Any]:
    """The fields of `schema`. Raises Usage for one that is missing, unknown or of another type; shows no value."""
    if not frame.keys() <= schema.keys() | {"v", "op", "request"}:
        raise Usage("the request has a field that this operation does not know")
    return {name: entry.read(name, frame) for name, entry in schema.items()}


def check_version(frame: protocol.Frame) -> None:
    if frame.get("v") != protocol.PROTOCOL or isinstance(frame["v"], bool):
        raise ProtocolMismatch(f"this vaultd speaks version {protocol.PROTOCOL} of its protocol")


def request_id(frame: protocol.Frame) -> str | None:
    found = frame.get("request")
    if found is None:
        return None
    if not (isinstance(found, str) and _REQUEST_ID.match(found)):
        raise Usage("a request id is 32 hexadecimal digits")
    return found
