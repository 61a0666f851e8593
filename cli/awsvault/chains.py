# SPDX-License-Identifier: Apache-2.0
"""Where a profile's sessions come from, as the daemon shows it: the key at the end of a chain of roles."""

from vaultd.wire import client
from vaultd.wire.protocol import Frame


def key_behind(home: str | None, profile: str) -> Frame:
    """The key profile whose key signs for `profile`. The daemon lets no chain in that goes round in a circle."""
    while True:
        shown: Frame = client.call("show", home=home, profile=profile)["profile"]
        if shown["kind"] == "key":
            return shown
        profile = shown["source"]
