# SPDX-License-Identifier: Apache-2.0
"""Editing ~/.aws/config: only our lines change, every reader sees what was meant, twice is once."""

import itertools
import tempfile
from pathlib import Path
from typing import Any

import pytest
from botocore.configloader import build_profile_map, raw_config_parse
from hypothesis import assume, given
from hypothesis import strategies as st

from vaultd.core import awsfiles, fields
from vaultd.core.awsfiles import Hook
from vaultd.core.ini import IniFile
from vaultd.wire.errors import Usage

PROGRAM = "/opt/x/bin/awsvault"
DEV = Hook("dev", None)
LINE = "credential_process = /opt/x/bin/awsvault get dev\n"


def config(text: str) -> IniFile:
    return IniFile(text, "config")


def added(text: str, *, hook: Hook = DEV, region: str | None = None) -> str:
    return awsfiles.with_hook(config(text), hook, PROGRAM, region)


def removed(text: str, *, hook: Hook = DEV, region: str | None = None) -> str:
    return awsfiles.without_hook(config(text), hook, region)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"[profile dev]\n{LINE}"),
        ("[default]\nregion = x\n", f"[default]\nregion = x\n\n[profile dev]\n{LINE}"),
        ("[default]\nregion = x", f"[default]\nregion = x\n\n[profile dev]\n{LINE}".rstrip("\n")),
        ("# mine\r\n", f"# mine\r\n\r\n[profile dev]\n{LINE}".replace("\n", "\r\n").replace("\r\r", "\r")),
        ("[profile dev]\nregion = x\n\n[b]\n", f"[profile dev]\nregion = x\n{LINE}\n[b]\n"),
        ("[profile dev]\n# why\nregion = x # y\n", f"[profile dev]\n# why\nregion = x # y\n{LINE}"),
        (
            "[profile dev]\n  region = x\n  s3 =\n    max = 1\n",
            f"[profile dev]\n  region = x\n  s3 =\n    max = 1\n  {LINE}",
        ),
        ("[profile dev]\ns3 =\n  max = 1\n\n\n", f"[profile dev]\ns3 =\n  max = 1\n{LINE}\n\n"),
        ('[profile  "dev"]\n', f'[profile  "dev"]\n{LINE}'),
        ("[profile dev]\n\n  [profile b]\n", f"[profile dev]\n  {LINE}\n  [profile b]\n"),
        (
            "[profile dev]\ncredential_process=/old/awsvault get dev\nregion = x\n",
            f"[profile dev]\n{LINE}region = x\n",
        ),
        (
            "[profile dev]\ncredential_process =\n  # where\n  /old/awsvault get dev\nregion = x\n",
            f"[profile dev]\n{LINE}  # where\nregion = x\n",
        ),
    ],
    ids="empty new-section no-line-end crlf in-section comments nested blank-lines quoted deeper-header other-path split".split(),
)
def test_puts_the_hook_in(before: str, after: str) -> None:
    assert after == added(before)
    assert after == added(after)


def test_default_has_no_profile_word() -> None:
    text = added("", hook=Hook("default", None))
    assert "[default]\ncredential_process = /opt/x/bin/awsvault get default\n" == text


def test_another_home_stands_in_the_line() -> None:
    text = added("", hook=Hook("dev", "/srv/v"))
    assert "[profile dev]\ncredential_process = /opt/x/bin/awsvault --home /srv/v get dev\n" == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"[profile dev]\n{LINE}region = eu-west-1\n"),
        ("[profile dev]\nregion = mine\n", f"[profile dev]\nregion = mine\n{LINE}"),
        (
            f"[profile dev]\n{LINE}output = json\n",
            f"[profile dev]\n{LINE}region = eu-west-1\noutput = json\n",
        ),
    ],
    ids=["new", "the-users-stays", "later"],
)
def test_region_is_written_where_there_was_none(before: str, after: str) -> None:
    assert after == added(before, region="eu-west-1")
    assert after == added(after, region="eu-west-1")


@pytest.mark.parametrize("region", ["", "eu west", "eu\n[profile x]", "eu#1", "EU-WEST-1"])
def test_a_region_cannot_carry_anything_else(region: str) -> None:
    with pytest.raises(Usage):
        added("", region=region)
    with pytest.raises(Usage):
        awsfiles.with_region(config(""), DEV, None, region)


@pytest.mark.parametrize(
    ("name", "home", "program"),
    [
        ("dev", None, "awsvault"),
        ("dev", None, "bin/awsvault"),
        ("dev", None, "/with space/awsvault"),
        ("dev", None, "/quo'te/awsvault"),
        ("dev", None, "/bin/other"),
        ("dev", "/with space", PROGRAM),
        ("dev", "/x$HOME", PROGRAM),
        ("-dev", None, PROGRAM),
        ("d ev", None, PROGRAM),
        ("dev\n[profile x]", None, PROGRAM),
        ("dev]", None, PROGRAM),
        ("a.b", None, PROGRAM),
        ("x" * 65, None, PROGRAM),
        ("", None, PROGRAM),
    ],
)
def test_a_line_that_some_sdk_misreads_is_never_written(name: str, home: str | None, program: str) -> None:
    with pytest.raises(Usage, match="a hook line takes only"):
        awsfiles.with_hook(config(""), Hook(name, home), program, None)


@given(st.text(max_size=70) | st.from_regex(r"\A[A-Za-z0-9_-]{0,66}\Z"))
def test_a_line_takes_the_names_that_the_vault_takes(name: str) -> None:
    try:
        taken = bool(Hook(name, None).line_for(PROGRAM))
    except Usage:
        taken = False
    assert bool(fields.NAME.match(name)) == taken


@pytest.mark.parametrize(
    ("value", "hook"),
    [
        ("/a/awsvault get dev", DEV),
        ("awsvault  get   dev", DEV),
        ("/a/awsvault --home /b get dev", Hook("dev", "/b")),
        ("/a/awsvault get", None),
        ("/a/awsvault get dev --serve key", None),
        ("/a/notawsvault get dev", None),
        ("/a/aws-vault get dev", None),
        ('"/a b/awsvault" get dev', None),
        ("", None),
    ],
)
def test_knows_its_own_hooks(value: str, hook: Hook | None) -> None:
    assert hook == awsfiles.hook_in(value)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"[profile dev]\n{LINE}", ""),
        (f"[default]\nregion = x\n\n[profile dev]\n{LINE}", "[default]\nregion = x\n"),
        (f"[default]\nregion = x\n\n[profile dev]\n{LINE}".rstrip("\n"), "[default]\nregion = x"),
        (f"[profile dev]\n{LINE}region = eu-west-1\n\n[b]\n", "\n[b]\n"),
        (f"[profile dev]\n{LINE}region = other\n", "[profile dev]\nregion = other\n"),
        (f"[profile dev]\nregion = eu-west-1\n{LINE}", "[profile dev]\nregion = eu-west-1\n"),
        (f"[profile dev]\n{LINE}# mine\n", "[profile dev]\n# mine\n"),
        (f"[profile dev]\n{LINE}\n# of b\n[b]\n", "\n# of b\n[b]\n"),
        (f"[profile acme.dev]\noutput = json\n{LINE}", "[profile acme.dev]\noutput = json\n"),
        (LINE.join(["[profile dev]\n", "\n[profile two]\n", "x = y\n"]), "\n[profile two]\nx = y\n"),
        ("[profile dev]\ncredential_process = /x/awsvault get prod\n",) * 2,
        ("[profile dev]\ncredential_process = /x/awsvault --home /b get dev\n",) * 2,
        ("[profile dev]\ncredential_process = other\n",) * 2,
        (f"[a]\nx = 1\n\n[profile dev]\n    {LINE}  [b]\n", "[a]\nx = 1\n\n[profile dev]\n  [b]\n"),
        ("",) * 2,
    ],
    ids="ours after-others no-line-end middle other-region region-above comment next-comment own-name two-sections other-key "
    "other-home foreign deeper-header empty".split(),
)
def test_takes_only_its_own_out(before: str, after: str) -> None:
    assert after == removed(before, region="eu-west-1")
    assert after == removed(after, region="eu-west-1")


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        (f"[profile dev]\n{LINE}region = a-1\n", "a-1", "b-1", f"[profile dev]\n{LINE}region = b-1\n"),
        (f"[profile dev]\n{LINE}region = a-1\n", "a-1", None, f"[profile dev]\n{LINE}"),
        (f"[profile dev]\n{LINE}region = mine\n", "a-1", "b-1", f"[profile dev]\n{LINE}region = mine\n"),
        (f"[profile dev]\nregion = a-1\n{LINE}", "a-1", "b-1", f"[profile dev]\nregion = a-1\n{LINE}"),
        (f"[profile dev]\n{LINE}", None, "b-1", f"[profile dev]\n{LINE}region = b-1\n"),
        ("[profile dev]\n", None, "b-1", "[profile dev]\n"),
    ],
    ids=["changed", "cleared", "the-users", "above-is-the-users", "first", "no-hook"],
)
def test_region_follows_only_where_it_was_written_with_the_hook(
    before: str, old: str | None, new: str | None, after: str
) -> None:
    assert after == awsfiles.with_region(config(before), DEV, old, new)


@pytest.mark.parametrize(
    ("in_config", "in_credentials", "expected"),
    [
        ("[profile dev]\nregion = x\ns3 =\n  role_arn = nested\n", "[other]\naws_access_key_id = A\n", []),
        (f"[profile dev]\n{LINE}", "", []),
        ("[profile dev]\nregion = x\nrole_arn = r\n", "", [("config", 3, "role_arn")]),
        ("[profile dev]\nAWS_Secret_Access_Key = s\n", "", [("config", 2, "aws_secret_access_key")]),
        (
            "[profile dev]\nsso_session = s\nsso_account_id = 1\n",
            "",
            [("config", 2, "sso_session"), ("config", 3, "sso_account_id")],
        ),
        ("[profile dev]\ncredential_process = other\n", "", [("config", 2, "credential_process")]),
        (
            "[profile dev]\ncredential_process = /x/awsvault get prod\n",
            "",
            [("config", 2, "credential_process")],
        ),
        (
            "[profile dev]\ncredential_process = /x/awsvault --home /y get dev\n",
            "",
            [("config", 2, "credential_process")],
        ),
        ("", "[dev]\naws_access_key_id = A\n", [("credentials", 2, "aws_access_key_id")]),
        ("", "[default]\naws_access_key_id = A\n", []),
        ("", "[profile dev]\naws_access_key_id = A\n", []),
    ]
    + [("", f"[dev]\n{key} = x\n", [("credentials", 2, key)]) for key in sorted(awsfiles.RIVALS)],
)
def test_names_what_would_beat_the_hook(
    in_config: str, in_credentials: str, expected: list[tuple[str, int, str]]
) -> None:
    found = awsfiles.rivals(config(in_config), IniFile(in_credentials, "credentials"), DEV)
    assert expected == [(rival.where, rival.line, rival.key) for rival in found]


@pytest.mark.parametrize(
    "text",
    [
        '[profile dev]\n[profile "dev"]\n',
        "[profile dev]\nx = 1\n[profile  dev]\n",
        "[default]\n[profile default]\n",
    ],
)
def test_two_sections_for_one_profile_are_refused(text: str) -> None:
    name = "default" if "default" in text else "dev"
    with pytest.raises(
        Usage, match=rf"config line {text.count(chr(10))} has a second section for the profile {name}"
    ):
        added(text, hook=Hook(name, None))


def test_lists_the_hooks_for_completion() -> None:
    text = f"[default]\nregion = x\n[profile dev]\n{LINE}[profile b]\ncredential_process = /y/awsvault --home /z get c\n"
    assert [DEV, Hook("c", "/z")] == awsfiles.hooks(config(text))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("aws_secret_access_key = SECRET\n", "aws_secret_access_key = (cut out by awsvault)\n"),
        ("AWS_SESSION_TOKEN=SECRET\r\n", "AWS_SESSION_TOKEN= (cut out by awsvault)\r\n"),
        ("#aws_secret_access_key: SECRET", "#aws_secret_access_key: (cut out by awsvault)"),
        (
            "  x_password =\n\n    SECRET\n    SECRET\n  y = 1\n",
            "  x_password = (cut out by awsvault)\n\n  y = 1\n",
        ),
        (
            "aws_secret_access_key =\n\tSECRET\nregion = x\n",
            "aws_secret_access_key = (cut out by awsvault)\nregion = x\n",
        ),
        ("aws_access_key_id = AKIA\nweb_identity_token_file = /f\n",) * 2,
    ],
    ids=["plain", "crlf", "comment", "continued-indented", "continued", "no-secret"],
)
def test_a_backup_holds_no_secret(before: str, after: str) -> None:
    assert after == awsfiles.without_secrets(before)


INDENTS = ["", "", "", "  ", "\t", "    "]
BODIES = [
    "[default]",
    "[profile dev]",
    "[profile b]",
    '[profile "q r"]',
    "[sso-session x]",
    "region = eu-west-1",
    "output: json",
    "s3 =",
    "max = 10",
    "credential_process = /old/awsvault get dev",
    "credential_process = /opt/x/bin/awsvault get b",
    "# comment \udce9",
    "; comment",
    "",
    "  ",
]
ENDS = ["\n", "\n", "\r\n", "\r"]
LINES = ["".join(parts) for parts in itertools.product(INDENTS, BODIES, ENDS)]  # one draw for each
TEXTS = st.builds(
    lambda lines, cut: "".join(lines).rstrip("\r\n") if cut else "".join(lines),
    st.lists(st.sampled_from(LINES), max_size=14),
    st.booleans(),
)
REGIONS = st.sampled_from([None, "eu-west-1", "us-east-2"])


def readable(text: str) -> str:
    """`text`, when the file can be read and holds the profile `dev` at most once."""
    try:
        awsfiles.profile(config(text), "dev")
    except Usage:
        assume(False)
    return text


def settings(text: str) -> list[tuple[str, dict[str, str]]]:
    return [(s.header, {option.key: option.value for option in s.options}) for s in config(text).sections]


@given(TEXTS, REGIONS)
def test_adding_changes_nothing_else(text: str, region: str | None) -> None:
    before = settings(readable(text))
    after = settings(added(text, region=region))
    section = awsfiles.profile(config(text), "dev")
    if section is None:
        before.append(("profile dev", {}))
    values = next(
        values for header, values in before if header == (section.header if section else "profile dev")
    )
    values[awsfiles.PROCESS] = f"{PROGRAM} get dev"
    if region:
        values.setdefault("region", region)
    assert before == after


@given(TEXTS, REGIONS)
def test_every_line_that_was_there_is_still_there(text: str, region: str | None) -> None:
    assume(not awsfiles.rivals(config(readable(text)), config(""), DEV))
    lines = [line.rstrip("\r\n") for line in config(added(text, region=region)).lines]
    for line in (line.rstrip("\r\n") for line in config(text).lines):
        if "awsvault get" not in line:  # the profile's own old hook is replaced
            assert line in lines
            del lines[: lines.index(line) + 1]


@given(TEXTS, REGIONS)
def test_adding_twice_is_adding_once(text: str, region: str | None) -> None:
    once = added(readable(text), region=region)
    assert once == added(once, region=region)


@given(TEXTS, REGIONS)
def test_adding_then_removing_leaves_the_text_as_it_was(text: str, region: str | None) -> None:
    section = awsfiles.profile(config(readable(text)), "dev")
    assume(section is None or (section.options and not section.option(awsfiles.PROCESS)))
    assume("get dev" not in text)
    assert text == removed(added(text, region=region), region=region)


@given(TEXTS, REGIONS)
def test_removing_changes_nothing_else(text: str, region: str | None) -> None:
    before = settings(readable(text))
    after = dict(settings(removed(text, region=region)))
    for header, values in before:
        if awsfiles.hook_in(values.get(awsfiles.PROCESS, "")) == DEV:
            del values[awsfiles.PROCESS]
            assert values.items() - {("region", region)} <= after.get(header, {}).items()
            assert after.get(header, {}).items() <= values.items()
        else:
            assert values == after[header]


@given(TEXTS, REGIONS)
def test_botocore_reads_what_was_meant(text: str, region: str | None) -> None:
    readable(text)
    assume("\udce9" not in text and "  max" not in text and "\tmax" not in text)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "config")
        path.write_bytes(added(text, region=region).encode())
        profiles: dict[str, Any] = build_profile_map(raw_config_parse(str(path), parse_subsections=False))[
            "profiles"
        ]
    assert f"{PROGRAM} get dev" == profiles["dev"][awsfiles.PROCESS]
    assert region is None or "region" in profiles["dev"]
