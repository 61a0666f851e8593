# SPDX-License-Identifier: Apache-2.0
"""One user's keys and sessions come to an end, whoever signs, whatever AWS says to it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.fake_aws import AccessKey, FakeAws, Fault, IssuedSession, User
from vaultd.core.revocation import SESSIONS
from vaultd.core.secret import Secret
from vaultd.core.sessions import Credentials
from vaultd.core.userpolicy import DENIAL
from vaultd.edge.aws import Aws, AwsSettings
from vaultd.edge.iam import Iam
from vaultd.edge.revoking import Job, Outcome, Signer, Target, revoke_user

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[FakeAws, Aws]]:
    with FakeAws() as server:
        yield server, Aws(AwsSettings(endpoint_url=server.url), read_timeout_s=0.5, attempts=1)


@pytest.fixture
def iam(shared: tuple[FakeAws, Aws]) -> Iam:
    return shared[1].iam


def mine(key: AccessKey | IssuedSession) -> Credentials:
    token = Secret(key.token) if isinstance(key, IssuedSession) else None
    return Credentials(key.access_key_id, Secret(key.secret), token)


def by(key: AccessKey) -> Signer:
    return Signer(mine(key), own_key=key.access_key_id)


def job(*keys: AccessKey, signers: tuple[Signer, ...] | None = None, **facts: Any) -> Job:
    """Deny, and end these keys of one user; its first key signs unless others are named."""
    targets = {key.access_key_id: Target("inactive", credentials=mine(key)) for key in keys}
    left = frozenset({*targets, SESSIONS})
    usual = Job(("dev",), "aws", None, "alice", True, left, targets, signers or (by(keys[0]),))
    return replace(usual, **facts)


class Revoke:
    """Callable with a job; remembers how often it paused."""

    def __init__(self, iam: Iam) -> None:
        self._iam = iam
        self.pauses: list[float] = []

    def __call__(self, job: Job) -> Outcome:
        return revoke_user(self._iam, job, lambda: datetime.now(UTC), pause=self.pauses.append)


@pytest.fixture
def revoke(iam: Iam) -> Revoke:
    return Revoke(iam)


def acts(fake: FakeAws) -> list[tuple[str, str]]:
    """The calls that change something."""
    changes = ("PutUserPolicy", "UpdateAccessKey", "DeleteAccessKey")
    return [(call.action, call.outcome) for call in fake.calls() if call.action in changes]


def all_done(outcome: Outcome) -> dict[str, str]:
    assert {} == outcome.failures
    return dict(outcome.done)


# --- the order


def test_a_key_denies_first_and_ends_itself_last(
    fake: FakeAws, revoke: Revoke, alice: User, key: AccessKey
) -> None:
    other = fake.add_key(alice)
    session = fake.add_session(key, mfa=True)
    done = all_done(revoke(job(key, other)))
    assert {key.access_key_id: "inactive", other.access_key_id: "inactive", SESSIONS: "denied"} == done
    assert ["PutUserPolicy", "UpdateAccessKey", "UpdateAccessKey"] == [action for action, _ in acts(fake)]
    assert [None, other.access_key_id, key.access_key_id] == [call.target for call in fake.calls()]
    assert {"Inactive"} == {key.status, other.status}
    again = Revoke(revoke._iam)(job(key, signers=(Signer(mine(session), ends_itself=True),)))
    assert "iam:UpdateAccessKey" in again.missing, "the session is over"


def test_a_session_of_the_user_ends_itself_last(fake: FakeAws, revoke: Revoke, key: AccessKey) -> None:
    session = Signer(mine(fake.add_session(key, mfa=True)), ends_itself=True)
    assert SESSIONS in all_done(revoke(job(key, signers=(session, by(key)))))
    assert [("UpdateAccessKey", "ok"), ("PutUserPolicy", "ok")] == acts(fake)


def test_the_deny_reaches_sessions_of_the_next_quarter_of_an_hour(
    fake: FakeAws, revoke: Revoke, key: AccessKey
) -> None:
    all_done(revoke(job(key)))
    before = datetime.fromisoformat(
        key.user.policies[DENIAL].partition('TokenIssueTime":"')[2].partition('"')[0]
    )
    assert timedelta(minutes=14) < before - datetime.now(UTC) <= timedelta(minutes=15)


def test_a_user_that_needs_mfa_is_revoked_by_its_session(
    fake: FakeAws, revoke: Revoke, key: AccessKey
) -> None:
    fake.require_mfa(key.user)
    assert "iam:UpdateAccessKey" in revoke(job(key)).missing
    session = Signer(mine(fake.add_session(key, mfa=True)), ends_itself=True)
    all_done(revoke(job(key, signers=(session, by(key)))))
    assert "Inactive" == key.status


def test_an_old_session_leaves_it_to_the_key(fake: FakeAws, revoke: Revoke, key: AccessKey) -> None:
    session = fake.add_session(key, mfa=True)
    del fake.world.sessions[session.access_key_id]
    all_done(revoke(job(key, signers=(Signer(mine(session), ends_itself=True), by(key)))))
    assert "Inactive" == key.status


# --- rights


@pytest.mark.parametrize(
    ("right", "done"),
    [("iam:PutUserPolicy", "key"), ("iam:UpdateAccessKey", SESSIONS), ("iam:ListAttachedUserPolicies", None)],
)
def test_a_missing_right_is_named_and_the_rest_is_done(
    fake: FakeAws, revoke: Revoke, key: AccessKey, right: str, done: str | None
) -> None:
    fake.deny(key.user, right)
    outcome = revoke(job(key))
    if done is None:
        all_done(outcome)
        return
    assert {key.access_key_id if done == "key" else SESSIONS} == outcome.done.keys()
    assert f"the right {right} is missing to the key {mine(key).tail}" == outcome.missing
    assert not outcome.is_transient
    assert [] == revoke.pauses


def test_a_key_that_may_not_be_deleted_is_made_inactive_at_least(
    fake: FakeAws, revoke: Revoke, key: AccessKey
) -> None:
    fake.deny(key.user, "iam:DeleteAccessKey")
    targets = {key.access_key_id: Target("deleted", credentials=mine(key))}
    outcome = revoke(job(key, targets=targets))
    assert {SESSIONS} == outcome.done.keys()
    assert "the right iam:DeleteAccessKey is missing" in outcome.missing
    assert "Inactive" == key.status


def test_a_key_is_deleted(fake: FakeAws, revoke: Revoke, key: AccessKey) -> None:
    targets = {key.access_key_id: Target("deleted", credentials=mine(key))}
    assert "deleted" == all_done(revoke(job(key, targets=targets)))[key.access_key_id]
    assert {} == fake.world.keys


@pytest.mark.parametrize("may_look", [True, False])
def test_a_quarantine_is_named(fake: FakeAws, revoke: Revoke, key: AccessKey, *, may_look: bool) -> None:
    fake.quarantine(key.user)
    if not may_look:
        fake.deny(key.user, "iam:ListAttachedUserPolicies")
    outcome = revoke(job(key))
    assert {} == outcome.done
    assert may_look == ("AWS has quarantined the user" in outcome.missing)
    assert "iam:UpdateAccessKey" in outcome.missing
    assert "Active" == key.status


# --- by somebody else


@pytest.fixture
def ops(fake: FakeAws) -> Signer:
    return Signer(mine(fake.add_key(fake.add_user("ops"))), account="123456789012")


def test_somebody_else_revokes_a_quarantined_user(
    fake: FakeAws, revoke: Revoke, key: AccessKey, ops: Signer
) -> None:
    fake.quarantine(key.user)
    all_done(revoke(job(key, signers=(ops,))))
    assert ("Inactive", True) == (key.status, DENIAL in key.user.policies)


def test_a_user_is_found_by_its_key_when_nobody_told_its_name(
    fake: FakeAws, revoke: Revoke, key: AccessKey, ops: Signer
) -> None:
    all_done(revoke(job(key, user_name=None)))
    all_done(revoke(job(fake.add_key(key.user), signers=(ops,), user_name=None)))
    assert {"Inactive"} == {one.status for one in fake.world.keys_of(key.user)}


@pytest.mark.parametrize("signs", ["itself", "ops"])
def test_a_user_that_was_renamed_is_found(
    fake: FakeAws, revoke: Revoke, key: AccessKey, ops: Signer, signs: str
) -> None:
    key.user.name = "alicia"
    signers = (by(key),) if signs == "itself" else (ops,)
    all_done(revoke(job(key, signers=signers)))
    assert ("Inactive", True) == (key.status, DENIAL in key.user.policies)


def test_a_user_that_was_deleted_has_nothing_left(
    fake: FakeAws, revoke: Revoke, key: AccessKey, ops: Signer
) -> None:
    fake.remove_user(key.user)
    assert "gone" == all_done(revoke(job(key, signers=(ops,))))[key.access_key_id]


def test_nothing_is_claimed_of_a_key_that_nobody_knows(
    fake: FakeAws, revoke: Revoke, key: AccessKey, ops: Signer
) -> None:
    """Never verified, and AWS does not accept it: whose it is, and so what became of it, is unknown."""
    key.status = "Inactive"
    outcome = revoke(job(key, signers=(ops,), user_name=None))
    assert ({}, True) == (outcome.done, "whose key it is is not known" in outcome.missing)


def test_another_accounts_namesake_is_left_alone(fake: FakeAws, revoke: Revoke, ops: Signer) -> None:
    namesake, theirs = fake.add_user("alice"), fake.add_user("alice", account="999999999999")
    outcome = revoke(job(fake.add_key(theirs), signers=(ops,), user_name=None))
    assert "another account" in outcome.missing
    assert {} == namesake.policies


def test_root_is_not_revoked_by_others(fake: FakeAws, revoke: Revoke, ops: Signer) -> None:
    key = fake.add_key(fake.add_root())
    outcome = revoke(job(key, signers=(ops,), user_name=None))
    assert ({}, "Active") == (outcome.done, key.status)
    assert "a root user's key can be revoked by itself only" in outcome.missing


def test_root_ends_its_own_key_without_a_name_or_a_policy(fake: FakeAws, revoke: Revoke) -> None:
    key = fake.add_key(fake.add_root())
    done = all_done(revoke(job(key, user_name=None)))
    assert {SESSIONS: "no policy", key.access_key_id: "inactive"} == done
    (call,) = fake.calls("UpdateAccessKey")
    assert "UserName" not in call.parameters


# --- keys that are gone


@pytest.mark.parametrize("how", ["deleted", "inactive"])
def test_a_key_that_aws_does_not_accept_is_out_of_use(
    fake: FakeAws, revoke: Revoke, key: AccessKey, how: str
) -> None:
    if how == "deleted":
        fake.remove_key(key)
    else:
        key.status = "Inactive"
    without_deny = job(key, left=frozenset({key.access_key_id}))
    assert {key.access_key_id: "unusable"} == all_done(revoke(without_deny))
    outcome = revoke(job(key))
    assert {SESSIONS} == outcome.failures.keys(), "it can write no policy any more"
    targets = {key.access_key_id: Target("deleted", credentials=mine(key))}
    assert "whether it is deleted only another key can see" in revoke(job(key, targets=targets)).missing


def test_a_key_that_was_never_verified_is_not_taken_for_dead(
    fake: FakeAws, revoke: Revoke, key: AccessKey
) -> None:
    """It may live in another partition than the one that is asked."""
    unknown = fake.add_key(fake.add_user("bob", partition="aws-cn"))
    without_deny = frozenset({unknown.access_key_id})
    outcome = revoke(job(unknown, left=without_deny, user_name=None, is_verified=False))
    assert ({}, False) == (outcome.done, outcome.is_transient)
    assert f"AWS does not accept the key {mine(unknown).tail}: it was never verified" in outcome.missing


def test_a_key_that_is_gone_is_a_success_for_who_can_see_it(
    fake: FakeAws, revoke: Revoke, key: AccessKey, ops: Signer
) -> None:
    fake.remove_key(key)
    assert "gone" == all_done(revoke(job(key, signers=(ops,))))[key.access_key_id]


def test_a_new_key_that_aws_does_not_know_yet_is_not_taken_for_dead(
    fake: FakeAws, revoke: Revoke, key: AccessKey
) -> None:
    key.works_at = datetime.now(UTC) + MINUTE
    targets = {key.access_key_id: Target("inactive", is_new=True, credentials=mine(key))}
    outcome = revoke(job(key, targets=targets))
    assert ({}, True) == (outcome.done, outcome.is_transient)
    assert 2 == len(revoke.pauses)


def test_the_other_key_signs_when_the_first_cannot(fake: FakeAws, revoke: Revoke, key: AccessKey) -> None:
    other = fake.add_key(key.user)
    key.status = "Inactive"
    done = all_done(revoke(job(key, other, signers=(by(key), by(other)))))
    assert {key.access_key_id: "unusable", other.access_key_id: "inactive", SESSIONS: "denied"} == done


# --- trouble on the way


def test_an_aws_that_cannot_be_reached_is_not_asked_by_everybody(
    fake: FakeAws, revoke: Revoke, key: AccessKey
) -> None:
    """Each try may take half a minute."""
    fake.fault(Fault.reset(), times=99)
    outcome = revoke(job(key, signers=(by(key), by(fake.add_key(key.user)))))
    assert (True, 2, []) == (outcome.is_transient, len(fake.calls()), revoke.pauses)


@pytest.mark.parametrize("action", ["PutUserPolicy", "UpdateAccessKey"])
@pytest.mark.parametrize(
    "fault", [Fault.throttling(), Fault.internal(), Fault.unavailable()], ids=lambda fault: fault.name
)
def test_throttling_is_waited_out_and_a_key_lives_as_long_as_it_is_needed(
    fake: FakeAws, revoke: Revoke, key: AccessKey, fault: Fault, action: str
) -> None:
    fake.fault(fault, action=action, times=2)
    assert SESSIONS in all_done(revoke(job(key)))
    assert [1.0, 1.0] == revoke.pauses
    assert ("UpdateAccessKey", "ok") == acts(fake)[-1]


def test_a_policy_that_cannot_be_written_leaves_no_key_active(
    fake: FakeAws, revoke: Revoke, key: AccessKey
) -> None:
    fake.fault(Fault.throttling(), action="PutUserPolicy", times=9)
    outcome = revoke(job(key))
    assert {key.access_key_id} == outcome.done.keys()
    assert "Inactive" == key.status
    assert outcome.is_transient


def test_a_session_waits_for_a_key_that_cannot_be_ended_now(
    fake: FakeAws, revoke: Revoke, key: AccessKey
) -> None:
    """Every other session that a user with MFA could get would be denied as well."""
    fake.require_mfa(key.user)
    fake.fault(Fault.throttling(), action="UpdateAccessKey", times=9)
    session = Signer(mine(fake.add_session(key, mfa=True)), ends_itself=True)
    outcome = revoke(job(key, signers=(session,)))
    assert ({}, True) == (outcome.done, outcome.is_transient)
    assert {"UpdateAccessKey"} == {action for action, _ in acts(fake)}


@pytest.mark.parametrize("action", ["PutUserPolicy", "UpdateAccessKey"])
@pytest.mark.parametrize(
    "fault",
    [Fault.lose_reply(), Fault.reset(), Fault.cut(), Fault.garbage(), Fault.twice()],
    ids=lambda fault: fault.name,
)
def test_a_lost_reply_keeps_nobody_from_the_rest(
    fake: FakeAws, revoke: Revoke, key: AccessKey, fault: Fault, action: str
) -> None:
    fake.fault(fault, action=action)
    outcome = revoke(job(key))
    assert outcome.done.keys() | outcome.failures.keys() == {SESSIONS, key.access_key_id}
    assert "Inactive" == key.status or action == "UpdateAccessKey"
    later = revoke(job(key, left=frozenset(outcome.failures.keys() - {SESSIONS})))
    assert ({}, "Inactive") == (later.failures, key.status), "the same again ends it"
