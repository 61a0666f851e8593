# SPDX-License-Identifier: Apache-2.0
"""Profile names for a shell's completion: from the hook lines, joined with the daemon's when it is unlocked.

It never starts the daemon, puts off the lock or writes to stderr (app.py closes that), and waits 200 ms at most.
"""

import contextlib
from typing import Annotated

import typer

from awsvault.commands import home_of

TIMEOUT_S = 0.2


def profile_names(ctx: typer.Context, incomplete: str) -> list[str]:
    from awsvault import hook
    from vaultd.wire import client
    from vaultd.wire.errors import VaultError

    home = home_of(ctx)
    names = set(hook.names(home))
    with contextlib.suppress(VaultError, OSError):  # locked, not running or slow: the hooks are what we know
        names.update(client.call("names", home=home, timeout_s=TIMEOUT_S)["names"])
    return sorted(name for name in names if name.startswith(incomplete))


Profile = Annotated[
    str,
    typer.Argument(
        metavar="PROFILE", autocompletion=profile_names, show_default=False, help="A profile's name."
    ),
]
