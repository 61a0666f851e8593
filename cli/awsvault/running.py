# SPDX-License-Identifier: Apache-2.0
"""`awsvault exec PROFILE -- CMD`: this process becomes CMD, with credentials in its environment.

It stays nobody's parent, so signals, job control and the exit status are those of CMD, as with env(1). Scripts call it
often: it loads no typer, and `awsvault exec NAME -- CMD` comes here without it (__main__.py).
"""

import os
import signal
import sys
from dataclasses import dataclass
from typing import NoReturn

from awsvault import environment, lending, output
from vaultd.wire.errors import Refused, Usage, VaultError

NOT_EXECUTABLE = 126  # what shells and env(1) answer
NOT_FOUND = 127
_NAME_SHOWN = 32  # characters; a longer word may be a secret that stands in the wrong place
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-/")


@dataclass(frozen=True, slots=True)
class Wish:
    """What to run, as whom, and how it gets its credentials."""

    profile: str
    words: tuple[str, ...]
    serve: str | None = None
    server: bool = False
    nested: bool = False


def main(home: str | None, wish: Wish) -> NoReturn:
    """Become the command, or leave the process with a line about why not: the quick way's outermost frame."""
    from awsvault import failures
    from vaultd.wire import paths

    try:
        run(paths.home_override(home), wish)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the outermost frame
        sys.exit(failures.end(error))


def run(home: str | None, wish: Wish) -> NoReturn:
    """Become the command. Raises VaultError; what can be wrong without the vault is found before it is asked."""
    if not wish.words:
        raise Usage("a command is missing", hint=f"run: awsvault exec {_shown(wish.profile)} -- COMMAND")
    outer = os.environ.get(environment.MARKER)
    if outer and not wish.nested:
        raise Refused(
            f"this runs in `awsvault exec {_shown(outer)}` already", hint="use --nested to do it anyway"
        )
    if wish.server and wish.serve == "key":
        raise Usage("--server hands out sessions only", hint="use --serve key without --server")
    program = find(wish.words[0])
    variables = _by_endpoint(home, wish) if wish.server else _by_credentials(home, wish)
    _become(program, wish.words, environment.for_program(os.environ, wish.profile, variables))


def _by_credentials(home: str | None, wish: Wish) -> dict[str, str]:
    document = lending.credentials(home, wish.profile, wish.serve)
    variables = environment.of_credentials(document, lending.region(home, wish.profile))
    if sys.stderr and sys.stderr.isatty():  # a log or a pipe is the command's own
        lent = (
            "the key itself"
            if "SessionToken" not in document
            else f"a session until {document['Expiration']}"
        )
        output.say(f"{wish.profile}: {lent}.{_lock_notice(home)}")
    return variables


def _by_endpoint(home: str | None, wish: Wish) -> dict[str, str]:
    """Always said, where the command's failures will be looked for: it lives longer than a session."""
    from awsvault import hook
    from awsvault.endpoint import start

    endpoint = start.begin(home, wish.profile)
    lending.credentials(home, wish.profile, "session")  # what is wrong is said now, and the session is made
    variables = environment.of_endpoint(endpoint.url, endpoint.token, lending.region(home, wish.profile))
    rival = hook.beats_endpoint(wish.profile, home)
    if rival:
        output.say(f"awsvault: {rival} is used instead of the endpoint by most programs: remove that line")
    output.say(f"{wish.profile}: sessions are renewed while the vault is unlocked.{_lock_notice(home)}")
    endpoint.await_ready()
    return variables


def _lock_notice(home: str | None) -> str:
    locks = lending.locks(home)
    return f" The vault locks {locks}." if locks else " The vault does not lock by itself."


# --- the program


def find(word: str) -> str:
    """The path that exec gets for `word`, searched on PATH as shells do. Raises VaultError with 127 or 126."""
    if "/" in word:
        candidates = [word]
    else:
        candidates = [os.path.join(folder or ".", word) for folder in os.get_exec_path()]
    is_there = False
    for path in candidates:
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
        is_there = is_there or (os.path.exists(path) and not (os.path.isdir(path) and "/" not in word))
    raise _cannot_run(word, "is not executable" if is_there else "is not found", is_there=is_there)


def _cannot_run(word: str, fact: str, *, is_there: bool) -> VaultError:
    error = VaultError(f"{_shown(word)}: the command {fact}")
    error.exit_status = NOT_EXECUTABLE if is_there else NOT_FOUND
    return error


def _shown(word: str) -> str:
    last = os.path.basename(word)
    return last if last and len(last) <= _NAME_SHOWN and _PLAIN.issuperset(last) else "(what was given)"


def _become(program: str, words: tuple[str, ...], variables: dict[str, str]) -> NoReturn:
    """exec, with the signals as a fresh process has them: Python ignores two, and that would be inherited."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        try:
            os.execve(program, words, variables)
        except OSError as error:
            if error.errno != _NO_FORMAT:
                raise
            os.execve(
                "/bin/sh", ["sh", program, *words[1:]], variables
            )  # a script without #!, as execvp(3) does it
    except (OSError, ValueError) as error:
        fact = f"cannot be run ({getattr(error, 'strerror', None) or 'an argument holds a NUL'})"
        raise _cannot_run(words[0], fact, is_there=True) from None


_NO_FORMAT = 8  # errno.ENOEXEC
