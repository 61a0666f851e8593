# SPDX-License-Identifier: Apache-2.0
"""Roles, MFA sessions and narrowed sessions as the daemon asks AWS for them, and what it says when AWS says no."""

import traceback
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from tests.fake_aws import AccessKey, Device, FakeAws, Fault, IssuedSession, Role, Terms, User
from vaultd.core.secret import Secret
from vaultd.core.sessions import Credentials, Session
from vaultd.edge.aws import Aws, AwsSettings
from vaultd.wire.errors import AwsFailed, MfaRefused, Usage

HOUR = 3600
POLICY = '{"Version":"2012-10-17","Statement":[]}'
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
PLACE: dict[str, Any] = {"partition": "aws", "region": None}


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[FakeAws, Aws]]:
    """boto3 takes a while to read its models."""
    with FakeAws() as server:
        yield server, at(server)


@pytest.fixture
def aws(shared: tuple[FakeAws, Aws]) -> Aws:
    return shared[1]


@pytest.fixture
def device(fake: FakeAws, alice: User) -> Device:
    return fake.add_mfa(alice)


def at(fake: FakeAws, *, attempts: int = 1, read_timeout_s: float = 5) -> Aws:
    return Aws(AwsSettings(endpoint_url=fake.url), read_timeout_s=read_timeout_s, attempts=attempts)


def mine(signer: AccessKey | IssuedSession) -> Credentials:
    token = Secret(signer.token) if isinstance(signer, IssuedSession) else None
    return Credentials(signer.access_key_id, Secret(signer.secret), token)


def assume(aws: Aws, signer: AccessKey | IssuedSession, role: Role, **more: Any) -> Session:
    asked = {**PLACE, "role_arn": role.arn, "session_name": "alice", "duration_s": HOUR, **more}
    return aws.assume_role(mine(signer), **asked)


def with_code(aws: Aws, key: AccessKey, device: Device, code: str) -> Session:
    return aws.session_token(mine(key), duration_s=HOUR, mfa_serial=device.serial, code=code, **PLACE)


def narrowed(aws: Aws, key: AccessKey, **more: Any) -> Session:
    return aws.federation_token(mine(key), name="alice", duration_s=HOUR, **PLACE, **more)


def kept(fake: FakeAws, session: Session) -> IssuedSession:
    """What the server knows of a session; all three parts must be its own."""
    found = fake.world.sessions[session.credentials.access_key_id]
    assert (mine(found), found.expires_at) == (session.credentials, session.expires_at)
    return found


# --- MFA ------------------------------------------------------------------------------------------


def test_code_makes_a_session_that_counts_as_mfa(
    fake: FakeAws, aws: Aws, key: AccessKey, device: Device
) -> None:
    assert kept(fake, with_code(aws, key, device, device.code(fake.clock.now()))).mfa
    assert not kept(fake, aws.session_token(mine(key), duration_s=HOUR, **PLACE)).mfa
    assert [device.serial, None] == [call.terms.mfa_serial for call in fake.calls()]


def test_spent_code_is_refused_by_its_own_error(
    fake: FakeAws, aws: Aws, key: AccessKey, device: Device
) -> None:
    code = device.code(fake.clock.now())
    with_code(aws, key, device, code)
    with pytest.raises(MfaRefused, match=f"did not accept the MFA code for {device.serial}") as caught:
        with_code(aws, key, device, code)
    assert code not in caught.value.line


def test_wrong_device_is_named_and_not_blamed_on_the_code(fake: FakeAws, aws: Aws, key: AccessKey) -> None:
    theirs = fake.add_mfa(fake.add_user("bob"))
    with pytest.raises(AwsFailed, match=f"this user has no MFA device {theirs.serial}") as caught:
        with_code(aws, key, theirs, theirs.code(fake.clock.now()))
    assert not isinstance(caught.value, MfaRefused)


@pytest.mark.parametrize(
    "code", ["", "12345", "1234567", "12345a", "12 345", "\u0661\u0662\u0663\u0664\u0665\u0666", "123456\n"]
)
def test_code_of_another_form_is_refused_before_a_call_and_not_shown(
    fake: FakeAws, aws: Aws, key: AccessKey, device: Device, code: str
) -> None:
    with pytest.raises(Usage) as caught:
        with_code(aws, key, device, code)
    assert "an MFA code is six digits" == caught.value.line
    assert [] == fake.calls()


def test_retry_after_a_lost_reply_asks_for_the_next_code(
    fake: FakeAws, key: AccessKey, device: Device
) -> None:
    fake.fault(Fault.lose_reply())
    with pytest.raises(MfaRefused, match="did not accept"):
        with_code(at(fake, attempts=2), key, device, device.code(fake.clock.now()))
    assert ["lose-reply", "AccessDenied"] == [call.outcome for call in fake.calls()]


# --- roles ----------------------------------------------------------------------------------------


def test_role_is_asked_for_with_all_its_terms(fake: FakeAws, aws: Aws, alice: User, key: AccessKey) -> None:
    role = fake.add_role(
        "admin", alice, external_id="42", allows_tags=True, allows_source_identity=True, max_session_s=43_200
    )
    asked: dict[str, Any] = {
        "duration_s": 2 * HOUR,
        "external_id": "42",
        "transitive_tags": ("team",),
        "source_identity": "alice@example.com",
        "policy": POLICY,
        "policy_arns": (READ_ONLY,),
    }
    session = assume(aws, key, role, region="eu-west-1", tags=(("team", "red"), ("cost", "")), **asked)
    expected = Terms(role.arn, "alice", tags={"team": "red", "cost": ""}, **asked)
    (call,) = fake.calls()
    assert ("eu-west-1", expected) == (call.region, call.terms)
    length = kept(fake, session).expires_at - fake.clock.now()
    assert timedelta(hours=2, seconds=-5) < length <= timedelta(hours=2)


def test_what_is_not_set_is_not_sent(fake: FakeAws, aws: Aws, alice: User, key: AccessKey) -> None:
    """An empty source identity or tag list would need a permission that nobody has."""
    role = fake.add_role("plain", alice)
    assume(aws, key, role, tags=(), transitive_tags=(), policy_arns=(), source_identity=None, policy=None)
    told = ("Action", "DurationSeconds", "RoleArn", "RoleSessionName", "Version")
    assert told == fake.calls()[0].parameters


def test_roles_make_a_chain_from_an_mfa_session(fake: FakeAws, aws: Aws, alice: User, key: AccessKey) -> None:
    first = fake.add_role("first", alice, needs_mfa=True, named_after_user=True)
    second = fake.add_role("second", first, account="999999999999")
    session = assume(aws, fake.add_session(key, mfa=True), first)
    chained = assume(aws, kept(fake, session), second)
    who = aws.identify(chained.credentials, region=None)[1]
    assert ("arn:aws:sts::999999999999:assumed-role/second/alice", None) == (who.arn, who.user_name)


@pytest.mark.parametrize("length", [350, 4096])
def test_long_session_tokens_arrive_whole(
    fake: FakeAws, aws: Aws, alice: User, key: AccessKey, length: int
) -> None:
    fake.world.token_length = length
    session = kept(fake, assume(aws, key, fake.add_role("r", alice)))
    assert length == len(session.token)
    aws.identify(mine(session), region=None)


def test_refused_role_says_who_asked_for_what(fake: FakeAws, aws: Aws, alice: User, key: AccessKey) -> None:
    role = fake.add_role("admin", alice, needs_mfa=True)
    with pytest.raises(AwsFailed) as caught:
        assume(aws, key, role)
    words = f"{alice.arn} is not allowed sts:AssumeRole on {role.arn}; look at the role's trust policy: who, external id, MFA"
    assert words == caught.value.line
    assert {"aws_code": "AccessDenied", "aws_action": "sts:AssumeRole"} == caught.value.details


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"tags": (("team", "red"),)}, "is not allowed sts:TagSession on"),
        ({"source_identity": "alice"}, "is not allowed sts:SetSourceIdentity on"),
        ({"duration_s": 2 * HOUR}, "has a MaxSessionDuration below 2 h"),
        ({"policy": POLICY + " " * 1300}, "the session's policy and tags are 12 % too large"),
        ({"policy": "{}"}, r"AWS does not take the session policy \(Syntax errors in policy\.\)"),
    ],
)
def test_each_term_that_a_role_does_not_take_is_named(
    fake: FakeAws, aws: Aws, alice: User, key: AccessKey, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(AwsFailed, match=words):
        assume(aws, key, fake.add_role("plain", alice), **asked)


def test_chained_role_is_told_of_its_hour(fake: FakeAws, aws: Aws, alice: User, key: AccessKey) -> None:
    role = fake.add_role("long", alice, max_session_s=43_200)
    with pytest.raises(AwsFailed, match=f"{role.arn} is assumed by a session, and lives 1 h at most then"):
        assume(aws, fake.add_session(key, mfa=True), role, duration_s=2 * HOUR)


def test_region_without_sts_is_named(fake: FakeAws, aws: Aws, alice: User, key: AccessKey) -> None:
    fake.disabled_regions.add("eu-south-1")
    try:
        with pytest.raises(AwsFailed, match="STS is not active for this account in eu-south-1"):
            assume(aws, key, fake.add_role("r", alice), region="eu-south-1")
    finally:
        fake.disabled_regions.clear()


def test_role_of_an_expired_session_says_so(fake: FakeAws, aws: Aws, alice: User, key: AccessKey) -> None:
    session = fake.add_session(key, mfa=True, length=-timedelta(seconds=1))
    with pytest.raises(AwsFailed, match=r"the session \.\.\..{4} has expired"):
        assume(aws, session, fake.add_role("r", alice))


# --- narrowed sessions ----------------------------------------------------------------------------


def test_narrowed_session_is_asked_for_with_its_policies(fake: FakeAws, aws: Aws, key: AccessKey) -> None:
    session = narrowed(aws, key, policy=POLICY, policy_arns=(READ_ONLY,))
    assert "federated" == kept(fake, session).kind
    expected = Terms(session_name="alice", duration_s=HOUR, policy=POLICY, policy_arns=(READ_ONLY,))
    assert expected == fake.calls("GetFederationToken")[0].terms
    who = aws.identify(session.credentials, region=None)[1]
    assert "arn:aws:sts::123456789012:federated-user/alice" == who.arn


def test_denied_narrowing_names_the_action(fake: FakeAws, aws: Aws, alice: User, key: AccessKey) -> None:
    fake.deny(alice, "sts:GetFederationToken")
    with pytest.raises(AwsFailed, match=r"^sts:GetFederationToken is not allowed to the key"):
        narrowed(aws, key)


# --- foul weather ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault.internal(), "AWS failed at sts:NAME (InternalFailure)"),
        (Fault.unavailable(), "AWS failed at sts:NAME (ServiceUnavailable)"),
        (Fault.throttling(), "AWS is throttling sts:NAME"),
        (Fault.reset(), "cannot reach HOST: the connection failed"),
        (Fault.truncate(), "HOST did not answer as AWS does"),
        (Fault.garbage(), "HOST did not answer as AWS does"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
@pytest.mark.parametrize("action", ["AssumeRole", "GetFederationToken"])
def test_each_fault_is_one_clear_line(
    fake: FakeAws, aws: Aws, alice: User, key: AccessKey, action: str, fault: Fault, message: str
) -> None:
    asks = {
        "AssumeRole": partial(assume, aws, key, fake.add_role("r", alice)),
        "GetFederationToken": partial(narrowed, aws, key),
    }
    ask = asks[action]
    fake.fault(fault)
    with pytest.raises(AwsFailed) as caught:
        ask()
    words = message.replace("NAME", action).replace("HOST", f"127.0.0.1:{fake.port}")
    assert words == caught.value.message


def test_late_answer_is_no_answer(fake: FakeAws, alice: User, key: AccessKey) -> None:
    fake.fault(Fault.delay(30))
    with pytest.raises(AwsFailed, match="no answer in time"):
        assume(at(fake, read_timeout_s=0.2), key, fake.add_role("r", alice))


def test_no_secret_in_a_refusal_nor_in_its_traceback(
    fake: FakeAws, aws: Aws, alice: User, key: AccessKey
) -> None:
    session, role = fake.add_session(key, mfa=True), fake.add_role("r", alice)
    said = f"User: arn:{session.secret} is not authorized to perform: sts:AssumeRole on resource: {session.token} because {session.token}"
    for code in ("AccessDenied", "ValidationError", "MalformedPolicyDocument"):
        fake.fault(Fault.refuse(403, code, said))
        with pytest.raises(AwsFailed) as caught:
            assume(aws, session, role)
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.details)
        assert session.token not in shown
        assert session.secret not in shown
