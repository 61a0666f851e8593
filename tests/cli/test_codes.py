# SPDX-License-Identifier: Apache-2.0
"""A code comes from where the person set it up to come from; what goes wrong on the way is named, and nothing hangs."""

import io
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from awsvault import codes, pinentry
from awsvault.codes import Code
from tests.terminal import Terminal
from vaultd.wire.errors import Usage, VaultError


def program(folder: Path, text: str, name: str = "program") -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture(autouse=True)
def nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "PINENTRY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("awsvault.prompts.available", lambda: False)


# --- which way


def test_a_pipe_gives_the_code() -> None:
    assert Code("123456", typed=False) == codes.code_for(
        "dev", [], pinentry=False, stdin=io.StringIO(" 123456 \nmore")
    )


@pytest.mark.parametrize("stdin", [None, io.StringIO("")], ids=["closed", "empty"])
def test_without_any_way_the_argument_is_named(stdin: io.StringIO | None) -> None:
    with pytest.raises(Usage) as caught:
        codes.code_for("dev", [], pinentry=False, stdin=stdin)
    assert "no terminal to ask for the code on; run: awsvault mfa dev CODE" == caught.value.line


def test_with_a_display_and_no_terminal_a_window_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("PINENTRY", program(tmp_path, answering("123456")))
    assert Code("123456", typed=True) == codes.code_for("dev", [], pinentry=False, stdin=None)


# --- the profile's own command


def test_its_words_reach_it_as_they_are(tmp_path: Path) -> None:
    command = [program(tmp_path, '[ "$1" = "a b;\\$(x)" ] && echo 123456 && echo more'), "a b;$(x)"]
    assert Code("123456", typed=False) == codes.code_for(
        "dev", command, pinentry=False, stdin=io.StringIO("999999")
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("exit 3", "the profile's mfa_process failed (exit status 3)"),
        ("kill -9 $$", "the profile's mfa_process failed (exit status -9)"),
        ("exec sleep 20", "the profile's mfa_process gave no code in 0.2 s"),
        ("sleep 20 & exec sleep 20", "the profile's mfa_process gave no code in 0.2 s"),
    ],
    ids=["fails", "is killed", "hangs", "leaves a child with its stdout"],
)
def test_a_command_that_gives_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: str
) -> None:
    monkeypatch.setattr(codes, "COMMAND_TIMEOUT_S", 0.2)
    with pytest.raises(VaultError) as caught:
        codes.code_for("dev", [program(tmp_path, text)], pinentry=False, stdin=None)
    assert line == caught.value.line


def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(VaultError) as caught:
        codes.code_for("dev", [str(tmp_path / "gone")], pinentry=False, stdin=None)
    assert "the profile's mfa_process cannot be run (No such file or directory)" == caught.value.line


# --- pinentry


def answering(data: str, getpin: str = "", greeting: str = "OK hello") -> str:
    """A pinentry that writes down what it is told, knows no OPTION, and answers GETPIN."""
    return f"""echo "{greeting}"
while read -r line; do
    echo "$line" >> "$0.log"
    case $line in
        OPTION*) echo "ERR 83886254 Unknown option" ;;
        GETPIN) {getpin or f'echo "S some status"; echo "D {data}"; echo OK'} ;;
        *) echo OK ;;
    esac
done"""


def ask(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    monkeypatch.setenv("PINENTRY", program(folder, text, "my-pinentry"))
    return pinentry.ask("50 % of\na code", "Code:")


def test_the_question_is_written_as_assuan_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "12%34\n" == ask(tmp_path, monkeypatch, answering("12%2534%0A"))
    said = (tmp_path / "my-pinentry.log").read_text().splitlines()
    assert ["SETTIMEOUT 120", "SETDESC 50 %25 of%0Aa code", "SETPROMPT Code:", "GETPIN"] == [
        line for line in said if not line.startswith("OPTION")
    ]


@pytest.mark.parametrize("code", [83886179, 83886278], ids=["cancelled", "window closed"])
def test_a_person_who_says_no_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        ask(tmp_path, monkeypatch, answering("", f'echo "ERR {code} Operation cancelled"'))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (answering("", 'echo "ERR 83886142 Timeout"'), "nobody answered pinentry"),
        (answering("", 'echo "ERR 83918950 Inappropriate ioctl for device"'), "pinentry cannot ask here"),
        (answering("", 'echo "ERR "'), "pinentry cannot ask here"),
        (answering("", "exit"), "pinentry ended before it gave an answer"),
        ("exit", "pinentry ended before it gave an answer"),
        ("exec <&-; echo OK; exec sleep 0.1", "pinentry ended before it gave an answer"),
    ],
    ids=["nobody", "no terminal", "no number", "ends", "ends at once", "does not listen"],
)
def test_a_pinentry_that_cannot_ask_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: str
) -> None:
    with pytest.raises(VaultError) as caught:
        ask(tmp_path, monkeypatch, text)
    assert line == caught.value.line


def test_the_one_that_was_chosen_or_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Usage, match="there is no pinentry here"):
        pinentry.find()
    for name in ("pinentry-curses", "pinentry-mac"):
        program(tmp_path, "", name)
    assert str(tmp_path / "pinentry-mac") == pinentry.find(), "in the order of the list"
    monkeypatch.setenv("PINENTRY", "pinentry-gone")
    with pytest.raises(Usage, match="the program that PINENTRY names is not there"):
        pinentry.find()


@pytest.mark.skipif(not shutil.which("pinentry-curses"), reason="pinentry-curses is not installed")
def test_a_real_pinentry_draws_its_question_on_the_terminal() -> None:
    script = (
        "from awsvault import pinentry; code = pinentry.ask('MFA code for dev', 'Code:'); print(f'<{code}>')"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "PINENTRY": "pinentry-curses",
        "TERM": "xterm",
        "LANG": "C.UTF-8",
    }
    with Terminal([sys.executable, "-c", script], environment) as terminal:
        terminal.expect("MFA code for dev")
        terminal.press(b"123456\r")
        terminal.expect("<123456>")
        assert 0 == terminal.end()


def test_an_interrupt_ends_pinentry_too(tmp_path: Path) -> None:
    """It is left with a closed stdin, by which every pinentry ends."""
    silent = program(tmp_path, "echo OK; while read -r line; do echo $$ > $0.pid; done; echo over > $0.over")
    script = "from awsvault import pinentry; pinentry.ask('x', 'y')"
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={"PINENTRY": silent, "PATH": os.environ["PATH"]},
        stderr=subprocess.DEVNULL,
    )
    from tests.daemons import until

    until(Path(f"{silent}.pid").exists, "it has read a line")
    process.send_signal(signal.SIGINT)
    assert 0 != process.wait(10)
    until(Path(f"{silent}.over").exists, "its loop has ended")
