# SPDX-License-Identifier: Apache-2.0
"""A real daemon (but for its key derivation, see weak_daemon.py) in a home of its own, and everything to talk to it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests import canary
from tests.accounts import as_uid, call_as_uid
from vaultd.wire import client, protocol
from vaultd.wire.errors import VaultError
from vaultd.wire.protocol import Frame

COLD = Path(__file__).with_name("cold_daemon.py")  # for daemons that are never asked about AWS
WARM = Path(__file__).with_name("weak_daemon.py")
AWSVAULT = Path(sys.executable).with_name("awsvault")
#: A preamble. After a wrong guess the next one waits from when it is asked, not from the guess: however long the image
#: between them takes to start, there is time to do something in the middle of the wait.
WAIT_WHEN_ASKED = """
from vaultd.edge import service
service.Guesses.wait_s = lambda guesses, _now: 1.0 if guesses.failures else 0.0
"""
PATIENCE_S = 20.0  # only ever waited out by a test that fails


def until(fact: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Poll until `fact` is true and return it."""
    deadline = time.monotonic() + patience_s
    while not (value := fact()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience_s:.0f} s in vain: {what}")
        time.sleep(0.003)
    return value


class Home:
    """A private directory with a short name: a Unix socket's path has 107 bytes."""

    def __init__(self, uid: int) -> None:
        self.uid = uid
        self.base = Path(tempfile.mkdtemp(prefix="av-", dir=os.environ.get("TMPDIR")))
        self.path = self.base / "v"  # AWSVAULT_HOME: vault, audit, settings, socket
        self.user = self.base / "u"  # HOME of the commands that are run
        for directory in (self.path, self.user):
            directory.mkdir(mode=0o700)
            if uid != os.getuid():
                os.chown(directory, uid, uid)
        if uid != os.getuid():
            self.base.chmod(0o755)

    def files(self) -> Iterator[Path]:
        return self.base.rglob("*")

    def remove(self) -> None:
        shutil.rmtree(self.base)


class Daemon:
    """One daemon and its home. Use the fixtures of conftest.py: they end and remove everything."""

    def __init__(
        self,
        *,
        config: str = "",
        uid: int | None = None,
        entry: Sequence[str] = (),
        preamble: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`preamble` is Python that runs before the tests' entry point, in every image: shorter timers, a planted bug.

        That entry point, where none is given, is the warm one for whom `config` sends to a stand-in for AWS.
        """
        self.uid = os.getuid() if uid is None else uid
        self.prefix: tuple[str, ...] = as_uid(self.uid)  # what stands before the interpreter in its argv
        self._home = Home(self.uid)
        self.home = self._home.path
        program = WARM if "endpoint_url" in config else COLD
        self.entry = entry or (self._with_preamble(preamble, program) if preamble else str(program),)
        self.daemon_environment = dict(environment or {})
        self.process: subprocess.Popen[bytes] | None = None
        self.interpreter: tuple[str, ...] = (sys.executable, "-I")
        self.pass_fds: tuple[int, ...] = ()
        self.may_stumble = False  # set by a test that provokes an unexpected exception
        if config:
            self.configure(config)

    def _with_preamble(self, code: str, program: Path) -> str:
        path = self._home.base / "entry.py"
        path.write_text(
            f"{code}\n__file__ = {str(program)!r}\nexec(compile(open(__file__).read(), __file__, 'exec'))\n",
            "utf-8",
        )
        return str(path)

    # --- the process

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    @property
    def argv(self) -> list[str]:
        return [*self.prefix, *self.interpreter, *self.entry, "--home", str(self.home)]

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """What our processes see of this test run's environment: next to nothing."""
        return {"PATH": os.environ["PATH"], "HOME": str(self._home.user), "LANG": "C.UTF-8"} | dict(
            extra or {}
        )

    def start(self, answers: Callable[[], bool] | None = None) -> "Daemon":
        """Start it and wait until it answers (where the usual question is not answered: until `answers`)."""
        self.process = subprocess.Popen(
            self.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # so that it moves to vaultd.log, as when `awsvault unlock` starts it
            env=self.environment(self.daemon_environment),
            pass_fds=self.pass_fds,
            start_new_session=True,
        )
        until(lambda: self._answers(answers or self._is_up), "the daemon's first answer")
        return self

    def _answers(self, question: Callable[[], bool]) -> bool:
        self._check_running()
        try:
            return question()
        except (FileNotFoundError, ConnectionRefusedError):
            return False

    def _check_running(self) -> None:
        assert self.process
        if self.process.poll() is not None:
            raise AssertionError(f"the daemon ended with {self.process.returncode}: {self.log}")

    def _is_up(self) -> bool:
        return self.state() != "unreachable"

    def stop(self) -> int:
        """Ask it to end (SIGTERM); its exit status."""
        assert self.process
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """End the process whatever state it is in."""
        if self.process and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(PATIENCE_S)

    def close(self) -> None:
        """`kill`, then remove the home. Fails when a file there holds a secret, or the log an unexpected exception."""
        self.kill()
        try:
            leaks = canary.files_with(self._home.files())
            stumbles = [line for line in self.log.splitlines() if "unexpected" in line or "Traceback" in line]
        finally:
            self._home.remove()
        assert not leaks, f"secrets in the clear in {leaks}"
        assert self.may_stumble or not stumbles, stumbles

    # --- asking it

    def call(self, op: str, **fields: Any) -> Frame:
        """One operation by the client's own code, as the daemon's user. Raises what the daemon answers."""
        if self.uid != os.getuid():
            return call_as_uid(self.uid, lambda: client.call(op, home=str(self.home), **fields))
        return client.call(op, home=str(self.home), **fields)

    def connect(self, timeout_s: float = 10.0) -> socket.socket:
        """A raw connection, for frames that the client would not send."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout_s)
        try:
            sock.connect(str(self.home / "vaultd.sock"))
        except OSError:
            sock.close()
            raise
        return sock

    def ask(self, line: bytes) -> Frame:
        """Send raw bytes and decode the one line that comes back."""
        with self.connect() as sock, sock.makefile("rb") as file:
            with contextlib.suppress(BrokenPipeError):  # a stranger is refused before he has said anything
                sock.sendall(line)
            return protocol.decode(file.readline())

    def status(self) -> Frame:
        return self.call("status")

    def state(self) -> str:
        """no-vault, locked or unlocked; "unreachable" while nothing answers (start, the exec of a lock)."""
        try:
            return str(self.status()["state"])
        except VaultError as error:
            if error.code in ("daemon-unreachable", "daemon-hung", "no-vault"):
                return "unreachable"
            raise

    # --- everyday steps

    def init(self, passphrase: str = canary.PASSPHRASE) -> str:
        """Make the vault and leave it unlocked; the recovery code."""
        return str(self.call("init", passphrase=passphrase)["recovery_code"])

    def unlock(self, passphrase: str = canary.PASSPHRASE, **fields: Any) -> Frame:
        return self.call("unlock", passphrase=passphrase, **fields)

    def start_over(self) -> None:
        """Unlocked and empty, and nothing in its user's home: for tests that share a daemon. Searches what it removes."""
        assert not (leaks := canary.files_with(self._home.files())), f"secrets in the clear in {leaks}"
        if self.state() == "locked":
            self.unlock()
        for name in self.call("names")["names"]:
            self.call("remove", profile=name)
        for path in self._home.user.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def add(self, profile: str, **fields: Any) -> Frame:
        """A key that AWS was not asked about, served as it is."""
        given = {
            "access_key_id": canary.access_key_id(profile),
            "secret_access_key": canary.secret(profile),
            "verify": False,
            "serve": "key",
        }
        return self.call("add", profile=profile, **(given | fields))

    def lock_and_wait(self) -> Frame:
        """Lock and wait for the new process image; its first status."""
        before = self.status()["instance"]
        self.call("lock")
        return self.await_new_image(before)

    def await_new_image(self, before: object) -> Frame:
        """Wait until another image than `before` (an instance of `status`) answers; its status."""

        def fresh() -> Frame | None:
            self._check_running()
            try:
                found = self.status()
            except VaultError:
                return None
            return found if found["instance"] != before else None

        found: Frame = until(fresh, "the image after a lock")
        return found

    # --- the command

    def awsvault(
        self, *words: str, stdin: bytes = b"", extra: Mapping[str, str] | None = None, timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the installed command for this home. No output may hold a secret, except that of `get`."""
        done = subprocess.run(
            [*as_uid(self.uid), str(AWSVAULT), *words],
            input=stdin,
            capture_output=True,
            env=self.environment({"AWSVAULT_HOME": str(self.home)} | dict(extra or {})),
            timeout=timeout_s,
            check=False,
        )
        shown = done.stderr if words[:1] == ("get",) else done.stdout + done.stderr
        assert not canary.found_in(shown), f"awsvault {words[:1]} showed a secret"
        return done

    def get(self, profile: str, extra: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
        """What an SDK runs: `awsvault get PROFILE`."""
        return self.awsvault("get", profile, extra=extra)

    # --- what it leaves behind

    @property
    def log(self) -> str:
        path = self.home / "vaultd.log"
        return path.read_text("ascii") if path.exists() else ""

    @property
    def audit(self) -> bytes:
        path = self.home / "audit.jsonl"
        return path.read_bytes() if path.exists() else b""

    def configure(self, text: str) -> None:
        path = self.home / "config.toml"
        path.write_text(text, "utf-8")
        if self.uid != os.getuid():
            os.chown(path, self.uid, self.uid)
