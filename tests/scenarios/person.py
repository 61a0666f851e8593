# SPDX-License-Identifier: Apache-2.0
"""What the transcripts share: a person at a terminal of a daemon's user, and what differs from run to run cut out."""

import re
from collections.abc import Mapping

from tests import canary
from tests.daemons import AWSVAULT, Daemon
from tests.terminal import COLUMNS, Terminal

CODE = re.compile(r"(?:[0-9A-Z]{4}-){8}[0-9A-Z]{4}")


def at_terminal(
    daemon: Daemon,
    *words: str,
    stdin: bytes | None = None,
    extra: Mapping[str, str] | None = None,
    columns: int = COLUMNS,
) -> Terminal:
    """`awsvault WORDS` typed by this daemon's user."""
    environment = daemon.environment(
        {"AWSVAULT_HOME": str(daemon.home), "TERM": "xterm-256color"} | dict(extra or {})
    )
    return Terminal([str(AWSVAULT), *words], environment, stdin=stdin, columns=columns)


def new_passphrase(terminal: Terminal, passphrase: str = canary.PASSPHRASE) -> None:
    terminal.answer("New passphrase: ", passphrase)
    terminal.answer("The same passphrase again: ", passphrase)


def write_down_code(terminal: Terminal) -> str:
    """Answer both groups that are asked back; the code."""
    for _ in range(2):
        screen = terminal.expect(" of 9: ")
        number = int(re.findall(r"group (\d) of 9", screen)[-1])
        found = CODE.search(screen)
        assert found
        terminal.type(found[0].split("-")[number - 1])
    code = CODE.search(terminal.screen)
    assert code
    return code[0]


def transcript(terminal: Terminal, daemon: Daemon) -> str:
    """The screen, with what differs from run to run replaced by its name."""
    text = terminal.screen.replace(str(daemon.home), "HOME").replace(str(daemon.home.parent / "u"), "~")
    text = CODE.sub("CODE", text)
    text = re.sub(r"group \d of 9: .{4}", "group N of 9: XXXX", text)
    text = re.sub(r"costs \d+ MiB and [\d.]+ s", "costs M MiB and N s", text)
    text = re.sub(r"^measuring .*\n", "", text, flags=re.MULTILINE)  # only when nobody has set the cost
    assert not canary.found_in(text)
    return text
