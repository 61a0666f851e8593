# SPDX-License-Identifier: Apache-2.0
"""A role profile is taken over as it was meant, and out of its section goes only what was taken."""

import configparser
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultd.core import adopt
from vaultd.core.adopt import Found
from vaultd.core.awsfiles import AwsFile, Hook
from vaultd.wire.errors import Usage

PROGRAM = "/usr/bin/awsvault"
HOOK = Hook("admin", None)
LINE = f"credential_process = {PROGRAM} get admin"
ROLE = "arn:aws:iam::123456789012:role/admin"
PLAIN = Found(ROLE, "dev", None, None, None, None, {}, (), None, None)

WHOLE = f"""\
# mine
[default]
region = us-east-1

[profile admin]
# who may
role_arn = {ROLE}
output = json
source_profile = dev
; an id
external_id = x:1
mfa_serial=arn:aws:iam::123456789012:mfa/alice
duration_seconds : 3600
s3 =
    max_concurrent_requests = 20
role_session_name = alice
region = eu-central-1
session_tags = team = eu , cost=  7
transitive_session_tags = team, cost
source_identity = alice
credential_process = aws-vault export --format=json admin

[profile dev]
region = eu-west-1
"""
REWRITTEN = f"""\
# mine
[default]
region = us-east-1

[profile admin]
# who may
{LINE}
output = json
; an id
s3 =
    max_concurrent_requests = 20
region = eu-central-1

[profile dev]
region = eu-west-1
"""


def config(text: str) -> AwsFile:
    return AwsFile(text, "config")


def section(*lines: str, name: str = "admin") -> str:
    return "".join(f"{line}\n" for line in (f"[profile {name}]", *lines))


def rewritten(text: str, region: str | None = None) -> str:
    return adopt.with_hook_instead(config(text), "admin", HOOK, PROGRAM, region)


def test_everything_that_shapes_the_session_is_read() -> None:
    assert Found(
        role_arn=ROLE,
        source="dev",
        external_id="x:1",
        mfa_serial="arn:aws:iam::123456789012:mfa/alice",
        duration_s=3600,
        session_name="alice",
        tags={"team": "eu", "cost": "7"},
        transitive_tags=("team", "cost"),
        source_identity="alice",
        region="eu-central-1",
    ) == adopt.role_in(config(WHOLE), "admin")


def test_the_hook_stands_in_the_place_of_the_role_and_the_rest_stays() -> None:
    assert REWRITTEN == rewritten(WHOLE, "eu-central-1")


def test_twice_is_once() -> None:
    assert REWRITTEN == rewritten(REWRITTEN, "eu-central-1")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_line_ends_and_a_missing_last_one_stay(end: str) -> None:
    before = end.join(["[profile admin]", f"role_arn = {ROLE}", "source_profile = dev", "output = json"])
    after = end.join(["[profile admin]", LINE, "region = eu-1", "output = json"])
    assert after == rewritten(before, "eu-1")


def test_a_role_of_few_words() -> None:
    assert PLAIN == adopt.role_in(config(section(f"role_arn = {ROLE}", "source_profile = dev")), "admin")


# --- include_profile, as aws-vault has it


def test_what_a_section_does_not_say_the_included_ones_do() -> None:
    text = (
        section(f"role_arn = {ROLE}", "include_profile = common", "external_id = own")
        + section("external_id = theirs", "source_profile = dev", "include_profile = more", name="common")
        + section("region = eu-1", "source_profile = no", name="more")
    )
    found = adopt.role_in(config(text), "admin")
    assert ("own", "dev", "eu-1") == (found.external_id, found.source, found.region)
    after = rewritten(text, found.region)
    assert after.startswith(section(LINE, "region = eu-1"))
    assert after.endswith(text[text.index("[profile common]") :]), "others may include it, too"


def test_a_role_that_is_only_included() -> None:
    text = section("output = json", "include_profile = common") + section(
        f"role_arn = {ROLE}", "source_profile = dev", name="common"
    )
    assert PLAIN == adopt.role_in(config(text), "admin")
    assert rewritten(text).startswith(section("output = json", LINE))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (section(name="other"), "config has no such profile"),
        (section("region = eu-1"), "the profile admin of config names no role_arn"),
        (section(LINE), "the profile admin of config names no role_arn"),
        (section("role_arn ="), "the profile admin of config names no role_arn"),
        (section("include_profile = gone"), "include_profile names gone, which config does not have"),
        (
            section("include_profile = a") + section("include_profile = admin", name="a"),
            "the include_profile lines of config go round in a circle at profile admin",
        ),
        (
            section(f"role_arn = {ROLE}", "duration_seconds = 1h"),
            "duration_seconds is not a number of seconds",
        ),
        (
            section(f"role_arn = {ROLE}", "duration_seconds = -1"),
            "duration_seconds is not a number of seconds",
        ),
        (
            section(f"role_arn = {ROLE}", "duration_seconds = ²"),
            "duration_seconds is not a number of seconds",
        ),
        (
            section(f"role_arn = {ROLE}", "session_tags = a"),
            "session_tags is not written key=value,key=value",
        ),
        (
            section(f"role_arn = {ROLE}", "session_tags = a=1,a=2"),
            "session_tags is not written key=value,key=value",
        ),
        (section() + section(), "config line 2 has a second [profile admin]; mend that line, then try again"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, line: str) -> None:
    with pytest.raises(Usage) as caught:
        adopt.role_in(config(text), "admin")
    assert line == caught.value.line


# --- where it is assumed from


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("dev", "dev"),
        ("acme.prod", "acme-prod"),  # its hook says so
        ("elsewhere", "elsewhere"),  # its hook asks another home's vault
        ("process", "process"),
        ("gone", "gone"),
    ],
)
def test_a_source_is_whom_its_hook_asks(profile: str, expected: str) -> None:
    text = (
        section("region = x", name="dev")
        + section(f"credential_process = {PROGRAM} get acme-prod", name="acme.prod")
        + section(f"credential_process = {PROGRAM} --home /h get other", name="elsewhere")
        + section("credential_process = something else", name="process")
    )
    assert expected == adopt.vault_name(config(text), profile, None)


@pytest.mark.parametrize(
    ("profile", "name"),
    [("dev", "dev"), ("acme.prod/eu 1", "acme-prod-eu-1"), ("1st", "p1st"), ("é" * 70, "p" + "-" * 63)],
)
def test_a_name_that_the_vault_can_have(profile: str, name: str) -> None:
    from vaultd.core.fields import check_name

    assert name == check_name(adopt.fit_name(profile))


# --- any file

KEYS = [*adopt.TAKEN, "region", "output", "s3", "cli_pager", "credential_process"]
VALUES = st.sampled_from(["x", "a = b", "", "x # no comment", "x\n    deeper = 1"])
SETTINGS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8)
INDENTS = st.sampled_from(["", "  ", "\t"])
NOISE = st.sampled_from(["", "# a comment\n", "\n", "   \n; x\n"])


@st.composite
def files(draw: st.DrawFn) -> str:
    text = draw(NOISE)
    for name in draw(st.permutations(["admin", "dev", "other"])):
        text += f"[profile {name}]\n"
        indent = draw(INDENTS)
        for key, value in draw(SETTINGS).items():
            text += draw(NOISE) + f"{indent}{key} = {value}\n".replace("\n    ", f"\n{indent}    ")
    return text + draw(NOISE)


def meaning(text: str) -> dict[str, dict[str, str]]:
    """By Python's own reader, which botocore uses."""
    parser = configparser.RawConfigParser(default_section="")
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


@given(files())
def test_for_python_exactly_the_hook_is_new_and_what_was_taken_gone(text: str) -> None:
    before, after = meaning(text), meaning(rewritten(text, "eu-1"))
    admin = {key: value for key, value in before["profile admin"].items() if key not in adopt.TAKEN}
    admin["credential_process"] = LINE.partition(" = ")[2]
    admin.setdefault("region", "eu-1")
    assert {**before, "profile admin": admin} == after


@given(files())
def test_the_lines_that_stay_are_the_same_bytes_in_the_same_order(text: str) -> None:
    """Only the section's own lines go, and at most two come: no comment, empty line or neighbour is touched."""
    new = {LINE, "region = eu-1"}
    left = iter(text.splitlines())
    assert all(line in left for line in rewritten(text, "eu-1").splitlines() if line.strip() not in new)


@given(files())
def test_doing_it_again_changes_nothing(text: str) -> None:
    once = rewritten(text, "eu-1")
    assert once == rewritten(once, "eu-1")


def test_every_setting_is_taken_out_that_is_read() -> None:
    """What was read and left would be there twice, and a role_arn left behind would beat the hook."""
    assert len(fields(Found)) == len(set(adopt.TAKEN) - {"credential_source", "include_profile"}) + 1
