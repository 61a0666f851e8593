# SPDX-License-Identifier: Apache-2.0
"""`awsvault get` answers as credential_process must, wherever an SDK starts it and whoever is at the other end.

On success one line on stdout, byte for byte, and an empty stderr; else nothing on stdout and one line on stderr.
"""

import contextlib
import json
import os
import pty
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import canary, procfs
from tests.accounts import ALICE, as_uid
from tests.conftest import DaemonFactory
from tests.daemons import AWSVAULT, Daemon
from vaultd.wire import protocol

Done = subprocess.CompletedProcess[bytes]


@pytest.fixture(scope="module")
def served() -> Iterator[Daemon]:
    """Unlocked, with the profile `dev`."""
    with contextlib.closing(Daemon()) as daemon:
        daemon.start().init()
        daemon.add("dev")
        yield daemon


def get(daemon: Daemon, environment: Mapping[str, str] | None = None, **options: Any) -> Done:
    """`awsvault --home DIR get dev` with exactly this environment; `options` are Popen's."""
    given: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "timeout": 20,
    }
    command = [str(AWSVAULT), "--home", str(daemon.home), "get", "dev"]
    return subprocess.run(command, env=dict(environment or {}), check=False, **(given | options))


def is_the_answer(stdout: bytes) -> bool:
    """The one line, in its one form."""
    expected = {
        "Version": 1,
        "AccessKeyId": canary.access_key_id("dev"),
        "SecretAccessKey": canary.secret("dev"),
        "Expiration": json.loads(stdout)["Expiration"],
    }
    return stdout == json.dumps(expected, separators=(",", ":")).encode() + b"\n"


def check_answered(done: Done) -> None:
    assert (0, b"") == (done.returncode, done.stderr)
    assert is_the_answer(done.stdout)


def check_refused(done: Done, exit_status: int, line: bytes) -> None:
    assert (exit_status, b"") == (done.returncode, done.stdout)
    assert done.stderr == b"awsvault: " + line + b"\n"
    assert len(done.stderr) <= 300


# --- where it is started


CRON = {"HOME": "/nonexistent", "LOGNAME": "nobody", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"}
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "none at all": {},
    "cron's": CRON,
    "no HOME": {"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": "/nonexistent"},
    "a broken locale": {"LC_ALL": "xx_YY.nonsense", "LANG": "\udcff"},
    "keys of its own": {"AWS_PROFILE": "x", "AWS_ACCESS_KEY_ID": "AKIA", "AWS_CONFIG_FILE": "/nonexistent"},
    "another home": {"AWSVAULT_HOME": "/nonexistent"},
}


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_the_callers_environment_does_not_matter(served: Daemon, environment: dict[str, str]) -> None:
    check_answered(get(served, environment))


def test_the_answer_is_short_enough_for_every_sdk(served: Daemon) -> None:
    assert len(get(served).stdout) <= 1000


def test_stdin_is_not_read(served: Daemon) -> None:
    """An SDK's stdin may be a pipe that nobody ever writes to, or a document that it is about to read."""
    reader, writer = os.pipe()
    try:
        check_answered(get(served, stdin=reader))
        os.write(writer, b"a document")
        check_answered(get(served, stdin=reader))
        assert b"a document" == os.read(reader, 100)
    finally:
        os.close(reader)
        os.close(writer)


def test_a_terminal_is_not_written_to(served: Daemon) -> None:
    """It has one, as its controlling terminal too, and leaves it alone even when it fails."""
    leader, follower = pty.openpty()
    try:
        check_answered(get(served, CRON, stdin=follower, start_new_session=True))
        os.set_blocking(leader, False)
        with pytest.raises(BlockingIOError):
            os.read(leader, 1)
    finally:
        os.close(leader)
        os.close(follower)


def test_it_needs_no_session_and_no_directory(served: Daemon, tmp_path: Path) -> None:
    """Started by a service, from a directory that was removed meanwhile."""
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f'rmdir "$PWD"; exec {AWSVAULT} --home {served.home} get dev'
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=gone,
        env=CRON,
        capture_output=True,
        start_new_session=True,
        check=False,
        timeout=20,
    )
    check_answered(done)


def closing(*fds: int) -> Any:
    """A preexec that closes standard descriptors."""

    def close() -> None:
        for fd in fds:
            os.close(fd)

    return close


@pytest.mark.parametrize("fds", [(0,), (2,), (0, 2)], ids=str)
def test_closed_descriptors_do_not_matter(served: Daemon, fds: tuple[int, ...]) -> None:
    check_answered(get(served, preexec_fn=closing(*fds)))


@pytest.mark.parametrize("fds", [(1,), (0, 1), (0, 1, 2)], ids=str)
def test_with_nowhere_to_answer_nothing_is_handed_out(served: Daemon, fds: tuple[int, ...]) -> None:
    """Not even asked for: the audit would name a key that nobody got."""
    before = served.audit
    done = get(served, preexec_fn=closing(*fds))
    assert (1, b"") == (done.returncode, done.stdout)
    assert not canary.found_in(done.stderr)
    assert before == served.audit


def test_an_error_does_not_go_to_the_daemon_when_stderr_is_closed(served: Daemon) -> None:
    """The socket would get the number 2."""
    before = served.audit.count(b"\n")
    command = [str(AWSVAULT), "--home", str(served.home), "get", "unknown"]
    done = subprocess.run(
        command, env={}, stdout=subprocess.PIPE, preexec_fn=closing(0, 2), check=False, timeout=20
    )
    assert (4, b"") == (done.returncode, done.stdout)
    assert before + 1 == served.audit.count(b"\n")


def test_a_reader_that_went_away_is_no_reason_to_complain(served: Daemon) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = get(served, stdout=writer)
    finally:
        os.close(writer)
    assert (1, b"") == (done.returncode, done.stderr)


def test_ignored_and_blocked_signals_do_not_matter(served: Daemon) -> None:
    def hostile() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGALRM, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        os.umask(0o777)
        resource.setrlimit(resource.RLIMIT_NOFILE, (10, 10))

    check_answered(get(served, preexec_fn=hostile))


def test_through_a_shell_it_is_the_same(served: Daemon) -> None:
    """Several SDKs run credential_process by `sh -c`."""
    done = subprocess.run(
        f"{AWSVAULT} --home {served.home} get dev",
        shell=True,
        env=CRON,
        capture_output=True,
        check=False,
        timeout=20,
    )
    check_answered(done)


def test_a_secret_never_stands_on_its_command_line_or_in_its_environment(served: Daemon) -> None:
    process = subprocess.Popen(
        [str(AWSVAULT), "--home", str(served.home), "get", "dev"],
        env={},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    facts = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    out, _ = process.communicate(timeout=20)
    assert is_the_answer(out)
    assert not canary.found_in(facts)


# --- hostile PYTHON* variables and directories

QUIET = {
    "PYTHONINSPECT": "1",
    "PYTHONSTARTUP": "/nonexistent",
    "PYTHONWARNINGS": "error",
    "PYTHONDEVMODE": "1",
    "PYTHONDEBUG": "1",
    "PYTHONDUMPREFS": "1",
    "PYTHONTRACEMALLOC": "20",
    "PYTHONASYNCIODEBUG": "1",
    "PYTHONFAULTHANDLER": "1",
    "PYTHONMALLOC": "debug",
    "PYTHONIOENCODING": "utf-16:strict",
    "PYTHONUNBUFFERED": "1",
    "PYTHONUTF8": "0",
    "PYTHONHASHSEED": "0",
    "PYTHONOPTIMIZE": "2",
    "PYTHONSAFEPATH": "1",
    "PYTHONNOUSERSITE": "",
    "PYTHONCASEOK": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONPYCACHEPREFIX": "/nonexistent",
    "PYTHONBREAKPOINT": "os.abort",
    "PYTHONWARNDEFAULTENCODING": "1",
    "PYTHONUSERBASE": "/nonexistent",
}
#: Python itself writes to stderr, before any code of ours can run. stdout, which is what SDKs parse, stays exact.
NOISY = {"PYTHONVERBOSE": "1", "PYTHONPROFILEIMPORTTIME": "1", "PYTHONMALLOCSTATS": "1"}
#: Python itself refuses to start. Then at least nothing stands on stdout.
FATAL = {
    "PYTHONHOME": "/nonexistent",
    "PYTHONEXECUTABLE": "/nonexistent",
    "PYTHONHASHSEED": "nonsense",
    "PYTHONUTF8": "nonsense",
}


@pytest.mark.parametrize("name", QUIET)
def test_a_python_variable_changes_no_byte(served: Daemon, name: str) -> None:
    check_answered(get(served, {name: QUIET[name]}))


def test_all_of_them_together_change_no_byte(served: Daemon) -> None:
    check_answered(get(served, QUIET))


@pytest.mark.parametrize("name", NOISY)
def test_a_variable_that_makes_python_talk_does_not_reach_stdout(served: Daemon, name: str) -> None:
    done = get(served, {name: NOISY[name]})
    assert 0 == done.returncode
    assert is_the_answer(done.stdout)
    assert done.stderr, "quiet by now: it belongs to QUIET"
    assert not canary.found_in(done.stderr)


@pytest.mark.parametrize("name", FATAL)
def test_a_variable_that_keeps_python_from_starting_leaves_stdout_empty(served: Daemon, name: str) -> None:
    done = get(served, {name: FATAL[name]})
    assert done.returncode != 0
    assert b"" == done.stdout


def hostile_directory(path: Path) -> Path:
    """Modules that end the program when they are imported, under the names that ours or a library might import."""
    names = "json socket typing re pathlib dataclasses logging argparse select ssl struct secrets asyncio subprocess"
    for name in names.split():
        (path / f"{name}.py").write_text(f"print('{name} of somebody else'); raise SystemExit(99)", "ascii")
    return path


def test_modules_on_pythonpath_are_not_loaded(served: Daemon, tmp_path: Path) -> None:
    """It imports nothing that they could replace (what a bare interpreter loads they could replace for every program)."""
    check_answered(get(served, {"PYTHONPATH": str(hostile_directory(tmp_path))}))


def test_modules_in_the_callers_directory_are_not_loaded(served: Daemon, tmp_path: Path) -> None:
    hostile_directory(tmp_path)
    for package in ("awsvault", "vaultd", "os"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit(99)", "ascii")
    check_answered(get(served, {"PYTHONSAFEPATH": ""}, cwd=tmp_path))


# --- where there is nothing to find


def test_without_a_vault_it_says_so(daemons: DaemonFactory) -> None:
    check_refused(get(daemons()), 3, b"no vault yet; run: awsvault init")


def test_without_a_daemon_it_says_so_and_starts_none(served: Daemon, daemons: DaemonFactory) -> None:
    home = daemons()
    (home.home / "vault").write_bytes((served.home / "vault").read_bytes())
    check_refused(get(home), 5, b"vault is locked (vaultd is not running); run: awsvault unlock")
    assert ["vault"] == os.listdir(home.home)


@procfs.needs_root
def test_a_uid_without_a_home_is_told_what_to_set() -> None:
    done = subprocess.run(
        [*as_uid(ALICE), str(AWSVAULT), "get", "dev"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        check=False,
        timeout=20,
    )
    line = b"uid 65533 is not in the user database; set AWSVAULT_HOME to a directory of its own"
    check_refused(done, 6, line)


def test_a_path_too_long_for_a_socket_is_named(served: Daemon, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir(mode=0o700)
    done = subprocess.run(
        [str(AWSVAULT), "--home", str(long), "get", "dev"],
        env={},
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert (2, b"") == (done.returncode, done.stdout)
    assert b"longer than the 107 bytes" in done.stderr


# --- who is at the other end


def test_a_hung_daemon_is_given_three_seconds(daemon: Daemon) -> None:
    os.kill(daemon.pid, signal.SIGSTOP)
    begun = time.monotonic()
    done = get(daemon)
    assert 2.5 < time.monotonic() - begun < 5
    check_refused(done, 5, b"vaultd does not answer; run: awsvault daemon restart")


def test_a_daemon_whose_queue_is_full_is_given_less(daemons: DaemonFactory) -> None:
    home = daemons()
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(home.home / "vaultd.sock"))
        listener.listen(0)
        stack.enter_context(home.connect())  # the kernel's queue of one
        begun = time.monotonic()
        check_refused(get(home), 5, b"vaultd does not answer; run: awsvault daemon restart")
        assert time.monotonic() - begun < 2.5


def test_a_daemon_of_another_version_is_named_as_that(daemons: DaemonFactory) -> None:
    daemon = daemons(preamble="from vaultd.wire import protocol; protocol.PROTOCOL = 2")
    daemon.start(answers=lambda: "error" in daemon.ask(b'{"v":1,"op":"status"}\n'))
    check_refused(
        get(daemon), 5, b"this vaultd speaks version 2 of its protocol; run: awsvault daemon restart"
    )


ANSWER = b'{"Version":1,"AccessKeyId":"A","SecretAccessKey":"S","Expiration":"E"}\n'
MISMATCH = b"the running vaultd is of another version; run: awsvault daemon restart"
CUT = b"vaultd ended in the middle of its answer; try again"


@contextlib.contextmanager
def impostor(home: Daemon, replies: list[bytes], *, pause_s: float = 0.0) -> Iterator[None]:
    """Somebody of our uid who answers each connection with the next reply, byte by byte when there is a pause."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home.home / "vaultd.sock"))
        listener.listen()

        def serve() -> None:
            for reply in replies:
                peer, _ = listener.accept()
                with peer, contextlib.suppress(OSError):
                    peer.recv(65536)
                    for piece in (bytes([byte]) for byte in reply) if pause_s else [reply]:
                        peer.sendall(piece)
                        time.sleep(pause_s)

        listener.settimeout(10)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        thread.join()


REPLIES: dict[str, tuple[list[bytes], int, bytes]] = {
    "nothing, twice": ([b"", b""], 5, b"vaultd ended before it answered; try again"),
    "half an answer": ([ANSWER[:-20]], 5, CUT),
    "an answer without its end": ([ANSWER[:-1]], 5, CUT),
    "garbage": ([b"\x00\xff\x1b[31m garbage\n"], 5, MISMATCH),
    "another version's answer": ([b'{"Version":2,"AccessKeyId":"A"}\n'], 5, MISMATCH),
    "a success of another operation": ([b'{"ok":true}\n'], 5, MISMATCH),
    "an answer in another form": ([b" " + ANSWER], 5, MISMATCH),
    "far too much": ([b"x" * 200_000], 5, MISMATCH),
    "an error without its parts": ([b'{"error":{}}\n'], 5, MISMATCH),
    "an error of success": ([b'{"error":{"exit":0,"line":"fine"}}\n'], 1, b"fine"),
    "an error beyond all statuses": ([b'{"error":{"exit":9999,"line":"bad"}}\n'], 125, b"bad"),
    "an error that paints": ([b'{"error":{"exit":3,"line":"\x1b[31m\xe2\x80\xaered"}}\n'], 3, b"?[31m???red"),
    "an error in two lines": ([b'{"error":{"exit":3,"line":"one\\ntwo"}}\n'], 3, b"onentwo"),
    "an endless error": ([b'{"error":{"exit":3,"line":"' + b"x" * 5000 + b'"}}\n'], 3, b"x" * 286 + b"..."),
}


@pytest.mark.parametrize(("replies", "exit_status", "line"), REPLIES.values(), ids=REPLIES)
def test_what_is_no_answer_is_no_answer(
    daemons: DaemonFactory, replies: list[bytes], exit_status: int, line: bytes
) -> None:
    home = daemons()
    with impostor(home, replies):
        check_refused(get(home), exit_status, line)


def test_an_end_before_the_first_byte_is_cured_by_asking_again(daemons: DaemonFactory) -> None:
    """A daemon that locks replaces itself; whom it had accepted sees that."""
    home = daemons()
    with impostor(home, [b"", ANSWER]):
        done = get(home)
    assert (0, ANSWER, b"") == (done.returncode, done.stdout, done.stderr)


def test_an_answer_in_pieces_is_put_together(daemons: DaemonFactory) -> None:
    """The control of the table above: these bytes are an answer."""
    home = daemons()
    with impostor(home, [ANSWER], pause_s=0.001):
        done = get(home)
    assert (0, ANSWER, b"") == (done.returncode, done.stdout, done.stderr)


def test_the_request_is_what_the_protocol_says(daemons: DaemonFactory) -> None:
    """It is formatted by hand, without json."""
    home = daemons()
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home.home / "vaultd.sock"))
        listener.listen()

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                heard.append(peer.recv(65536))
                peer.sendall(ANSWER)

        listener.settimeout(10)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        get(home)
        thread.join()
    assert [protocol.encode(protocol.request("get", profile="dev"))] == heard
