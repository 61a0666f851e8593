# SPDX-License-Identifier: Apache-2.0
"""The ini reader agrees with configparser, which is what boto3 and the AWS CLI read these files with."""

import configparser
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultd.core.ini import IniFile
from vaultd.wire.errors import Usage

INDENTS = st.sampled_from(["", "", "", " ", "  ", "\t", "    "])
BODIES = st.sampled_from(
    [
        "[default]",
        "[DEFAULT]",
        "[profile dev]",
        "[profile a] # why",
        "[sso-session x]",
        "[]",
        "region = eu-west-1",
        "Region: x",
        "s3 =",
        "max = 10",
        "output=json",
        "a = b = c",
        "= nothing",
        "no delimiter",
        "# comment",
        ";comment",
        "value ; not a comment",
        "",
        "   ",
        "caf\u00e9 = \udce9",
        "\u00a0region = nbsp",
        "x\u0085 = \u0085y",
    ]
)
LINES = st.builds("".join, st.tuples(INDENTS, BODIES, st.sampled_from(["\n", "\n", "\r\n", "\r"])))
TEXTS = st.builds(
    lambda lines, cut: "".join(lines).rstrip("\r\n") if cut else "".join(lines),
    st.lists(LINES),
    st.booleans(),
)

Settings = dict[str, dict[str, list[str]]]


def by_configparser(text: str) -> Settings:
    parser = configparser.RawConfigParser()
    parser.read_file(io.StringIO(text, newline=None))
    settings = {name: dict(parser.items(name)) for name in ["DEFAULT", *parser.sections()]}
    return {
        name: {key: [line for line in value.split("\n") if line] for key, value in options.items()}
        for name, options in settings.items()
    }


def by_us(text: str) -> Settings:
    settings: Settings = {"DEFAULT": {}}
    for section in IniFile(text, "f").sections:
        found = settings.setdefault(section.header, {})
        found.update(
            {option.key: [line for line in option.value.split("\n") if line] for option in section.options}
        )
    return {name: settings["DEFAULT"] | options for name, options in settings.items()}


@given(TEXTS)
def test_reads_and_refuses_what_configparser_does(text: str) -> None:
    try:
        expected = by_configparser(text)
    except configparser.Error:
        with pytest.raises(Usage):
            IniFile(text, "f")
        return
    assert expected == by_us(text)


@given(TEXTS)
def test_keeps_every_byte(text: str) -> None:
    try:
        file = IniFile(text, "f")
    except Usage:
        return
    assert text == "".join(file.lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a]\nx = 1\n\n[a]\n", "f line 4 has a second [a]"),
        ("[a]\nx = 1\nX: 2\n", "f line 3 has a second x in [a]"),
        ("# c\nx = 1\n", "f line 2 is neither a [section] nor a setting"),
        ("[a]\r\nx\r\n", "f line 2 is neither a [section] nor a setting"),
        ("\ufeff[a]\n", "f line 1 is neither a [section] nor a setting"),
        ("[\x1b[2J\u00e9]\n[\x1b[2J\u00e9]\n", "f line 2 has a second [?[2J?]"),
    ],
    ids=["section", "option", "no-section", "no-delimiter", "bom", "escapes"],
)
def test_a_file_that_boto_refuses_is_refused_by_line(text: str, message: str) -> None:
    with pytest.raises(Usage) as error:
        IniFile(text, "f")
    assert message == error.value.message
