# SPDX-License-Identifier: Apache-2.0
"""Kills `awsvault import` and its undo before every operation on a file and round every call of the socket.

Really (SIGKILL), in a forked child. Then no key may be lost, and the same command once more must finish the job.
"""

import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from awsvault import app, rewriting
from tests import canary
from tests.children import in_child
from tests.daemons import AWSVAULT, Daemon
from vaultd.wire import client
from vaultd.wire.errors import NoSuchProfile
from vaultd.wire.protocol import Frame

import_module("awsvault.commands.import")  # or every child would load it

FILE_OPERATIONS = frozenset("open mkdir rename unlink fsync fchmod listdir flock".split())
IMPORT = ("import", "--all", "--yes", "--no-verify")
UNDO = ("import", "--undo", "--yes")


class Announced:
    """A module whose operations are announced before they are done."""

    def __init__(self, module: ModuleType, announce: Callable[[str], None]) -> None:
        self._module = module
        self._announce = announce

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if name not in FILE_OPERATIONS:
            return value

        def announced(*arguments: Any, **options: Any) -> Any:
            self._announce(name)
            return value(*arguments, **options)

        return announced


def announcing(announce: Callable[[str], None]) -> type[client.Connection]:
    class Connection(client.Connection):
        def send(self, frame: Frame) -> None:
            announce(f"send {frame['op']}")
            super().send(frame)

        def line(self) -> bytes:
            announce("receive")
            return super().line()

    return Connection


class User:
    """Somebody with keys in both of AWS's files, and a role; `dotenv`: and with one in a third."""

    def __init__(self, daemon: Daemon, *, dotenv: bool) -> None:
        self.daemon = daemon
        self.keys = ("work", "prod", "shop") if dotenv else ("work", "prod")
        self.home = daemon.home.parent / "u"
        self.aws = self.home / ".aws"
        self.dotenv = self.home / "shop/.env"
        self.aws.mkdir()
        self.dotenv.parent.mkdir()

    def begin(self, words: tuple[str, ...]) -> None:
        """The keys lie in their files; for an undo they were imported."""
        for path in self.files():
            path.unlink()
        self.daemon.call("import_seal", names=[], made=[], pieces=[], begin=True, done=True)
        for name in ("admin", *self.keys):
            with contextlib.suppress(NoSuchProfile):
                self.daemon.call("remove", profile=name)
        (self.aws / "credentials").write_text(f"# mine\n[work]\n{lines('work')}region = eu-west-1\n")
        role = "role_arn = arn:aws:iam::123456789012:role/admin\nsource_profile = work\n"
        (self.aws / "config").write_text(f"[profile admin]\n{role}\n[profile prod]\n{lines('prod')}")
        shop = (
            f"AWS_ACCESS_KEY_ID={canary.access_key_id('shop')}",
            f"AWS_SECRET_ACCESS_KEY={canary.secret('shop')}",
        )
        if "shop" in self.keys:
            self.dotenv.write_text("\n".join([*shop, "A=1\n"]))
        if words == UNDO:
            assert 0 == in_child(partial(self.run, IMPORT))

    @property
    def names(self) -> set[str]:
        return {"config", "credentials"} | ({".env"} if "shop" in self.keys else set())

    def files(self) -> list[Path]:
        return [path for folder in (self.aws, self.dotenv.parent) for path in folder.iterdir()]

    def run(self, words: tuple[str, ...], announce: Callable[[str], None] = lambda _name: None) -> None:
        """In a child: the command with its operations announced."""
        every = [*words, *(["--file", str(self.dotenv)] if words == IMPORT and "shop" in self.keys else [])]
        environment = self.daemon.environment({"AWSVAULT_HOME": str(self.daemon.home)})
        out = os.open(os.devnull, os.O_WRONLY)
        os.dup2(out, 1)
        os.dup2(out, 2)
        with (
            mock.patch.dict(os.environ, environment, clear=True),
            mock.patch("sys.argv", [str(AWSVAULT), *every]),
            mock.patch.object(rewriting, "os", Announced(os, announce)),
            mock.patch.object(rewriting, "fcntl", Announced(fcntl, announce)),
            mock.patch.object(client, "Connection", announcing(announce)),
        ):
            status = app.run(every)
        os._exit(status)

    # --- what must hold

    def held(self) -> set[str]:
        """The keys that the vault has, by the secret that it would hand out."""
        known = self.daemon.call("names")["names"]
        return {name for name in self.keys if name in known and self._secret(name) == canary.secret(name)}

    def _secret(self, name: str) -> str:
        try:
            reply = self.daemon.call("get", profile=name, serve="key")
        except NoSuchProfile:
            return ""  # an undo that was asked for before the kill took it away at this moment
        return str(reply["SecretAccessKey"])

    def in_files(self) -> set[str]:
        text = b"".join(path.read_bytes() for path in self.files()).decode()
        return {name for name in self.keys if canary.secret(name) in text}

    def is_done(self, words: tuple[str, ...]) -> bool:
        """At the end in one place, with hooks or without, and nothing is left lying about."""
        left = {path.name for path in self.files() if not path.name.endswith(("-lock", "-backup"))}
        hooks = (self.aws / "config").read_text().count("credential_process = ")
        vault, files = (set(), set(self.keys)) if words == UNDO else (set(self.keys), set())
        return (vault, files, 0 if words == UNDO else 1 + len(self.keys), self.names) == (
            self.held(),
            self.in_files(),
            hooks,
            left,
        )


def lines(name: str) -> str:
    return (
        f"aws_access_key_id = {canary.access_key_id(name)}\naws_secret_access_key = {canary.secret(name)}\n"
    )


def kill_at(point: int) -> Callable[[str], None]:
    count = 0

    def announce(_name: str) -> None:
        nonlocal count
        count += 1
        if count == point:
            os.kill(os.getpid(), signal.SIGKILL)

    return announce


def operations_of(user: User, words: tuple[str, ...], log: Path) -> list[str]:
    """What the command does, in its order, when nobody kills it."""

    def announce(name: str) -> None:
        with log.open("a") as file:
            file.write(f"{json.dumps(name)}\n")

    user.begin(words)
    assert 0 == in_child(partial(user.run, words, announce))
    return [json.loads(line) for line in log.read_text().splitlines()]


def killed_everywhere(user: User, words: tuple[str, ...], log: Path) -> str:
    """What the kills have left, in words. Raises AssertionError at the first that lost a key or could not be finished."""
    operations = operations_of(user, words, log)
    assert {"rename", "fsync", "flock", "receive"} <= set(operations)
    places: dict[str, int] = {}
    for point in range(1, len(operations) + 1):
        user.begin(words)
        assert -signal.SIGKILL == in_child(partial(user.run, words, kill_at(point)))
        held, in_files = user.held(), user.in_files()
        assert set(user.keys) == held | in_files, operations[:point]
        where = "both" if held & in_files else "files" if in_files else "vault"
        places[where] = places.get(where, 0) + 1
        # An undo that was killed when all was done finds nothing to take back.
        assert in_child(partial(user.run, words)) in ((0, 6) if words == UNDO else (0,)), operations[:point]
        assert user.is_done(words), operations[:point]
    left = ", ".join(f"{count} with keys in {where}" for where, count in sorted(places.items()))
    return f"{len(operations)} kills, {left}"


@contextlib.contextmanager
def somebody(*, dotenv: bool = True) -> Iterator[User]:
    with contextlib.closing(Daemon()) as daemon:
        daemon.start().init()
        yield (user := User(daemon, dotenv=dotenv))
        for path in user.files():
            path.unlink()  # before the home is searched for secrets
