# SPDX-License-Identifier: Apache-2.0
"""The container endpoint answers the program that it was started for, and nobody else; it ends with it, and shows nothing.

Which heads get in is decided in tests/cli/test_endpoint_messages.py; here real bytes go to a real endpoint.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import canary, procfs
from tests.daemons import until
from tests.promises.test_not_dumpable import ordinary_process, ordinary_uid, probe
from tests.scenarios.vault_at_aws import Stage, open_stage
from tests.served import Served, endpoints, serving


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_stage() as opened:
        yield opened


@pytest.fixture(scope="module")
def served(stage: Stage) -> Iterator[Served]:
    with serving(stage.daemon) as found:
        yield found


# --- who is answered


def test_the_control_a_plain_request_is_answered(served: Served) -> None:
    assert served.ask().startswith(b"HTTP/1.1 200 OK\r\n")
    assert 200 == served.status(served.head(version="HTTP/1.0"))


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (403, ["Host: evil.example"]),
        (403, ["Host: localhost:80"]),
        (403, ["Host: "]),
        (403, ["Origin: http://127.0.0.1"]),
        (403, ["Sec-Fetch-Site: cross-site"]),
        (401, ["Authorization: "]),
        (401, ["Authorization: " + "0" * 64]),
        (401, ["Authorization: Bearer x"]),
        (400, ["no header at all"]),
        (431, ["X-Long: " + "x" * 9000]),
    ],
    ids=[
        "rebinding",
        "localhost",
        "no host",
        "origin",
        "fetch",
        "no token",
        "wrong token",
        "scheme",
        "form",
        "long",
    ],
)
def test_who_is_not_the_program_gets_nothing(served: Served, status: int, lines: list[str]) -> None:
    answer = served.ask(served.head(*lines))
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"AccessKeyId" not in answer
    assert served.token.encode() not in answer


def test_a_body_that_nobody_wants_does_not_cost_the_answer(served: Served) -> None:
    """A socket that is closed with unread bytes is reset, and the client would never see why it was refused."""
    body = b"x" * 300_000
    answer = served.ask(served.head(f"Content-Length: {len(body)}", method="POST") + body)
    assert answer.startswith(b"HTTP/1.1 405 ")


def test_a_second_request_on_the_connection_is_not_answered(served: Served) -> None:
    assert 1 == served.ask(served.head() * 2).count(b"HTTP/1.1 ")


def test_only_loopback_listens(served: Served) -> None:
    local = f"0100007F:{served.port:04X}"
    listening = [
        line.split()[1] for line in Path("/proc/net/tcp").read_text("ascii").splitlines() if " 0A " in line
    ]
    assert local in listening
    assert [local] == [address for address in listening if address.endswith(f":{served.port:04X}")]


def test_slow_and_silent_connections_keep_nobody_out(served: Served) -> None:
    """More than it holds: the oldest go, and a program that asks is answered."""
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(served.connect()) for _ in range(450)]
        for sock in crowd[::10]:
            sock.sendall(served.head()[:20])
        assert 200 == served.status()
        crowd[0].settimeout(15)
        with contextlib.suppress(ConnectionResetError):
            assert b"" == crowd[0].recv(10), "the first of them has made room"


def test_a_head_in_single_bytes_is_a_head(served: Served) -> None:
    with served.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in served.head():
            sock.send(bytes([byte]))
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")


# --- what it shows


def test_its_own_user_cannot_look_into_it() -> None:
    """By the probes of test_not_dumpable.py; the token reaches it after that, through a socket."""
    with (
        open_stage(uid=ordinary_uid()) as stage,
        serving(stage.daemon) as served,
        ordinary_process() as control,
    ):
        assert probe(control), "the control"
        assert [] == probe(served.pid)
        assert 0 == procfs.status_field(served.pid, "TracerPid")


@procfs.needs_root
def test_nothing_secret_is_in_its_command_line_or_environment(served: Served) -> None:
    facts = b"".join(Path(f"/proc/{served.pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
    assert b"\0-I\0" in facts, "isolated: nothing of its caller's chooses its code"
    assert served.token.encode() not in facts
    assert not canary.found_in(facts)
    assert {"HOME"} >= procfs.environment(served.pid).keys()


@procfs.needs_root
def test_it_holds_nothing_open_of_what_its_caller_had(served: Served) -> None:
    """A pipe that it held would keep its reader waiting after the program's end."""
    found = procfs.descriptors(served.pid)
    assert {"/dev/null": 3, "socket": 1, "anon_inode:[pidfd]": 1, "anon_inode:[eventpoll]": 1} == found
    assert "/" == os.readlink(f"/proc/{served.pid}/cwd")


def test_a_lock_counts_at_once(stage: Stage, served: Served) -> None:
    """It has no cache: what it answered before is answered by nobody now."""
    assert 200 == served.status()
    stage.daemon.lock_and_wait()
    try:
        answer = served.ask()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b'"VaultLocked"' in answer
        assert b"awsvault: vault is locked; run: awsvault unlock" in answer
    finally:
        stage.daemon.unlock()
    assert 200 == served.status()


# --- how it ends


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["TERM", "KILL"])
def test_it_ends_with_its_program_however_that_ends(stage: Stage, number: signal.Signals) -> None:
    with serving(stage.daemon) as served:
        assert not served.has_ended()
        served.process.send_signal(number)
        served.process.wait(10)
        served.await_end()


def test_it_ends_when_its_program_is_done(stage: Stage) -> None:
    with serving(stage.daemon) as served:
        served.process.communicate(timeout=10)
        served.await_end()


def test_it_does_not_end_before_its_program(stage: Stage) -> None:
    """Ctrl-C goes to the program's group and session; a program that handles it still needs credentials."""
    with serving(stage.daemon) as served:
        assert os.getsid(served.pid) == os.getpgid(served.pid) != os.getsid(served.process.pid)
        assert served.process.pid != int(Path(f"/proc/{served.pid}/stat").read_text("ascii").split()[3])
        served.process.send_signal(signal.SIGSTOP)
        assert 200 == served.status()
        served.process.send_signal(signal.SIGCONT)


def test_a_program_that_waits_for_its_children_does_not_wait_for_it(stage: Stage) -> None:
    done = stage.run(
        "exec",
        "--server",
        "dev",
        "--",
        "python3",
        "-c",
        "import os\ntry: os.wait()\nexcept ChildProcessError: print('none')",
    )
    assert "none\n" == done.stdout


def test_one_that_could_not_be_served_is_not_left_behind(stage: Stage) -> None:
    before = set(endpoints(stage.daemon))
    assert 4 == stage.refused("exec", "--server", "nobody", "--", "true")[0]
    until(lambda: set(endpoints(stage.daemon)) <= before, "the endpoint of a refused start ends")
