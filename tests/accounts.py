# SPDX-License-Identifier: Apache-2.0
"""Other users of this machine: processes of uids that need not exist in the user database. Needs root, or skips."""

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from vaultd.wire import protocol
from vaultd.wire.errors import VaultError

ALICE = 65533
BOB = 65532  # not 65534, which means "of another user namespace" and is refused for that


@functools.cache
def as_uid(uid: int) -> tuple[str, ...]:
    """What to put before an argv so that it runs as `uid` and nothing but that uid.

    Where the interpreter lies in a directory that is closed to others (a root's pyenv), the process keeps the one
    capability that lets it through: CAP_DAC_READ_SEARCH says nothing about other processes' memory or sockets' peers.
    """
    if uid == os.getuid():
        return ()
    if os.getuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("only root (with setpriv) can start a process of another uid")
    plain = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")
    # Through a shell: setpriv itself still has root's capabilities while it starts a program, the program's exec has not.
    attempt = ("sh", "-c", '"$0" -I -c "import vaultd.daemon"', sys.executable)
    for prefix in (plain, (*plain, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")):
        if subprocess.run([*prefix, *attempt], capture_output=True, check=False).returncode == 0:
            return prefix
    pytest.skip("no other uid can run this interpreter")


def run_as_uid(uid: int, work: Callable[[], Any]) -> Any:
    """The JSON-able result of `work`, done in a forked process of `uid` without a single capability."""
    if uid == os.getuid():
        return work()
    if os.getuid() != 0:
        pytest.skip("only root can start a process of another uid")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            with os.fdopen(writer, "w") as file:
                json.dump(work(), file)
        except BaseException as error:  # noqa: BLE001 - nothing may return into pytest's own process
            os.write(2, f"in a child of uid {uid}: {error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the process of uid {uid} failed"
    return json.loads(text)


def call_as_uid(uid: int, call: Callable[[], protocol.Frame]) -> protocol.Frame:
    """`call` as `uid`; raises here the VaultError that it raised there."""

    def work() -> protocol.Frame:
        try:
            return call()
        except VaultError as error:
            return protocol.error_frame(error)

    reply: protocol.Frame = run_as_uid(uid, work)
    protocol.raise_error(reply)
    return reply
