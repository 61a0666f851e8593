# SPDX-License-Identifier: Apache-2.0
"""`awsvault passwd`: a new passphrase, for those who know the old one."""

from typing import Annotated

import typer

from awsvault import launch, output, passphrases
from awsvault.commands import home_of, new_app, unlock
from awsvault.passphrases import Source
from vaultd.wire import client
from vaultd.wire.errors import NoVault, Usage

app = new_app()

NEW_FLAGS = "--new-passphrase-fd or --new-passphrase-file"


@app.command("passwd", epilog="Example: awsvault passwd")
def command(
    ctx: typer.Context,
    *,
    passphrase_fd: passphrases.Fd = None,
    passphrase_file: passphrases.File = None,
    new_fd: Annotated[
        int | None,
        typer.Option("--new-passphrase-fd", metavar="N", min=0, help="Read the new one from descriptor N."),
    ] = None,
    new_file: Annotated[
        str | None,
        typer.Option("--new-passphrase-file", metavar="FILE", help="Read the new one from a file."),
    ] = None,
    allow_weak: passphrases.AllowWeak = False,
) -> None:
    """Change the passphrase. Copies of the vault elsewhere still open with the old one."""
    home = home_of(ctx)
    old_source, new_source = Source(passphrase_fd, passphrase_file), Source(new_fd, new_file, NEW_FLAGS)
    for source in (old_source, new_source):
        if not source.is_given:
            source.need_terminal()
    status = launch.ensure_daemon(home)
    if status["state"] == "no-vault":
        raise NoVault
    old = passphrases.existing(old_source, "Old passphrase: ")
    if status["state"] == "locked":
        unlock.open_with(home, old, {})
    _change(home, old, new_source, allow_weak=allow_weak)
    output.say(
        "The passphrase is changed, and the vault unlocked. Copies of the vault elsewhere still open with the old one."
    )


def _change(home: str | None, old: str, source: Source, *, allow_weak: bool) -> None:
    while True:
        new = passphrases.new(source)
        try:
            client.call(
                "passwd", home=home, on_progress=output.progress, old=old, new=new, allow_weak=allow_weak
            )
            return
        except Usage as error:
            if source.is_given:
                raise
            output.say(error.line)
