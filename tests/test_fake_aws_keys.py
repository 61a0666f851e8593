# SPDX-License-Identifier: Apache-2.0
"""What AWS's parts learn late, the stand-in's learn late: new keys, lists, last uses. No test waits for it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tests.fake_aws import AccessKey, FakeAws, Fault, Gate, User
from tests.fake_aws.asking import Said, ask, refused_as

MINUTE = timedelta(minutes=1)


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


def make(aws: FakeAws, signer: AccessKey) -> AccessKey:
    return aws.world.keys[ask(aws, signer, "CreateAccessKey", UserName=signer.user.name)["AccessKeyId"]]


def switch_off(aws: FakeAws, signer: AccessKey, key: AccessKey) -> None:
    ask(aws, signer, "UpdateAccessKey", AccessKeyId=key.access_key_id, Status="Inactive")


# --- delays -------------------------------------------------------------------------------------


def test_new_key_is_unknown_until_it_has_spread(aws: FakeAws, key: AccessKey) -> None:
    aws.pace.new_key = MINUTE
    new = make(aws, key)
    aws.clock.advance(MINUTE - timedelta(seconds=5))
    with refused_as("InvalidClientTokenId"):
        ask(aws, new, "GetCallerIdentity")
    ask(aws, key, "GetCallerIdentity")
    aws.clock.advance(timedelta(seconds=6))
    ask(aws, new, "GetCallerIdentity")


def test_delay_is_that_of_the_time_when_a_key_was_made(aws: FakeAws, key: AccessKey) -> None:
    aws.pace.new_key = MINUTE
    new = make(aws, key)
    aws.pace.new_key = timedelta(0)
    with refused_as("InvalidClientTokenId"):
        ask(aws, new, "GetCallerIdentity")


def test_list_does_not_show_a_new_key_yet_and_the_limit_knows_it(aws: FakeAws, key: AccessKey) -> None:
    aws.pace.key_list = MINUTE
    new = make(aws, key)
    assert key.access_key_id == ask(aws, key, "ListAccessKeys")["AccessKeyId"]
    with refused_as("LimitExceeded"):
        make(aws, key)
    assert timedelta(0) < aws.settle() <= MINUTE
    assert new.access_key_id == ask(aws, key, "ListAccessKeys")["AccessKeyId"]


def test_list_still_shows_a_deleted_key_that_is_gone(aws: FakeAws, alice: User, key: AccessKey) -> None:
    other = aws.add_key(alice)
    aws.pace.key_list = MINUTE
    ask(aws, key, "DeleteAccessKey", AccessKeyId=other.access_key_id)
    with refused_as("InvalidClientTokenId"):
        ask(aws, other, "GetCallerIdentity")
    with refused_as("NoSuchEntity"):
        ask(aws, key, "DeleteAccessKey", AccessKeyId=other.access_key_id)
    aws.pace.page_size = 1
    assert other.access_key_id == ask(aws, key, "ListAccessKeys")["AccessKeyId"]
    aws.settle()
    assert key.access_key_id == ask(aws, key, "ListAccessKeys")["AccessKeyId"]


def test_use_shows_once_iam_has_heard_of_it(aws: FakeAws, alice: User, key: AccessKey) -> None:
    aws.pace.last_used = 4 * timedelta(hours=1)
    other = aws.add_key(alice)
    ask(aws, other, "GetCallerIdentity", region="eu-west-1")
    used_at = aws.calls()[-1].at
    assert "N/A" == ask(aws, key, "GetAccessKeyLastUsed", AccessKeyId=other.access_key_id)["Region"]
    aws.settle()
    told = ask(aws, key, "GetAccessKeyLastUsed", AccessKeyId=other.access_key_id)
    assert ("sts", "eu-west-1") == (told["ServiceName"], told["Region"])
    assert used_at.strftime("%Y-%m-%dT%H:%M:%SZ") == told["LastUsedDate"]


def test_refused_use_is_a_use_and_a_wrong_secret_is_none(aws: FakeAws, alice: User, key: AccessKey) -> None:
    other = aws.add_key(alice)
    other.status = "Inactive"
    with pytest.raises(Said):
        ask(aws, other, "GetUser")
    assert [] == other.uses
    other.status = "Active"
    aws.deny(alice, "iam:GetUser")
    with pytest.raises(Said):
        ask(aws, other, "GetUser")
    assert ["iam"] == [use.service for use in other.uses]


def test_what_a_test_sets_as_last_use_stays(aws: FakeAws, key: AccessKey) -> None:
    aws.set_last_use(key, "s3", "eu-west-1", datetime(2026, 1, 2, tzinfo=UTC))
    for _ in range(2):
        assert "s3" == ask(aws, key, "GetAccessKeyLastUsed", AccessKeyId=key.access_key_id)["ServiceName"]


def test_nothing_pending_moves_no_clock(aws: FakeAws, key: AccessKey) -> None:
    aws.pace.new_key = MINUTE
    make(aws, key)
    assert timedelta(0) < aws.settle()
    assert timedelta(0) == aws.settle()


def test_lists_come_in_pages_of_the_size_set(aws: FakeAws, alice: User, key: AccessKey) -> None:
    aws.pace.page_size = 1
    other = aws.add_key(alice)
    first = ask(aws, key, "ListAccessKeys")
    assert ("true", key.access_key_id) == (first["IsTruncated"], first["AccessKeyId"])
    second = ask(aws, key, "ListAccessKeys", Marker=first["Marker"])
    assert ("false", other.access_key_id) == (second["IsTruncated"], second["AccessKeyId"])
    assert "Marker" not in second


# --- rules that always hold -----------------------------------------------------------------------


def test_key_that_switched_itself_off_cannot_switch_itself_on(aws: FakeAws, key: AccessKey) -> None:
    switch_off(aws, key, key)
    with refused_as("InvalidClientTokenId"):
        ask(aws, key, "UpdateAccessKey", AccessKeyId=key.access_key_id, Status="Active")


def test_inactive_key_counts_for_the_limit(aws: FakeAws, key: AccessKey) -> None:
    switch_off(aws, key, make(aws, key))
    with refused_as("LimitExceeded"):
        make(aws, key)


def test_person_at_the_console_removes_a_key_and_a_user(aws: FakeAws, alice: User, key: AccessKey) -> None:
    other, session = aws.add_key(alice), aws.add_session(key, mfa=True)
    aws.remove_key(key)
    with refused_as("InvalidClientTokenId"):
        ask(aws, key, "GetCallerIdentity")
    ask(aws, session, "GetUser")
    aws.remove_user(alice)
    for signer in (other, session):
        with refused_as("InvalidClientTokenId"):
            ask(aws, signer, "GetCallerIdentity")


# --- books and faults -----------------------------------------------------------------------------


def test_books_tell_which_key_was_meant_and_how_all_stood_after(aws: FakeAws, key: AccessKey) -> None:
    new = make(aws, key)
    switch_off(aws, new, key)
    ask(aws, new, "DeleteAccessKey", AccessKeyId=key.access_key_id)
    old_id, new_id = key.access_key_id, new.access_key_id
    assert [
        ("CreateAccessKey", old_id, new_id, ((old_id, "Active"), (new_id, "Active"))),
        ("UpdateAccessKey", new_id, old_id, ((old_id, "Inactive"), (new_id, "Active"))),
        ("DeleteAccessKey", new_id, old_id, ((new_id, "Active"),)),
    ] == [(call.action, call.access_key_id, call.target, call.keys) for call in aws.calls()]
    assert {"tests/1"} == {call.user_agent for call in aws.calls()}


def test_lost_reply_is_in_the_books_with_the_key_that_was_made(aws: FakeAws, key: AccessKey) -> None:
    aws.fault(Fault.lose_reply())
    with pytest.raises(OSError):
        make(aws, key)
    call = aws.calls()[-1]
    assert ("lose-reply", 2) == (call.outcome, len(call.keys))
    assert call.target == call.keys[-1][0]


def test_reply_held_back_is_of_what_was_done(aws: FakeAws, key: AccessKey) -> None:
    gate = Gate()
    aws.fault(Fault.hold_reply(gate))
    with ThreadPoolExecutor(1) as thread:
        under_way = thread.submit(ask, aws, key, "CreateAccessKey")
        assert gate.arrived.acquire(timeout=5)
        assert ("ok", 2) == (aws.calls()[-1].outcome, len(aws.world.keys))
        gate.open()
        assert under_way.result(5)["AccessKeyId"] in aws.world.keys


def test_call_sent_twice_is_done_twice_and_the_first_answer_counts(aws: FakeAws, key: AccessKey) -> None:
    aws.fault(Fault.twice())
    assert make(aws, key).access_key_id in aws.world.keys
    assert ["ok", "LimitExceeded"] == [call.outcome for call in aws.calls()]


def test_answers_take_as_long_as_set_and_calls_do_not_queue(aws: FakeAws, key: AccessKey) -> None:
    aws.pace.answer_s = 0.2
    together = threading.Barrier(8)

    def timed(_: int) -> timedelta:
        together.wait()
        started = datetime.now(UTC)
        ask(aws, key, "GetCallerIdentity")
        return datetime.now(UTC) - started

    with ThreadPoolExecutor(8) as threads:
        took = list(threads.map(timed, range(8)))
    assert timedelta(seconds=0.2) <= min(took)
    assert max(took) < timedelta(seconds=1.4)
