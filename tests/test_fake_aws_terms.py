# SPDX-License-Identifier: Apache-2.0
"""The stand-in on what narrows, tags and names a session; on federated users; and on its own seed."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fake_aws import AccessKey, FakeAws, Fault, IssuedSession, Role, Terms, User
from tests.fake_aws.__main__ import seed
from tests.fake_aws.asking import Said, ask, assume, denied, issued, refused

SEED = "JBSWY3DPEHPK3PXP"
POLICY = '{"Version":"2012-10-17","Statement":[]}'
TAGS: dict[str, Any] = {
    "Tags.member.1.Key": "team",
    "Tags.member.1.Value": "red",
    "Tags.member.2.Key": "cost",
    "Tags.member.2.Value": "",
}


@pytest.fixture
def aws() -> Iterator[FakeAws]:
    with FakeAws() as server:
        yield server


@pytest.fixture
def alice(aws: FakeAws) -> User:
    return aws.add_user("alice")


@pytest.fixture
def key(aws: FakeAws, alice: User) -> AccessKey:
    return aws.add_key(alice)


@pytest.fixture
def role(aws: FakeAws, alice: User) -> Role:
    return aws.add_role("r", alice, allows_tags=True, allows_source_identity=True)


def federated(aws: FakeAws, key: AccessKey, **more: Any) -> IssuedSession:
    return issued(aws, ask(aws, key, "GetFederationToken", Name="alice", **more))


# --- tags, source identity, policies --------------------------------------------------------------


def test_books_keep_all_that_was_asked_for(aws: FakeAws, key: AccessKey, role: Role) -> None:
    arns = {"PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}
    more = {
        "DurationSeconds": 1800,
        "SourceIdentity": "alice@example.com",
        "Policy": POLICY,
        "ExternalId": "42",
    }
    assume(aws, key, role, "dev", **TAGS, **arns, **more, **{"TransitiveTagKeys.member.1": "team"})
    expected = Terms(
        role_arn=role.arn,
        session_name="dev",
        duration_s=1800,
        external_id="42",
        tags={"team": "red", "cost": ""},
        transitive_tags=("team",),
        source_identity="alice@example.com",
        policy=POLICY,
        policy_arns=("arn:aws:iam::aws:policy/ReadOnlyAccess",),
    )
    assert expected == aws.calls()[0].terms


@pytest.mark.parametrize(
    ("asked", "permission"),
    [(TAGS, "sts:TagSession"), ({"SourceIdentity": "alice"}, "sts:SetSourceIdentity")],
)
def test_tags_and_source_identity_need_a_permission_of_their_own(
    aws: FakeAws, alice: User, key: AccessKey, asked: dict[str, Any], permission: str
) -> None:
    role = aws.add_role("plain", alice)
    with refused(denied(alice.arn, permission, role)):
        assume(aws, key, role, **asked)


def test_transitive_tags_and_source_identity_go_down_the_chain(
    aws: FakeAws, key: AccessKey, role: Role
) -> None:
    second = aws.add_role("second", role, allows_tags=True, allows_source_identity=True)
    plain = aws.add_role("plain", role)
    first = assume(aws, key, role, SourceIdentity="alice", **TAGS, **{"TransitiveTagKeys.member.1": "team"})
    assert {"team": "red", "cost": ""} == first.tags
    chained = assume(aws, first, second)
    assert ({"team": "red"}, "alice") == (chained.tags, chained.source_identity)
    with refused(denied(first.arn, "sts:SetSourceIdentity", plain)):
        assume(aws, first, plain)
    with refused(denied(first.arn, "sts:SetSourceIdentity", second)):
        assume(aws, first, second, SourceIdentity="mallory")
    with pytest.raises(Said, match="InvalidParameterValue: Duplicate tag keys"):
        assume(aws, first, second, **{"Tags.member.1.Key": "Team", "Tags.member.1.Value": "blue"})


def test_tags_out_of_form_are_refused(aws: FakeAws, key: AccessKey, role: Role) -> None:
    many = {f"Tags.member.{n}.Key": f"k{n}" for n in range(1, 52)}
    with pytest.raises(Said, match=r"ValidationError: .* at 'tags'"):
        assume(aws, key, role, **many)
    with pytest.raises(Said, match="ValidationError: The specified transitive tag key must be included"):
        assume(aws, key, role, **{"TransitiveTagKeys.member.1": "team"})


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("{", "MalformedPolicyDocument: The policy is not in the valid JSON format."),
        ("[]", "MalformedPolicyDocument: Syntax errors in policy."),
        ("{}", "MalformedPolicyDocument: Syntax errors in policy."),
        (
            POLICY + " " * 1300,
            "PackedPolicyTooLarge: Packed policy consumes 112% of allotted space, please use smaller policy.",
        ),
    ],
    ids=["no json", "a list", "no statement", "large"],
)
def test_policy_that_aws_does_not_take_is_refused(
    aws: FakeAws, key: AccessKey, role: Role, policy: str, said: str
) -> None:
    with refused(said):
        assume(aws, key, role, Policy=policy)
    with refused(said):
        federated(aws, key, Policy=policy)


def test_policies_and_tags_share_the_room(aws: FakeAws, key: AccessKey, role: Role) -> None:
    aws.world.packed_bytes = len(POLICY) + 7 + 4
    full = ask(aws, key, "AssumeRole", RoleArn=role.arn, RoleSessionName="dev", Policy=POLICY, **TAGS)
    assert "100" == full["PackedPolicySize"]
    with pytest.raises(Said, match="PackedPolicyTooLarge"):
        assume(aws, key, role, Policy=POLICY + " ", **TAGS)
    with pytest.raises(Said, match=r"ValidationError: .* at 'policy'"):
        assume(aws, key, role, Policy=POLICY + " " * 2048)


# --- federated users ------------------------------------------------------------------------------


def test_federated_user_has_a_name_and_little_else(aws: FakeAws, key: AccessKey, role: Role) -> None:
    session = federated(aws, key, Policy=POLICY)
    told = ask(aws, session, "GetCallerIdentity")
    arn = "arn:aws:sts::123456789012:federated-user/alice"
    assert (arn, "123456789012:alice", "123456789012") == (told["Arn"], told["UserId"], told["Account"])
    with refused("InvalidClientTokenId: The security token included in the request is invalid."):
        ask(aws, session, "GetUser", UserName="alice")
    with refused(denied(arn, "sts:AssumeRole", role)):
        assume(aws, session, role)


@pytest.mark.parametrize("mfa", [True, False])
def test_session_makes_no_federated_user(aws: FakeAws, key: AccessKey, mfa: bool) -> None:
    with refused("AccessDenied: Cannot call GetFederationToken with session credentials"):
        ask(aws, aws.add_session(key, mfa=mfa), "GetFederationToken", Name="alice")


@pytest.mark.parametrize(
    "wrong", [{"Name": "x"}, {"Name": "x" * 33}, {"DurationSeconds": 899}, {"DurationSeconds": 129_601}]
)
def test_federation_out_of_form_is_invalid(aws: FakeAws, key: AccessKey, wrong: dict[str, Any]) -> None:
    with pytest.raises(Said, match="ValidationError"):
        ask(aws, key, "GetFederationToken", **{"Name": "alice", **wrong})


# --- faults and long tokens -----------------------------------------------------------------------


@pytest.mark.parametrize("length", [350, 4096])
def test_every_session_has_a_token_as_long_as_asked(
    aws: FakeAws, key: AccessKey, role: Role, length: int
) -> None:
    aws.world.token_length = length
    assert {length} == {len(session.token) for session in (assume(aws, key, role), federated(aws, key))}


@pytest.mark.parametrize("action", ["AssumeRole", "GetFederationToken"])
def test_faults_strike_the_new_actions_too(aws: FakeAws, key: AccessKey, role: Role, action: str) -> None:
    aws.fault(Fault.throttling(), action=action)
    with refused("Throttling: Rate exceeded"):
        ask(aws, key, action, Name="alice", RoleArn=role.arn, RoleSessionName="dev")
    assert "Throttling" == aws.calls(action)[0].outcome


# --- the seed of the process ----------------------------------------------------------------------


def test_seed_makes_devices_and_roles(aws: FakeAws) -> None:
    text = f"bob AKIAIOSFODNN7EXAMPLE {'s' * 40}\nmfa: bob {SEED}\nrole: admin bob mfa tags external-id=42 max=7200\n"
    seed(aws, text, account="123456789012", partition="aws")
    bob = aws.world.users[0]
    device, owner = aws.world.devices["arn:aws:iam::123456789012:mfa/bob"]
    role = aws.world.roles["arn:aws:iam::123456789012:role/admin"]
    assert (bob, SEED, {bob.arn}) == (owner, device.base32, role.trusts)
    told = (role.needs_mfa, role.allows_tags, role.named_after_user, role.external_id, role.max_session_s)
    assert (True, True, False, "42", 7200) == told


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("mfa: bob JBSW", "mfa: USER BASE32"),
        (f"bob AKIAIOSFODNN7EXAMPLE {'s' * 40}\nmfa: bob 0189", "mfa: USER BASE32"),
        (f"bob AKIAIOSFODNN7EXAMPLE {'s' * 40}\nrole: admin bob secret", "role: NAME USER [mfa]"),
    ],
    ids=["no such user", "not base32", "no such condition"],
)
def test_seed_that_makes_no_sense_is_named_by_its_line(aws: FakeAws, line: str, form: str) -> None:
    with pytest.raises(ValueError, match=r"^line \d of the seed is not: ") as caught:
        seed(aws, line, account="123456789012", partition="aws")
    assert form in str(caught.value)
    assert line.rsplit(maxsplit=1)[-1] not in str(caught.value)
