# SPDX-License-Identifier: Apache-2.0
"""The answer is on stdout and the rest on stderr; colour only where somebody sees it."""

import io
import json
from types import SimpleNamespace

import pytest

from awsvault import output
from awsvault.output import Cell


class Screen(io.StringIO):
    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]  # StringIO has None
        return self._encoding

    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """stdout as a terminal that shows colours."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    return show_on(Screen(), monkeypatch)


def show_on(screen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """In the module itself: pytest puts its own stdout into sys for each phase of a test."""
    monkeypatch.setattr(output, "sys", SimpleNamespace(stdout=screen, stderr=None))
    return screen


ROWS = [[Cell("dev"), Cell("ok", "green")], [Cell("longer-name"), Cell("")]]


def test_answers_and_sayings_part_ways(capsys: pytest.CaptureFixture[str]) -> None:
    output.answer("the answer")
    output.say("what happened")
    assert ("the answer\n", "what happened\n") == capsys.readouterr()


def test_a_saying_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("a\x1b[2Jb\nc\u202e")
    assert "a?[2Jb?c?\n" == capsys.readouterr().err


def test_json_is_ascii_and_complete(capsys: pytest.CaptureFixture[str]) -> None:
    output.answer_json([{"profile": "caf\u00e9", "arn": None}])
    shown = capsys.readouterr().out
    assert shown.isascii()
    assert [{"profile": "caf\u00e9", "arn": None}] == json.loads(shown)


def test_a_pipe_gets_plain_columns(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("NAME", "STATUS"), ROWS)
    assert "NAME         STATUS\ndev          ok\nlonger-name  -\n" == capsys.readouterr().out


def test_a_terminal_gets_a_coloured_table(screen: io.StringIO) -> None:
    output.table(("NAME", "STATUS"), ROWS)
    assert "longer-name" in screen.getvalue()
    assert "\x1b[32mok" in screen.getvalue()


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colour_can_be_declined(
    screen: io.StringIO, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    output.table(("NAME", "STATUS"), ROWS)
    assert "longer-name" in screen.getvalue()
    assert "\x1b[3" not in screen.getvalue()


def test_an_empty_no_color_declines_nothing(screen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    assert output.may_colour(screen)


def test_a_narrow_terminal_shows_every_column_and_the_whole_name(
    screen: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    output.table(("NAME", "ACCOUNT"), [[Cell("x" * 40), Cell("123456789012")]])
    assert "123456789012" in screen.getvalue()
    assert 40 == screen.getvalue().count("x")


def test_each_stream_decides_for_itself(screen: io.StringIO) -> None:
    assert output.may_colour(screen)
    assert not output.may_colour(io.StringIO())


@pytest.mark.parametrize(
    ("age", "limit", "filled"),
    [(0, 90, 0), (11, 90, 0), (12, 90, 1), (45, 90, 4), (89, 90, 7), (90, 90, 8), (400, 90, 8), (0, 0, 8)],
)
def test_the_bar_shows_how_much_time_is_gone(screen: io.StringIO, age: int, limit: int, filled: int) -> None:
    assert (
        f"{chr(0x2588) * filled}{chr(0x2591) * (8 - filled)} {age}/{limit}"
        == output.age_bar(age, limit, "ok").text
    )


@pytest.mark.parametrize(
    "shown", [io.StringIO(), Screen("ascii"), Screen("no-such-encoding")], ids=["pipe", "ascii", "odd"]
)
def test_the_bar_is_ascii_where_blocks_cannot_be_shown(
    monkeypatch: pytest.MonkeyPatch, shown: io.StringIO
) -> None:
    show_on(shown, monkeypatch)
    assert "####.... 45/90" == output.age_bar(45, 90, "ok").text


def test_a_key_is_known_by_its_end() -> None:
    assert "...WXYZ" == output.short_key("AKIAIOSFODNN7EXAWXYZ")


def test_closed_streams_are_nobodys_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "sys", SimpleNamespace(stdout=None, stderr=None))
    output.answer("x")
    output.say("x")
    output.progress("x")
