# SPDX-License-Identifier: Apache-2.0
"""AWS is asked again soon after it refused and later each time after it failed; never all at once."""

from datetime import UTC, datetime, timedelta

import pytest

from vaultd.core.backoff import OPENS_AFTER, Breaker, Trouble, after, is_transient
from vaultd.wire.errors import AwsFailed

NOW = datetime(2026, 11, 24, tzinfo=UTC)
DENIED = AwsFailed("no", details={"aws_code": "AccessDenied"})
DOWN = AwsFailed("down", hint="wait", details={"aws_code": "ServiceUnavailable"})


def failed(times: int, jitter: float = 0.0) -> Trouble:
    trouble: Trouble | None = None
    for _ in range(times):
        trouble = after(DOWN, trouble, NOW, lambda: jitter)
    assert trouble
    return trouble


@pytest.mark.parametrize(
    ("code", "transient"),
    [
        ("Throttling", True),
        ("ServiceUnavailable", True),
        ("InternalFailure", True),
        ("unreachable", True),
        ("AccessDenied", False),
        ("InvalidClientTokenId", False),
    ],
)
def test_only_what_another_try_may_cure_is_transient(code: str, *, transient: bool) -> None:
    assert transient == is_transient(AwsFailed("x", details={"aws_code": code}))


def test_an_answer_that_was_none_of_awss_may_be_cured_too() -> None:
    assert is_transient(AwsFailed("garbage"))


def test_a_refusal_is_remembered_for_five_seconds_however_often() -> None:
    trouble = None
    for _ in range(5):
        trouble = after(DENIED, trouble, NOW, lambda: 0.5)
    assert trouble
    assert NOW + timedelta(seconds=5) == trouble.until


@pytest.mark.parametrize(("times", "seconds"), [(1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (50, 60)])
def test_failures_in_a_row_wait_longer_up_to_a_minute(times: int, seconds: int) -> None:
    assert timedelta(seconds=seconds) == failed(times).until - NOW
    assert timedelta(seconds=seconds / 2) == failed(times, jitter=1.0).until - NOW


def test_it_holds_until_its_end_and_not_when_the_clock_is_set_back() -> None:
    trouble = failed(2)
    assert trouble.holds(NOW)
    assert trouble.holds(NOW + timedelta(seconds=9.9))
    assert not trouble.holds(NOW + timedelta(seconds=10))
    assert not trouble.holds(NOW - timedelta(hours=1))


def test_a_place_that_only_fails_is_left_alone_and_tried_again() -> None:
    breaker = Breaker()
    for _ in range(OPENS_AFTER - 1):
        breaker = breaker.failed(DOWN, NOW, lambda: 0.0)
        assert breaker.refusal(NOW) is None
    breaker = breaker.failed(DOWN, NOW, lambda: 0.0)
    refusal = breaker.refusal(NOW)
    assert refusal
    assert "AWS failed 5 times in a row; asking again in 60 s; wait" == refusal.line
    assert breaker.refusal(NOW + timedelta(seconds=61)) is None
    assert breaker.failed(DENIED, NOW, lambda: 0.0).refusal(NOW) is None, "who refuses answers"
