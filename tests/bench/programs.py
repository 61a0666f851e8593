# SPDX-License-Identifier: Apache-2.0
"""Whole processes: an installation as a user has it, and how long its programs take beside a bare interpreter."""

import importlib.metadata
import os
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
PIP = "23.3.2"  # the newest whose own launchers cost what ours avoids


class Installation:
    """The project's wheel in a virtual environment with pip 23; the dependencies are those of this one."""

    def __init__(self, root: Path) -> None:
        self.bin = root / "venv" / "bin"
        venv.create(root / "venv", with_pip=True, symlinks=True)
        self._pip("--version")
        if not self.pip_version.startswith("23."):
            self._pip("install", f"pip=={PIP}")
        wheel = self._build(root / "wheel")
        self._pip("install", "--no-deps", "--no-index", str(wheel))
        (site,) = (root / "venv").glob("lib/python*/site-packages")
        (site / "dependencies.pth").write_text(
            f"{importlib.metadata.distribution('boto3').locate_file('')}\n"
        )

    @property
    def pip_version(self) -> str:
        return self._pip("--version").split()[1]

    def _pip(self, *arguments: str) -> str:
        command = [str(self.bin / "python"), "-I", "-m", "pip", "--disable-pip-version-check", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout

    def _build(self, directory: Path) -> Path:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
        (wheel,) = directory.iterdir()
        return wheel

    def command(self, name: str, *arguments: str) -> list[str]:
        return [str(self.bin / name), *arguments]


def environment(home: Path) -> dict[str, str]:
    return {"PATH": os.defpath, "HOME": str(home), "AWSVAULT_HOME": str(home)}


def medians_ms(commands: list[list[str]], env: dict[str, str], rounds: int) -> list[float]:
    """The median duration of each command; they take turns, so that the machine's moods meet all of them."""
    times: list[list[float]] = [[] for _ in commands]
    for _ in range(rounds):
        for command, taken in zip(commands, times, strict=True):
            taken.append(_once_s(command, env) * 1000)
    return [statistics.median(taken) for taken in times]


def _once_s(command: list[str], env: dict[str, str]) -> float:
    null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    begun = time.perf_counter()
    pid = os.posix_spawn(command[0], command, env, file_actions=null)
    _, status = os.waitpid(pid, 0)
    taken = time.perf_counter() - begun
    if status:
        raise RuntimeError(f"exit {os.waitstatus_to_exitcode(status)}: {' '.join(command)}")
    return taken


def modules(command: list[str], env: dict[str, str]) -> set[str]:
    """Everything that `python COMMAND` imports."""
    interpreter = str(Path(command[0]).parent / "python")
    arguments = command[1:] if command[0] == interpreter else command
    done = subprocess.run(
        [interpreter, "-X", "importtime", *arguments],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    rows = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {row.rpartition("|")[2].strip() for row in rows}
