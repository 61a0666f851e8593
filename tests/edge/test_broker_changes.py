# SPDX-License-Identifier: Apache-2.0
"""Nothing from a key that is gone, nothing after a lock, nothing too old; and sessions renewed ahead of need."""

import asyncio
import random
from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.edge.stage import FAULTS, MINUTE, SECOND, Stage, made_with, play, profile_of
from tests.fake_aws import FakeAws, Fault, Gate
from vaultd.core.sessions import Session
from vaultd.edge.aws import Aws, AwsSettings
from vaultd.edge.issuer import AT_ONCE
from vaultd.wire.errors import AwsFailed, Locked


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[FakeAws, Aws]]:
    with FakeAws() as fake:
        yield fake, Aws(AwsSettings(endpoint_url=fake.url), read_timeout_s=2, attempts=1)


@pytest.fixture
def stage(shared: tuple[FakeAws, Aws]) -> Stage:
    return Stage(*shared)


# --- keys that change, and the lock -------------------------------------------------------------


@play
async def test_session_of_a_key_replaced_meanwhile_is_never_handed_out(stage: Stage) -> None:
    gate = Gate()
    stage.fake.fault(Fault.hold(gate))
    new = profile_of(stage.fake.add_key(stage.alice))
    async with stage.broker() as broker:
        caller = asyncio.create_task(broker.session(stage.profile))
        await stage.arrival(gate)
        broker.forget("dev")
        with pytest.raises(AwsFailed, match='"dev" was changed meanwhile'):
            await caller
        second = await broker.session(new)
        gate.open()
        assert second is await broker.session(new)
        assert new.key.access_key_id == made_with(stage, second)
        assert broker.cached(stage.profile) is None


@play
async def test_session_forgotten_between_its_arrival_and_its_caller_is_not_handed_out(stage: Stage) -> None:
    gate = Gate()
    stage.fake.fault(Fault.hold(gate))
    async with stage.broker() as broker:
        caller = asyncio.create_task(broker.session(stage.profile))
        await stage.arrival(gate)
        pending = next(iter(broker.broker._entries.values())).pending
        assert pending
        pending.add_done_callback(lambda _: broker.forget("dev"))
        gate.open()
        with pytest.raises(AwsFailed, match="was changed meanwhile"):
            await caller
        assert isinstance(pending.result(), Session), "it had arrived"


@play
async def test_forgetting_one_profile_leaves_the_others(stage: Stage) -> None:
    other = profile_of(stage.key, "other")
    async with stage.broker() as broker:
        kept = [await broker.session(profile) for profile in (stage.profile, other)]
        broker.forget("dev")
        assert broker.cached(stage.profile) is None
        assert kept[1] is broker.cached(other)
        assert kept[0] is not await broker.session(stage.profile)


@play
async def test_lock_hands_nothing_out_from_its_first_moment(stage: Stage) -> None:
    gate = Gate()
    other = profile_of(stage.key, "other")
    async with stage.broker() as broker:
        await broker.session(other)
        stage.fake.fault(Fault.hold(gate))
        caller = asyncio.create_task(broker.session(stage.profile))
        await stage.arrival(gate)
        settled = asyncio.create_task(broker.settle())
        with pytest.raises(Locked):
            await caller
        for profile in (stage.profile, other):
            assert broker.cached(profile) is None
            with pytest.raises(Locked):
                await broker.session(profile)
        await settled
        assert {} == broker.broker._entries, "keys and sessions are let go"
        assert set() == broker.broker._calls, "and nothing waits for AWS"


@play
async def test_lock_does_not_wait_for_aws_longer_than_it_may(stage: Stage) -> None:
    gate = Gate()
    stage.fake.fault(Fault.hold(gate), times=AT_ONCE)
    async with stage.broker() as broker:
        profiles = [profile_of(stage.key, f"p{n}") for n in range(2 * AT_ONCE)]
        callers = [asyncio.create_task(broker.session(profile)) for profile in profiles]
        await stage.arrival(gate)
        await broker.settle()
        outcomes = await asyncio.gather(*callers, return_exceptions=True)
        assert {Locked} == {type(outcome) for outcome in outcomes}
    assert AT_ONCE >= stage.made, "what had not been sent yet is not sent any more"


# --- ahead --------------------------------------------------------------------------------------


@play
async def test_session_in_use_is_renewed_ahead_and_once(stage: Stage) -> None:
    gate = Gate()
    async with stage.broker() as broker:
        first = await broker.session(stage.profile)
        await broker.refresh_due()
        assert set() == broker.broker._calls
        stage.advance(timedelta(hours=3, minutes=41))
        stage.fake.fault(Fault.hold(gate))
        await broker.refresh_due()
        await stage.arrival(gate)
        await broker.refresh_due()
        gate.open()
        second = await broker.session(stage.profile)
        assert second is not first
        assert 2 == stage.made
        stage.advance(timedelta(hours=3, minutes=41))
        await broker.refresh_due()
        await asyncio.wait(broker.broker._calls)
        assert broker.cached(stage.profile), "served from the cache is used, too"
        stage.advance(timedelta(hours=3, minutes=41))
        await broker.refresh_due()
        await asyncio.wait(broker.broker._calls)
    assert 4 == stage.made


@play
async def test_session_that_nobody_uses_is_left_to_end_and_its_secrets_go(stage: Stage) -> None:
    async with stage.broker() as broker:
        await broker.session(stage.profile)
        stage.advance(timedelta(hours=3, minutes=41))
        await broker.refresh_due()
        await asyncio.wait(broker.broker._calls)
        stage.advance(timedelta(hours=3, minutes=41))
        await broker.refresh_due()
        assert 1 == len(broker.broker._entries)
        stage.advance(20 * MINUTE)
        await broker.refresh_due()
        assert {} == broker.broker._entries
    assert 2 == stage.made


@play
async def test_refusal_is_remembered_ahead_too(stage: Stage) -> None:
    async with stage.broker() as broker:
        first = await broker.session(stage.profile)
        stage.advance(timedelta(hours=3, minutes=41))
        stage.fake.fault(Fault.internal())
        assert first is await broker.session(stage.profile)
        await broker.refresh_due()
        assert set() == broker.broker._calls
        stage.advance(6 * SECOND)
        await broker.refresh_due()
        assert first is not await broker.session(stage.profile)
    assert 3 == stage.made


@play
async def test_whatever_happens_what_is_served_lives_and_is_of_one_version(stage: Stage) -> None:
    """150 steps of time, faults and changed keys: each session served works, for a minute at least, by the current key."""
    chance = random.Random(20261124)
    served = 0
    async with stage.broker(duration_s=3600) as broker:
        for _ in range(150):
            stage.advance(chance.choice([SECOND, MINUTE, 9 * MINUTE, 39.5 * MINUTE]))
            if chance.random() < 0.3:
                stage.fake.fault(chance.choice(FAULTS))
            if chance.random() < 0.1:
                stage.profile = profile_of(stage.fake.add_key(stage.alice))
                broker.forget("dev")
            await broker.refresh_due()
            try:
                session = await broker.session(stage.profile)
            except AwsFailed:
                continue
            served += 1
            issued = stage.fake.world.sessions[session.credentials.access_key_id]
            token = session.credentials.session_token
            assert (issued.secret, issued.token) == (
                session.credentials.secret.reveal(),
                token.reveal() if token else None,
            )
            assert stage.profile.key.access_key_id == issued.made_with
            assert issued.expires_at - stage.fake.clock.now() >= 59 * SECOND
    assert served > 75
