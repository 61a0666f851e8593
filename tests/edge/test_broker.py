# SPDX-License-Identifier: Apache-2.0
"""One STS call for everybody, and what becomes of AWS's refusals and delays; by a clock that the test moves."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.edge.stage import FAULTS, MINUTE, SECOND, Stage, play, profile_of
from tests.fake_aws import FakeAws, Fault, Gate
from vaultd.edge.aws import Aws, AwsSettings
from vaultd.edge.issuer import AT_ONCE
from vaultd.wire.errors import AwsFailed, AwsPending, Usage


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[FakeAws, Aws]]:
    with FakeAws() as fake:
        yield fake, Aws(AwsSettings(endpoint_url=fake.url), read_timeout_s=2, attempts=1)


@pytest.fixture
def stage(shared: tuple[FakeAws, Aws]) -> Stage:
    return Stage(*shared)


# --- one call -----------------------------------------------------------------------------------


@play
async def test_hundred_callers_of_a_cold_profile_are_one_call(stage: Stage) -> None:
    async with stage.broker() as broker:
        sessions = await asyncio.gather(*(broker.session(stage.profile) for _ in range(100)))
    assert (1, 1) == (stage.made, len({id(session) for session in sessions}))


@play
async def test_session_is_kept_while_it_is_fresh(stage: Stage) -> None:
    async with stage.broker() as broker:
        assert broker.cached(stage.profile) is None
        first = await broker.session(stage.profile)
        stage.advance(timedelta(hours=3, minutes=39))
        assert first is broker.cached(stage.profile)
        assert first is await broker.session(stage.profile)
        stage.advance(2 * MINUTE)
        assert broker.cached(stage.profile) is None
        second = await broker.session(stage.profile)
    assert (2, 4) == (stage.made, round((second.expires_at - stage.fake.clock.now()) / timedelta(hours=1)))


@play
async def test_profiles_regions_and_durations_have_their_own_sessions(stage: Stage) -> None:
    async with stage.broker() as broker:
        for profile in (
            stage.profile,
            replace(stage.profile, region="eu-west-1"),
            profile_of(stage.key, "other"),
        ):
            await broker.session(profile)
        broker.duration_s = 3600
        short = await broker.session(stage.profile)
    assert ["us-east-1", "eu-west-1", "us-east-1", "us-east-1"] == [
        call.region for call in stage.fake.calls()
    ]
    assert short.expires_at - stage.fake.clock.now() <= timedelta(hours=1)


@play
async def test_caller_that_gives_up_takes_nothing_from_the_others(stage: Stage) -> None:
    gate = Gate()
    stage.fake.fault(Fault.hold(gate))
    async with stage.broker() as broker:
        callers = [asyncio.create_task(broker.session(stage.profile)) for _ in range(3)]
        await stage.arrival(gate)
        callers[0].cancel()
        gate.open()
        assert (await callers[1]) is (await callers[2])
    assert (1, True) == (stage.made, callers[0].cancelled())


@play
async def test_call_that_everybody_gave_up_on_serves_the_next(stage: Stage) -> None:
    gate = Gate()
    stage.fake.fault(Fault.hold(gate))
    async with stage.broker() as broker:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(broker.session(stage.profile), 0.01)
        later = asyncio.create_task(broker.session(stage.profile))
        gate.open()
        assert await later is broker.cached(stage.profile)
    assert 1 == stage.made


@play
async def test_aws_hanging_does_not_take_the_threads_of_others(stage: Stage) -> None:
    """Deriving a key and saving the vault use the loop's own threads."""
    gate = Gate()
    stage.fake.fault(Fault.hold(gate), times=40)
    async with stage.broker() as broker:
        callers = [asyncio.create_task(broker.session(profile_of(stage.key, f"p{n}"))) for n in range(40)]
        for _ in range(AT_ONCE):
            assert await asyncio.to_thread(gate.arrived.acquire, timeout=10)
        assert 7 == await asyncio.wait_for(asyncio.to_thread(lambda: 7), 10)
        gate.open()
        await asyncio.gather(*callers)


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_reaches_every_caller_and_is_asked_about_again_only_later(stage: Stage, fault: Fault) -> None:
    stage.fake.fault(fault)

    async def test() -> None:
        async with stage.broker() as broker:
            for _ in range(2):
                tried = (broker.session(stage.profile) for _ in range(50))
                outcomes = await asyncio.gather(*tried, return_exceptions=True)
                assert {AwsFailed} == {type(outcome) for outcome in outcomes}
                assert 50 == len({id(outcome) for outcome in outcomes}), "one exception, many tracebacks"
            stage.advance(4.9 * SECOND)
            with pytest.raises(AwsFailed):
                await broker.session(stage.profile)
            assert 1 == stage.made
            stage.advance(0.2 * SECOND)
            await broker.session(stage.profile)
        assert 2 == stage.made

    asyncio.run(test())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_renewal_that_fails_leaves_the_old_session_down_to_a_minute(
    stage: Stage, fault: Fault, capsys: pytest.CaptureFixture[str]
) -> None:
    async def test() -> None:
        async with stage.broker(duration_s=3600) as broker:
            first = await broker.session(stage.profile)
            stage.fake.fault(fault, times=2)
            stage.advance(50 * MINUTE)
            assert [first] * 3 == [await broker.session(stage.profile) for _ in range(3)]
            assert 2 == stage.made
            stage.advance(first.expires_at - stage.fake.clock.now() - 59 * SECOND)
            with pytest.raises(AwsFailed):
                await broker.session(stage.profile)

    asyncio.run(test())
    said = capsys.readouterr().err.splitlines()
    assert 1 == len(said), "once a failure, not once a caller"
    assert said[0].startswith('vaultd: the session of "dev" could not be renewed: ')


@play
async def test_refusal_is_not_remembered_for_ever_when_the_clock_is_set_back(stage: Stage) -> None:
    stage.fake.fault(Fault.internal())
    async with stage.broker() as broker:
        with pytest.raises(AwsFailed):
            await broker.session(stage.profile)
        stage.advance(-timedelta(hours=1))
        await broker.session(stage.profile)


@play
async def test_slow_renewal_does_not_keep_callers_from_a_session_that_still_serves(stage: Stage) -> None:
    gate = Gate()
    async with stage.broker(patience_s=0.01) as broker:
        first = await broker.session(stage.profile)
        stage.advance(timedelta(hours=3, minutes=50))
        stage.fake.fault(Fault.hold(gate))
        assert first is await broker.session(stage.profile)
        assert first is await broker.session(stage.profile)
        stage.advance(9.5 * MINUTE)
        caller = asyncio.create_task(broker.session(stage.profile))
        gate.open()
        assert first is not await caller
    assert 2 == stage.made


@play
async def test_session_that_ends_while_its_renewal_is_slow_is_not_served(stage: Stage) -> None:
    gate = Gate()
    async with stage.broker(patience_s=0.05) as broker:
        await broker.session(stage.profile)
        stage.advance(timedelta(hours=3, minutes=50))
        stage.fake.fault(Fault.hold(gate))
        caller = asyncio.create_task(broker.session(stage.profile))
        await asyncio.sleep(0)
        stage.advance(9.5 * MINUTE)
        with pytest.raises(AwsPending):
            await caller


@play
async def test_session_that_is_over_on_arrival_is_no_session(stage: Stage) -> None:
    """By our clock: AWS's is hours behind, and what it gives has ended before it came."""
    async with stage.broker() as broker:
        broker.broker.clock = lambda: stage.fake.clock.now() + timedelta(hours=5)
        with pytest.raises(AwsFailed, match="over already"):
            await broker.session(stage.profile)
        assert broker.cached(stage.profile) is None


@play
async def test_request_that_makes_no_sense_is_not_taken_for_a_refusal_of_aws(stage: Stage) -> None:
    async with stage.broker() as broker:
        with pytest.raises(Usage, match="is not the name of an AWS region"):
            await broker.session(replace(stage.profile, region="nowhere"))
