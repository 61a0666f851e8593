# SPDX-License-Identifier: Apache-2.0
"""Every error has a code, an exit status of the design, and one line that fits any SDK's message."""

import re

import pytest

from vaultd.wire import errors
from vaultd.wire.errors import MAX_LINE, VaultError, printable

DOCUMENTED = re.compile(r"^ {4,}(\w+) +(\d+)(?: |$)", re.MULTILINE)


def test_the_drawn_tree_is_the_real_one() -> None:
    drawn = {name: int(status) for name, status in DOCUMENTED.findall(errors.__doc__ or "")}
    assert drawn == {cls.__name__: cls.exit_status for cls in errors.tree().values()}


def test_codes_are_stable_words_and_unique() -> None:
    classes = [VaultError]
    for cls in classes:
        classes.extend(cls.__subclasses__())
    codes = [cls.code for cls in set(classes)]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("cls", errors.tree().values(), ids=lambda cls: cls.code)
def test_a_message_is_lower_case_without_a_full_stop(cls: type[VaultError]) -> None:
    message = cls().message
    assert message[0].islower()
    assert not message.endswith(".")


def test_a_line_is_printable_and_bounded_whatever_it_is_made_of() -> None:
    line = VaultError("x\n\x1b[31m\u202e\x00" + "y" * 1000, hint="run: awsvault status").line
    assert len(f"awsvault: {line}\n") <= MAX_LINE
    assert line.isascii()
    assert line.isprintable()


def test_of_a_line_that_is_too_long_what_to_do_next_is_whole() -> None:
    line = VaultError("y" * 1000, hint="run: awsvault status").line
    assert line.endswith("y...; run: awsvault status")
    assert len(f"awsvault: {line}\n") == MAX_LINE


def test_printable_keeps_one_line_of_plain_text() -> None:
    assert printable("a\tb\r\nc\u00e9\x7f") == "a?b??c??"
