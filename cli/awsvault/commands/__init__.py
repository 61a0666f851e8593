# SPDX-License-Identifier: Apache-2.0
"""One module for each task of a user: its parser and what it does, in one place. app.py loads the one that runs."""

import typer

from vaultd.wire import paths


def new_app(help_text: str | None = None) -> typer.Typer:
    """What every module of commands fills: plain help, no tracebacks that could show a secret."""
    return typer.Typer(
        help=help_text,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        no_args_is_help=False,
    )


def home_of(ctx: typer.Context) -> str | None:
    """The home that `--home` or AWSVAULT_HOME chose, absolute; None for the usual places."""
    return paths.home_override(ctx.find_root().params.get("home"))
