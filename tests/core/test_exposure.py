# SPDX-License-Identifier: Apache-2.0
"""Plaintext keys and changed hook lines are found in whatever stands in the files, by line, without a secret in hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultd.core.exposure import Exposure, Seen, hooks_changed, read

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
OURS = "/opt/bin/awsvault get dev"


def plain(text: str, *, is_config: bool = False) -> list[tuple[str, int]]:
    return [(found.profile, found.line) for found in read(text, "f", is_config=is_config).plaintext]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"[dev]\naws_access_key_id = AKIA\naws_secret_access_key = {SECRET}\n", [("dev", 3)]),
        (f"[dev]\r\nAWS_SECRET_ACCESS_KEY={SECRET}\r\n", [("dev", 2)]),
        (
            f"[a]\naws_secret_access_key: {SECRET}\n[b]\n  aws_secret_access_key   =  x\n",
            [("a", 2), ("b", 4)],
        ),
        (f"[acme.prod eu]\naws_secret_access_key = {SECRET}", [("acme.prod eu", 2)]),
        (f"[dev]\naws_secret_access_key = {SECRET}\naws_session_token = x\n", []),
        (f"[dev]\n# aws_secret_access_key = {SECRET}\n", []),
        ("[dev]\naws_secret_access_key =\n", []),
        (f"aws_secret_access_key = {SECRET}\n", []),
        (f"[dev]\nnonsense\n[dev]\naws_secret_access_key = {SECRET}\n", [("dev", 4)]),
        ("", []),
    ],
)
def test_a_plaintext_key_is_found_by_its_line(text: str, found: list[tuple[str, int]]) -> None:
    assert found == plain(text)


def test_in_config_a_profile_is_what_every_reader_takes_for_one() -> None:
    secret = f"aws_secret_access_key = {SECRET}\n"
    text = f"[default]\n{secret}[profile dev]\n{secret}[sso-session dev]\n{secret}[dev]\n{secret}"
    assert [("default", 2), ("dev", 4)] == plain(text, is_config=True)


@given(st.text(max_size=300))
def test_whatever_stands_in_the_file_is_read(text: str) -> None:
    read(text, "f", is_config=True)


def seen(value: str | None) -> Seen:
    text = f"[profile dev]\ncredential_process = {value}\n" if value else "[profile dev]\n"
    return read(text, "config", is_config=True)


@pytest.mark.parametrize(
    ("value", "lines", "kept"),
    [
        (OURS, [], OURS),
        ("/usr/bin/awsvault  get dev", [], "/usr/bin/awsvault get dev"),
        ("/tmp/evil", [2], OURS),
        ("/tmp/awsvault get dev", [2], OURS),
        (None, [], OURS),
    ],
)
def test_a_line_of_ours_that_calls_something_else_is_told_until_it_is_ours_again(
    value: str | None, lines: list[int], kept: str | None
) -> None:
    def is_ours(line: str) -> bool:
        return line.startswith(("/opt/bin/awsvault ", "/usr/bin/awsvault "))

    known, changed = hooks_changed({"dev": OURS}, seen(value), "config", is_ours)
    assert [Exposure("hook-changed", "dev", "config", line) for line in lines] == list(changed)
    assert ({"dev": kept} if kept else {}) == known
    again, changed = hooks_changed(known, seen(OURS), "config", is_ours)
    assert ({"dev": OURS}, ()) == (again, changed)


def test_a_line_that_never_was_ours_is_nobodys_business() -> None:
    assert ({}, ()) == hooks_changed({}, seen("/usr/bin/other"), "config", lambda _: False)
