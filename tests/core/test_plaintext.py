# SPDX-License-Identifier: Apache-2.0
"""Keys in plain text are found as AWS's tools would use them, and go out of the files without a trace of another change."""

import configparser
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.configloader import build_profile_map, raw_config_parse
from hypothesis import given
from hypothesis import strategies as st

from awsvault.importing import files, keeping
from awsvault.importing.candidates import Candidate, hooked
from awsvault.importing.keeping import Kept
from awsvault.importing.sources import AwsFiles, Source
from tests import canary
from tests.corpus.imports import CASES, PROGRAM, Case, expanded
from vaultd.core import adopt, hunks, plaintext, scrub, slugs
from vaultd.core.awsfiles import AwsFile
from vaultd.core.plaintext import Found
from vaultd.wire.errors import Usage


def read(config: str, credentials: str) -> tuple[AwsFile, AwsFile]:
    return AwsFile(config, "config"), AwsFile(credentials, "credentials")


def imported(config: str, credentials: str) -> tuple[str, str, list[Found]]:
    """Both files after an import of all that can move, AWS agreeing to everything; and what was found."""
    conf, cred = read(config, credentials)
    found = plaintext.found_in(conf, cred)
    names = slugs.names(found, hooked(conf, None), {})
    moving = [
        Candidate(Source(it, "aws"), name) for it, name in zip(found, names, strict=True) if not it.obstacle
    ]
    roles = [
        *keeping.own_roles(conf, moving, None),
        *keeping.roles_from(AwsFiles(conf, cred), moving, None, {}),
    ]
    kept = Kept(None, keys=moving, roles=roles)
    for it in keeping.without_halves(kept):
        found[found.index(it.found)] = replace(it.found, obstacle="its role stays")
    moves = files.moves_of(kept)
    return scrub.config_text(conf, moves, PROGRAM), scrub.credentials_text(cred, moves), found


def test_the_corpus_is_large_and_names_each_case_once() -> None:
    assert len(CASES) >= 60
    assert len(CASES) == len({case.name for case in CASES})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_import_makes_of_the_files_what_was_meant(case: Case) -> None:
    config, credentials, found = imported(case.text(case.config), case.text(case.credentials))
    assert case.text(case.credentials_after) == credentials
    assert case.text(case.config_after) == config
    stays = {it.profile: it.obstacle for it in found if it.obstacle}
    assert case.stays.keys() == stays.keys()
    assert all(part in stays[profile] for profile, part in case.stays.items())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_second_import_finds_nothing_to_do(case: Case) -> None:
    once = imported(case.text(case.config), case.text(case.credentials))[:2]
    assert once == imported(*once)[:2]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_was_done_can_be_taken_back(case: Case) -> None:
    config, credentials = case.text(case.config), case.text(case.credentials)
    after = imported(config, credentials)
    assert config == hunks.taken_back(after[0], hunks.between(config, after[0]))
    assert credentials == hunks.taken_back(after[1], hunks.between(credentials, after[1]))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_to_botocore_the_profiles_that_moved_ask_us_and_nobody_else(case: Case) -> None:
    config, credentials, found = imported(case.text(case.config), case.text(case.credentials))
    if "\udcff" in config or not [it for it in found if not it.obstacle]:
        return  # which botocore does not read in any encoding, or without an import either
    profiles = as_botocore(config, credentials)
    for it in found:
        if not it.obstacle:
            assert f"{PROGRAM} get " in profiles[it.profile]["credential_process"]
            assert not {"aws_access_key_id", "role_arn"} & profiles[it.profile].keys()


def as_botocore(config: str, credentials: str) -> dict[str, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        paths = {"config": config, "credentials": credentials}
        for name, text in paths.items():
            Path(folder, name).write_bytes(text.encode("utf-8", "surrogateescape"))
        found: dict[str, dict[str, Any]] = build_profile_map(raw_config_parse(str(Path(folder, "config"))))[
            "profiles"
        ]
        for name, section in raw_config_parse(str(Path(folder, "credentials"))).items():
            found.setdefault(name, {}).update(section)
        return found


# --- facts


def only(config: str, credentials: str) -> Found:
    (found,) = plaintext.found_in(*read(expanded(config), expanded(credentials)))
    return found


def test_a_key_is_told_with_its_place_its_region_and_its_device() -> None:
    found = only(
        "[profile dev]\nmfa_serial = arn:aws:iam::1:mfa/me\nregion = a-1\n", "[x]\n[dev]\nregion = b-1\n<a>\n"
    )
    assert ("credentials:4", canary.access_key_id("a")) == (found.line, found.access_key_id)
    assert ("b-1", "arn:aws:iam::1:mfa/me") == (found.region, found.mfa_serial)
    assert canary.secret("a") == found.secret.reveal()


def test_a_secret_is_in_no_repr() -> None:
    assert not canary.found_in(repr(only("", "[dev]\n<a>\n")))


def test_of_two_keys_the_one_of_credentials_counts_and_the_other_is_shadowed() -> None:
    first, second = plaintext.found_in(*read(expanded("[profile dev]\n<b>\n"), expanded("[dev]\n<a>\n")))
    assert (canary.access_key_id("a"), False) == (first.access_key_id, first.shadowed)
    assert (canary.access_key_id("b"), True) == (second.access_key_id, second.shadowed)


def test_a_secret_in_a_comment_is_pointed_at() -> None:
    file = AwsFile(
        expanded("[dev]\n# aws_secret_access_key = <a secret>\n#aws_access_key_id = x\n"), "credentials"
    )
    assert [2] == plaintext.comments_with_secrets(file.lines)


def test_a_key_that_is_another_by_now_stays() -> None:
    """Somebody ran `aws configure` between the look and the edit: that key is not in the vault."""
    _, before = read("", expanded("[dev]\n<a>\n"))
    moved = [Candidate(Source(it, "aws"), "dev") for it in plaintext.found_in(read("", "")[0], before)]
    moves = files.moves_of(Kept(None, keys=moved))
    for now in ("[dev]\n<b>\n", "[dev]\naws_access_key_id = <a id>\naws_secret_access_key = <b secret>\n"):
        assert expanded(now) == scrub.credentials_text(AwsFile(expanded(now), "credentials"), moves)


@pytest.mark.parametrize(
    ("text", "line"),
    [("[dev]\n[dev]\n", "line 2 has a second [dev]"), ("x = 1\n", "line 1 is neither"), ("[dev]\nx = 1\nx = 2\n", "line 3 has a second x")],
)  # fmt: skip
def test_a_file_that_aws_refuses_is_refused_by_line(text: str, line: str) -> None:
    with pytest.raises(Usage, match=line.replace("[", r"\[")):
        read("", text)


def test_five_megabytes_of_seven_thousand_profiles_take_a_second_at_most() -> None:
    filler = "".join(f"setting_{number} = some value of some length, and more\n" for number in range(16))
    config = "".join(f"[profile p{number}]\n{filler}region = eu-west-1\n\n" for number in range(7_000))
    assert len(config) > 5 * 1024 * 1024
    credentials = expanded("[p17]\n<a>\n[p6999]\n<b>\n[new]\n<c>\n")
    spent, after = [], ""
    for _ in range(3):
        began = time.process_time()
        after, _, _ = imported(config, credentials)
        spent.append(time.process_time() - began)
        if spent[-1] < 1.0:
            break
    assert 3 == after.count(PROGRAM)
    assert min(spent) < 1.0


# --- any file

KEYS = [
    "<a>",
    "<a>",
    "<b>",
    "aws_secret_access_key=<a secret>\n# c\naws_access_key_id=<a id>",
    "aws_access_key_id = <b id>",
]
OTHERS = [
    "region = eu-1",
    "s3 =\n    max = 1\n    role_arn = no",
    "output=json",
    "mfa_serial = arn:aws:iam::123456789012:mfa/me",
    "# aws_secret_access_key = old",
    "; c \udce9",
    "",
    "   ",
]
RARELY = [
    "credential_process = /old/awsvault get dev",
    "credential_process = /bin/other",
    "aws_session_token = t",
    "sso_session = s",
    "role_arn = arn:aws:iam::123456789012:role/r\nsource_profile = dev",
    "role_arn = arn:aws:iam::123456789012:role/r\nsource_profile = a b\nduration_seconds = 3600",
]
ENDS = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r"])
INDENTS = st.sampled_from(["", "", "", " ", "\t"])


@st.composite
def texts(draw: st.DrawFn, headers: list[str]) -> str:
    """A file that AWS's tools can read."""
    written = []
    for header in draw(st.lists(st.sampled_from(headers), unique=True, max_size=4)):
        pool = (
            st.sampled_from(KEYS)
            | st.sampled_from(OTHERS)
            | st.sampled_from(OTHERS)
            | st.sampled_from(RARELY)
        )
        settings = "\n".join(draw(st.lists(pool, unique_by=_first_key, max_size=5)))
        indent = draw(INDENTS)
        body = "".join(
            f"{indent if line else ''}{line}\n" for line in expanded(settings).split("\n") if settings
        )
        written.append(f"{header}\n{body}")
    text = draw(st.sampled_from(["", "# top\n", "\n"])) + "".join(written)
    return (text.rstrip("\n") if draw(st.booleans()) else text).replace("\n", draw(ENDS))


def _first_key(setting: str) -> str:
    """No setting twice in one section."""
    key = expanded(setting).lstrip("# ;").partition("\n")[0].partition("=")[0].strip()
    return (
        "key"
        if key in ("aws_access_key_id", "aws_secret_access_key") and setting[0] != "#"
        else setting[:1] + key
    )


CONFIGS = texts(["[default]", "[profile dev]", "[profile 'a b']", "[sso-session x]", "[profile x.y]"])
CREDENTIALS = texts(["[default]", "[dev]", "[a b]", "[x.y]", "[other]"])


def pairs() -> st.SearchStrategy[tuple[str, str]]:
    return st.tuples(CONFIGS, CREDENTIALS).filter(lambda pair: _is_readable(*pair))


def _is_readable(config: str, credentials: str) -> bool:
    try:
        read(config, credentials)
    except Usage:
        return False
    return True


def meaning(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(default_section="")
    parser.read_string(text.replace("\r\n", "\n").replace("\r", "\n"))
    return {name: dict(parser[name]) for name in parser.sections()}


@given(pairs())
def test_the_lines_that_stay_are_the_same_bytes_in_the_same_order(pair: tuple[str, str]) -> None:
    for before, after in zip(pair, imported(*pair)[:2], strict=True):
        left = iter(before.splitlines())
        new = [line for line in after.splitlines() if not _is_new(line, before)]
        assert all(line in left for line in new)


def _is_new(line: str, before: str) -> bool:
    header = line.startswith("[") and f"{line}\n" not in before.replace("\r", "\n") + "\n"
    return PROGRAM in line or header or not line.strip()


@given(pairs())
def test_for_python_only_keys_and_roles_that_moved_are_gone(pair: tuple[str, str]) -> None:
    for before, after in zip(map(meaning, pair), map(meaning, imported(*pair)[:2]), strict=True):
        for header, settings in before.items():
            may_go = {"aws_access_key_id", "aws_secret_access_key", "credential_process"}
            may_go |= set(adopt.TAKEN if "role_arn" in settings else ())
            now = after.get(header, {})
            assert {k: v for k, v in settings.items() if k not in may_go} == {
                k: v for k, v in now.items() if k not in may_go
            }
        assert not [
            header for header in after.keys() - before.keys() if not header.startswith(("profile", "default"))
        ]


@given(pairs())
def test_to_botocore_every_profile_that_moved_asks_us(pair: tuple[str, str]) -> None:
    config, credentials, found = imported(*pair)
    stays = {it.profile for it in found if it.obstacle}
    conf, cred = read(config, credentials)
    known = plaintext.profiles(conf, cred)
    for it in found:
        if it.profile not in stays:
            settings = known[it.profile].settings()
            assert f"{PROGRAM} get " in settings["credential_process"]
            assert "aws_secret_access_key" not in {key for key, value in settings.items() if value}


@given(pairs())
def test_doing_it_again_changes_nothing(pair: tuple[str, str]) -> None:
    once = imported(*pair)[:2]
    assert once == imported(*once)[:2]


@given(pairs())
def test_whatever_was_done_can_be_taken_back(pair: tuple[str, str]) -> None:
    for before, after in zip(pair, imported(*pair)[:2], strict=True):
        assert before == hunks.taken_back(after, hunks.between(before, after))
