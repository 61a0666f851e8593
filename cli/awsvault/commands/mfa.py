# SPDX-License-Identifier: Apache-2.0
"""`awsvault mfa PROFILE`: give the code of an MFA device ahead of use; every profile of that key is served then."""

import sys
from typing import Annotated

import typer

from awsvault import chains, codes, completion, output
from awsvault.codes import Code
from awsvault.commands import home_of, new_app
from vaultd.wire import client
from vaultd.wire.errors import MfaRefused, Usage
from vaultd.wire.protocol import Frame

app = new_app()

TRIES = 3


@app.command("mfa", epilog="Example: awsvault mfa prod 123456")
def command(
    ctx: typer.Context,
    profile: completion.Profile,
    code: Annotated[
        str | None,
        typer.Argument(
            show_default=False, help="Left out: the stored seed's, the profile's command's, or asked for."
        ),
    ] = None,
    *,
    pinentry: Annotated[bool, typer.Option("--pinentry", help="Ask in a window of pinentry.")] = False,
) -> None:
    """Start an MFA session. It is kept sealed in the vault, and survives a lock.

    One code serves every profile of that key, roles included.
    """
    home = home_of(ctx)
    key = chains.key_behind(home, profile)
    if not key["mfa_serial"]:
        name = key["profile"]
        raise Usage(f"{name} has no MFA device", hint=f"run: awsvault edit {name} --mfa-serial ARN")
    reply = _start(home, profile, key, code, pinentry=pinentry)
    for note in reply["notes"]:
        output.say(str(note))
    output.say(f"{reply['profile']} has an MFA session until {reply['expires_at']}.")


def _start(home: str | None, profile: str, key: Frame, code: str | None, *, pinentry: bool) -> Frame:
    """Ask AWS with this code, or with one from wherever the profile's come from; who types may mistype."""
    uses_seed = code is None and key["totp"] and not pinentry
    given = Code(code, typed=False) if code is not None else None
    for attempt in range(1, TRIES + 1):
        used = None if uses_seed else given or _code(key, pinentry=pinentry)
        try:
            text = used.text if used else None
            return client.call("mfa", home=home, on_progress=output.progress, profile=profile, code=text)
        except (MfaRefused, Usage) as error:
            if not (used and used.typed) or attempt == TRIES:
                raise
            output.say(f"{error.line}")
    raise AssertionError("unreachable")


def _code(key: Frame, *, pinentry: bool) -> Code:
    return codes.code_for(key["profile"], key["mfa_process"], pinentry=pinentry, stdin=sys.stdin)
