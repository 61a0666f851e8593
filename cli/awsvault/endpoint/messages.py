# SPDX-License-Identifier: Apache-2.0
"""What the container endpoint is asked and what it answers: HTTP heads, and JSON. No socket, clock or environment.

Who may ask: whoever holds the token, by a plain GET of the one path, addressed to 127.0.0.1 itself. A browser can be
made to send requests here (DNS rebinding, forms); it cannot leave out Origin or Sec-Fetch-Site, nor know the token.
Errors are 4xx only: SDKs repeat a 5xx, some for half a minute, and no repetition unlocks a vault.
"""

import json
from _operator import _compare_digest  # hmac.compare_digest is the same, and loads OpenSSL
from dataclasses import dataclass, field

from vaultd.wire import protocol
from vaultd.wire.errors import Locked, NoSuchProfile, NoVault, ProtocolMismatch, Refused, Usage, VaultError

MAX_HEAD = 8192  # bytes; SDKs send about 300
_NAME = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"  # RFC 9110: a token
_CONTROLS = bytes({*range(0x20), 0x7F} - {0x09})
_ONCE = (b"host", b"authorization")
_PHRASES = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
}
_CODES = {
    Locked: "VaultLocked",
    NoVault: "VaultLocked",
    NoSuchProfile: "NoSuchProfile",
    Refused: "AccessDenied",
}
_STATUS = {NoSuchProfile: 404, Refused: 403}


@dataclass(frozen=True, slots=True)
class Place:
    """What a request must name: one address, one path, one token."""

    port: int
    profile: str
    token: bytes = field(repr=False)

    @property
    def host(self) -> bytes:
        return b"127.0.0.1:%d" % self.port

    @property
    def path(self) -> bytes:
        """Unreserved characters only: some SDK re-encodes the others (C1)."""
        return b"/creds/" + self.profile.encode()


def refusal_of(head: bytes, place: Place) -> bytes | None:
    """The whole reply to a request that gets no credentials; None for one that does. `head` is up to the empty line."""
    lines = head.split(b"\r\n")
    words = lines[0].split(b" ")
    headers = _headers(lines[1:])
    if len(words) != 3 or words[2] not in (b"HTTP/1.1", b"HTTP/1.0") or headers is None:  # noqa: PLR2004
        return error_reply(400, "BadRequest", "this is not an HTTP request")
    if headers.get(b"host") != place.host:
        return error_reply(403, "AccessDenied", "this address has another name")
    if b"origin" in headers or any(name.startswith(b"sec-fetch-") for name in headers):
        return error_reply(403, "AccessDenied", "browsers get nothing here")
    if words[0] != b"GET":
        return error_reply(405, "MethodNotAllowed", "only GET is answered")
    if not _compare_digest(headers.get(b"authorization", b""), place.token):
        return error_reply(401, "Unauthorized", "the token is missing or wrong")
    if words[1] != place.path:
        return error_reply(404, "NotFound", "there is nothing at this path")
    return None


def _headers(lines: list[bytes]) -> dict[bytes, bytes] | None:
    """By lower-case name; None for a head that two readers could understand differently."""
    found: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        key = name.lower()
        if not colon or not name or name.translate(None, _NAME) or (key in found and key in _ONCE):
            return None
        if len(value.translate(None, _CONTROLS)) < len(value):
            return None
        found[key] = value.strip(b" \t")
    return found


def reply_of(line: bytes) -> bytes:
    """The HTTP reply that carries the daemon's answer, a line as `get` gets it."""
    try:
        answer = protocol.decode(line)
        protocol.raise_error(answer)
        if not answer.get("SessionToken"):
            raise Refused("only sessions are served here")
        body = {
            "AccessKeyId": answer["AccessKeyId"],
            "SecretAccessKey": answer["SecretAccessKey"],
            "Token": answer["SessionToken"],
            "Expiration": answer["Expiration"],
        }
        if "AccountId" in answer:
            body["AccountId"] = answer["AccountId"]
    except (Usage, KeyError):
        return reply_of_error(ProtocolMismatch())
    except VaultError as error:
        return reply_of_error(error)
    return _reply(200, json.dumps(body, separators=(",", ":")))


def reply_of_error(error: VaultError) -> bytes:
    code = _CODES.get(type(error)) or "".join(word.capitalize() for word in error.code.split("-"))
    return error_reply(_STATUS.get(type(error), 400), code, f"awsvault: {error.line}")


def error_reply(status: int, code: str, message: str) -> bytes:
    """Both spellings: SDKs differ in which one they read (C6)."""
    body = {"code": code, "message": message, "Code": code, "Message": message}
    return _reply(status, json.dumps(body))


def _reply(status: int, body: str) -> bytes:
    allow = "Allow: GET\r\n" if status == 405 else ""  # noqa: PLR2004
    head = (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Cache-Control: no-store\r\n{allow}Connection: close\r\n\r\n"
    )
    return (head + body).encode("ascii")
