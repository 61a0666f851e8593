# SPDX-License-Identifier: Apache-2.0
"""Another uid gets nothing: not from the daemon, though every file mode let it through, and not from the client.

Real uids, so these tests need root; as an ordinary user they say so and skip. Each has its control: the same bytes by
the vault's own user are answered.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import canary
from tests.accounts import ALICE, BOB, run_as_uid
from tests.conftest import DaemonFactory
from tests.daemons import AWSVAULT, Daemon, until
from vaultd.edge.handlers import OPERATIONS
from vaultd.wire import client
from vaultd.wire.errors import Refused

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="processes of two uids take root")


def say(daemon: Daemon, frame: bytes) -> Any:
    """The reply to one raw frame, for whoever runs this."""
    return daemon.ask(frame)


def open_by_hand(daemon: Daemon) -> None:
    """What a careless chmod -R does: nothing but the daemon's own check is left."""
    for path in (daemon.home.parent, daemon.home, daemon.home / "vaultd.sock"):
        path.chmod(0o777)


@needs_root
@pytest.mark.parametrize("op", OPERATIONS)
def test_another_uid_is_refused_though_the_modes_are_open(shared: Daemon, op: str) -> None:
    frame = b'{"v":1,"op":"%b","profile":"dev"}\n' % op.encode()
    reply = run_as_uid(ALICE, lambda: say(shared, frame))
    assert list(reply) == ["error"]
    assert (6, "refused") == (reply["error"]["exit"], reply["error"]["code"])


@pytest.fixture(scope="module")
def shared() -> Iterator[Daemon]:
    with contextlib.closing(Daemon()) as daemon:
        daemon.start().init()
        daemon.add("dev")
        open_by_hand(daemon)
        yield daemon


def test_the_own_uid_is_served_by_the_same_bytes(shared: Daemon) -> None:
    assert canary.secret("dev") == say(shared, b'{"v":1,"op":"get","profile":"dev"}\n')["SecretAccessKey"]


@needs_root
def test_another_uid_is_refused_before_it_has_said_anything(shared: Daemon) -> None:
    def listen() -> str:
        with shared.connect() as sock:
            return sock.recv(65536).decode()

    assert "refused" == json.loads(run_as_uid(ALICE, listen))["error"]["code"]


@needs_root
def test_another_uid_learns_nothing_from_its_refusal(shared: Daemon) -> None:
    reply = run_as_uid(ALICE, lambda: say(shared, b'{"v":1,"op":"list"}\n'))
    assert "dev" not in json.dumps(reply)
    assert reply["error"]["line"] == f"this vault belongs to uid {os.getuid()}; run as that user"


@needs_root
def test_the_client_of_another_uid_does_not_enter_a_foreign_home(shared: Daemon) -> None:
    def ask() -> str:
        try:
            client.call("status", home=str(shared.home))
        except Refused as error:
            return error.message
        return "served"

    assert f"{shared.home} belongs to uid 0" == run_as_uid(ALICE, ask)


# --- root at a user's daemon: no barrier, it can read the memory; an accident of `sudo aws ...`


@needs_root
def test_root_is_told_to_run_without_sudo(daemons: DaemonFactory) -> None:
    daemon = daemons(uid=ALICE).start()
    daemon.init()
    daemon.add("dev")
    as_root = {
        "PATH": os.environ["PATH"],
        "HOME": "/root",
        "AWSVAULT_HOME": str(daemon.home),
        "SUDO_USER": "alice",
    }
    exit_status, out, err = run(AWSVAULT, "get", "dev", environment=as_root)
    assert (6, b"", b"awsvault: the vault belongs to uid 65533; run without sudo\n") == (
        exit_status,
        out,
        err,
    )
    with pytest.raises(Refused, match="the vault belongs to uid 65533"):
        client.call("unlock", home=str(daemon.home), passphrase=canary.PASSPHRASE)
    assert "refused" == say(daemon, b'{"v":1,"op":"get","profile":"dev"}\n')["error"]["code"]

    assert 0 == daemon.get("dev").returncode
    assert (
        canary.secret("dev")
        == run_as_uid(ALICE, lambda: say(daemon, b'{"v":1,"op":"get","profile":"dev"}\n'))["SecretAccessKey"]
    )


def run(program: Path, *words: str, environment: dict[str, str]) -> tuple[int, bytes, bytes]:
    done = subprocess.run([program, *words], env=environment, capture_output=True, check=False, timeout=30)
    return done.returncode, done.stdout, done.stderr


# --- uid 65534: the kernel's word for "of another user namespace"; it could be anybody


def in_user_namespace(daemon: Daemon, *options: str) -> Daemon:
    probe = ["unshare", "--user", *options, "true"]
    if not shutil.which("unshare") or subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("no user namespaces here")
    daemon.prefix = ("unshare", "--user", *options)
    return daemon


def test_whom_the_kernel_cannot_name_is_refused(daemons: DaemonFactory) -> None:
    """A daemon in a namespace without a mapping has uid 65534 itself, and so has every peer: equal uids prove nothing."""
    daemon = in_user_namespace(daemons())
    daemon.start(answers=lambda: "refused" == say(daemon, b'{"v":1,"op":"status"}\n')["error"]["code"])
    open_by_hand(daemon)
    if os.getuid() == 0:
        for uid in (ALICE, BOB):
            assert (
                "refused" == run_as_uid(uid, lambda: say(daemon, b'{"v":1,"op":"status"}\n'))["error"]["code"]
            )
    assert "refused a process of another user namespace" in daemon.log


def test_a_daemon_in_a_mapped_namespace_serves_its_own_user_only(daemons: DaemonFactory) -> None:
    daemon = in_user_namespace(daemons(), "--map-root-user")
    daemon.start(answers=lambda: "no-vault" == say(daemon, b'{"v":1,"op":"status"}\n').get("state"))
    if os.getuid() == 0:
        open_by_hand(daemon)
        assert (
            "refused" == run_as_uid(ALICE, lambda: say(daemon, b'{"v":1,"op":"status"}\n'))["error"]["code"]
        )
        assert "refused a process of another user namespace" in daemon.log


# --- the other way round: somebody else's program on our socket


@contextlib.contextmanager
def impostor(home: Path, uid: int) -> Iterator[Path]:
    """A process of `uid` that listens on our socket; the file that it yields is what it was told."""
    heard = home.parent / "heard"
    home.chmod(0o777)
    home.parent.chmod(0o777)
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            if uid != os.getuid():
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            _overhear(home / "vaultd.sock", heard)
        os._exit(1)
    try:
        until(heard.exists, "the impostor listens")
        home.chmod(0o700)
        yield heard
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def _overhear(path: Path, heard: Path) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()
    with heard.open("ab", buffering=0) as file:
        while True:
            peer, _ = listener.accept()
            with peer:
                while data := peer.recv(65536):
                    file.write(data)
                    if data.endswith(b"\n"):
                        peer.sendall(b'{"ok":true}\n')


@pytest.mark.parametrize(
    "uid", [pytest.param(ALICE, marks=needs_root), os.getuid()], ids=["another uid", "control: own uid"]
)
def test_an_impostor_hears_no_byte_of_the_passphrase(daemons: DaemonFactory, uid: int) -> None:
    home = daemons().home
    with impostor(home, uid) as heard:
        if uid == os.getuid():
            client.call("unlock", home=str(home), passphrase=canary.PASSPHRASE)
            assert canary.found_in(heard.read_bytes())
        else:
            with pytest.raises(Refused, match="is served by another user"):
                client.call("unlock", home=str(home), passphrase=canary.PASSPHRASE)
            assert b"" == heard.read_bytes()
        heard.unlink()


@needs_root
def test_an_impostor_is_not_even_asked_for_credentials(daemons: DaemonFactory) -> None:
    daemon = daemons()
    with impostor(daemon.home, ALICE) as heard:
        done = daemon.get("dev")
        assert (6, b"") == (done.returncode, done.stdout)
        assert b"is served by another user" in done.stderr
        assert b"" == heard.read_bytes()
