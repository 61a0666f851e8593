# SPDX-License-Identifier: Apache-2.0
"""A .env or a shell's start-up file: its key is found, and AWS_PROFILE stands in its place, when every reader agrees."""

import os
import subprocess

import pytest

from tests import canary
from vaultd.core import envfile
from vaultd.core.ini import IniFile
from vaultd.core.plaintext import Found

ID, SECRET = canary.access_key_id("a"), canary.secret("a")


def filled(text: str) -> str:
    return text.replace("<id>", ID).replace("<secret>", SECRET)


def only(text: str) -> Found:
    (found,) = envfile.found_in(filled(text), ".env", "shop")
    return found


def moved(text: str) -> str:
    found = only(text)
    assert not found.obstacle, found.obstacle
    return envfile.without_key(filled(text), found.access_key_id, found.secret, "shop")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("AWS_ACCESS_KEY_ID=<id>\nAWS_SECRET_ACCESS_KEY=<secret>\n", "AWS_PROFILE=shop\n"),
        ("A=1\nexport AWS_ACCESS_KEY_ID=<id>\nexport AWS_SECRET_ACCESS_KEY=<secret>\nB=2\n", "A=1\nexport AWS_PROFILE=shop\nB=2\n"),
        ("AWS_SECRET_ACCESS_KEY='<secret>'\r\n# c\r\nAWS_ACCESS_KEY_ID=\"<id>\"\r\n", "# c\r\nAWS_PROFILE=shop\r\n"),
        ("AWS_ACCESS_KEY_ID=<id> # mine\nAWS_SECRET_ACCESS_KEY=<secret>\nAWS_REGION=eu-1\n", "AWS_PROFILE=shop\nAWS_REGION=eu-1\n"),
        ("# AWS_SECRET_ACCESS_KEY=old\nAWS_ACCESS_KEY_ID=<id>\nAWS_SECRET_ACCESS_KEY=<secret>\n", "# AWS_SECRET_ACCESS_KEY=old\nAWS_PROFILE=shop\n"),
        ("AWS_ACCESS_KEY_ID=<id>\nAWS_SECRET_ACCESS_KEY=<secret>", "AWS_PROFILE=shop\n"),
    ],
)  # fmt: skip
def test_the_profile_stands_in_the_place_of_the_key(before: str, after: str) -> None:
    assert after == moved(before)
    assert [] == envfile.found_in(after, ".env", "shop")


def test_what_is_found_is_told_with_its_line_and_region() -> None:
    found = only(
        "X=1\nAWS_DEFAULT_REGION='eu-west-1'\nAWS_ACCESS_KEY_ID=<id>\nAWS_SECRET_ACCESS_KEY=<secret>\n"
    )
    assert (".env:3", ID, SECRET, "eu-west-1") == (
        found.line,
        found.access_key_id,
        found.secret.reveal(),
        found.region,
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("AWS_ACCESS_KEY_ID=<id>\n", "the secret is missing"),
        ("AWS_ACCESS_KEY_ID=<id>\nAWS_SECRET_ACCESS_KEY=<secret>\nAWS_SESSION_TOKEN=t\n", "temporary"),
        ("AWS_ACCESS_KEY_ID=x\nAWS_ACCESS_KEY_ID=<id>\nAWS_SECRET_ACCESS_KEY=<secret>\n", "line 2 sets AWS_ACCESS_KEY_ID again"),
        ("AWS_PROFILE=x\nAWS_ACCESS_KEY_ID=<id>\nAWS_SECRET_ACCESS_KEY=<secret>\n", "line 1 sets AWS_PROFILE, too"),
        ("if x; then\n  export AWS_ACCESS_KEY_ID=<id>\nfi\n", "line 2 names it in a way"),
        ("export AWS_ACCESS_KEY_ID=<id> AWS_SECRET_ACCESS_KEY=<secret>\n", "line 1 names it in a way"),
        ("AWS_ACCESS_KEY_ID=<id>\nAWS_SECRET_ACCESS_KEY=$(pass aws)\n", "line 2 names it in a way"),
        ("AWS_ACCESS_KEY_ID=<id>\nAWS_SECRET_ACCESS_KEY=<secret>; echo\n", "line 2 names it in a way"),
        ("export AWS_ACCESS_KEY_ID\n", "line 1 names it in a way"),
        ("AWS_ACCESS_KEY_ID=<id>\nAWS_SECRET_ACCESS_KEY=<secret>\necho $AWS_ACCESS_KEY_ID\n", "line 3 names it in a way"),
    ],
)  # fmt: skip
def test_what_cannot_move_says_why(text: str, reason: str) -> None:
    assert reason in only(text).obstacle


def test_another_file_has_none() -> None:
    assert [] == envfile.found_in("PATH=/bin\n# AWS_ACCESS_KEY_ID=x\n", ".env", "shop")


def test_another_key_in_the_file_by_now_stays() -> None:
    found = only("AWS_ACCESS_KEY_ID=<id>\nAWS_SECRET_ACCESS_KEY=<secret>\n")
    now = f"AWS_ACCESS_KEY_ID={ID}\nAWS_SECRET_ACCESS_KEY={canary.secret('b')}\n"
    assert now == envfile.without_key(now, found.access_key_id, found.secret, "shop")


@pytest.mark.parametrize("line", ["='{}'", '="{}"', "={}", "={} # c", "={}\t"])
def test_a_shell_reads_the_values_as_we_do(line: str) -> None:
    text = f"AWS_ACCESS_KEY_ID{line.format(ID)}\nAWS_SECRET_ACCESS_KEY{line.format(SECRET)}\n"
    done = subprocess.run(
        ["sh", "-c", f'{text}\nprintf %s "$AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY"'],
        env={"PATH": os.defpath}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = only(text)
    assert done.stdout == f"{found.access_key_id} {found.secret.reveal()}"


def test_it_is_not_taken_for_an_ini_file() -> None:
    assert IniFile("# x\n", "f").sections == []
