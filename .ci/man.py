# SPDX-License-Identifier: Apache-2.0
"""Writes cli/man/awsvault.1 from what the command itself says: its help, its options, and the texts of `awsvault help`.

Run by `make man`; tests/test_man.py sees to it that the page is not older than the command.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "cli/man/awsvault.1"


def page() -> str:
    """The whole page, in the macros of man(7)."""
    import typer

    from awsvault.app import COMMANDS, app
    from awsvault.commands.help import TOPICS

    group: Any = typer.main.get_command(app)
    context = group.make_context("awsvault", [], resilient_parsing=True)
    lines = [
        '.TH AWSVAULT 1 "" awsvault "awsvault manual"',
        ".SH NAME",
        r"awsvault \- an agent for AWS access keys",
        ".SH SYNOPSIS",
        ".B awsvault",
        "[OPTIONS] COMMAND ...",
        ".SH DESCRIPTION",
        "Keeps AWS access keys in one encrypted file and gives every AWS SDK and tool what it needs through",
        r"\fBcredential_process = awsvault get PROFILE\fR",
        r"in \fI~/.aws/config\fR.",
        *_options(group.params),
        ".SH COMMANDS",
    ]
    for name in COMMANDS:
        lines += _command(name, group.get_command(context, name), context)
    for topic, text in TOPICS.items():
        lines += [f".SH {'EXIT STATUS' if topic == 'exit' else _text(topic.upper())}", *_verbatim(text)]
    lines += [".SH FILES", *_files(), ".SH SEE ALSO", r"aws(1), ssh\-agent(1)", ""]
    return "\n".join(lines)


def _command(name: str, command: Any, parent: Any) -> Iterator[str]:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    usage = command.collect_usage_pieces(context)
    yield f".SS {_text(name)}"
    yield rf"\fBawsvault {_text(name)}\fR {_text(' '.join(usage))}"
    for paragraph in (command.help or "").split("\n\n"):
        yield ".PP"
        yield _text(" ".join(paragraph.split()))
    yield from _options(command.params)
    if hasattr(command, "commands"):
        for inner, nested in sorted(command.commands.items()):
            yield from _command(f"{name} {inner}", nested, parent)
    if command.epilog:
        yield ".PP"
        yield _text(command.epilog)


def _options(parameters: list[Any]) -> Iterator[str]:
    for parameter in parameters:
        if parameter.param_type_name != "option" or getattr(parameter, "hidden", False):
            continue
        names = ", ".join([*parameter.opts, *parameter.secondary_opts])
        value = "" if parameter.is_flag else f" {parameter.metavar or 'TEXT'}"
        yield ".TP"
        yield rf"\fB{_text(names)}\fR{_text(value)}"
        yield _text(parameter.help or "")


def _verbatim(text: str) -> Iterator[str]:
    yield ".nf"
    yield from map(_text, text.rstrip("\n").split("\n"))
    yield ".fi"


def _files() -> Iterator[str]:
    for path, what in (
        ("~/.aws/config", "where AWS's tools find the line that asks awsvault"),
        ("~/.config/awsvault/config.toml", "settings"),
        ("~/.local/share/awsvault/vault", "the vault; its earlier saves lie in backups"),
        ("~/.local/state/awsvault/audit.jsonl", "who was given what"),
    ):
        yield ".TP"
        yield rf"\fI{_text(path)}\fR"
        yield what


def _text(text: str) -> str:
    """What roff would take for its own is escaped."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return re.sub(r"^([.'])", r"\\&\1", escaped)


def main() -> int:
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
