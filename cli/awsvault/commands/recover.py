# SPDX-License-Identifier: Apache-2.0
"""`awsvault recover`: back in by the recovery code. It is used up; a new one is handed over."""

from typing import Annotated

import typer

from awsvault import launch, output, passphrases, prompts, recovery
from awsvault.commands import home_of, new_app, unlock
from awsvault.passphrases import Source
from vaultd.wire import client
from vaultd.wire.errors import NoVault, SettingsChanged, Usage
from vaultd.wire.protocol import Frame

app = new_app()

CODE_FLAGS = "--code-fd or --code-file"


@app.command("recover", epilog="Example: awsvault recover")
def command(  # noqa: PLR0913 - one parameter for each flag
    ctx: typer.Context,
    *,
    code_fd: Annotated[
        int | None,
        typer.Option("--code-fd", metavar="N", min=0, help="Read the recovery code from descriptor N."),
    ] = None,
    code_file: Annotated[
        str | None, typer.Option("--code-file", metavar="FILE", help="Read the recovery code from a file.")
    ] = None,
    passphrase_fd: passphrases.Fd = None,
    passphrase_file: passphrases.File = None,
    allow_weak: passphrases.AllowWeak = False,
    recovery_file: recovery.File = None,
    accept_older_vault: unlock.AcceptOlder = False,
    accept_settings: unlock.AcceptSettings = False,
    yes: unlock.Yes = False,
) -> None:
    """Open the vault by its recovery code and set a new passphrase.

    --passphrase-fd and --passphrase-file give the new passphrase.
    """
    home = home_of(ctx)
    code_source, new_source = Source(code_fd, code_file, CODE_FLAGS), Source(passphrase_fd, passphrase_file)
    for source in (code_source, new_source):
        if not source.is_given:
            source.need_terminal()
    recovery.need_place(recovery_file, "--recovery-file FILE")
    if launch.ensure_daemon(home)["state"] == "no-vault":
        raise NoVault
    if accept_older_vault:
        unlock.confirm_older(yes=yes)
    fields: Frame = {
        "code": passphrases.existing(code_source, "Recovery code: "),
        "allow_weak": allow_weak,
        "accept_older_vault": accept_older_vault,
        "accept_settings": accept_settings,
    }
    with recovery.Keeper(recovery_file).ready() as keeper:
        code = _recover(home, fields, new_source)
        output.say(
            "The vault is unlocked and has a new passphrase. The old code and the old passphrase open it no more."
        )
        keeper.keep(code)


def _recover(home: str | None, fields: Frame, source: Source) -> str:
    """The new code. At a terminal a refused passphrase or a mistyped code is asked for again."""
    while True:
        fields["passphrase"] = passphrases.new(source)
        try:
            return _ask(home, fields)
        except Usage as error:
            if source.is_given or not prompts.available():
                raise
            output.say(error.line)
            if "recovery code" in error.message:
                fields["code"] = passphrases.existing(Source(None, None), "Recovery code: ")


def _ask(home: str | None, fields: Frame) -> str:
    try:
        reply = client.call("recover", home=home, on_progress=output.progress, **fields)
    except SettingsChanged as error:
        unlock.confirm_settings(error)
        reply = client.call(
            "recover", home=home, on_progress=output.progress, **{**fields, "accept_settings": True}
        )
    return str(reply["recovery_code"])
