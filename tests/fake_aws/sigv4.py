# SPDX-License-Identifier: Apache-2.0
"""Signature Version 4, from its specification (IAM User Guide: "Create a signed AWS API request").

Shares no code with botocore: the two must agree, and tests show that they do.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
WINDOW = timedelta(minutes=15)

_AUTHORIZATION = re.compile(
    rf"{ALGORITHM} +Credential=(?P<id>[^ ,/]+)/(?P<date>[0-9]{{8}})/(?P<region>[a-z0-9-]+)"
    r"/(?P<service>[a-z0-9-]+)/aws4_request, *SignedHeaders=(?P<headers>[^ ,]+), *Signature=(?P<signature>[0-9a-f]{64})\Z"
)


class Rejected(Exception):
    """What AWS answers instead of acting."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """As it came off the wire. Header names keep every occurrence: [(name, value), ...]."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """All values of one header in the canonical form: trimmed, inner runs of blanks made one."""
        values = [" ".join(value.split()) for key, value in self.headers if key.lower() == name]
        return ",".join(values)


@dataclass(frozen=True, slots=True)
class Claim:
    """What the Authorization header says about itself; nothing of it is believed before `check`."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


def read_claim(request: Request) -> Claim:
    header = request.header("authorization")
    if not header:
        raise Rejected(403, "MissingAuthenticationToken", "Request is missing Authentication Token")
    found = _AUTHORIZATION.match(header)
    if found is None:
        form = "Authorization header is not of the form of Signature Version 4."
        raise Rejected(400, "IncompleteSignature", form)
    return Claim(
        access_key_id=found["id"],
        date=found["date"],
        region=found["region"],
        service=found["service"],
        signed_headers=tuple(found["headers"].split(";")),
        signature=found["signature"],
    )


def check(request: Request, claim: Claim, secret: str, now: datetime | None) -> None:
    """Raise Rejected unless `secret` made this signature for this request within 15 minutes of `now`."""
    stamp = request.header("x-amz-date")
    required = ["host", "x-amz-date"] + ["x-amz-security-token"] * bool(
        request.header("x-amz-security-token")
    )
    if not set(required) <= set(claim.signed_headers):
        raise _mismatch(f"These must be signed headers: {', '.join(required)}.")
    signed_at = _read_stamp(stamp)
    if claim.date != stamp[:8]:
        raise _mismatch(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{claim.date}' != '{stamp[:8]}', from '{stamp}'."
        )
    if now is not None:
        _check_age(stamp, signed_at, now)
    if not hmac.compare_digest(signature(request, claim, secret, stamp), claim.signature):
        raise _mismatch(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details."
        )


def signature(request: Request, claim: Claim, secret: str, stamp: str) -> str:
    canonical = hashlib.sha256(canonical_request(request, claim.signed_headers).encode()).hexdigest()
    to_sign = f"{ALGORITHM}\n{stamp}\n{claim.scope}\n{canonical}"
    key = b"AWS4" + secret.encode()
    for part in (claim.date, claim.region, claim.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, to_sign.encode(), "sha256").hexdigest()


def canonical_request(request: Request, signed_headers: Sequence[str]) -> str:
    url = urlsplit(request.target)
    query = sorted(
        (_encode(key), _encode(value)) for key, value in parse_qsl(url.query, keep_blank_values=True)
    )
    return "\n".join(
        [
            request.method,
            quote(url.path or "/", safe="/-_.~"),
            "&".join(f"{key}={value}" for key, value in query),
            *(f"{name}:{request.header(name)}" for name in signed_headers),
            "",
            ";".join(signed_headers),
            hashlib.sha256(request.body).hexdigest(),
        ]
    )


def parameters(request: Request) -> Mapping[str, str]:
    """The Query protocol's parameters, from the body or the URL."""
    text = (
        request.body.decode("utf-8", "replace")
        if request.method == "POST"
        else urlsplit(request.target).query
    )
    return dict(parse_qsl(text, keep_blank_values=True))


def _encode(text: str) -> str:
    return quote(text, safe="-_.~")


def _read_stamp(stamp: str) -> datetime:
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Rejected(400, "IncompleteSignature", "Date must be in ISO-8601 'basic format'.") from None


def _check_age(stamp: str, signed_at: datetime, now: datetime) -> None:
    def form(moment: datetime) -> str:
        return moment.strftime("%Y%m%dT%H%M%SZ")

    if signed_at < now - WINDOW:
        raise _mismatch(
            f"Signature expired: {stamp} is now earlier than {form(now - WINDOW)} ({form(now)} - 15 min.)"
        )
    if signed_at > now + WINDOW:
        raise _mismatch(
            f"Signature not yet current: {stamp} is still later than {form(now + WINDOW)} ({form(now)} + 15 min.)"
        )


def _mismatch(message: str) -> Rejected:
    return Rejected(403, "SignatureDoesNotMatch", message)
