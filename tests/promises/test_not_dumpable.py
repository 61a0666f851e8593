# SPDX-License-Identifier: Apache-2.0
"""No other process of the same user reads the daemon's memory, and no crash writes it to a file.

The prober is a process of the daemon's own uid without privileges. The control for each probe is the same probe of an
ordinary process of that uid, which succeeds.
"""

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import canary, procfs
from tests.accounts import ALICE, as_uid
from tests.conftest import DaemonFactory
from tests.daemons import Daemon, until
from vaultd.wire.errors import Refused

PROBES = ["mem", "environ", "maps", "auxv", "exe", "cwd", "ptrace"]
PTRACE_SEIZE = 0x4206

#: Tries each probe on a pid and prints which let it through.
PROBER = f"""
import ctypes, json, os, sys
pid = int(sys.argv[1])
def opens(name):
    os.close(os.open(f"/proc/{{pid}}/{{name}}", os.O_RDONLY))
def links(name):
    os.readlink(f"/proc/{{pid}}/{{name}}")
def attaches(name):
    if ctypes.CDLL(None).ptrace({PTRACE_SEIZE}, pid, None, None) != 0:
        raise PermissionError
how = dict(exe=links, cwd=links, ptrace=attaches)
passed = []
for name in {PROBES}:
    try:
        how.get(name, opens)(name)
        passed.append(name)
    except PermissionError:
        pass
print(json.dumps(passed))
"""


def ordinary_uid() -> int:
    return ALICE if os.getuid() == 0 else os.getuid()


def probe(pid: int) -> list[str]:
    prober = [*as_uid(ordinary_uid()), sys.executable, "-I", "-c", PROBER, str(pid)]
    done = subprocess.run(prober, capture_output=True, check=True, timeout=30)
    passed: list[str] = json.loads(done.stdout)
    return passed


@contextlib.contextmanager
def ordinary_process() -> Iterator[int]:
    with subprocess.Popen([*as_uid(ordinary_uid()), "sleep", "60"]) as process:
        try:
            comm = Path(f"/proc/{process.pid}/comm")
            until(lambda: comm.read_text("ascii") == "sleep\n", "the control process is itself")
            yield process.pid
        finally:
            process.kill()


def test_the_own_user_reads_no_memory(daemons: DaemonFactory) -> None:
    daemon = daemons(uid=ordinary_uid()).start()
    assert [] == probe(daemon.pid), "after the start"
    daemon.init()
    daemon.add("dev")
    assert [] == probe(daemon.pid), "while unlocked"
    daemon.lock_and_wait()
    assert [] == probe(daemon.pid), "after a lock: exec makes a process dumpable again"
    with ordinary_process() as pid:
        assert PROBES == probe(pid)


def test_the_vaultd_command_itself_is_hardened(daemons: DaemonFactory) -> None:
    """The other tests start the tests' own entry point; this is the installed one."""
    daemon = daemons(uid=ordinary_uid(), entry=("-m", "vaultd")).start()
    for _ in ("started", "locked"):
        assert [] == probe(daemon.pid)
        assert ["0", "0"] == limits_of_core(daemon.pid)
        daemon.lock_and_wait()


def limits_of_core(pid: int) -> list[str]:
    lines = Path(f"/proc/{pid}/limits").read_text("ascii").splitlines()
    return next(line.split()[4:6] for line in lines if line.startswith("Max core file size"))


@pytest.fixture
def cores_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the daemon inherits allows a core file of any size, in a directory of the test's."""
    monkeypatch.chdir(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


@pytest.mark.usefixtures("cores_allowed")
def test_a_crash_leaves_no_core(daemon: Daemon, tmp_path: Path) -> None:
    assert ["0", "0"] == limits_of_core(daemon.pid)
    daemon.lock_and_wait()
    assert ["0", "0"] == limits_of_core(daemon.pid)
    daemon.unlock()
    os.kill(daemon.pid, signal.SIGSEGV)
    _, status = os.waitpid(daemon.pid, 0)
    assert (signal.SIGSEGV, False) == (os.WTERMSIG(status), os.WCOREDUMP(status))
    assert [] == list(tmp_path.iterdir())


@pytest.mark.usefixtures("cores_allowed")
def test_a_crash_of_another_program_would_have_left_one() -> None:
    """The control of the test above, where this machine lets anything dump core."""
    process = subprocess.Popen(["sleep", "60"])
    os.kill(process.pid, signal.SIGSEGV)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -signal.SIGSEGV
    if not os.WCOREDUMP(status):
        pytest.skip("nothing dumps core here (ulimit -H -c, core_pattern)")


def test_the_process_is_hardened_before_it_loads_anything_that_could_be_attacked() -> None:
    """The window between exec and hardening is the start of the interpreter and three small modules, no more."""
    look = "import sys; before = set(sys.modules); import vaultd.__main__; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", look], capture_output=True, check=True, text=True, timeout=30
    )
    ours = {name for name in done.stdout.split() if name.startswith("vaultd")}
    assert ours == {"vaultd", "vaultd.__main__", "vaultd.edge", "vaultd.edge.harden"}
    assert not {"asyncio", "json", "socket", "cryptography", "boto3"} & set(done.stdout.split())


# --- somebody attached in the window, or is root


@contextlib.contextmanager
def traced(pid: int) -> Iterator[int]:
    """A process that is attached to `pid` all along, as a debugger would be; its pid."""
    told, tell = os.pipe()
    tracer = os.fork()
    if tracer == 0:
        result = ctypes.CDLL(None).ptrace(PTRACE_SEIZE, pid, None, None)
        os.write(tell, b"attached" if result == 0 else b"refused")
        signal.pause()
        os._exit(0)
    try:
        os.close(tell)
        assert b"attached" == os.read(told, 20)
        os.close(told)
        yield tracer
    finally:
        os.kill(tracer, signal.SIGKILL)
        os.waitpid(tracer, 0)


@procfs.needs_root
def test_nobody_types_a_passphrase_into_a_process_that_is_watched(daemon: Daemon) -> None:
    daemon.lock_and_wait()
    with traced(daemon.pid) as tracer:
        watched = f"process {tracer} is watching vaultd's memory"
        with pytest.raises(Refused, match=watched):
            daemon.unlock()
        with pytest.raises(Refused, match=watched):
            daemon.call("recover", code="0000", passphrase=canary.PASSPHRASE)
        assert "locked" == daemon.state()
    assert not daemon.unlock()["already"]


@procfs.needs_root
def test_no_vault_is_made_in_a_process_that_is_watched(bare_daemon: Daemon) -> None:
    with traced(bare_daemon.pid), pytest.raises(Refused, match="is watching"):
        bare_daemon.init()
    assert "no-vault" == bare_daemon.state()
    bare_daemon.init()
