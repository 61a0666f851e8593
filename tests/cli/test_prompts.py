# SPDX-License-Identifier: Apache-2.0
"""Questions reach the person at the terminal and nobody else, and secrets are not shown."""

import subprocess
import sys

import pytest

from tests.canary import MARK
from tests.daemons import until
from tests.terminal import Terminal


def asking(expression: str, **options: object) -> Terminal:
    """A program that answers what `expression` asked, on the terminal's own stderr."""
    code = f"import sys\nfrom awsvault import prompts\nfound = {expression}\nsys.stderr.write(f'<{{found!r}}>\\n')"
    return Terminal([sys.executable, "-c", code], {"LANG": "C.UTF-8"}, **options)  # type: ignore[arg-type]


def test_a_question_is_answered_by_a_line() -> None:
    with asking("prompts.ask('Who? ')") as terminal:
        terminal.answer("Who? ", "me")
        assert 0 == terminal.end()
        assert "Who? me\n<'me'>\n" == terminal.screen


def test_a_secret_is_not_shown() -> None:
    with asking("len(prompts.ask_secret('Secret: '))") as terminal:
        terminal.answer("Secret: ", MARK)
        assert 0 == terminal.end()
        assert f"Secret: \n<{len(MARK)}>\n" == terminal.screen


def test_echo_comes_back() -> None:
    with asking("prompts.ask_secret('Secret: ') and prompts.ask('Name: ')") as terminal:
        terminal.expect("Secret: ")
        assert not terminal.echoes
        terminal.type("x")
        terminal.expect("Name: ")
        assert terminal.echoes


@pytest.mark.parametrize(("key", "error"), [(b"\x03", "KeyboardInterrupt"), (b"\x04", "EOFError")])
def test_echo_comes_back_after_giving_up(key: bytes, error: str) -> None:
    with asking("prompts.ask_secret('Secret: ')") as terminal:
        terminal.expect("Secret: ")
        terminal.press(key)
        terminal.expect(error)
        assert terminal.echoes


def test_a_suspended_question_stays_silent() -> None:
    """After fg the shell has put its own settings back; a secret typed then would be shown."""
    with asking("prompts.ask_secret('Secret: ')") as terminal:
        terminal.expect("Secret: ")
        terminal.suspend_and_resume()
        until(lambda: not terminal.echoes, "the terminal to be silent again")
        terminal.type("x")
        assert 0 == terminal.end()
        assert "Secret: \n<'x'>\n" == terminal.screen


def test_a_pipe_on_stdin_is_not_the_person() -> None:
    with asking("prompts.ask('Who? ') + sys.stdin.read()", stdin=b" and a pipe") as terminal:
        terminal.answer("Who? ", "me")
        assert 0 == terminal.end()
        assert "<'me and a pipe'>" in terminal.screen


@pytest.mark.parametrize(
    ("typed", "default", "expected"),
    [
        (["y"], False, True),
        (["YES"], False, True),
        (["n"], True, False),
        ([""], True, True),
        ([""], False, False),
        (["x", "maybe", "no"], True, False),
    ],
)
def test_yes_and_no(typed: list[str], default: bool, expected: bool) -> None:
    with asking(f"prompts.confirm('Sure?', default={default})") as terminal:
        for line in typed:
            terminal.answer("Sure? [Y/n] " if default else "Sure? [y/N] ", line)
        assert 0 == terminal.end()
        assert f"<{expected}>" in terminal.screen


def test_input_that_is_no_text_is_refused_without_showing_it() -> None:
    with asking("prompts.ask_secret('Secret: ')") as terminal:
        terminal.expect("Secret: ")
        terminal.press(b"\xff\xfe\n")
        assert 1 == terminal.end()
        assert "what was typed is not UTF-8" in terminal.screen


def test_a_question_is_plain_ascii() -> None:
    with asking("prompts.ask('caf\\u00e9? ')") as terminal:
        terminal.answer("caf?? ", "x")
        assert 0 == terminal.end()


@pytest.mark.parametrize(
    ("stdin", "stderr", "expected"),
    [(True, True, True), (True, False, True), (False, True, True), (False, False, False)],
)
def test_a_person_is_there_when_one_of_our_ends_is_a_terminal(
    stdin: bool, stderr: bool, expected: bool
) -> None:
    """/dev/tty alone is no proof: a job under a login has one, and would wait for an answer for ever."""
    code = "import os, sys\nfrom awsvault import prompts\nfound = prompts.available()\nos.write(1, f'<{found}>\\n'.encode())"
    redirects = ("" if stdin else " </dev/null") + ("" if stderr else " 2>/dev/null")
    words = ["sh", "-c", f'exec "$0" -c "$1"{redirects}', sys.executable, code]
    with Terminal(words, {"LANG": "C.UTF-8"}) as terminal:
        terminal.expect(f"<{expected}>")
        assert 0 == terminal.end()


def test_without_a_terminal_nobody_is_there() -> None:
    code = "from awsvault import prompts; print(prompts.available())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        start_new_session=True,
        check=True,
    )
    assert b"False\n" == done.stdout
