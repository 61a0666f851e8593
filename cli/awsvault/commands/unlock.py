# SPDX-License-Identifier: Apache-2.0
"""`awsvault unlock`: start vaultd when nothing listens, and give it the passphrase."""

from typing import Annotated

import typer

from awsvault import launch, output, passphrases, prompts
from awsvault.commands import home_of, new_app
from awsvault.passphrases import Source
from vaultd.wire import client, durations
from vaultd.wire.errors import (
    Locked,
    NoVault,
    SettingsChanged,
    Usage,
    WrongPassphrase,
    printable,
)
from vaultd.wire.protocol import Frame

app = new_app()

TRIES = 3

AcceptOlder = Annotated[
    bool,
    typer.Option(
        "--accept-older-vault", help="Open a vault older than the one last seen here, or a fork of it."
    ),
]
AcceptSettings = Annotated[
    bool, typer.Option("--accept-settings", help="Confirm a changed [aws], [lock] or [audit] in config.toml.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask to confirm --accept-older-vault.")]


@app.command("unlock", epilog="Example: awsvault unlock --for 30m")
def command(
    ctx: typer.Context,
    *,
    only_for: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="Lock again after this time, used or not: 30m, 8h."),
    ] = None,
    passphrase_fd: passphrases.Fd = None,
    passphrase_file: passphrases.File = None,
    accept_older_vault: AcceptOlder = False,
    accept_settings: AcceptSettings = False,
    yes: Yes = False,
) -> None:
    """Unlock the vault; vaultd is started when it is not running."""
    home = home_of(ctx)
    fields: Frame = {"for_s": _seconds(only_for), "accept_settings": accept_settings}
    state = _state(home, start=True)
    if state == "made":
        return
    if state == "unlocked":
        output.say(
            "The vault is unlocked already." + (" --for counts from the next unlock." if only_for else "")
        )
        return
    if accept_older_vault:
        confirm_older(yes=yes)
        fields["accept_older_vault"] = True
    unlock(home, Source(passphrase_fd, passphrase_file), fields)


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return durations.parse(text)
    except Usage as error:
        raise Usage(f"--for {error.message}") from None


def confirm_older(*, yes: bool) -> None:
    if yes:
        return
    if not prompts.available():
        raise Usage("no terminal to confirm --accept-older-vault on", hint="use --yes")
    prompts.tell(
        "Keys added or rotated since that vault was saved will be missing, and keys removed since will be back.\n"
    )
    prompts.must_type("older", "Type the word older to open it:")


def unlock(home: str | None, source: Source, fields: Frame | None = None) -> None:
    """Ask until it opens. At a terminal a wrong passphrase may be tried again, and changed settings are shown."""
    wanted = fields or {}
    for attempt in range(1, TRIES + 1):
        passphrase = passphrases.existing(source)
        try:
            open_with(home, passphrase, wanted)
            return
        except WrongPassphrase as error:
            if source.is_given or attempt == TRIES:
                raise
            output.say(f"{error.message}; try again")


def open_with(home: str | None, passphrase: str, fields: Frame) -> None:
    try:
        reply = client.call("unlock", home=home, on_progress=output.progress, passphrase=passphrase, **fields)
    except SettingsChanged as error:
        confirm_settings(error)
        reply = client.call(
            "unlock",
            home=home,
            on_progress=output.progress,
            passphrase=passphrase,
            **{**fields, "accept_settings": True},
        )
    for note in reply["notes"]:
        output.say(str(note))
    output.say(f"The vault is unlocked{_until(home)}.")


def confirm_settings(error: SettingsChanged) -> None:
    """Where secrets go and how long they stay is decided by a file that a thief could write: a person looks at it."""
    if not prompts.available():
        raise error
    changes = error.details.get("changes")
    lines = [printable(str(change)) for change in changes] if isinstance(changes, list) else []
    prompts.tell(
        "".join(
            f"{line}\n" for line in [f"{error.message}. It says now:", *(f"    {line}" for line in lines)]
        )
    )
    if not prompts.confirm("Go on with these settings?", default=False):
        raise error


def _until(home: str | None) -> str:
    left = client.call("status", home=home)["locks_in_s"]
    return "" if left is None else f"; it locks in {durations.show(left)}"


def make_ready(home: str | None) -> None:
    """For commands that need an open vault: at a terminal, make, start or unlock it in the same flow."""
    if _state(home, start=prompts.available()) != "locked":
        return
    if not prompts.available():
        raise Locked
    unlock(home, Source(None, None))


def _state(home: str | None, *, start: bool) -> str:
    """`locked`, `unlocked`, or `made`: without a vault the user is offered one, which is open then."""
    try:
        status = launch.ensure_daemon(home) if start else client.call("status", home=home)
        missing = NoVault()
    except NoVault as error:
        status = {"state": "no-vault"}
        missing = error
    if status["state"] != "no-vault":
        return str(status["state"])
    from awsvault.commands import init

    init.offer(home, missing)
    return "made"
