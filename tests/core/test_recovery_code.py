# SPDX-License-Identifier: Apache-2.0
"""A recovery code survives paper and a person, and a mistyped one is found before anything is derived."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultd.core import recovery_code
from vaultd.core.secret import Secret
from vaultd.wire.errors import Usage

CODE = bytes(range(20))
SPELLED = "000G-40R4-0M30-E209-185G-R38E-1W81-24GK-D35F"


@pytest.mark.parametrize(
    ("code", "spelled"),
    [
        (bytes(20), "0000-0000-0000-0000-0000-0000-0000-0000-SMSX"),
        (CODE, SPELLED),
        (b"\xff" * 20, "ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-ZZZZ-WVR6"),
    ],
)
def test_known_codes_are_spelled_as_always(code: bytes, spelled: str) -> None:
    assert spelled == recovery_code.spell(code).reveal()


@given(st.binary(min_size=20, max_size=20))
def test_what_was_spelled_is_read(code: bytes) -> None:
    assert code == recovery_code.read(recovery_code.spell(code)).reveal_bytes()


@pytest.mark.parametrize(
    "typed",
    [
        SPELLED.lower(),
        SPELLED.replace("-", ""),
        SPELLED.replace("-", " "),
        f"  {SPELLED}\r\n",
        SPELLED.replace("0", "O"),
        SPELLED.replace("1", "I"),
        SPELLED.replace("1", "l"),
    ],
)
def test_a_person_may_type_it_in_many_ways(typed: str) -> None:
    assert CODE == recovery_code.read(Secret(typed)).reveal_bytes()


PLAIN = SPELLED.replace("-", "")


def mistyped() -> Iterator[str]:
    """Every character replaced, and every two neighbours swapped."""
    for at, right in enumerate(PLAIN):
        yield PLAIN[:at] + ("7" if right != "7" else "8") + PLAIN[at + 1 :]
        if PLAIN[at + 1 : at + 2] not in {"", right}:
            yield PLAIN[:at] + PLAIN[at + 1] + right + PLAIN[at + 2 :]


@pytest.mark.parametrize("typed", list(mistyped()))
def test_a_mistyped_code_is_found(typed: str) -> None:
    with pytest.raises(Usage, match="mistyped"):
        recovery_code.read(Secret(typed))


@pytest.mark.parametrize(
    "typed", ["", "-", SPELLED[:-1], SPELLED + "0", SPELLED[:-1] + "U", SPELLED[:-1] + "é"]
)
def test_what_has_not_its_form_is_told_so_without_an_echo(typed: str) -> None:
    with pytest.raises(Usage, match="not a recovery code") as caught:
        recovery_code.read(Secret(typed))
    assert SPELLED[:4] not in caught.value.line
