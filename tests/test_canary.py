# SPDX-License-Identifier: Apache-2.0
"""The search for leaked secrets finds them: the control without which its silence in every other test says nothing."""

import base64
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import canary
from tests.daemons import Daemon

SECRET = canary.secret("dev")
LEAKS = {
    "as it is": f"error: {SECRET}!".encode(),
    "JSON": b'{"secret":"%b"}' % SECRET.encode(),
    "UTF-16": SECRET.encode("utf-16-le"),
    "hex": SECRET.encode().hex().encode(),
    "upper hex": SECRET.encode().hex().upper().encode(),
    "reversed": SECRET.encode()[::-1],
    "base64": base64.b64encode(SECRET.encode()),
    "base64, shifted by one": base64.b64encode(b"x" + SECRET.encode()),
    "base64, shifted by two": base64.b64encode(b"xy" + SECRET.encode()),
}


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_a_leak_is_found(leak: bytes) -> None:
    assert canary.found_in(b"before " + leak + b" after")


def test_nothing_is_found_where_nothing_leaked() -> None:
    assert not canary.found_in(b"\0\xff" * 1000 + canary.MARK[:-1].encode())


def test_secrets_look_like_those_of_iam() -> None:
    assert re.fullmatch("[A-Za-z0-9+/]{40}", SECRET)
    assert re.fullmatch("AKIA[A-Z2-7]{16}", canary.access_key_id("dev"))


def test_a_home_with_a_leak_fails_its_test() -> None:
    home = Daemon()
    (home.home / "note").write_text(SECRET, "ascii")
    with pytest.raises(AssertionError, match="secrets in the clear"):
        home.close()
    assert not home.home.exists()


def test_a_test_that_prints_a_secret_fails(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_runtest_makereport", "ascii")
    tests = "from tests import canary\ndef test_loud(): print(canary.PASSPHRASE)\ndef test_quiet(): print('fine')\n"
    (tmp_path / "test_output.py").write_text(tests, "ascii")
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--rootdir={tmp_path}",
            str(tmp_path),
        ],
        env={**os.environ, "PYTHONPATH": f"{root}:{root / 'cli'}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "1 failed, 1 passed" in done.stdout
