# SPDX-License-Identifier: Apache-2.0
"""Asks the daemon for what `exec` and `env` hand on: credentials of one profile, its region, when the vault will lock.

Sessions, unless the key itself is asked for by name. Nothing is kept here, and nothing about shells or programs known.
"""

import time

from vaultd.wire import client
from vaultd.wire.errors import AwsPending, Usage
from vaultd.wire.protocol import Frame

PATIENCE_S = 30.0  # unlike an SDK's hook, a person or a script can wait for an AWS that is slow
SERVE = ("session", "key")


def credentials(home: str | None, profile: str, serve: str | None) -> dict[str, str]:
    """The credential_process document of `profile`: a session, or with `serve` "key" the key. Raises VaultError."""
    if serve not in (None, *SERVE):
        raise Usage("--serve is session or key")
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            reply = client.call("get", home=home, profile=profile, serve=serve or "session")
        except AwsPending:
            if time.monotonic() > deadline:
                raise
            continue  # the daemon has waited for a while already, and goes on with the same call
        return {name: value for name, value in reply.items() if isinstance(value, str)}


def region(home: str | None, profile: str) -> str | None:
    """What ~/.aws/config says beside the hook, as with `--profile`; else what the vault knows."""
    from awsvault import hook

    found = hook.region(profile, home)
    return found or _text(client.call("region", home=home, profile=profile)["region"])


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def locks(home: str | None) -> str | None:
    """When the vault will lock, for a person; None when it never does."""
    from vaultd.wire import durations

    status: Frame = client.call("status", home=home)
    soonest, latest = status["locks_in_s"], status["locks_at_latest_in_s"]
    if soonest is None:
        return None
    if soonest == latest:
        return f"in {durations.show(latest)}"
    at_latest = f", at the latest in {durations.show(latest)}" if latest is not None else ""
    return f"in {durations.show(soonest)} when unused{at_latest}"
