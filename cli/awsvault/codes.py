# SPDX-License-Identifier: Apache-2.0
"""Where an MFA code comes from when it was not typed as an argument: a pipe, a command, pinentry or the terminal.

All of it runs in the client: vaultd's process, which holds the secrets, starts no program of the user's.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import IO, TextIO

from awsvault import prompts
from vaultd.wire.errors import Usage, VaultError

COMMAND_TIMEOUT_S = 30
PINENTRY_TIMEOUT_S = 120
LINE_LIMIT = 1024  # bytes; an Assuan line has at most 1000 (libassuan manual, "Client requests")
PINENTRIES = (
    "pinentry",
    "pinentry-gnome3",
    "pinentry-mac",
    "pinentry-qt",
    "pinentry-gtk-2",
    "pinentry-curses",
)


def code_for(profile: str, command: Sequence[str], *, pinentry: bool, stdin: TextIO | None) -> str:
    """The code for this profile's device. Raises Usage when there is no way to get one."""
    if pinentry:
        return _from_pinentry(profile)
    if command:
        return _from_command(command)
    if stdin and not stdin.isatty() and (line := stdin.readline(LINE_LIMIT).strip()):
        return line
    if prompts.available():
        return prompts.ask(f"MFA code for {profile}: ").strip()
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return _from_pinentry(profile)
    raise Usage("no terminal to ask for the code on", hint=f"run: awsvault mfa {profile} CODE")


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


def _from_pinentry(profile: str) -> str:
    """Ask by the Assuan protocol. Raises Usage without pinentry, KeyboardInterrupt when the person says no."""
    program = next(filter(None, map(shutil.which, (os.environ.get("PINENTRY", ""), *PINENTRIES))), None)
    if program is None:
        raise Usage("there is no pinentry here", hint=f"run: awsvault mfa {profile} CODE")
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        try:
            _expect_ok(process.stdout)
            for line in (f"SETDESC MFA code for {profile}", "SETPROMPT Code:", *_terminal_options()):
                _send(process.stdin, line)
                _read_reply(process.stdout)
            _send(process.stdin, "GETPIN")
            code = _read_reply(process.stdout)
            _send(process.stdin, "BYE")
        except BrokenPipeError:
            raise VaultError("pinentry ended before it gave a code") from None
    if code is None:
        raise KeyboardInterrupt
    return code.strip()


def _terminal_options() -> list[str]:
    """pinentry-curses wants to know where to draw; the others ignore it."""
    try:
        tty = os.ttyname(0)
    except OSError:
        return []
    return [f"OPTION ttyname={tty}", f"OPTION ttytype={os.environ.get('TERM', 'dumb')}"]


def _send(stream: IO[bytes], line: str) -> None:
    stream.write(f"{line}\n".encode())
    stream.flush()


def _expect_ok(stream: IO[bytes]) -> None:
    if not stream.readline(LINE_LIMIT).startswith(b"OK"):
        raise VaultError("pinentry does not speak as it should")


def _read_reply(stream: IO[bytes]) -> str | None:
    """The data of a reply, "" without any, None for an error: the person cancelled, or the option is unknown."""
    data = ""
    while line := stream.readline(LINE_LIMIT):
        text = line.decode("ascii", "replace").rstrip("\n")
        if text.startswith("D "):
            data += text[2:].replace("%0A", "").replace("%25", "%")
        elif text.startswith("OK"):
            return data
        elif text.startswith("ERR"):
            return None
    raise VaultError("pinentry ended before it gave a code")
