# SPDX-License-Identifier: Apache-2.0
"""Whether AWS can be reached, and whose clock is wrong: one question without a signature, by the daemon's own way."""

from datetime import timedelta

import pytest

from tests.fake_aws import FakeAws
from vaultd.edge.aws import Aws, AwsSettings
from vaultd.wire.errors import AwsFailed, Usage


def at(url: str) -> Aws:
    return Aws(AwsSettings(endpoint_url=url), read_timeout_s=1, attempts=1)


@pytest.mark.parametrize("ahead_s", [0, 400, -400])
def test_the_clock_is_compared_with_the_date_of_any_answer(ahead_s: int) -> None:
    with FakeAws() as fake:
        fake.clock.offset = timedelta(seconds=ahead_s)
        host, error = at(fake.url).clock_error(None)
    assert f"127.0.0.1:{fake.port}" == host
    assert abs(-ahead_s - error.total_seconds()) < 5


def test_what_does_not_answer_is_named() -> None:
    with pytest.raises(AwsFailed, match=r"cannot reach 127\.0\.0\.1:9: the connection failed"):
        at("http://127.0.0.1:9").clock_error(None)


def test_what_is_no_region_is_refused_before_anything_is_asked() -> None:
    with FakeAws() as fake, pytest.raises(Usage):
        at(fake.url).clock_error("no region/at all")
