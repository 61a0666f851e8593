# SPDX-License-Identifier: Apache-2.0
"""The command line as a whole: global options, which module a command lives in, and what typer complains of."""

import os
import re
import sys
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer._click import Command, Context
from typer._click import exceptions as click
from typer.core import TyperGroup

from awsvault import failures, output, reminding
from vaultd.wire import paths
from vaultd.wire.errors import Usage

COMMANDS = tuple(
    "init unlock lock status add add-role list show edit remove import get exec env console mfa passwd recover rotate revoke panic due snooze doctor daemon help".split()
)


class Commands(TyperGroup):
    """Loads the module of the one command that runs: all of them would make each start slower."""

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        command = typer.main.get_command(import_module(f"awsvault.commands.{cmd_name.replace('-', '_')}").app)
        command.name = cmd_name
        return command

    def invoke(self, ctx: Context) -> Any:
        """The command; after one of a person's that went well, a line about what is due."""
        result = super().invoke(ctx)
        if ctx.invoked_subcommand in reminding.AFTER:
            reminding.tell(paths.home_override(ctx.params.get("home")))
        return result

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            raise Usage("there is no such command", hint=_nearest(args[0]))
        return super().resolve_command(ctx, args)


def _nearest(typed: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(typed, COMMANDS, 1)
    return f"did you mean: awsvault {near[0]}" if near else "run: awsvault --help"


app = typer.Typer(
    cls=Commands,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="First: awsvault init, then awsvault add dev. Then every AWS tool with --profile dev asks awsvault.",
)


@app.callback()
def options(
    ctx: typer.Context,
    *,
    home: Annotated[  # noqa: ARG001 - commands read it: commands.home_of
        str | None,
        typer.Option("--home", metavar="DIR", help="The directory of another vault (or set AWSVAULT_HOME)."),
    ] = None,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colour (or set NO_COLOR).")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """An agent for AWS access keys, as ssh-agent is for SSH keys."""
    if no_color:
        os.environ["NO_COLOR"] = "1"
    if version:
        from importlib.metadata import version as installed

        output.answer(f"awsvault {installed('awsvaultd')}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        output.answer(ctx.get_help())


def main() -> NoReturn:
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """The exit status of one command line."""
    if "_AWSVAULT_COMPLETE" in os.environ:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # a completion that writes spoils the line being typed
    try:
        status = typer.main.get_command(app)(args=args, prog_name="awsvault", standalone_mode=False)
        if sys.stdout:
            sys.stdout.flush()
    except click.UsageError as error:
        return failures.end(_usage(error))
    except typer.Abort:
        return failures.INTERRUPTED
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the outermost frame
        return failures.end(error)
    return status if isinstance(status, int) else 0


def _usage(error: click.UsageError) -> Usage:
    """typer's complaint without what was typed: that may be a secret in the wrong place."""
    where = error.ctx.command_path if error.ctx else "awsvault"
    if where == "awsvault exec" and isinstance(error, click.NoSuchOption):
        return Usage(_fact(error), hint="if it is the command's: awsvault exec PROFILE -- COMMAND")
    return Usage(_fact(error), hint=f"run: {where} --help")


def _fact(error: click.UsageError) -> str:
    if isinstance(error, click.NoSuchOption):
        return f"there is no option {_option(error.option_name)}"
    if isinstance(error, click.BadOptionUsage):  # without its value, or with one that it does not take
        return f"{_option(error.option_name)} is not used like that"
    if isinstance(error, click.BadParameter) and error.param:
        name = (
            max(error.param.opts, key=len)
            if error.param.param_type_name == "option"
            else str(error.param.name).upper()
        )
        return f"{name} {'is missing' if isinstance(error, click.MissingParameter) else 'has a wrong value'}"
    known = {
        "unexpected extra": "too many arguments",
        "Missing": "a command is missing",
        "No such": "there is no such command",
    }
    return next((fact for part, fact in known.items() if part in error.message), "that is no command line")


def _option(typed: str) -> str:
    return typed if re.fullmatch(r"--?[a-z-]{1,24}", typed) else "like that"
