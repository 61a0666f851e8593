# SPDX-License-Identifier: Apache-2.0
"""Starts the endpoint's process beside the program that this client is about to become.

It is nobody's child (a program that waits for all of its children must not wait for it), in a session of its own (Ctrl-C,
Ctrl-Z and a closed terminal are the program's business), and holds nothing of what we have open (a pipe's reader would
wait for it). It ends when our process ends, whatever our process has become by then.
"""

import contextlib
import fcntl
import os
import socket
import sys
from dataclasses import dataclass, field
from typing import NoReturn

from awsvault.endpoint import TOKEN_SIZE, program
from vaultd.wire.errors import VaultError

BACKLOG = 512
READY_TIMEOUT_S = 10.0
_OUT_OF_THE_WAY = 10  # where descriptors wait until their place is free
_KEPT_VARIABLES = ("HOME", "XDG_DATA_HOME")  # where messages look for a vault


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where credentials can be had, and with what."""

    url: str
    token: str = field(repr=False)
    starter: socket.socket = field(repr=False)

    def await_ready(self) -> None:
        """Until then a request would wait, and wait for ever if the process had failed to start."""
        with self.starter as starter:
            try:
                ready = starter.recv(1)
            except OSError:
                ready = b""
        if not ready:
            raise VaultError("the container endpoint did not start", hint="try again")


def begin(home: str | None, profile: str) -> Endpoint:
    """Bind, fork, and hand the token over. It gets ready while the caller does other things: `await_ready`."""
    token = os.urandom(TOKEN_SIZE // 2).hex()
    ours, theirs = socket.socketpair()
    ours.settimeout(READY_TIMEOUT_S)
    handle = program.handle()
    with theirs, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(BACKLOG)
        child = os.fork()
        if child == 0:
            _leave_the_family(_command(home, profile), [listener.fileno(), handle, theirs.fileno()])
        os.waitpid(child, 0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/creds/{profile}"
    os.close(handle)
    with contextlib.suppress(OSError):  # await_ready tells
        ours.sendall(token.encode())
    return Endpoint(url, token, ours)


def _command(home: str | None, profile: str) -> list[str]:
    """Isolated, as the daemon is: no variable or directory of the caller's chooses its code. Nothing secret in it."""
    return [sys.executable, "-I", "-m", "awsvault.endpoint", *(["--home", home] if home else []), profile]


def _leave_the_family(command: list[str], descriptors: list[int]) -> NoReturn:
    """In the forked child: a second fork, so that the endpoint has no parent here, and a fresh process image."""
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        _keep_only(descriptors)
        os.chdir("/")
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
        os.execve(command[0], command, kept)
    finally:
        os._exit(1)  # whatever went wrong: await_ready tells, and this is no second client


def _keep_only(descriptors: list[int]) -> None:
    """Put these where they are expected, the standard ones on /dev/null, and close everything else."""
    null = os.open(os.devnull, os.O_RDWR)
    wanted = [fcntl.fcntl(fd, fcntl.F_DUPFD, _OUT_OF_THE_WAY) for fd in (null, null, null, *descriptors)]
    for place, fd in enumerate(wanted):
        os.dup2(fd, place)
    for name in os.listdir("/dev/fd"):
        if int(name) >= len(wanted):
            with contextlib.suppress(OSError):  # the directory's own, closed by now
                os.close(int(name))
