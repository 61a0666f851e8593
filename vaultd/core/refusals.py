# SPDX-License-Identifier: Apache-2.0
"""What AWS's refusals mean to a person: from an error code to one line that says what happened and what helps.

Pure: it gets what AWS said as values and knows nothing of HTTP or boto. AWS's text is untrusted input here; it can hold
anything, a session token included (SignatureDoesNotMatch quotes the whole canonical request), so it is cut and cleaned.
"""

import re
from dataclasses import dataclass
from datetime import timedelta

from vaultd.core.sessions import Credentials
from vaultd.wire.errors import AwsFailed, ClientClockSkewed, MfaRefused, cut, printable

MAX_QUOTED = 140  # characters of AWS's own words: the rest of the 300-byte line is ours
MAX_ARN = 80  # two of them, a permission and a hint must fit as well
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

#: Of the refusals by status 4xx, those that do not say that nothing was done.
_TIMEOUTS = frozenset({"RequestTimeout", "RequestTimeoutException"})
_TIMEOUT_STATUS = 408

_WRONG_CODE = "one time pass code"
_WRONG_DEVICE = "verify your MFA serial number"
_DENIAL = re.compile(
    r"User: (arn:[!-~]+) is not authorized to perform: (sts:[A-Za-z]{1,40})(?: on resource: [!-~]+)? ?(.*)"
)
#: How most denials begin: with whose key it is and what was asked. Why comes after that.
_SAID_ALREADY = re.compile(r"\AUser: arn:[!-~]+ is not authorized to perform: [A-Za-z0-9:-]+ (?=\S)")
_PACKED = re.compile(r"consumes ([0-9]{1,6})%")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What came back instead of an answer. `clock_error` is this machine's clock minus AWS's, None when untold."""

    action: str  # as IAM policies write it: "sts:GetSessionToken"
    code: str
    said: str
    status: int
    clock_error: timedelta | None = None
    role: str | None = (
        None  # what the call asked for: the role's ARN, the MFA device, the session's length, where
    )
    device: str | None = None
    duration_s: int | None = None
    region: str | None = None


def is_definite(refusal: Refusal) -> bool:
    """Was it certainly not done? By AWS's own word: a 4xx without a code comes from something in between."""
    is_theirs = 400 <= refusal.status < 500 and bool(refusal.code)  # noqa: PLR2004  HTTP's own borders
    return is_theirs and refusal.status != _TIMEOUT_STATUS and refusal.code not in _TIMEOUTS


def explain(refusal: Refusal, credentials: Credentials, *, where: str) -> AwsFailed:
    """The error to raise. `where` is the partition, or the endpoint that the owner configured."""
    details: dict[str, object] = {"aws_code": _word(refusal.code), "aws_action": refusal.action}
    skew = _skew(refusal)
    if skew is not None:
        hint = "set the clock, then try again"
        return ClientClockSkewed(
            f"this clock is {skew}; AWS refuses its signatures", hint=hint, details=details
        )
    if refusal.code in DENIED and _WRONG_CODE in refusal.said:
        device = _short(printable(refusal.device or "this device"))
        return MfaRefused(f"AWS did not accept the MFA code for {device}", details=details)
    message, hint = _of_session_calls(refusal, credentials) or _words(refusal, credentials, where)
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
        reason = cut(_SAID_ALREADY.sub("", _clean(refusal, credentials), 1), MAX_QUOTED)
        return f"{action} is not allowed to the key {key} (AWS: {reason})", ""
    if code in THROTTLED:
        return f"AWS is throttling {action}", "try again in a minute"
    if code == "RegionDisabledException":
        place = refusal.region or where
        return f"STS is not active for this account in {place}", "set another region on the profile"
    if refusal.status >= 500:  # noqa: PLR2004  HTTP's own border between theirs and ours
        return f"AWS failed at {action} ({code})", "try again"
    return f"AWS refused {action} ({code}: {_quoted(refusal, credentials)})", ""


def _of_session_calls(refusal: Refusal, credentials: Credentials) -> tuple[str, str] | None:
    """Words for what only a role, a device or a policy can be refused for; None for anything else."""
    said = _clean(refusal, credentials)
    role = _short(printable(refusal.role or "this role"))
    if refusal.code in DENIED and _WRONG_DEVICE in said:
        device = _short(printable(refusal.device or "of this name"))
        return f"this user has no MFA device {device}", "look at the user's MFA devices in the IAM console"
    if refusal.code in DENIED and refusal.role:
        return _denied_role(refusal, said, role)
    if refusal.code == "ValidationError" and "role chaining" in said:
        return f"{role} is assumed by a session, and lives 1 h at most then", "set its duration to 1h"
    if refusal.code == "ValidationError" and "MaxSessionDuration" in said:
        asked = span(timedelta(seconds=refusal.duration_s or 0))
        return f"{role} has a MaxSessionDuration below {asked}", "ask for less; 1h is always allowed"
    if refusal.code == "PackedPolicyTooLarge":
        share = _PACKED.search(said)
        excess = f"{int(share[1]) - 100} % too large" if share else "too large"
        return (
            f"the session's policy and tags are {excess}, as AWS packs them",
            "use fewer, or a managed policy",
        )
    if refusal.code == "MalformedPolicyDocument":
        return f"AWS does not take the session policy ({cut(said, MAX_QUOTED)})", ""
    return None


def _denied_role(refusal: Refusal, said: str, role: str) -> tuple[str, str]:
    """Who asked, for which role, and which permission is missing: AWS's words hold the first and the last."""
    found = _DENIAL.match(said)
    if found is None:
        return f"{refusal.action} is refused for {role} (AWS: {cut(said, MAX_QUOTED)})", ""
    who, permission, reason = _short(found[1]), found[2], found[3]
    message = f"{who} is not allowed {permission} on {role}"
    if reason.startswith("with an explicit deny"):
        return f"{message} ({cut(reason, 90)})", ""
    if "no identity-based policy" in reason:
        return message, "its own policies must allow it"
    if permission != "sts:AssumeRole":
        return message, "the role's trust policy must allow it too"
    return message, "look at the role's trust policy: who, external id, MFA"


def _short(arn: str) -> str:
    """The name is at the end, the account at the start."""
    return arn if len(arn) <= MAX_ARN else f"{arn[:40]}...{arn[43 - MAX_ARN :]}"


def _word(code: str) -> str:
    return printable(code)[:60] or "no code"


def _quoted(refusal: Refusal, credentials: Credentials) -> str:
    return cut(_clean(refusal, credentials), MAX_QUOTED)


def _clean(refusal: Refusal, credentials: Credentials) -> str:
    text = refusal.said
    for secret in (credentials.secret, credentials.session_token):
        if secret:
            text = text.replace(secret.reveal(), "[hidden]")
    return printable(text)


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
