# SPDX-License-Identifier: Apache-2.0
"""What the daemon asks of IAM about a user's keys, and how it is sure of what was done."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from tests.fake_aws import AccessKey, FakeAws, Fault, User
from vaultd.core.replies import ListedKey
from vaultd.core.secret import Secret
from vaultd.core.sessions import Credentials
from vaultd.edge.aws import Aws, AwsSettings, LastUsed
from vaultd.edge.iam import Iam
from vaultd.wire.errors import AwsFailed

NONCE = "0123456789abcdef"
HERE: dict[str, Any] = {"partition": "aws", "region": "eu-west-1"}
ALICE: dict[str, Any] = HERE | {"user_name": "alice"}


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[FakeAws, Aws]]:
    """boto3 takes a while to read its models. As in the daemon: what may be repeated is."""
    with FakeAws() as server:
        yield server, Aws(AwsSettings(endpoint_url=server.url), read_timeout_s=0.5, attempts=2)


@pytest.fixture
def iam(shared: tuple[FakeAws, Aws]) -> Iam:
    return shared[1].iam


@pytest.fixture
def alice(fake: FakeAws) -> User:
    return fake.add_user("alice", path="/staff/")


def mine(key: AccessKey) -> Credentials:
    return Credentials(key.access_key_id, Secret(key.secret))


# --- making a key ---------------------------------------------------------------------------------


def test_new_key_is_what_iam_made_and_carries_the_nonce(fake: FakeAws, iam: Iam, key: AccessKey) -> None:
    made = iam.create_key(mine(key), **ALICE, nonce=NONCE)
    theirs = fake.world.keys[made.access_key_id]
    assert (Secret(theirs.secret), theirs.created_at.replace(microsecond=0)) == (made.secret, made.created_at)
    (call,) = fake.calls()
    assert f"awsvault/{NONCE}" == call.user_agent.split(" ")[-1]
    assert ("us-east-1", made.access_key_id) == (call.region, call.target)
    iam.list_keys(mine(key), **ALICE)
    assert NONCE not in fake.calls()[-1].user_agent


@pytest.mark.parametrize(
    ("fault", "definite"),
    [
        (Fault.throttling(), True),
        (Fault.refuse(403, "AccessDenied", "no"), True),
        (Fault.refuse(409, "LimitExceeded", "no"), True),
        (Fault.refuse(409, "ConcurrentModification", "no"), True),
        (Fault.refuse(408, "Slow", "late"), False),
        (Fault.refuse(400, "RequestTimeout", "late"), False),
        (Fault.refuse(403, "", "a proxy's"), False),
        (Fault.refuse(302, "Moved", "elsewhere"), False),
        (Fault.internal(), False),
        (Fault.unavailable(), False),
        (Fault.delay(30), False),
        (Fault.reset(), False),
        (Fault.lose_reply(), False),
        (Fault.cut(), False),
        (Fault.truncate(), False),
        (Fault.garbage(), False),
        (Fault.refuse(200, "x", ""), False),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
def test_refusal_that_did_nothing_is_told_from_a_lost_reply_and_neither_is_repeated(
    fake: FakeAws, iam: Iam, key: AccessKey, fault: Fault, definite: bool
) -> None:
    fake.fault(fault)
    with pytest.raises(AwsFailed) as caught:
        iam.create_key(mine(key), **ALICE, nonce=NONCE)
    assert definite is caught.value.details["definite"]
    assert len(fake.calls()) <= 1  # the delayed one is still under way
    if definite:
        assert [key] == list(fake.world.keys.values())


def test_third_key_is_definitely_refused(fake: FakeAws, iam: Iam, alice: User, key: AccessKey) -> None:
    fake.add_key(alice)
    with pytest.raises(AwsFailed) as caught:
        iam.create_key(mine(key), **ALICE, nonce=NONCE)
    assert ("LimitExceeded", True) == (caught.value.details["aws_code"], caught.value.details["definite"])


def test_other_calls_say_nothing_of_being_definite(fake: FakeAws, iam: Iam, key: AccessKey) -> None:
    fake.fault(Fault.refuse(403, "AccessDenied", "no"))
    with pytest.raises(AwsFailed) as caught:
        iam.list_keys(mine(key), **ALICE)
    assert "definite" not in caught.value.details


@pytest.mark.parametrize("nonce", ["", "0.1.0", "short", f"{NONCE}\r\nX-Evil: 1"])
def test_nonce_that_proves_nothing_is_never_sent(fake: FakeAws, iam: Iam, key: AccessKey, nonce: str) -> None:
    with pytest.raises(ValueError, match="nonce"):
        iam.create_key(mine(key), **ALICE, nonce=nonce)
    assert [] == fake.calls()


# --- the life of keys -----------------------------------------------------------------------------


@pytest.mark.parametrize("page_size", [1, 100])
def test_all_keys_are_listed_on_however_many_pages(
    fake: FakeAws, iam: Iam, alice: User, key: AccessKey, page_size: int
) -> None:
    fake.pace.page_size = page_size
    other = fake.add_key(alice)
    other.status = "Inactive"
    expected = tuple(
        ListedKey(k.access_key_id, k.status == "Active", k.created_at.replace(microsecond=0))
        for k in (key, other)
    )
    assert expected == iam.list_keys(mine(key), **ALICE)
    assert expected == iam.list_keys(mine(key), **HERE, user_name=None)


def test_list_without_an_end_is_no_list(
    fake: FakeAws, iam: Iam, alice: User, key: AccessKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaultd.edge.iam.MAX_PAGES", 1)
    fake.pace.page_size = 1
    fake.add_key(alice)
    with pytest.raises(AwsFailed, match="the answer to iam:ListAccessKeys does not end"):
        iam.list_keys(mine(key), **ALICE)


def test_key_is_switched_off_and_on_again_any_number_of_times(
    fake: FakeAws, iam: Iam, alice: User, key: AccessKey
) -> None:
    other = fake.add_key(alice)
    for active in (False, False, True, True):
        iam.set_key_active(mine(key), **ALICE, access_key_id=other.access_key_id, active=active)
        assert ("Active" if active else "Inactive") == other.status


def test_key_that_is_not_there_cannot_be_switched_and_is_deleted_already(
    fake: FakeAws, iam: Iam, alice: User, key: AccessKey
) -> None:
    other = fake.add_key(alice)
    for _ in range(2):
        iam.delete_key(mine(key), **ALICE, access_key_id=other.access_key_id)
    assert [key] == list(fake.world.keys.values())
    with pytest.raises(AwsFailed) as caught:
        iam.set_key_active(mine(key), **ALICE, access_key_id=other.access_key_id, active=False)
    assert "NoSuchEntity" == caught.value.details["aws_code"]


def test_lost_reply_to_a_deletion_is_asked_again_and_a_success(
    fake: FakeAws, iam: Iam, alice: User, key: AccessKey
) -> None:
    other = fake.add_key(alice)
    fake.fault(Fault.lose_reply())
    iam.delete_key(mine(key), **ALICE, access_key_id=other.access_key_id)
    assert ["lose-reply", "NoSuchEntity"] == [call.outcome for call in fake.calls()]


@pytest.mark.parametrize("fault", [Fault.garbage(), Fault.truncate(), Fault.cut(), Fault.refuse(200, "x")])
def test_answer_that_is_not_of_aws_is_no_success(
    fake: FakeAws, iam: Iam, key: AccessKey, fault: Fault
) -> None:
    """These calls have nothing to say but that it was done; botocore takes any page for that."""
    for call in (iam.delete_key, partial(iam.set_key_active, active=False)):
        fake.fault(fault)
        with pytest.raises(AwsFailed, match="did not answer as AWS does"):
            call(mine(key), **ALICE, access_key_id=key.access_key_id)
        key.status = "Active"
        fake.world.keys[key.access_key_id] = key


def test_nothing_is_deleted_of_a_user_who_is_not_there(fake: FakeAws, iam: Iam, key: AccessKey) -> None:
    """A renamed user's keys work on under the new name."""
    nobody: dict[str, Any] = HERE | {"user_name": "nobody"}
    with pytest.raises(AwsFailed, match="NoSuchEntity: The user with name nobody"):
        iam.delete_key(mine(key), **nobody, access_key_id=key.access_key_id)


def test_last_use_of_any_key_of_the_user(fake: FakeAws, iam: Iam, alice: User, key: AccessKey) -> None:
    other = fake.add_key(alice)
    assert iam.key_last_used(mine(key), **HERE, access_key_id=other.access_key_id) is None
    iam.who_am_i(mine(other), partition="aws", region="eu-north-1")
    at = fake.calls()[-1].at.replace(microsecond=0)
    assert LastUsed("sts", "eu-north-1", at) == iam.key_last_used(
        mine(key), **HERE, access_key_id=other.access_key_id
    )


def test_untold_last_use_is_not_taken_for_never(fake: FakeAws, iam: Iam, alice: User, key: AccessKey) -> None:
    fake.deny(alice, "iam:GetAccessKeyLastUsed")
    with pytest.raises(AwsFailed, match="iam:GetAccessKeyLastUsed is not allowed"):
        iam.key_last_used(mine(key), **HERE, access_key_id=key.access_key_id)


def test_key_is_tried_in_exactly_the_region_given(fake: FakeAws, iam: Iam, key: AccessKey) -> None:
    for region in ("ap-southeast-2", None):
        assert "alice" == iam.who_am_i(mine(key), partition="aws", region=region).user_name
    assert ["ap-southeast-2", "us-east-1"] == [call.region for call in fake.calls()]


def test_new_key_that_has_not_spread_is_unknown_then_works(fake: FakeAws, iam: Iam, key: AccessKey) -> None:
    fake.pace.new_key = timedelta(seconds=60)
    made = iam.create_key(mine(key), **ALICE, nonce=NONCE)
    new = Credentials(made.access_key_id, made.secret)
    with pytest.raises(AwsFailed) as caught:
        iam.who_am_i(new, **HERE)
    assert "InvalidClientTokenId" == caught.value.details["aws_code"]
    fake.settle()
    assert "alice" == iam.who_am_i(new, **HERE).user_name
