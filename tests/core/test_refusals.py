# SPDX-License-Identifier: Apache-2.0
"""Every refusal becomes one line that names the thing and what helps, and shows nothing it must not."""

from datetime import timedelta

import pytest

from vaultd.core.refusals import Refusal, explain, span
from vaultd.core.secret import Secret
from vaultd.core.sessions import Credentials
from vaultd.wire.errors import AwsFailed, ClientClockSkewed

KEY = Credentials("AKIAIOSFODNN7EXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"))
SESSION = Credentials("ASIAIOSFODNN7SESSION", Secret("sEcReTsEcReTsEcReT"), Secret("IQoJb3JpZ2luX2VjTOKEN"))
DENIAL = (
    "User: arn:aws:iam::123456789012:user/alice is not authorized to perform: sts:GetSessionToken on resource: "
    "arn:aws:iam::123456789012:user/alice with an explicit deny in an identity-based policy"
)


def refusal(
    code: str, said: str = "", *, status: int = 403, clock_error: timedelta | None = timedelta(0)
) -> Refusal:
    return Refusal("sts:GetSessionToken", code, said, status, clock_error)


@pytest.mark.parametrize(
    ("code", "status", "line"),
    [
        (
            "InvalidClientTokenId",
            403,
            "AWS does not know the key ...MPLE in aws: it was deleted, is inactive or belongs elsewhere; look at it in the IAM console",
        ),
        (
            "SignatureDoesNotMatch",
            403,
            "the secret of the key ...MPLE is wrong; add the key again with its right secret",
        ),
        ("ExpiredToken", 403, "the session ...MPLE has expired; try again"),
        ("Throttling", 400, "AWS is throttling sts:GetSessionToken; try again in a minute"),
        (
            "RegionDisabledException",
            403,
            "STS is not active for this account in aws; set another region on the profile",
        ),
        ("InternalFailure", 500, "AWS failed at sts:GetSessionToken (InternalFailure); try again"),
        ("ServiceUnavailable", 503, "AWS failed at sts:GetSessionToken (ServiceUnavailable); try again"),
        ("", 503, "AWS failed at sts:GetSessionToken (no code); try again"),
        ("SomethingNew", 400, "AWS refused sts:GetSessionToken (SomethingNew: what it said)"),
    ],
)
def test_each_code_has_its_words(code: str, status: int, line: str) -> None:
    error = explain(refusal(code, "what it said", status=status), KEY, where="aws")
    assert line == error.line
    assert (code or "no code", "sts:GetSessionToken") == (
        error.details["aws_code"],
        error.details["aws_action"],
    )


@pytest.mark.parametrize(
    ("said", "quoted"),
    [
        (
            DENIAL,
            "on resource: arn:aws:iam::123456789012:user/alice with an explicit deny in an identity-based policy",
        ),
        ("User: arn:aws:iam::1:user/a is not authorized to perform: iam:X because of it", "because of it"),
        ("User: arn:aws:iam::1:user/a is not authorized to perform: iam:X", None),
        ("Cannot call GetSessionToken with session credentials", None),
        ("", None),
    ],
)
def test_denial_names_the_action_and_quotes_what_aws_says_beyond_it(said: str, quoted: str | None) -> None:
    line = explain(refusal("AccessDenied", said), KEY, where="aws").line
    reason = said if quoted is None else quoted
    assert f"sts:GetSessionToken is not allowed to the key ...MPLE (AWS: {reason})" == line


def test_session_without_mfa_is_told_so() -> None:
    message = explain(refusal("InvalidClientTokenId"), SESSION, where="aws").message
    assert (
        "AWS does not accept this session for sts:GetSessionToken: it has no MFA, or its key is gone"
        == message
    )


@pytest.mark.parametrize(
    ("code", "clock_error", "words"),
    [
        ("SignatureDoesNotMatch", -timedelta(hours=14, minutes=50), "this clock is 14 h 50 min slow"),
        ("SignatureDoesNotMatch", timedelta(minutes=16), "this clock is 16 min fast"),
        ("RequestExpired", -timedelta(days=400, hours=3), "this clock is 400 d 3 h slow"),
        ("RequestTimeTooSkewed", None, "this clock is wrong"),
        ("RequestExpired", timedelta(0), "this clock is wrong"),
    ],
)
def test_clock_is_blamed_when_it_is_the_clock(code: str, clock_error: timedelta | None, words: str) -> None:
    error = explain(refusal(code, clock_error=clock_error), KEY, where="aws")
    assert isinstance(error, ClientClockSkewed)
    assert f"{words}; AWS refuses its signatures; set the clock, then try again" == error.line.replace(
        ": ", "; "
    )


@pytest.mark.parametrize(
    ("code", "clock_error"),
    [
        ("SignatureDoesNotMatch", timedelta(minutes=14)),
        ("SignatureDoesNotMatch", None),
        ("AccessDenied", timedelta(days=1)),
    ],
)
def test_clock_is_not_blamed_for_anything_else(code: str, clock_error: timedelta | None) -> None:
    error = explain(refusal(code, clock_error=clock_error), KEY, where="aws")
    assert type(error) is AwsFailed


@pytest.mark.parametrize("code", ["AccessDenied", "SomethingNew", "SignatureDoesNotMatch", "ExpiredToken"])
@pytest.mark.parametrize("credentials", [KEY, SESSION])
def test_no_secret_leaves_with_what_aws_said(code: str, credentials: Credentials) -> None:
    """SignatureDoesNotMatch quotes the whole canonical request, session token included."""
    token = credentials.session_token or Secret("a session token, if there were one")
    said = f"{credentials.secret.reveal()} {credentials.session_token and token.reveal()} " * 3
    error = explain(refusal(code, said), credentials, where="aws")
    for shown in (error.line, str(error), repr(error), str(error.details)):
        assert credentials.secret.reveal() not in shown
        assert token.reveal() not in shown


def test_secret_cut_in_half_by_the_limit_does_not_show_either() -> None:
    error = explain(refusal("SomethingNew", "x" * 120 + KEY.secret.reveal()), KEY, where="aws")
    assert KEY.secret.reveal()[:8] not in error.line


def test_what_aws_says_is_one_printable_line() -> None:
    error = explain(
        refusal("New\x1b[2J" + "C" * 500, "\x1b[31m\r\n\u202e" + "x" * 10_000, status=400), KEY, where="aws"
    )
    assert error.message.isprintable()
    assert error.message.isascii()
    assert len(error.message) < 290


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(seconds=59), "0 min"),
        (timedelta(minutes=16), "16 min"),
        (timedelta(hours=2), "2 h"),
        (timedelta(hours=14, minutes=50, seconds=59), "14 h 50 min"),
        (timedelta(days=1), "1 d"),
        (timedelta(days=3, hours=4, minutes=5), "3 d 4 h"),
    ],
)
def test_span_is_said_in_its_two_largest_units(length: timedelta, text: str) -> None:
    assert text == span(length)
