# SPDX-License-Identifier: Apache-2.0
"""Asks a person by pinentry(1): a window or a drawn screen of its own. The Assuan protocol, as far as one question needs it.

https://www.gnupg.org/documentation/manuals/assuan/ (lines, percent escapes), pinentry's manual, "Pinentry Protocol".
"""

import os
import shutil
import subprocess
from typing import IO

from vaultd.wire.errors import Usage, VaultError

TIMEOUT_S = 120
LINE_LIMIT = 1002  # bytes: what an Assuan line has at most, with its end
PROGRAMS = tuple("pinentry pinentry-gnome3 pinentry-mac pinentry-qt pinentry-gtk-2 pinentry-curses".split())
_CODE_MASK = 0xFFFF  # gpg-error.h: the rest says which program it comes from
_TIMED_OUT = 62  # GPG_ERR_TIMEOUT
_CANCELLED = (99, 198)  # GPG_ERR_CANCELED, GPG_ERR_FULLY_CANCELED


class Refused(Exception):
    """An ERR line; `code` is gpg-error's."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def ask(description: str, prompt: str) -> str:
    """What the person typed. Raises KeyboardInterrupt when it was cancelled, VaultError when nobody can be asked."""
    program = find()
    try:
        with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin
            assert process.stdout
            return _converse(process.stdin, process.stdout, description, prompt)
    except Refused as error:
        if error.code in _CANCELLED:
            raise KeyboardInterrupt from None
        fact = "nobody answered pinentry" if error.code == _TIMED_OUT else "pinentry cannot ask here"
        raise VaultError(fact) from None
    except (BrokenPipeError, EOFError):
        raise VaultError("pinentry ended before it gave an answer") from None
    except OSError as error:
        raise VaultError(f"pinentry cannot be run ({error.strerror})") from None


def find() -> str:
    """The program that PINENTRY names, else the first that there is. Raises Usage."""
    chosen = os.environ.get("PINENTRY")
    found = next(filter(None, map(shutil.which, (chosen,) if chosen else PROGRAMS)), None)
    if found is None:
        raise Usage("the program that PINENTRY names is not there" if chosen else "there is no pinentry here")
    return found


def _converse(to: IO[bytes], answers: IO[bytes], description: str, prompt: str) -> str:
    _reply(answers)  # its greeting
    for name, value in _surroundings().items():
        try:
            _say(to, answers, f"OPTION {name}={value}")
        except Refused:
            continue  # one that it does not know, and does without
    _say(to, answers, f"SETTIMEOUT {TIMEOUT_S}")
    _say(to, answers, f"SETDESC {_escaped(description)}")
    _say(to, answers, f"SETPROMPT {_escaped(prompt)}")
    return _say(to, answers, "GETPIN")


def _surroundings() -> dict[str, str]:
    """Where a pinentry without a window may draw."""
    for fd in (0, 1, 2):
        try:
            terminal = os.ttyname(fd)
        except OSError:
            continue
        return {"ttyname": terminal, "ttytype": os.environ.get("TERM", "dumb")}
    return {}


def _say(to: IO[bytes], answers: IO[bytes], line: str) -> str:
    to.write(f"{line}\n".encode())
    to.flush()
    return _reply(answers)


def _reply(answers: IO[bytes]) -> str:
    """The data of a reply, up to its OK. Raises Refused, EOFError."""
    data = b""
    while line := answers.readline(LINE_LIMIT):
        if line.startswith(b"D "):
            data += line[2:].rstrip(b"\r\n")
        elif line.startswith(b"OK"):
            return _plain(data)
        elif line.startswith(b"ERR "):
            number = line[4:].split(maxsplit=1)[:1] or [b""]
            raise Refused(int(number[0]) & _CODE_MASK if number[0].isdigit() else 0)
    raise EOFError


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")


def _plain(data: bytes) -> str:
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(data).decode("utf-8", "replace")
