# SPDX-License-Identifier: Apache-2.0
"""`awsvault init`: make the vault, hand over its recovery code, offer to start vaultd at every login."""

from typing import Annotated

import typer

from awsvault import launch, output, passphrases, prompts, recovery
from awsvault.commands import home_of, new_app
from awsvault.passphrases import Source
from vaultd.wire import client
from vaultd.wire.errors import Conflict, NoVault, Usage
from vaultd.wire.protocol import Frame

app = new_app()

RECOVERY_FLAGS = "--recovery-file FILE or --no-recovery"


@app.command("init", epilog="Example: awsvault init")
def command(
    ctx: typer.Context,
    *,
    passphrase_fd: passphrases.Fd = None,
    passphrase_file: passphrases.File = None,
    allow_weak: passphrases.AllowWeak = False,
    recovery_file: recovery.File = None,
    no_recovery: Annotated[
        bool, typer.Option("--no-recovery", help="Make no recovery code: without the passphrase all is lost.")
    ] = False,
) -> None:
    """Make the vault, sealed by a passphrase that you choose.

    It prints a recovery code once, for the day on which the passphrase is forgotten.
    """
    if no_recovery and recovery_file:
        raise Usage(f"use one of {RECOVERY_FLAGS}")
    source = Source(passphrase_fd, passphrase_file)
    create(
        home_of(ctx),
        source,
        allow_weak=allow_weak,
        recovery_file=recovery_file,
        with_recovery=not no_recovery,
    )
    output.say("Next: awsvault add PROFILE, or for keys that lie in ~/.aws: awsvault import")


def create(
    home: str | None,
    source: Source,
    *,
    allow_weak: bool = False,
    recovery_file: str | None = None,
    with_recovery: bool = True,
) -> None:
    """The whole ceremony. The vault is unlocked afterwards."""
    if not source.is_given:
        source.need_terminal()
    if with_recovery:
        recovery.need_place(recovery_file, RECOVERY_FLAGS)
    launch.make_home(home)
    status = launch.ensure_daemon(home)
    if status["state"] != "no-vault":
        raise Conflict("there is a vault already", hint="run: awsvault status")
    with recovery.Keeper(recovery_file if with_recovery else None).ready() as keeper:
        passphrase, reply = _ask_until_strong(
            home, source, allow_weak=allow_weak, with_recovery=with_recovery
        )
        cost = reply["kdf"]
        output.say(
            f"The vault is made, and unlocked. Each guess at its passphrase costs {cost['memory_mib']} MiB and {cost['seconds']} s."
        )
        if reply["recovery_code"]:
            keeper.keep(reply["recovery_code"])
    _offer_installation(home, passphrase)


def _ask_until_strong(
    home: str | None, source: Source, *, allow_weak: bool, with_recovery: bool
) -> tuple[str, Frame]:
    """The daemon judges a passphrase; at a terminal a refused one is asked for again."""
    while True:
        passphrase = passphrases.new(source)
        try:
            return passphrase, client.call(
                "init",
                home=home,
                on_progress=output.progress,
                passphrase=passphrase,
                allow_weak=allow_weak,
                recovery=with_recovery,
            )
        except Usage as error:
            if source.is_given:
                raise
            output.say(error.line)


def _offer_installation(home: str | None, passphrase: str) -> None:
    """At the end, at a terminal, where systemd could do it; the daemon that it starts is unlocked again."""
    from awsvault import units

    if home or not prompts.available() or units.are_installed() or not units.manager_runs():
        return
    if not prompts.confirm("Start vaultd at every login (systemd user units)?", default=True):
        return
    from awsvault.commands import daemon

    daemon.install_units()
    client.call("unlock", home=home, passphrase=passphrase)


def offer(home: str | None, error: NoVault) -> None:
    """First contact: make the vault in the flow of another command, or say what is missing."""
    if not prompts.available() or not prompts.confirm(
        f"{error.message[:1].upper()}{error.message[1:]}. Make one now?", default=True
    ):
        raise error
    create(home, Source(None, None))
