# SPDX-License-Identifier: Apache-2.0
"""What is due, for whoever is at the terminal: one line at the end of a person's command, and an exit status for a prompt.

Loaded by the quick way to `due --quiet` too: it must not import what is slow to start.
"""

import contextlib
import sys
from typing import Any, NoReturn

from awsvault import output
from vaultd.wire import client, paths
from vaultd.wire.errors import Found, VaultError

#: The commands of a person. Not those of programs (get, exec, env), nor those that show or settle it themselves.
AFTER = frozenset(
    "unlock add add-role list show edit remove import mfa console passwd recover revoke".split()
)
TIMEOUT_S = 0.5


def tell(home: str | None) -> None:
    """One line on stderr if something is due and a person sees it; never a word about what hinders that."""
    if sys.stderr and sys.stderr.isatty() and (found := items(home)):
        output.say(_line(found))


def items(home: str | None) -> list[dict[str, Any]]:
    """What is due; nothing when that cannot be found out."""
    with contextlib.suppress(VaultError, OSError):
        return list(client.call("due", home=home, timeout_s=TIMEOUT_S).get("items", []))
    return []


def _line(found: list[dict[str, Any]]) -> str:
    first = found[0]
    if len(found) == 1:
        return f"Due: {line_of(first)}"
    return f"{len(found)} reminders, the first: {first['profile']}: {first['text']}; run: awsvault due"


def line_of(item: dict[str, Any]) -> str:
    """What a rotation waits for names a command of its own."""
    said = f"{item['profile']}: {item['text']}"
    return said if "awsvault " in said else f"{said}; run: {item['command']}"


def quiet(home: str | None) -> NoReturn:
    """Only the exit status, for a shell prompt: 9 when something is due."""
    try:
        reply = client.call("due", home=paths.home_override(home), timeout_s=TIMEOUT_S)
        sys.exit(Found.exit_status if reply.get("items") else 0)
    except VaultError as error:
        sys.exit(error.exit_status)
    except (OSError, KeyboardInterrupt):
        sys.exit(1)
