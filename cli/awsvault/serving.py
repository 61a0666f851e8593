# SPDX-License-Identifier: Apache-2.0
"""Session or key: asks a person when what AWS says of a key points both ways."""

from awsvault import prompts
from vaultd.wire.errors import Usage


def checked(serve: str | None) -> str | None:
    """What `--serve` says. Raises Usage."""
    if serve not in (None, "session", "key"):
        raise Usage("--serve takes session or key")
    return serve


def choose(why: str, proposal: str, name: str = "this key") -> str:
    prompts.tell(
        f"How should {name} be served? {why}.\n"
        "  session  temporary credentials: the key never leaves vaultd, and IAM calls fail without MFA\n"
        "  key      the key itself: everything that works today goes on working\n"
    )
    while True:
        answer = prompts.ask(f"session or key? [{proposal}] ").strip().lower() or proposal
        if answer in ("session", "key"):
            return answer
