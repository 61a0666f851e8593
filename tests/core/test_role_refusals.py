# SPDX-License-Identifier: Apache-2.0
"""A refused role, device or policy is one line: who asked, for what, which permission or limit, and what helps."""

from typing import Any

import pytest

from vaultd.core.refusals import Refusal, explain
from vaultd.core.secret import Secret
from vaultd.core.sessions import Credentials
from vaultd.wire.errors import MAX_LINE, AwsFailed, MfaRefused

KEY = Credentials("AKIAIOSFODNN7EXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"))
ALICE, ADMIN = "arn:aws:iam::123456789012:user/alice", "arn:aws:iam::210987654321:role/Admin"
DEVICE = "arn:aws:iam::123456789012:mfa/alice"
UNAUTHORIZED = f"User: {ALICE} is not authorized to perform: sts:AssumeRole on resource: {ADMIN}"


def told(code: str, said: str, **more: Any) -> AwsFailed:
    facts: dict[str, Any] = {"role": ADMIN, "duration_s": 43_200, "region": "eu-south-1", **more}
    return explain(Refusal("sts:AssumeRole", code, said, 403, **facts), KEY, where="aws")


@pytest.mark.parametrize(
    ("code", "said", "line"),
    [
        (
            "AccessDenied",
            UNAUTHORIZED,
            f"{ALICE} is not allowed sts:AssumeRole on {ADMIN}; look at the role's trust policy: who, external id, MFA",
        ),
        (
            "AccessDenied",
            f"{UNAUTHORIZED} because no identity-based policy allows the sts:AssumeRole action",
            f"{ALICE} is not allowed sts:AssumeRole on {ADMIN}; its own policies must allow it",
        ),
        (
            "AccessDenied",
            f"{UNAUTHORIZED} with an explicit deny in a service control policy",
            f"{ALICE} is not allowed sts:AssumeRole on {ADMIN} (with an explicit deny in a service control policy)",
        ),
        (
            "AccessDenied",
            UNAUTHORIZED.replace("sts:AssumeRole", "sts:TagSession"),
            f"{ALICE} is not allowed sts:TagSession on {ADMIN}; the role's trust policy must allow it too",
        ),
        (
            "AccessDenied",
            UNAUTHORIZED.replace("sts:AssumeRole", "sts:SetSourceIdentity"),
            f"{ALICE} is not allowed sts:SetSourceIdentity on {ADMIN}; the role's trust policy must allow it too",
        ),
        (
            "AccessDenied",
            "Roles may not be assumed by root accounts.",
            f"sts:AssumeRole is refused for {ADMIN} (AWS: Roles may not be assumed by root accounts.)",
        ),
        (
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            f"{ADMIN} has a MaxSessionDuration below 12 h; ask for less; 1h is always allowed",
        ),
        (
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
            f"{ADMIN} is assumed by a session, and lives 1 h at most then; set its duration to 1h",
        ),
        (
            "ValidationError",
            "1 validation error detected: Value 'x' at 'externalId' failed",
            "AWS refused sts:AssumeRole (ValidationError: 1 validation error detected: Value 'x' at 'externalId' failed)",
        ),
        (
            "PackedPolicyTooLarge",
            "Packed policy consumes 105% of allotted space, please use smaller policy.",
            "the session's policy and tags are 5 % too large, as AWS packs them; use fewer, or a managed policy",
        ),
        (
            "PackedPolicyTooLarge",
            "other words",
            "the session's policy and tags are too large, as AWS packs them; use fewer, or a managed policy",
        ),
        (
            "MalformedPolicyDocument",
            "Syntax errors in policy.",
            "AWS does not take the session policy (Syntax errors in policy.)",
        ),
        (
            "RegionDisabledException",
            "",
            "STS is not active for this account in eu-south-1; set another region on the profile",
        ),
        ("ExpiredToken", "", "the session ...MPLE has expired; try again"),
    ],
)
def test_each_refusal_has_its_words(code: str, said: str, line: str) -> None:
    error = told(code, said)
    assert line == error.line
    assert (AwsFailed, code) == (type(error), error.details["aws_code"])


@pytest.mark.parametrize("role", [None, ADMIN])
def test_refused_code_is_an_error_of_its_own(role: str | None) -> None:
    """Whoever holds the seed waits for the next code; for a wrong device no code helps."""
    error = told(
        "AccessDenied",
        "MultiFactorAuthentication failed with invalid MFA one time pass code. ",
        role=role,
        device=DEVICE,
    )
    assert isinstance(error, MfaRefused)
    assert (
        f"AWS did not accept the MFA code for {DEVICE}; wait for the next code, then try again" == error.line
    )


@pytest.mark.parametrize("role", [None, ADMIN])
def test_wrong_device_is_named(role: str | None) -> None:
    said = (
        "MultiFactorAuthentication failed, unable to validate MFA code.  "
        "Please verify your MFA serial number is valid and associated with this user."
    )
    error = told("AccessDenied", said, role=role, device=DEVICE)
    assert AwsFailed is type(error)
    assert (
        f"this user has no MFA device {DEVICE}; look at the user's MFA devices in the IAM console"
        == error.line
    )


def test_words_of_other_codes_are_not_taken_for_these() -> None:
    for said in (
        "one time pass code",
        "verify your MFA serial number",
        "role chaining",
        "MaxSessionDuration",
    ):
        assert "AWS refused sts:AssumeRole (Other:" in told("Other", said).line


def test_longest_names_leave_room_for_the_hint() -> None:
    who = f"arn:aws:iam::123456789012:user/{'p' * 510}/alice"
    said = f"User: {who} is not authorized to perform: sts:SetSourceIdentity on resource: x"
    line = told("AccessDenied", said, role=f"arn:aws:iam::210987654321:role/{'q' * 510}/Admin").line
    assert line.endswith("/Admin; the role's trust policy must allow it too")
    assert "/alice is not allowed" in line
    assert len(f"awsvault: {line}\n") <= MAX_LINE


@pytest.mark.parametrize(
    "code", ["AccessDenied", "MalformedPolicyDocument", "PackedPolicyTooLarge", "ValidationError"]
)
@pytest.mark.parametrize(
    "form", ["{}", "User: arn:{} is not authorized to perform: sts:AssumeRole {}", "role chaining {}"]
)
def test_no_secret_and_nothing_unprintable_leaves(code: str, form: str) -> None:
    secret = KEY.secret.reveal()
    error = told(code, form.replace("{}", f"{secret}\x1b[2J\n\u202e"))
    assert secret not in error.line + str(error.details)
    assert error.message.isprintable()
    assert error.message.isascii()
