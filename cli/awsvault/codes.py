# SPDX-License-Identifier: Apache-2.0
"""Where an MFA code comes from when it was not typed as an argument: a pipe, a command, pinentry or the terminal.

All of it runs in the client: vaultd's process, which holds the secrets, starts no program of the user's.
"""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from awsvault import prompts
from vaultd.wire.errors import Usage, VaultError

COMMAND_TIMEOUT_S = 30
LINE_LIMIT = 1024  # characters; a code has six


@dataclass(frozen=True, slots=True)
class Code:
    """`typed`: by a person just now, who may mistype and try again."""

    text: str
    typed: bool


def code_for(profile: str, command: Sequence[str], *, pinentry: bool, stdin: TextIO | None) -> Code:
    """The code for this profile's device. Raises Usage when there is no way to get one."""
    if pinentry:
        return Code(_from_pinentry(profile), typed=True)
    if command:
        return Code(_from_command(command), typed=False)
    if stdin and not stdin.isatty() and (line := stdin.readline(LINE_LIMIT).strip()):
        return Code(line, typed=False)
    if prompts.available():
        return Code(prompts.ask(f"MFA code for {profile}: ").strip(), typed=True)
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return Code(_from_pinentry(profile), typed=True)
    raise Usage("no terminal to ask for the code on", hint=f"run: awsvault mfa {profile} CODE")


def _from_pinentry(profile: str) -> str:
    from awsvault import pinentry

    return pinentry.ask(f"MFA code for {profile}", "Code:").strip()


def _from_command(command: Sequence[str]) -> str:
    """The first line that it prints. An argv list, no shell: nothing in it is interpreted."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=COMMAND_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise VaultError(f"the profile's mfa_process gave no code in {COMMAND_TIMEOUT_S} s") from None
    except OSError as error:
        raise VaultError(f"the profile's mfa_process cannot be run ({error.strerror})") from None
    if done.returncode:
        raise VaultError(f"the profile's mfa_process failed (exit status {done.returncode})")
    return done.stdout[:LINE_LIMIT].decode("ascii", "replace").partition("\n")[0].strip()
