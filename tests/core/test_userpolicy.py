# SPDX-License-Identifier: Apache-2.0
"""The policy that ends older sessions, and how AWS's quarantine is known."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from vaultd.core import userpolicy


def test_denial_ends_what_was_issued_before_to_the_second() -> None:
    moment = datetime(2026, 11, 24, 8, 6, 38, 999, tzinfo=timezone(timedelta(hours=5)))
    assert userpolicy.denial(moment) == (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*",'
        '"Condition":{"DateLessThan":{"aws:TokenIssueTime":"2026-11-24T03:06:38Z"}}}]}'
    )
    assert userpolicy.denial(moment) == userpolicy.denial(moment.astimezone(UTC))


@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        ("arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantine", True),
        ("arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3", True),
        ("arn:aws-us-gov:iam::aws:policy/AWSCompromisedKeyQuarantineV12", True),
        ("arn:aws:iam::123456789012:policy/AWSCompromisedKeyQuarantineV3", False),
        ("arn:aws:iam::aws:policy/mine/AWSCompromisedKeyQuarantineV3", False),
        ("arn:aws:iam::aws:policy/AdministratorAccess", False),
        ("arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3\n", False),
    ],
)
def test_quarantine_is_aws_own_policy_of_any_version(arn: str, expected: bool) -> None:
    assert expected == userpolicy.is_quarantine(arn)
