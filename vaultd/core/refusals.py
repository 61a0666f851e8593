# SPDX-License-Identifier: Apache-2.0
"""What AWS's refusals mean to a person: from an error code to one line that says what happened and what helps.

Pure: it gets what AWS said as values and knows nothing of HTTP or boto. AWS's text is untrusted input here; it can hold
anything, a session token included (SignatureDoesNotMatch quotes the whole canonical request), so it is cut and cleaned.
"""

from dataclasses import dataclass
from datetime import timedelta

from vaultd.core.sessions import Credentials
from vaultd.wire.errors import AwsFailed, ClientClockSkewed, printable

MAX_QUOTED = 140  # characters of AWS's own words: the rest of the 300-byte line is ours
SKEW_ALLOWED = timedelta(minutes=14)  # AWS refuses beyond 15; the rest covers the way there and back

UNKNOWN_KEY = frozenset({"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"})
BAD_SIGNATURE = frozenset({"SignatureDoesNotMatch", "InvalidSignatureException"})
BAD_TIME = frozenset({"RequestExpired", "RequestTimeTooSkewed"})
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException"})
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
THROTTLED = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
    }
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """What came back instead of an answer. `clock_error` is this machine's clock minus AWS's, None when untold."""

    action: str  # as IAM policies write it: "sts:GetSessionToken"
    code: str
    said: str
    status: int
    clock_error: timedelta | None = None


def explain(refusal: Refusal, credentials: Credentials, *, where: str) -> AwsFailed:
    """The error to raise. `where` is the partition, or the endpoint that the owner configured."""
    details: dict[str, object] = {"aws_code": _word(refusal.code), "aws_action": refusal.action}
    skew = _skew(refusal)
    if skew is not None:
        hint = "set the clock, then try again"
        return ClientClockSkewed(
            f"this clock is {skew}; AWS refuses its signatures", hint=hint, details=details
        )
    message, hint = _words(refusal, credentials, where)
    return AwsFailed(message, hint=hint, details=details)


def _words(refusal: Refusal, credentials: Credentials, where: str) -> tuple[str, str]:
    key, action, code = credentials.tail, refusal.action, _word(refusal.code)
    if code in UNKNOWN_KEY and credentials.session_token:
        return (
            f"AWS does not accept this session for {action}: it has no MFA, or its key is gone",
            "try again",
        )
    if code in UNKNOWN_KEY:
        fact = "it was deleted, is inactive or belongs elsewhere"
        return f"AWS does not know the key {key} in {where}: {fact}", "look at it in the IAM console"
    if code in BAD_SIGNATURE:
        return f"the secret of the key {key} is wrong", "add the key again with its right secret"
    if code in EXPIRED:
        return f"the session {key} has expired", "try again"
    if code in DENIED:
        return f"{action} is not allowed to the key {key} (AWS: {_quoted(refusal, credentials)})", ""
    if code in THROTTLED:
        return f"AWS is throttling {action}", "try again in a minute"
    if code == "RegionDisabledException":
        return f"STS is not active for this account in {where}", "set another region on the profile"
    if refusal.status >= 500:  # noqa: PLR2004  HTTP's own border between theirs and ours
        return f"AWS failed at {action} ({code})", "try again"
    return f"AWS refused {action} ({code}: {_quoted(refusal, credentials)})", ""


def _word(code: str) -> str:
    return printable(code)[:60] or "no code"


def _quoted(refusal: Refusal, credentials: Credentials) -> str:
    text = refusal.said
    for secret in (credentials.secret, credentials.session_token):
        if secret:
            text = text.replace(secret.reveal(), "[hidden]")
    text = printable(text)
    return text if len(text) <= MAX_QUOTED else text[: MAX_QUOTED - 3] + "..."


def _skew(refusal: Refusal) -> str | None:
    if refusal.code not in BAD_SIGNATURE | BAD_TIME:
        return None
    error = refusal.clock_error
    if error is None or abs(error) <= SKEW_ALLOWED:
        return "wrong" if refusal.code in BAD_TIME else None
    return f"{span(abs(error))} {'slow' if error < timedelta(0) else 'fast'}"


def span(length: timedelta) -> str:
    """`14 h 50 min`: the two largest units that say it."""
    minutes = int(length.total_seconds() // 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min"
