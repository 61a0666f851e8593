# SPDX-License-Identifier: Apache-2.0
"""What IAM and CloudTrail prove: who made a key, which rights there are; and what is written on a user."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fake_aws import AccessKey, FakeAws, Fault, User
from tests.fake_aws.tunnel import HOSTS, Tunnel, certificate
from vaultd.core import userpolicy
from vaultd.core.secret import Secret
from vaultd.core.sessions import Credentials
from vaultd.edge.aws import Aws, AwsSettings
from vaultd.edge.iam import Iam
from vaultd.wire.errors import AwsFailed

NONCE = "0123456789abcdef"
HERE: dict[str, Any] = {"partition": "aws", "region": "eu-west-1"}
ALICE: dict[str, Any] = HERE | {"user_name": "alice"}

HOMES = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
CLOUDTRAIL = {
    "aws": "cloudtrail.us-east-1.amazonaws.com",
    "aws-cn": "cloudtrail.cn-north-1.amazonaws.com.cn",
    "aws-us-gov": "cloudtrail.us-gov-west-1.amazonaws.com",
}
PROBED = [
    "iam:ListAccessKeys",
    "iam:UpdateAccessKey",
    "iam:DeleteAccessKey",
    "iam:GetAccessKeyLastUsed",
    "iam:ListUserTags",
    "cloudtrail:LookupEvents",
]


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[FakeAws, Iam]]:
    with FakeAws() as server:
        yield server, Aws(AwsSettings(endpoint_url=server.url), read_timeout_s=1, attempts=1).iam


@pytest.fixture
def fake(shared: tuple[FakeAws, Iam]) -> FakeAws:
    shared[0].start_over()
    return shared[0]


@pytest.fixture
def iam(shared: tuple[FakeAws, Iam]) -> Iam:
    return shared[1]


def mine(key: AccessKey) -> Credentials:
    return Credentials(key.access_key_id, Secret(key.secret))


def proof(fake: FakeAws, iam: Iam, key: AccessKey, nonce: str = NONCE) -> tuple[str, ...]:
    return iam.created_by(mine(key), **HERE, nonce=nonce, since=fake.clock.now())


# --- who made a key -------------------------------------------------------------------------------


def test_key_whose_reply_was_lost_is_proven_ours_by_its_nonce(
    fake: FakeAws, iam: Iam, key: AccessKey
) -> None:
    assert () == proof(fake, iam, key)
    fake.fault(Fault.lose_reply(), action="CreateAccessKey")
    with pytest.raises(AwsFailed):
        iam.create_key(mine(key), **ALICE, nonce=NONCE)
    made = fake.calls("CreateAccessKey")[0].target
    assert (made,) == proof(fake, iam, key)
    assert () == proof(fake, iam, key, nonce="f" * 16)
    assert "us-east-1" == fake.calls()[-1].region


def test_key_of_a_person_or_a_refused_one_is_proven_nobodys(
    fake: FakeAws, iam: Iam, alice: User, key: AccessKey
) -> None:
    fake.deny(alice, "iam:CreateAccessKey")
    with pytest.raises(AwsFailed):
        iam.create_key(mine(key), **ALICE, nonce=NONCE)
    fake.allow(alice, "iam:CreateAccessKey")
    iam.create_key(mine(key), **ALICE, nonce="f" * 16)
    assert () == proof(fake, iam, key)


def test_proof_comes_late_and_from_every_page(fake: FakeAws, iam: Iam, key: AccessKey) -> None:
    fake.pace.trail, fake.pace.page_size = timedelta(minutes=5), 1
    made = iam.create_key(mine(key), **ALICE, nonce=NONCE).access_key_id
    with pytest.raises(AwsFailed):
        iam.create_key(mine(key), **ALICE, nonce="f" * 16)
    assert () == proof(fake, iam, key)
    fake.settle()
    assert (made,) == proof(fake, iam, key)
    assert 2 == len([call for call in fake.calls("LookupEvents") if "NextToken" not in call.parameters])


def test_search_for_proof_has_an_end(
    fake: FakeAws, iam: Iam, key: AccessKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newest first: what lies beyond is not proven."""
    monkeypatch.setattr("vaultd.edge.iam.MAX_PAGES", 2)
    fake.pace.page_size = 1
    iam.create_key(mine(key), **ALICE, nonce=NONCE)
    for _ in range(2):
        with pytest.raises(AwsFailed):
            iam.create_key(mine(key), **ALICE, nonce="f" * 16)
    assert () == proof(fake, iam, key)
    assert 2 == len(fake.calls("LookupEvents"))


def test_window_of_the_search_forgives_a_clock_that_aws_forgives(
    fake: FakeAws, iam: Iam, key: AccessKey
) -> None:
    made = iam.create_key(mine(key), **ALICE, nonce=NONCE).access_key_id
    credentials, now = mine(key), fake.clock.now()
    ahead, too_far = now + timedelta(minutes=14), now + timedelta(minutes=15, seconds=10)
    assert (made,) == iam.created_by(credentials, **HERE, nonce=NONCE, since=ahead)
    with pytest.raises(AwsFailed, match="InvalidTimeRange"):
        iam.created_by(credentials, **HERE, nonce=NONCE, since=too_far)


def test_no_right_to_the_proof_is_told(fake: FakeAws, iam: Iam, alice: User, key: AccessKey) -> None:
    fake.quarantine(alice)
    with pytest.raises(AwsFailed, match="cloudtrail:LookupEvents is not allowed") as caught:
        proof(fake, iam, key)
    assert "AccessDeniedException" == caught.value.details["aws_code"]


@pytest.mark.parametrize("partition", list(HOMES))
def test_iam_and_its_trail_are_asked_at_the_home_of_the_partition(partition: str, tmp_path: Path) -> None:
    trusted, tls = certificate(tmp_path, *HOSTS)
    with FakeAws(tls=tls) as fake, Tunnel(fake.port) as tunnel:
        settings = AwsSettings(proxy=tunnel.url, ca_bundle=str(trusted), region="eu-west-1")
        key = fake.add_key(fake.add_user("alice", partition=partition))
        iam = Aws(settings, attempts=1).iam
        made = iam.create_key(mine(key), partition=partition, region=None, user_name="alice", nonce=NONCE)
        assert (made.access_key_id,) == iam.created_by(
            mine(key), partition=partition, region=None, nonce=NONCE, since=fake.clock.now()
        )
        assert [HOMES[partition]] * 2 == [call.region for call in fake.calls()]
        assert CLOUDTRAIL[partition] == tunnel.hosts[-1]


# --- rights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", PROBED)
def test_right_is_proven_or_missing_by_asking_for_what_changes_nothing(
    fake: FakeAws, iam: Iam, alice: User, key: AccessKey, action: str
) -> None:
    alice.tags, alice.policies = {"k": "v"}, {"p": userpolicy.denial(fake.clock.now())}
    before = (dict(alice.tags), dict(alice.policies), key.status, list(fake.world.keys))
    assert "proven" == iam.probe_right(mine(key), **ALICE, action=action)
    fake.deny(alice, action)
    assert "missing" == iam.probe_right(mine(key), **ALICE, action=action)
    assert before == (alice.tags, alice.policies, key.status, list(fake.world.keys))


def test_what_cannot_be_asked_without_a_change_is_unknown_and_not_asked(
    fake: FakeAws, iam: Iam, key: AccessKey
) -> None:
    for action in (
        "iam:CreateAccessKey",
        "iam:TagUser",
        "iam:PutUserPolicy",
        "iam:DeleteUser",
        "s3:GetObject",
    ):
        assert "unknown" == iam.probe_right(mine(key), **ALICE, action=action)
    assert [] == fake.calls()


def test_session_does_not_ask_for_its_own_last_use(fake: FakeAws, iam: Iam, key: AccessKey) -> None:
    session = fake.add_session(key, mfa=True)
    credentials = Credentials(session.access_key_id, Secret(session.secret), Secret(session.token))
    assert "unknown" == iam.probe_right(credentials, **ALICE, action="iam:GetAccessKeyLastUsed")
    assert "proven" == iam.probe_right(credentials, **ALICE, action="iam:DeleteAccessKey")


@pytest.mark.parametrize("fault", [Fault.throttling(), Fault.internal(), Fault.reset(), Fault.garbage()])
def test_no_clear_answer_is_unknown(fake: FakeAws, iam: Iam, key: AccessKey, fault: Fault) -> None:
    fake.fault(fault)
    assert "unknown" == iam.probe_right(mine(key), **ALICE, action="iam:DeleteAccessKey")


# --- what stands on the user ----------------------------------------------------------------------


def test_tags_are_written_and_read(fake: FakeAws, iam: Iam, alice: User, key: AccessKey) -> None:
    fake.pace.page_size = 1
    alice.tags = {"Owner": "caf\u00e9"}
    iam.tag_user(mine(key), **ALICE, key="awsvault-rotation", value=f"{NONCE} host 2026-11-24T03:06:38Z")
    assert {"Owner": "caf\u00e9", "awsvault-rotation": f"{NONCE} host 2026-11-24T03:06:38Z"} == iam.user_tags(
        mine(key), **ALICE
    )


def test_denial_ends_the_sessions_and_leaves_the_key_alone(
    fake: FakeAws, iam: Iam, alice: User, key: AccessKey
) -> None:
    made = fake.add_session(key, mfa=True)
    session = Credentials(made.access_key_id, Secret(made.secret), Secret(made.token))
    iam.list_keys(session, **ALICE)
    document = userpolicy.denial(fake.clock.now() + timedelta(minutes=15))
    for _ in range(2):
        iam.put_user_policy(mine(key), **ALICE, name=userpolicy.DENIAL, document=document)
    with pytest.raises(AwsFailed, match="iam:ListAccessKeys is not allowed"):
        iam.list_keys(session, **ALICE)
    iam.list_keys(mine(key), **ALICE)


def test_quarantine_is_seen_among_the_policies(fake: FakeAws, iam: Iam, alice: User, key: AccessKey) -> None:
    alice.attached.add("arn:aws:iam::aws:policy/ReadOnlyAccess")
    assert not any(map(userpolicy.is_quarantine, iam.attached_policies(mine(key), **ALICE)))
    fake.quarantine(alice)
    found = [arn for arn in iam.attached_policies(mine(key), **ALICE) if userpolicy.is_quarantine(arn)]
    assert ["arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"] == found
