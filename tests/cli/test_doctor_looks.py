# SPDX-License-Identifier: Apache-2.0
"""How `doctor` looks: at files of any bytes, at what other tools left, and at what comes of running a hook."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsvault.doctor import gather, leftovers, proving
from awsvault.doctor.machine import Cache, Resolved
from awsvault.doctor.survey import survey
from tests import canary
from tests.cli.machines import CONFIG, CREDENTIALS, HOME, OURS, PROFILE, findings, in_, machine
from vaultd.core.ini import IniFile
from vaultd.wire.errors import Usage

LINES = st.sampled_from(
    [
        "[profile a]",
        "[profile b]",
        "[a]",
        "[DEFAULT]",
        "  [profile c]",
        "region = x",
        "Region=y",
        "output : json",
        "  deeper = 1",
        "\tdeeper",
        "# a comment",
        "; another",
        "",
        "   ",
        "nonsense",
        "= nothing",
        "credential_process = /x/awsvault get a",
        "s3 =",
    ]
)


@given(st.lists(LINES, max_size=12), st.sampled_from(["\n", "\r\n", "\r"]))
def test_a_file_is_read_as_the_editor_reads_it(lines: list[str], end: str) -> None:
    """What one refuses has defects for the other; what it takes means the same to both."""
    content = end.join(lines)
    found = survey(content)
    try:
        strict = IniFile(content, "config")
    except Usage:
        assert found.defects
        return
    assert [] == found.defects
    merged: dict[str, dict[str, tuple[str, int]]] = {}
    for section in strict.sections:
        settings = merged.setdefault(section.header, {})
        settings |= {option.key: (option.value, option.first + 1) for option in section.options}
    assert merged == {
        part.header: {key: (it.value, it.line) for key, it in part.settings.items()} for part in found.parts
    }


def test_every_defect_is_told_by_its_line() -> None:
    found = survey("first\n[profile a]\nregion = x\nregion = y\nnothing\n[profile a]\nregion = z\n")
    assert [("no setting", 1), ("second setting", 4), ("no setting", 5), ("second section", 6)] == [
        (defect.fault, defect.line) for defect in found.defects[:4]
    ]


def test_a_picture_in_its_place_is_not_listed_line_by_line() -> None:
    ill = machine(credentials="x\n" * 5000)
    assert 21 == len(findings(ill)) - 2, "and twice that the clients cannot be tried"


def test_seven_thousand_profiles_are_judged_within_a_second() -> None:
    lines = "".join(
        f"[profile p{number}.x]\ncredential_process = {OURS} get p{number}\nregion = eu-central-1\n"
        + "".join(f"# {'c' * 60}\nsetting_{n} = {'v' * 30}\n" for n in range(6))
        for number in range(7000)
    )
    assert len(lines) > 4.7 * 2**20
    names = {f"p{number}": PROFILE for number in range(7000)}
    begun = time.process_time()  # this process's own: others have work, too
    big = machine(lines, vault=names, proofs={})
    assert 7000 == len(findings(big)), "each has a dot in its name"
    assert time.process_time() - begun < 1


BAD_BYTES = {
    "nothing": (b"", None),
    "latin-1": (b"[default]\r\n# caf\xe9\r\n", 2),
    "in the last line": (b"[a]\n[b]\n\xff", 3),
    "UTF-8": ("[default]\n# caf\u00e9\n".encode(), None),
    "NUL": (b"\0\0\0[x]\n", None),
}


@pytest.mark.parametrize(("data", "line"), BAD_BYTES.values(), ids=BAD_BYTES)
def test_bytes_that_are_no_utf8_are_told_by_line(data: bytes, line: int | None, tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(data)
    assert line == gather.aws_text(str(tmp_path / "config")).not_utf8


def test_what_cannot_be_read_is_told_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    assert "" == gather.aws_text(str(tmp_path / "nothing")).trouble
    assert "is not a file" == gather.aws_text(str(tmp_path)).trouble
    assert "is not a file" == gather.aws_text(str(tmp_path / "pipe")).trouble
    assert "cannot be read" in gather.aws_text(str(tmp_path / "loop")).trouble


def test_no_secret_of_the_files_is_kept(tmp_path: Path) -> None:
    secret = canary.secret("x")
    content = f"[x]\naws_secret_access_key = {secret}\n  {secret}\naws_session_token = {secret}\n"
    (tmp_path / "credentials").write_text(content)
    found = gather.aws_text(str(tmp_path / "credentials"))
    assert not canary.found_in(repr(found))
    (part,) = found.survey.parts
    assert {"aws_secret_access_key", "aws_session_token"} == part.settings.keys()


# --- what others left

SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY00"
LEFT: dict[str, tuple[str, str, Any]] = {
    "the aws command's role": (
        ".aws/cli/cache/1.json",
        '{"Credentials": {"SecretAccessKey": "x", "SessionToken": "x", "Expiration": "2026-11-24T13:00:00+00:00"}}',
        ("session", "2026-11-24T13:00:00Z"),
    ),
    "a sign-in with its renewal": (
        ".aws/sso/cache/1.json",
        '{"accessToken": "x", "expiresAt": "2026-11-24T13:00:00Z", "refreshToken": "x"}',
        ("sign-in", ""),
    ),
    "a sign-in that ends": (
        ".aws/sso/cache/1.json",
        '{"accessToken": "x", "expiresAt": "2026-11-24T13:00:00UTC"}',
        ("session", "2026-11-24T13:00:00Z"),
    ),
    "a client registration": (".aws/sso/cache/1.json", '{"clientId": "x", "clientSecret": "x"}', None),
    "aws login": (
        ".aws/login/cache/1.json",
        '{"accessToken": {"accessKeyId": "ASIA", "secretAccessKey": "x", "sessionToken": "x"}, "refreshToken": "x"}',
        ("sign-in", ""),
    ),
    "awsume's": (
        ".awsume/cache/x",
        '{"AccessKeyId": "ASIA", "SecretAccessKey": "x", "SessionToken": "x", "Expiration": "2026-11-24 13:00:00"}',
        ("session", "2026-11-24T13:00:00Z"),
    ),
    "a key": (".aws/cli/cache/1.json", '{"SecretAccessKey": "x", "AccessKeyId": "AKIA"}', ("key", "")),
    "boto's": (".boto", f"[Credentials]\naws_secret_access_key = {SECRET}\n", ("key", "")),
    "a copy": (".aws/credentials.bak", f"[dev]\naws_secret_access_key = {SECRET}\n", ("copy", "")),
    "an editor's": (".aws/credentials~", f"[dev]\r\naws_secret_access_key={SECRET}\r\n", ("copy", "")),
    "a copy without": (".aws/config.awsvault-backup", "[dev]\n# aws_secret_access_key = \n", None),
    "AWS's own": (".aws/credentials", f"aws_secret_access_key = {SECRET}\n", None),  # another check's
    "no JSON": (".aws/cli/cache/1.json", "{", None),
    "deep JSON": (".aws/cli/cache/1.json", "[" * 100_000, None),
    "a list": (".aws/cli/cache/1.json", "[]", None),
}


@pytest.mark.parametrize(("name", "content", "expected"), LEFT.values(), ids=LEFT)
def test_what_other_tools_keep_is_found(name: str, content: str, expected: Any, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    assert ([Cache(str(path), *expected)] if expected else []) == list(leftovers.caches(str(tmp_path)))


HISTORY = {
    "export": (f"export AWS_SECRET_ACCESS_KEY={SECRET}", 1),
    "configure": (f"aws configure set aws_secret_access_key '{SECRET}' --profile x", 1),
    "both on a line": (f"./deploy AKIAEXAMPLE000000000 {SECRET}", 1),
    "two lines": (f"export AWS_SECRET_ACCESS_KEY={SECRET}\nAWS_SECRET_KEY={SECRET} aws s3 ls", 2),
    "an id alone": ("grep AKIAEXAMPLE000000000 audit.jsonl", 0),
    "a commit": ("git show 0123456789abcdef0123456789abcdef01234567", 0),
    "nothing": ("aws s3 ls", 0),
}


@pytest.mark.parametrize(("content", "count"), HISTORY.values(), ids=HISTORY)
def test_a_history_is_told_by_the_number_of_its_lines(content: str, count: int, tmp_path: Path) -> None:
    (tmp_path / ".bash_history").write_text(f"ls\n{content}\n")
    expected = {str(tmp_path / ".bash_history"): count} if count else {}
    assert expected == leftovers.histories(str(tmp_path), None)


def test_the_history_that_the_shell_was_told_to_keep_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text(f"export AWS_SECRET_ACCESS_KEY={SECRET}\n")
    assert {str(tmp_path / "mine"): 1} == leftovers.histories(str(tmp_path), str(tmp_path / "mine"))


# --- trying the line


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_line_is_run_as_sdks_run_it(tmp_path: Path) -> None:
    line = script(tmp_path / "hook", 'echo "{\\"AccessKeyId\\":\\"$1\\"}"; read x || echo >&2 "$MARK"')
    run = proving.run_line(f"{line} ASIAX", {"MARK": "marked"})
    assert (0, "ASIAX", "marked") == (run.status, run.key_id, run.stderr), "stdin is at its end"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("access_key     ****************ABCD   custom-process    ", Resolved("custom-process", "ABCD")),
        ("access_key : ****************ABCD     : custom-process   : ", Resolved("custom-process", "ABCD")),
        ("access_key                <not set>             None    None", Resolved("", "")),
        ("something else", None),
    ],
)
def test_the_aws_command_is_understood(said: str, expected: Resolved | None, tmp_path: Path) -> None:
    script(
        tmp_path / "aws", f"echo 'x'\necho '{said}'\necho 'secret_key ****************wxyz custom-process'"
    )
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    assert expected == proving.by_aws("dev", environment)


def test_an_aws_command_that_fails_is_quoted(tmp_path: Path) -> None:
    script(tmp_path / "aws", "echo 'no such thing' >&2; exit 255")
    assert Resolved(error="no such thing") == proving.by_aws("dev", {"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert proving.by_aws("dev", {"PATH": "/nonexistent"}) is None


def test_the_environment_of_the_clients_is_clean() -> None:
    kept = proving.clean_environment(
        in_(AWS_PROFILE="x", AWSVAULT_HOME="/x", PYTHONPATH="/x", LD_PRELOAD="/x")
    )
    assert {
        "HOME": HOME,
        "PATH": "/usr/bin",
        "AWS_CONFIG_FILE": CONFIG,
        "AWS_SHARED_CREDENTIALS_FILE": CREDENTIALS,
        "AWS_EC2_METADATA_DISABLED": "true",
    } == kept
