# SPDX-License-Identifier: Apache-2.0
"""No input ends, stalls, bloats or makes talkative the daemon: not thousands of malformed frames, not floods, not dribbles.

Every frame carries the tests' mark, so an echo of it anywhere (reply, log, audit) is found. The vault is unlocked and an
honest client is served all the while.
"""

import json
import os
import random
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, Self

import pytest

from tests import canary, procfs
from tests.campaign import times
from tests.conftest import DaemonFactory
from tests.daemons import Daemon, until
from vaultd.edge.handlers import OPERATIONS
from vaultd.edge.server import MAX_CONNECTIONS, MAX_PER_PROCESS
from vaultd.wire import protocol

FRAMES = times(50_000, 12_000)
SEED = 20_240_607
BATCH_BYTES = (
    48 * 1024
)  # what fits the socket's buffers both ways, so that one thread can write first, then read
GROWTH_KIB = 10 * 1024
MARK = canary.MARK

Shape = Callable[[random.Random], bytes]


# --- structure-aware: JSON that is almost a request


def dumps(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def valid(chance: random.Random) -> dict[str, Any]:
    """A request of the right form which its marked values make impossible to carry out."""
    op = chance.choice(["show", "get", "add", "edit", "remove"])
    values: dict[type, object] = {str: f"/{MARK}/{chance.random()}", bool: False, int: 7, dict: {MARK: MARK}}
    fields = {
        name: values[entry.type] for name, entry in OPERATIONS[op].fields.items() if entry.default is ...
    }
    return {"v": 1, "op": op, **fields}


def wrong_version(chance: random.Random) -> bytes:
    return dumps(
        {**valid(chance), "v": chance.choice([0, 2, -1, 1.5, True, "1", None, [], {}, 10**400, MARK])}
    )


def wrong_op(chance: random.Random) -> bytes:
    strange = [
        MARK,
        "",
        "GET",
        "get ",
        "__class__",
        "\0",
        "get\n",
        None,
        1,
        True,
        ["get"],
        {"get": 1},
        "x" * 1000,
    ]
    return dumps({**valid(chance), "op": chance.choice(strange), "note": MARK})


def missing_field(chance: random.Random) -> bytes:
    frame = valid(chance)
    del frame[chance.choice(list(frame))]
    return dumps({**frame, MARK: 1})


def unknown_field(chance: random.Random) -> bytes:
    return dumps({**valid(chance), f"{MARK}{chance.random()}": chance.choice([None, 1, MARK, [MARK], {}])})


def wrong_type(chance: random.Random) -> bytes:
    definite = {
        op: [name for name, entry in operation.fields.items() if entry.default is not None]
        for op, operation in OPERATIONS.items()
    }
    op = chance.choice([op for op, fields in definite.items() if fields])
    field = chance.choice(definite[op])
    others = (
        [[MARK], {"a": MARK}, 1.5] if OPERATIONS[op].fields[field].type is not dict else [[MARK], MARK, 7]
    )
    return dumps({"v": 1, "op": op, field: chance.choice(others)})


def wrong_request_id(chance: random.Random) -> bytes:
    return dumps(
        {**valid(chance), "request": chance.choice([MARK, "", "0" * 31, "G" * 32, 1, [], f"{'0' * 32}\n"])}
    )


def impossible_name(chance: random.Random) -> bytes:
    name = chance.choice(
        ["", "-x", "..", "a b", "a]", "a\nb", "é", "\u202e", "\x1b[31m", "a" * 65, MARK + "/", "1a"]
    )
    return dumps({"v": 1, "op": chance.choice(["get", "show", "remove"]), "profile": name})


def not_strict(chance: random.Random) -> bytes:
    """What Python's json would accept."""
    return chance.choice(
        [
            b'{"v":1,"op":"status","op":"status"}',
            b'{"v":1,"v":1,"op":"list"}',
            b'{"v":1,"op":"status","x":NaN}',
            b'{"v":1,"op":"status","x":-Infinity}',
            b'{"v":1,"op":"get","profile":"\\ud800' + MARK.encode() + b'"}',
            b'{"v":1,"op":"get","profile":{"a":1,"a":2}}',
            b'\xef\xbb\xbf{"v":1,"op":"status"}',
        ]
    )


def not_an_object(chance: random.Random) -> bytes:
    return chance.choice(
        [b"null", b"[]", b"1", b'"%b"' % MARK.encode(), b"[" * 2000, b'{"a":' * 2000, b"9" * 5000, b"{}"]
    )


# --- random


def noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.randrange(1, 400)).replace(b"\n", b"")


def bitten(chance: random.Random) -> bytes:
    """A request with a few bytes changed, cut or doubled; what comes out valid by chance is impossible to carry out."""
    frame = bytearray(dumps(valid(chance)))
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(frame))
        bite = chance.randrange(3)
        if bite == 0:
            frame[at] ^= 1 << chance.randrange(8)
        elif bite == 1:
            del frame[at : at + chance.randrange(1, 20)]
        else:
            frame[at:at] = frame[at : at + 20]
        frame = frame or bytearray(b"?")
    return bytes(frame).replace(b"\n", b"")


SHAPES: list[Shape] = [
    wrong_version,
    wrong_op,
    missing_field,
    unknown_field,
    wrong_type,
    wrong_request_id,
    impossible_name,
    not_strict,
    not_an_object,
    noise,
    bitten,
]


def batches(count: int) -> Iterator[list[bytes]]:
    chance = random.Random(SEED)
    batch: list[bytes] = []
    for number in range(count):
        batch.append(SHAPES[number % len(SHAPES)](chance))
        if sum(map(len, batch[-50:])) > BATCH_BYTES // 8 or len(batch) == 150:
            yield batch
            batch = []
    if batch:
        yield batch


def test_thousands_of_malformed_frames(daemon: Daemon) -> None:
    pid, answered, slowest = daemon.pid, 0, 0.0
    before = None
    with ExitStack() as stack:
        unfinished = stack.enter_context(UnfinishedFrame(daemon))
        conversations = [stack.enter_context(Conversation(daemon)) for _ in range(4)]
        for number, batch in enumerate(batches(FRAMES)):
            begun = time.monotonic()
            replies = conversations[number % len(conversations)].say(batch)
            slowest = max(slowest, time.monotonic() - begun)
            for frame, reply in zip(batch, replies, strict=True):
                check_refusal(frame, reply)
            answered += len(replies)
            if number % 40 == 20:
                check_honest_client(daemon)
                before = before or procfs.resident_kib(pid)
        unfinished.check_closed()
    assert FRAMES == answered
    assert slowest < 5, "no frame holds up the others"
    check_honest_client(daemon)
    assert before is not None
    assert procfs.resident_kib(pid) - before < GROWTH_KIB
    assert not canary.found_in(daemon.log)
    assert not canary.found_in(daemon.audit)


class UnfinishedFrame:
    """A connection that says half of something, once."""

    def __init__(self, daemon: Daemon) -> None:
        self._begun = time.monotonic()
        self._sock = daemon.connect()
        self._sock.sendall(b'{"v":1,')

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def check_closed(self) -> None:
        """It was given FRAME_TIMEOUT_S, and not two seconds more."""
        left = self._begun + protocol.FRAME_TIMEOUT_S + 2 - time.monotonic()
        self._sock.settimeout(max(left, 0.1))
        assert b"" == self._sock.recv(1)


class Conversation:
    """A connection that is kept for many frames."""

    def __init__(self, daemon: Daemon) -> None:
        self._sock = daemon.connect(timeout_s=10)
        self._replies = self._sock.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._replies.close()
        self._sock.close()

    def say(self, frames: list[bytes]) -> list[bytes]:
        self._sock.sendall(b"".join(frame + b"\n" for frame in frames))
        return [self._replies.readline() for _ in frames]


def check_refusal(frame: bytes, reply: bytes) -> None:
    """An error of the known form that repeats nothing."""
    assert reply.startswith(b'{"error":{"exit":'), (frame[:200], reply[:200])
    assert not canary.found_in(reply), (frame[:200], reply[:200])
    error = protocol.decode(reply)["error"]
    assert error["code"] in {"usage", "protocol-mismatch", "no-such-profile"}, (frame[:200], error)


def check_honest_client(daemon: Daemon) -> None:
    begun = time.monotonic()
    done = daemon.get("dev")
    assert (0, b"") == (done.returncode, done.stderr)
    assert canary.secret("dev") == json.loads(done.stdout)["SecretAccessKey"]
    assert time.monotonic() - begun < 1


def test_the_frames_are_refused_for_their_form_not_for_a_lock(daemon: Daemon) -> None:
    """The control: the same conversation, well formed, is answered with credentials."""
    with Conversation(daemon) as conversation:
        good = b'{"v":1,"op":"get","profile":"dev"}'
        for reply in conversation.say([good, b"?", good]):
            assert reply.startswith((b'{"Version":1,', b'{"error":'))
        assert [True, False, True] == [
            reply.startswith(b'{"Version":1,') for reply in conversation.say([good, b"?", good])
        ]


@pytest.mark.parametrize(
    "size", [protocol.MAX_FRAME, protocol.MAX_FRAME + 1, 5_000_000], ids=["64 KiB", "one more", "5 MB"]
)
def test_a_frame_that_is_too_long_is_refused_and_the_connection_ended(daemon: Daemon, size: int) -> None:
    before = procfs.resident_kib(daemon.pid)
    with daemon.connect() as sock, sock.makefile("rb") as replies:
        with suppress(BrokenPipeError, ConnectionResetError):  # it stops reading, which is the point
            sock.sendall((MARK * (size // len(MARK) + 1)).encode()[:size])
        assert "usage" == protocol.decode(replies.readline())["error"]["code"]
        with suppress(ConnectionResetError):
            assert b"" == replies.read()
    check_honest_client(daemon)
    assert procfs.resident_kib(daemon.pid) - before < GROWTH_KIB


def test_the_longest_frame_is_read(daemon: Daemon) -> None:
    frame = dumps({"v": 1, "op": "get", "profile": "x" * (protocol.MAX_FRAME - 33)}) + b"\n"
    assert protocol.MAX_FRAME - 2 <= len(frame) <= protocol.MAX_FRAME
    assert "usage" == daemon.ask(frame)["error"]["code"]
    assert "longer" not in daemon.ask(frame)["error"]["message"]


# --- many connections


def test_one_process_is_granted_sixty_four_connections(bare_daemon: Daemon) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(bare_daemon.connect()) for _ in range(MAX_PER_PROCESS + 20)]
        closed = until(lambda: readable(held), "some are closed at once")
        assert len(closed) in (20, 21)  # an earlier one that the daemon has not seen the end of yet may count
        assert b"no vault yet" in bare_daemon.get("dev").stderr  # another process
        served = next(sock for sock in held if sock not in closed)
        served.sendall(b'{"v":1,"op":"status"}\n')
        assert served.recv(20).startswith(b'{"ok":true')


def readable(socks: list[socket.socket]) -> list[socket.socket]:
    """Those at their end, once their number has stopped growing."""
    found = select.select(socks, [], [], 1)[0]
    time.sleep(0.05)
    return found if found and len(found) == len(select.select(socks, [], [], 0)[0]) else []


@contextmanager
def attackers(processes: int, attack: Callable[[], None]) -> Iterator[None]:
    """`attack`, which never returns, in so many processes of their own."""
    pids = []
    for _ in range(processes):
        pid = os.fork()
        if pid == 0:
            try:
                attack()
            finally:
                os._exit(1)
        pids.append(pid)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def dribble(daemon: Daemon) -> None:
    """64 connections, a byte a second on each; a new one for each that is closed."""
    frame = b'{"v":1,"op":"get","profile":"%b"}' % (b"x" * 1000)
    held: list[tuple[socket.socket, int]] = []
    while True:
        while len(held) < MAX_PER_PROCESS:
            held.append((daemon.connect(), 0))
        alive = []
        for sock, sent in held:
            try:
                sock.sendall(frame[sent : sent + 1])
                alive.append((sock, sent + 1))
            except OSError:
                sock.close()
        held = alive
        time.sleep(1)


def test_two_hundred_and_fifty_six_dribbling_connections_delay_nobody(daemon: Daemon) -> None:
    idle = connections(daemon)
    with attackers(MAX_CONNECTIONS // MAX_PER_PROCESS + 1, partial(dribble, daemon)):
        until(lambda: connections(daemon) - idle >= MAX_CONNECTIONS - 8, "all places taken")
        for _ in range(25):
            check_honest_client(daemon)
        assert connections(daemon) - idle <= MAX_CONNECTIONS + 8
    check_honest_client(daemon)


def connections(daemon: Daemon) -> int:
    if os.getuid() != 0:
        pytest.skip("counting an undumpable process's connections takes root")
    return procfs.descriptors(daemon.pid)["socket"]


def hold_and_wait(daemon: Daemon) -> None:
    held = []
    while True:
        try:
            held.append(daemon.connect())
        except OSError:
            time.sleep(0.05)
        if len(held) > 200:
            signal.pause()


#: Its own limit, and not inherited: a test process that has more files open could start nothing.
FORTY_DESCRIPTORS = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))"


def test_it_recovers_from_running_out_of_descriptors(daemons: DaemonFactory) -> None:
    daemon = daemons(preamble=FORTY_DESCRIPTORS).start()
    daemon.init()
    daemon.add("dev")
    with Conversation(daemon) as conversation, attackers(2, partial(hold_and_wait, daemon)):
        until(lambda: "out of file descriptors" in daemon.log, "descriptors run out")
        assert conversation.say([b'{"v":1,"op":"get","profile":"dev"}'])[0].startswith(b'{"Version":1,')
        # That line of the audit is to be put on the disk now, which takes a descriptor.
        status = b'{"v":1,"op":"status"}'
        until(lambda: b"Too many open files" in conversation.say([status])[0], "status says what is wrong")
    until(lambda: daemon.get("dev").returncode == 0, "served again", patience_s=2)
    assert ("unlocked", []) == (daemon.status()["state"], daemon.status()["warnings"])
