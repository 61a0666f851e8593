# SPDX-License-Identifier: Apache-2.0
"""The stand-in's roles, MFA devices and narrowed sessions say yes and no where AWS's do, in AWS's words."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.fake_aws import AccessKey, Device, FakeAws, IssuedSession, User
from tests.fake_aws.asking import Said, ask, assume, denied, issued, refused
from vaultd.core import totp
from vaultd.core.secret import Secret

HOUR, WINDOW = timedelta(hours=1), timedelta(seconds=30)
#: RFC 6238, appendix B: the SHA-1 seed and two of its rows (the last six of eight digits).
RFC_SEED = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
RFC_CODES = {59: "287082", 1_111_111_109: "081804"}


@pytest.fixture
def aws() -> Iterator[FakeAws]:
    with FakeAws() as server:
        server.tolerates_skew = True
        yield server


@pytest.fixture
def alice(aws: FakeAws) -> User:
    return aws.add_user("alice", path="/staff/")


@pytest.fixture
def key(aws: FakeAws, alice: User) -> AccessKey:
    return aws.add_key(alice)


@pytest.fixture
def device(aws: FakeAws, alice: User) -> Device:
    return aws.add_mfa(alice)


def with_mfa(aws: FakeAws, key: AccessKey, device: Device, code: str | None = None) -> IssuedSession:
    code = code or device.code(aws.clock.now())
    return issued(aws, ask(aws, key, "GetSessionToken", SerialNumber=device.serial, TokenCode=code))


# --- MFA ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("second", "code"), RFC_CODES.items())
def test_codes_are_those_of_the_rfc_and_of_our_own_reading(
    aws: FakeAws, alice: User, second: int, code: str
) -> None:
    moment = datetime.fromtimestamp(second, UTC)
    assert code == aws.add_mfa(alice, seed=RFC_SEED).code(moment)
    assert code == totp.code(totp.read_seed(Secret(RFC_SEED)), totp.step_of(moment))


def test_session_with_a_code_counts_as_mfa_and_may_call_iam(
    aws: FakeAws, key: AccessKey, device: Device
) -> None:
    assert "arn:aws:iam::123456789012:mfa/alice" == device.serial
    session = with_mfa(aws, key, device)
    assert session.mfa
    assert "alice" == ask(aws, session, "GetUser")["UserName"]
    assert device.serial == aws.calls("GetSessionToken")[0].terms.mfa_serial


WRONG_CODE = "AccessDenied: MultiFactorAuthentication failed with invalid MFA one time pass code. "
WRONG_DEVICE = (
    "AccessDenied: MultiFactorAuthentication failed, unable to validate MFA code.  "
    "Please verify your MFA serial number is valid and associated with this user."
)


def test_code_is_good_once(aws: FakeAws, key: AccessKey, device: Device) -> None:
    code = device.code(aws.clock.now())
    with_mfa(aws, key, device, code)
    with refused(WRONG_CODE):
        with_mfa(aws, key, device, code)


@pytest.mark.parametrize(("windows", "accepted"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_code_of_a_window_beside_this_one_is_good(
    aws: FakeAws, key: AccessKey, device: Device, windows: int, accepted: bool
) -> None:
    aws.clock.offset -= timedelta(seconds=aws.clock.now().timestamp() % 30 - 15)  # the middle of a window
    code = device.code(aws.clock.now() + windows * WINDOW)
    if accepted:
        with_mfa(aws, key, device, code)
    else:
        with refused(WRONG_CODE):
            with_mfa(aws, key, device, code)


def test_device_of_somebody_else_or_nobody_is_no_device(aws: FakeAws, key: AccessKey, device: Device) -> None:
    theirs = aws.add_mfa(aws.add_user("bob"))
    for serial in (theirs.serial, device.serial + "-2"):
        with refused(WRONG_DEVICE):
            ask(aws, key, "GetSessionToken", SerialNumber=serial, TokenCode=theirs.code(aws.clock.now()))


@pytest.mark.parametrize("half", ["SerialNumber", "TokenCode"])
def test_device_and_code_come_together(aws: FakeAws, key: AccessKey, device: Device, half: str) -> None:
    given: dict[str, Any] = {"SerialNumber": device.serial, "TokenCode": device.code(aws.clock.now())}
    with refused(
        "AccessDenied: MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code."
    ):
        ask(aws, key, "GetSessionToken", **{half: given[half]})


# --- roles ----------------------------------------------------------------------------------------


def test_role_is_assumed_by_a_key_a_session_and_another_role(
    aws: FakeAws, alice: User, key: AccessKey
) -> None:
    first = aws.add_role("first", alice)
    second = aws.add_role("second", first, account="999999999999", path="/ops/")
    for session in (assume(aws, signer, first, "alice") for signer in (key, aws.add_session(key, mfa=False))):
        told = ask(aws, session, "GetCallerIdentity")
        assert "arn:aws:sts::123456789012:assumed-role/first/alice" == told["Arn"]
        assert (f"{first.role_id}:alice", "123456789012") == (told["UserId"], told["Account"])
    session = assume(aws, key, first, "alice")
    chained = assume(aws, session, second)
    told = ask(aws, chained, "GetCallerIdentity")
    assert ("arn:aws:sts::999999999999:assumed-role/second/dev", "999999999999") == (
        told["Arn"],
        told["Account"],
    )
    assert session.arn == aws.calls("AssumeRole")[-1].user


def test_whole_account_may_be_trusted(aws: FakeAws, key: AccessKey) -> None:
    assume(aws, key, aws.add_role("all", "arn:aws:iam::123456789012:root", account="999999999999"))


def test_stranger_and_missing_role_get_the_same_answer(aws: FakeAws, alice: User, key: AccessKey) -> None:
    role = aws.add_role("others", aws.add_user("bob"))
    for arn in (role.arn, role.arn + "-gone"):
        with refused(denied(alice.arn, "sts:AssumeRole", arn)):
            ask(aws, key, "AssumeRole", RoleArn=arn, RoleSessionName="dev")


def test_root_user_assumes_no_role(aws: FakeAws) -> None:
    root = aws.add_root()
    with refused("AccessDenied: Roles may not be assumed by root accounts."):
        assume(aws, aws.add_key(root), aws.add_role("r", root))


def test_denied_permission_is_told_with_the_reason(aws: FakeAws, alice: User, key: AccessKey) -> None:
    role = aws.add_role("r", alice)
    aws.deny(alice, "sts:AssumeRole")
    reason = " because no identity-based policy allows the sts:AssumeRole action"
    with refused(denied(alice.arn, "sts:AssumeRole", role) + reason):
        assume(aws, key, role)


def test_external_id_must_be_the_one(aws: FakeAws, alice: User, key: AccessKey) -> None:
    role = aws.add_role("partner", alice, external_id="one two three".replace(" ", "/"))
    asked: list[dict[str, str]] = [{}, {"ExternalId": "other"}]
    for wrong in asked:
        with refused(denied(alice.arn, "sts:AssumeRole", role)):
            assume(aws, key, role, **wrong)
    assume(aws, key, role, ExternalId="one/two/three")
    assert "one/two/three" == aws.calls()[-1].terms.external_id


def test_role_that_needs_mfa_takes_a_session_or_a_code(
    aws: FakeAws, alice: User, key: AccessKey, device: Device
) -> None:
    role = aws.add_role("admin", alice, needs_mfa=True)
    for signer in (key, aws.add_session(key, mfa=False)):
        with refused(denied(alice.arn, "sts:AssumeRole", role)):
            assume(aws, signer, role)
    assume(aws, key, role, SerialNumber=device.serial, TokenCode=device.code(aws.clock.now()))
    assume(aws, aws.add_session(key, mfa=True), role)


def test_mfa_does_not_pass_from_role_to_role(aws: FakeAws, alice: User, key: AccessKey) -> None:
    first = aws.add_role("first", alice, needs_mfa=True)
    second = aws.add_role("second", first, needs_mfa=True)
    session = assume(aws, aws.add_session(key, mfa=True), first)
    with refused(denied(session.arn, "sts:AssumeRole", second)):
        assume(aws, session, second)


def test_session_name_may_have_to_be_the_users(aws: FakeAws, alice: User, key: AccessKey) -> None:
    role = aws.add_role("named", alice, named_after_user=True)
    with refused(denied(alice.arn, "sts:AssumeRole", role)):
        assume(aws, key, role, "bob")
    assume(aws, key, role, "alice")


CHAINING = "ValidationError: The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"


def test_chained_role_lives_an_hour_at_most(aws: FakeAws, alice: User, key: AccessKey) -> None:
    """A session of GetSessionToken counts as one link, as people found out (aws-vault, issue 263)."""
    first = aws.add_role("first", alice, max_session_s=43_200)
    second = aws.add_role("second", first, max_session_s=43_200)
    for signer, role in ((aws.add_session(key, mfa=True), first), (assume(aws, key, first), second)):
        with refused(CHAINING):
            assume(aws, signer, role, DurationSeconds=3601)
        assume(aws, signer, role, DurationSeconds=3600)
    assert assume(aws, key, first, DurationSeconds=43_200).expires_at > aws.clock.now() + 11 * HOUR


def test_role_sets_its_own_limit(aws: FakeAws, alice: User, key: AccessKey) -> None:
    role = aws.add_role("short", alice, max_session_s=7200)
    with refused(
        "ValidationError: The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    ):
        assume(aws, key, role, DurationSeconds=7201)
    assume(aws, key, role, DurationSeconds=7200)


@pytest.mark.parametrize(
    "wrong",
    [
        {"DurationSeconds": 899},
        {"DurationSeconds": 43_201},
        {"name": "x"},
        {"name": "a b"},
        {"name": "x" * 65},
    ],
)
def test_terms_out_of_form_are_invalid(
    aws: FakeAws, alice: User, key: AccessKey, wrong: dict[str, Any]
) -> None:
    with pytest.raises(Said, match=r"ValidationError: 1 validation error detected: Value "):
        assume(aws, key, aws.add_role("r", alice), **wrong)


def test_session_of_a_role_ends_when_it_said(aws: FakeAws, alice: User, key: AccessKey) -> None:
    session = assume(aws, key, aws.add_role("r", alice))
    aws.clock.advance(HOUR - timedelta(seconds=10))
    ask(aws, session, "GetCallerIdentity")
    aws.clock.advance(timedelta(seconds=20))
    with refused("ExpiredToken: The security token included in the request is expired"):
        ask(aws, session, "GetCallerIdentity")


@pytest.mark.parametrize("action", ["GetSessionToken", "GetFederationToken"])
def test_role_makes_no_sessions_of_a_key(aws: FakeAws, alice: User, key: AccessKey, action: str) -> None:
    session = assume(aws, key, aws.add_role("r", alice))
    with refused(f"AccessDenied: Cannot call {action} with session credentials"):
        ask(aws, session, action, Name="bob")


def test_role_may_call_iam_and_names_the_user(aws: FakeAws, alice: User, key: AccessKey) -> None:
    role = aws.add_role("r", alice)
    session = assume(aws, key, role)
    assert "alice" == ask(aws, session, "GetUser", UserName="alice")["UserName"]
    with refused("ValidationError: Must specify userName when calling with non-User credentials"):
        ask(aws, session, "GetUser")
    aws.deny(role, "iam:GetUser")
    with pytest.raises(
        Said, match=r"AccessDenied: User: arn:aws:sts::123456789012:assumed-role/r/dev is not"
    ):
        ask(aws, session, "GetUser", UserName="alice")


@pytest.mark.parametrize(("partition", "region"), [("aws-cn", "cn-north-1"), ("aws-us-gov", "us-gov-west-1")])
def test_roles_live_in_one_partition(aws: FakeAws, partition: str, region: str) -> None:
    bob = aws.add_user("bob", partition=partition)
    role = aws.add_role("r", bob, partition=partition)
    told = ask(aws, aws.add_key(bob), "AssumeRole", region=region, RoleArn=role.arn, RoleSessionName="dev")
    session = issued(aws, told)
    assert session.arn.startswith(f"arn:{partition}:sts::")
    with refused("InvalidClientTokenId: The security token included in the request is invalid."):
        ask(aws, session, "GetCallerIdentity", region="us-east-1")
