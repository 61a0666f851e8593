# SPDX-License-Identifier: Apache-2.0
"""The house's rules about who may import what, and what `awsvault get` loads.

import-linter's contracts (pyproject.toml) say which of our modules see each other and where a library may be used.
What it cannot say is here: which of the standard library the pure rooms may use, and the cost of the fast path.
"""

import ast
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
LAUNCHER = BIN / "awsvault"

#: Decisions only: no clock, socket, file, network, log, environment, randomness or async among them.
PURE = frozenset(
    "base64 binascii collections dataclasses datetime enum functools hashlib hmac itertools json math operator re shlex "
    "string struct tomllib types typing unicodedata urllib.parse vaultd.core vaultd.wire".split()
)
#: What a pure module may use beyond PURE, and why.
EXCEPTIONS = {
    "envelope.py": {"cryptography", "threading"},  # its one home; one lock round every derive
}
#: Reads a clock or the outside without an import.
IMPURE_CALLS = frozenset({"now", "utcnow", "today", "open", "print", "input", "breakpoint", "exec", "eval"})
FILE_LINES = 300
FUNCTION_LINES = 50
#: The most that `awsvault get` may load beyond a bare interpreter, ours included.
GET_MODULES = 12
#: Each of them costs more than everything that `get` does.
SLOW = frozenset("json re typing pathlib logging socket dataclasses enum argparse asyncio typer rich".split())

ANSWER = (
    b'{"Version":1,"AccessKeyId":"AKIAEXAMPLE","SecretAccessKey":"x","Expiration":"2030-01-01T00:00:00Z"}\n'
)
LOCKED = b'{"error":{"exit":3,"line":"vault is locked; run: awsvault unlock"}}\n'


def imported(source: Path) -> Iterator[str]:
    """Every module that a file imports anywhere in it, functions included."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert 0 == node.level, f"{source}: imports are absolute here"
            yield node.module or ""


def within(module: str, allowed: frozenset[str] | set[str]) -> bool:
    parts = module.split(".")
    return any(".".join(parts[:length]) in allowed for length in range(1, len(parts) + 1))


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{tree}:{tree / 'cli'}"}
    command = [str(BIN / "lint-imports"), "--no-cache", "--no-logo"]
    return subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def copy_of_sources(target: Path) -> Path:
    for name in ("vaultd", "cli"):
        shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", target)
    return target


def test_the_import_contracts_hold(tmp_path: Path) -> None:
    done = lint_imports(copy_of_sources(tmp_path))
    assert 0 == done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("vaultd/wire/errors.py", "import vaultd.core.secret"),
        ("vaultd/core/secret.py", "import vaultd.edge.harden"),
        ("vaultd/core/secret.py", "import cryptography"),
        ("vaultd/edge/server.py", "import boto3"),
        ("vaultd/edge/server.py", "import watchdog"),
        ("vaultd/edge/server.py", "import rich"),
        ("vaultd/edge/server.py", "import awsvault"),
        ("cli/awsvault/get.py", "import vaultd.core.secret"),
        ("cli/awsvault/get.py", "import vaultd.edge.aws"),
    ],
)
def test_a_wrong_import_breaks_a_contract(module: str, line: str, tmp_path: Path) -> None:
    tree = copy_of_sources(tmp_path)
    with (tree / module).open("a") as source:
        source.write(f"\n{line}\n")
    assert " BROKEN" in lint_imports(tree).stdout


@pytest.mark.parametrize(
    "source", sorted((ROOT / "vaultd" / "core").glob("*.py")), ids=lambda path: path.name
)
def test_core_decides_and_touches_nothing(source: Path) -> None:
    allowed = PURE | EXCEPTIONS.get(source.name, set())
    assert [] == [module for module in imported(source) if not within(module, allowed)]
    calls = [node.func for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Call)]
    names = [
        call.attr if isinstance(call, ast.Attribute) else call.id
        for call in calls
        if isinstance(call, ast.Attribute | ast.Name)
    ]
    assert [] == [name for name in names if name in IMPURE_CALLS]


@pytest.mark.parametrize(
    "source", sorted((ROOT / "vaultd" / "wire").glob("*.py")), ids=lambda path: path.name
)
def test_the_wire_needs_only_the_standard_library(source: Path) -> None:
    allowed = sys.stdlib_module_names | {"vaultd.wire"}
    assert [] == [module for module in imported(source) if not within(module, allowed)]


@pytest.mark.parametrize("folder", ["vaultd", "cli"])
def test_files_and_functions_fit_in_a_head(folder: str) -> None:
    too_long = []
    for source in (ROOT / folder).rglob("*.py"):
        text = source.read_text()
        if text.count("\n") > FILE_LINES:
            too_long.append(str(source))
        too_long += [f"{source}:{f.lineno}" for f in functions(text) if body_lines(f) > FUNCTION_LINES]
    assert [] == too_long


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(text: str) -> list[Function]:
    return [node for node in ast.walk(ast.parse(text)) if isinstance(node, Function)]


def body_lines(function: Function) -> int:
    """Without the head: a command's flags are one parameter each, and a list is read, not understood."""
    return (function.end_lineno or 0) - function.body[0].lineno + 1


@contextmanager
def answering(home: Path, reply: bytes) -> Iterator[None]:
    """A daemon's end of the socket that gives every request the same answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(home / "vaultd.sock"))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        thread.join(timeout=10)


def modules_of(*arguments: str | Path, environment: dict[str, str]) -> tuple[int, set[str]]:
    """Exit status, and everything the interpreter imported until it ended."""
    command = [sys.executable, "-X", "importtime", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    rows = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return done.returncode, {row.rpartition("|")[2].strip() for row in rows}


@pytest.mark.parametrize(("reply", "status"), [(ANSWER, 0), (LOCKED, 3)], ids=["served", "locked"])
def test_get_loads_next_to_nothing(reply: bytes, status: int, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), "AWSVAULT_HOME": str(tmp_path)}
    _, bare = modules_of("-c", "pass", environment=environment)
    with answering(tmp_path, reply):
        answered, loaded = modules_of(LAUNCHER, "get", "dev", environment=environment)
    assert status == answered
    extra = loaded - bare
    assert "awsvault.get" in extra, "the count is of the wrong program"
    assert GET_MODULES >= len(extra), sorted(extra)
    assert set() == extra & SLOW
