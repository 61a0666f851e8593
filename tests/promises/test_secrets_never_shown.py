# SPDX-License-Identifier: Apache-2.0
"""No secret in argv, environment, output, log, audit, temp file, repr or traceback; nor another program's, in ours.

Every secret and passphrase carries the tests' mark (canary.py, which also proves that the search finds it). Each home is
searched once more when its test ends, so the whole suite stands behind this promise.
"""

import asyncio
import builtins
import collections.abc
import contextlib
import dataclasses
import importlib
import json
import logging
import os
import pickle
import pkgutil
import pprint
import signal
import subprocess
import sys
import threading
import traceback
import types
import typing
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import vaultd
from tests import canary, procfs
from tests.conftest import DaemonFactory
from tests.daemons import AWSVAULT, Daemon, until
from vaultd.core.secret import Secret
from vaultd.edge.calls import Call
from vaultd.edge.peer import Peer
from vaultd.wire import protocol
from vaultd.wire.errors import VaultError

SECRET = canary.secret("dev")
KEY = f"{canary.access_key_id('dev')}\n{SECRET}\n".encode()
PASSPHRASE_LINE = f"{canary.PASSPHRASE}\n".encode()


def everything_of(daemon: Daemon) -> bytes:
    """All that the daemon tells to anybody but the caller who may have it."""
    return b"".join((daemon.log.encode(), daemon.audit, json.dumps(daemon.status()).encode()))


# --- the command and the daemon, through a day's work


@contextlib.contextmanager
def watched_processes(home: Path) -> Iterator[list[str]]:
    """Read the command line and environment of every process that has to do with `home`, again and again."""
    seen: list[str] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for pid in filter(str.isdigit, os.listdir("/proc")):
                with contextlib.suppress(OSError):
                    facts = b"".join(
                        Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")
                    )
                    if os.fsencode(home) in facts:
                        seen.append("leak" if canary.found_in(facts) else "clean")

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def test_a_days_work_shows_no_secret(bare_daemon: Daemon) -> None:
    """Daemon.awsvault itself refuses any output that holds the mark, but for the stdout of `get`."""
    daemon = bare_daemon
    code_file = daemon.home.parent / "code"
    days_work: list[tuple[str, bytes, int]] = [
        (f"init --passphrase-fd 0 --recovery-file {code_file}", PASSPHRASE_LINE, 0),
        ("add dev --stdin --no-verify --serve key", KEY, 0),
        ("add dev --stdin --no-verify", KEY, 1),  # there is one already
        ("add other --stdin --no-verify", KEY[:-30], 2),  # too short
        ("add other --stdin --no-verify", SECRET.encode() + b"\n" + KEY[:20], 2),  # the wrong way round
        ("add other --stdin --no-verify", b'{"AccessKey": {"SecretAccessKey": "' + SECRET.encode(), 2),
        ("list", b"", 0),
        ("list --json", b"", 0),
        ("show dev", b"", 0),
        ("get dev", b"", 0),
        ("get unknown", b"", 4),
        ("status", b"", 0),
        ("lock", b"", 0),
        ("get dev", b"", 3),
        ("unlock --passphrase-fd 0", f"{canary.NEW_PASSPHRASE}\n".encode(), 1),
        ("unlock --passphrase-fd 0", PASSPHRASE_LINE, 0),
        ("status --json", b"", 0),
        ("remove dev --yes", b"", 0),
    ]
    with watched_processes(daemon.home) as seen:
        for line, stdin, expected in days_work:
            assert expected == daemon.awsvault(*line.split(), stdin=stdin).returncode, line
    assert not canary.found_in(everything_of(daemon))
    assert daemon.stop() == 0
    assert not canary.found_in(daemon.log)
    assert {"clean"} == set(seen)
    assert len(seen) > len(days_work), "the control: they were looked at while they ran"


@pytest.mark.parametrize(
    "words",
    [
        "get SECRET",
        "show SECRET",
        "remove SECRET --yes",
        "add SECRET --stdin",
        "add dev SECRET",
        "add dev --secret-access-key SECRET",
        "add dev --secret-access-key=SECRET",
        "edit dev --serve SECRET",
        "unlock --for SECRET",
        "unlock --passphrase-fd SECRET",
        "status SECRET",
        "SECRET",
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(shared: Daemon, words: str) -> None:
    """It is in the shell's history already; it need not be in a log as well."""
    done = shared.awsvault(*words.replace("SECRET", SECRET).split())
    assert 2 == done.returncode
    assert done.stderr.startswith(b"awsvault: ")
    assert not canary.found_in(everything_of(shared))


@pytest.fixture(scope="module")
def shared() -> Iterator[Daemon]:
    with contextlib.closing(Daemon()) as daemon:
        daemon.start().init()
        daemon.add("dev")
        yield daemon


# --- other programs' secrets: the audit names a caller's parents

PARENTS = {
    "positional": [SECRET],
    "after plain words": ["deploy", "prod", SECRET],
    "NAME=value": ["deploy", f"PASSWORD={canary.MARK}"],
    "after an option": ["deploy", "--password", canary.MARK, canary.MARK],
    "in an option": ["deploy", f"--password={canary.MARK}", canary.MARK],
    "a passphrase": ["deploy", canary.PASSPHRASE],
    "in a URL": ["deploy", f"https://user:{canary.MARK}@host/"],
}


@pytest.mark.parametrize("arguments", PARENTS.values(), ids=PARENTS)
def test_a_secret_on_a_parents_command_line_is_not_kept(
    shared: Daemon, tmp_path: Path, arguments: list[str]
) -> None:
    # A link of its own name, so that this call can be found in the audit.
    program = tmp_path / "sdk"
    program.symlink_to("/bin/sh")
    script = Path(f"/tmp/{tmp_path.name[-8:]}{os.getpid()}")  # so short that the audit keeps it
    script.write_text(f"{AWSVAULT} get dev; {AWSVAULT} get unknown; exit 0", "utf-8")
    try:
        done = subprocess.run(
            [str(program), str(script), *arguments],
            env=shared.environment({"AWSVAULT_HOME": str(shared.home)}),
            capture_output=True,
            check=True,
            timeout=30,
        )
    finally:
        script.unlink()
    assert json.loads(done.stdout)["SecretAccessKey"] == SECRET
    assert not canary.found_in(everything_of(shared))
    last = json.loads(shared.audit.splitlines()[-1])
    words = [parent["words"] for parent in last["who"]["parents"]]
    plain = [word for word in arguments if word in ("deploy", "prod")]
    assert [str(script), *plain] in words, "the control: plain words are kept"
    assert len(arguments) + 1 in [parent["arguments"] for parent in last["who"]["parents"]]


# --- what goes wrong inside

STUMBLING = """
import asyncio
from vaultd.edge import handlers
from vaultd.edge.calls import Field
async def stumble(service, call):
    raise RuntimeError("cannot parse " + call["text"]) from ValueError(call["text"])
async def stumble_later(service, call):
    async def later():
        raise RuntimeError(call["text"])
    asyncio.get_running_loop().create_task(later())
    return {}
for handler in (stumble, stumble_later):
    handlers.OPERATIONS[handler.__name__] = handlers.Operation(handler, {"text": Field(str)}, while_locked=True)
"""


def test_an_unexpected_exception_is_reported_without_what_it_says(daemons: DaemonFactory) -> None:
    """The tests' entry point adds an operation that fails as a bug would: with the request's secret in its message."""
    daemon = daemons(preamble=STUMBLING).start()
    daemon.may_stumble = True
    reply = daemon.ask(protocol.encode(protocol.request("stumble", text=SECRET)))
    assert "vaultd met an unexpected RuntimeError; run: awsvault daemon logs" == reply["error"]["line"]
    assert "unexpected RuntimeError in stumble at stumble:" in daemon.log
    assert not canary.found_in(everything_of(daemon))


def test_a_task_that_fails_unseen_is_not_logged_with_what_it_says(daemons: DaemonFactory) -> None:
    """asyncio itself reports such a task, with its exception's text, unless it is told otherwise."""
    daemon = daemons(preamble=STUMBLING).start()
    daemon.may_stumble = True
    for _ in range(3):
        daemon.ask(protocol.encode(protocol.request("stumble_later", text=SECRET)))
    until(lambda: "RuntimeError" in daemon.log, "the failed task is reported")
    assert not canary.found_in(everything_of(daemon))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGABRT, signal.SIGSEGV])
def test_an_end_by_signal_shows_nothing(daemon: Daemon, number: signal.Signals) -> None:
    with daemon.connect() as sock:
        sock.sendall(protocol.encode(protocol.request("unlock", passphrase=canary.PASSPHRASE))[:-1])
        daemon.get("dev")
        os.kill(daemon.pid, number)
        assert daemon.process
        daemon.process.wait(10)
    assert not canary.found_in(daemon.log.encode() + daemon.audit)


# --- the environment that it is started in


@procfs.needs_root
def test_the_daemon_keeps_nothing_of_a_shells_environment(daemons: DaemonFactory, tmp_path: Path) -> None:
    """Started as an impatient user would: not isolated, with keys exported and a program of his own on PYTHONPATH."""
    (tmp_path / "platformdirs.py").write_text("raise SystemExit('not this one')", "ascii")
    shell = {
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "DATABASE_URL": f"postgres://me:{canary.MARK}@db/",
        "PYTHONPATH": str(tmp_path),
        "PYTHONSTARTUP": canary.MARK,
        "LD_LIBRARY_PATH": canary.MARK,
    }
    daemon = daemons(environment=shell, entry=("-m", "vaultd"))
    daemon.interpreter = (sys.executable,)
    daemon.start()
    for _ in ("as started", "after a lock"):
        environment = procfs.environment(daemon.pid)
        assert not canary.found_in(json.dumps(environment))
        assert not {name for name in environment if name.startswith(("PYTHON", "AWS_", "LD_"))}
        assert not procfs.holds(daemon.pid, canary.MARK.encode())
        daemon.lock_and_wait()


# --- values


def modules() -> Iterator[types.ModuleType]:
    for found in pkgutil.walk_packages(vaultd.__path__, "vaultd."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def dataclasses_of_the_daemon() -> list[type]:
    return [
        cls
        for module in modules()
        for cls in vars(module).values()
        if isinstance(cls, type) and dataclasses.is_dataclass(cls) and cls.__module__ == module.__name__
    ]


def mentions_secret(kind: Any, within: tuple[Any, ...] = ()) -> bool:
    """Can a value of this type hold a Secret?"""
    if kind in within or typing.get_origin(kind) is collections.abc.Callable:
        return False
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind).values()
        return any(mentions_secret(hint, (*within, kind)) for hint in hints)
    return kind is Secret or any(mentions_secret(part, within) for part in typing.get_args(kind))


SIMPLE: dict[Any, Any] = {
    Secret: Secret(SECRET),
    str: "text",
    int: 1,
    float: 1.0,
    bool: False,
    bytes: b"bytes",
    datetime: datetime(2024, 1, 1, tzinfo=UTC),
    Any: None,
    type(None): None,
}


def example(kind: Any, within: tuple[Any, ...] = ()) -> Any:
    """A value of the type, with SECRET wherever a Secret can be."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        value = object.__new__(kind)  # past the checks of its form, which have their own tests
        for name, hint in typing.get_type_hints(kind).items():
            object.__setattr__(value, name, example(hint, (*within, kind)))
        return value
    if kind in SIMPLE:
        return SIMPLE[kind]
    parts = typing.get_args(kind)
    match typing.get_origin(kind):
        case typing.Literal:
            return parts[0]
        case builtins.dict | collections.abc.Mapping:
            return {example(parts[0], within): example(parts[1], within)}
        case builtins.tuple:
            return (example(parts[0], within),)
        case types.UnionType | typing.Union:
            fresh = [part for part in parts if part not in within]
            return example(next((part for part in fresh if mentions_secret(part, within)), fresh[-1]), within)
        case builtins.set:
            return {example(parts[0], within)}
        case asyncio.Future | asyncio.Task:
            return done(example(parts[0], within))
        case _:
            assert not mentions_secret(kind, within), f"say how to make an example of {kind}"
            return None


def done(result: Any) -> Any:
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        future = loop.create_future()
        future.set_result(result)
        return future


def traceback_with_locals(value: object) -> str:
    error = ValueError("it failed")
    with contextlib.suppress(ValueError):
        raise error
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


WAYS_TO_SHOW: dict[str, Callable[[Any], object]] = {
    "repr": repr,
    "str": str,
    "format": lambda value: f"{value}",
    "percent": lambda value: "%s %r" % (value, value),  # noqa: UP031 - as logging does it
    "pprint": pprint.pformat,
    "in a list": lambda value: repr([value]),
    "asdict": lambda value: str(dataclasses.asdict(value)),
    "json": lambda value: json.dumps(value, default=str),
    "pickle": pickle.dumps,
    "traceback": traceback_with_locals,
    "exception": lambda value: repr(VaultError(str(value))),
    "log": lambda value: logging.LogRecord("", 0, "", 0, "%s", (value,), None).getMessage(),
}
HOLDERS = [cls for cls in dataclasses_of_the_daemon() if mentions_secret(cls)]


def test_the_classes_that_hold_secrets_are_found() -> None:
    """The control of the two tests below."""
    assert {"Key", "KeyProfile", "Body", "Vault", "Created", "Credentials", "Session"} <= {
        cls.__name__ for cls in HOLDERS
    }
    assert canary.found_in(traceback_with_locals(SECRET))


@pytest.mark.parametrize("way", WAYS_TO_SHOW.values(), ids=WAYS_TO_SHOW)
def test_a_secret_does_not_show_itself(way: Callable[[Any], object]) -> None:
    with contextlib.suppress(TypeError):
        assert not canary.found_in(bytes_of(way(Secret(SECRET))))


@pytest.mark.parametrize("cls", HOLDERS, ids=lambda cls: cls.__name__)
def test_no_value_shows_the_secret_that_it_holds(cls: type) -> None:
    value = example(cls)
    for name, way in WAYS_TO_SHOW.items():
        with contextlib.suppress(TypeError):  # refuses altogether
            assert not canary.found_in(bytes_of(way(value))), name


def test_a_request_in_work_does_not_show_its_fields() -> None:
    """They are plain text until the handler has made Secrets of them."""

    async def progress(_text: str) -> None:
        await asyncio.sleep(0)

    call = Call("unlock", {"passphrase": canary.PASSPHRASE}, Peer(0, 0), progress)
    for name in ("repr", "str", "format", "pprint", "traceback"):
        assert not canary.found_in(bytes_of(WAYS_TO_SHOW[name](call))), name


def bytes_of(shown: object) -> bytes:
    return shown if isinstance(shown, bytes) else str(shown).encode()
