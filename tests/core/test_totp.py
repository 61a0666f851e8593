# SPDX-License-Identifier: Apache-2.0
"""Codes are those of RFC 6238, and none is used twice."""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from vaultd.core import totp
from vaultd.core.secret import Secret
from vaultd.wire.errors import Usage

SEED = Secret(b"12345678901234567890")  # RFC 6238, appendix B


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_the_rfc(seconds: int, expected: str) -> None:
    assert expected == totp.code(SEED, totp.step_of(datetime.fromtimestamp(seconds, UTC)))


@pytest.mark.parametrize("spelling", ["{0}", "{1}", " {0} \n", "{2}", "{3}"])
def test_a_seed_is_read_however_it_was_copied(spelling: str) -> None:
    plain = base64.b32encode(SEED.reveal_bytes()).decode()
    spaced = " ".join(plain[i : i + 4] for i in range(0, len(plain), 4))
    text = spelling.format(plain, plain.lower(), spaced, spaced.replace(" ", "-"))
    assert SEED == totp.read_seed(Secret(text))


@pytest.mark.parametrize("text", ["", "not base32!", "0189", "AAA", "ABCDEFGH", "A" * 400, "caf\u00e9"])
def test_what_is_no_seed_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(Usage) as caught:
        totp.read_seed(Secret(text))
    assert not text or text not in caught.value.line


def test_the_next_code_is_waited_for_when_this_one_was_used() -> None:
    now = datetime.fromtimestamp(1_000_000_010, UTC)
    assert totp.wait_s(now, None) == 0
    assert totp.wait_s(now, totp.step_of(now) - 1) == 0
    assert totp.wait_s(now, totp.step_of(now)) == 10  # 1,000,000,010 is 20 s into its window
    after = now + timedelta(seconds=totp.wait_s(now, totp.step_of(now)))
    assert totp.step_of(after) == totp.step_of(now) + 1
