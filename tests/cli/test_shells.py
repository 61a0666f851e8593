# SPDX-License-Identifier: Apache-2.0
"""Variables reach a shell as they are, whatever stands in them."""

import json
import shutil
import subprocess
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsvault import shells
from vaultd.wire.errors import Usage

AWKWARD = {"A": 'it\'s $HOME `x` \\ "q" \n', "B": "", "C": "'''", "D": "-n"}
SHOW = 'printf "%s\\0" "$A" "$B" "$C" "$D" "${GONE-unset}"'


def written(name: str, variables: Mapping[str, str] = AWKWARD) -> str:
    return shells.write(name, variables, ["GONE"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sh", "unset OLD OLDER\nexport A='it'\\''s'"),
        ("fish", "set -e OLD\nset -e OLDER\nset -gx A 'it\\'s'"),
        ("powershell", "$Env:OLD = $null\n$Env:OLDER = $null\n$Env:A = 'it''s'"),
        ("json", '{\n  "A": "it\'s"\n}'),
    ],
)
def test_the_forms(name: str, text: str) -> None:
    assert text == shells.write(name, {"A": "it's"}, ["OLD", "OLDER"])


@pytest.mark.parametrize("shell", ["sh", "bash", "zsh", "dash", "fish"])
def test_a_real_shell_reads_them(shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    text = written("fish" if shell == "fish" else "sh")
    show = 'printf "%s\\0" "$A" "$B" "$C" "$D" (set -q GONE; or echo unset)' if shell == "fish" else SHOW
    done = subprocess.run(
        [program, "-c", f"{text}\n{show}"], env={"GONE": "there"}, capture_output=True, text=True, check=True
    )
    assert [*AWKWARD.values(), "unset"] == done.stdout.split("\0")[:-1]


def test_dotenv_is_bare_because_docker_reads_no_quotes() -> None:
    assert "A=x/y+z=\nB=eu-1" == shells.write("dotenv", {"A": "x/y+z=", "B": "eu-1"}, ["OLD"])


@given(st.text(min_size=1, max_size=20))
def test_dotenv_never_writes_what_two_readers_would_read_differently(value: str) -> None:
    try:
        text = shells.write("dotenv", {"A": value}, [])
    except Usage:
        return
    assert text == f"A={value}"
    assert not set(value) & set("'\"\\#$` \n\r\t")


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,9}", fullmatch=True), st.text(max_size=20)))
def test_json_round_trips(variables: dict[str, str]) -> None:
    assert variables == json.loads(shells.write("json", variables, []))


def test_a_format_that_there_is_not_is_refused() -> None:
    with pytest.raises(Usage) as caught:
        shells.check("cmd")
    assert "--format has a wrong value; choose from sh, fish, powershell, dotenv, json" == caught.value.line
