# SPDX-License-Identifier: Apache-2.0
"""Makes the checkout's .venv ready; `make` runs it before everything else. `lock` re-pins what goes into it.

It knows only what a fresh machine has, the standard library, and must tell an old Python what is wrong, so its syntax
is older than the project's. Pins unchanged: nothing is installed. Two runs at once wait for each other.
"""

import fcntl
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, NoReturn

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PINS = ROOT / ".ci" / "development.txt"
RUN_TIME_PINS = ROOT / ".ci" / "run-time.txt"
#: What an editable install copies instead of pointing to: when one of them changes, it is installed again.
COPIED = ("pyproject.toml", "vaultd/__init__.py", "cli/bin/*", "systemd/*.*", "systemd/system/*.*")


def main(arguments: "list[str]") -> None:
    check_interpreter()
    if arguments == ["lock"]:
        lock()
        return
    with (ROOT / ".venv.lock").open("w") as mutex:  # the kernel releases it, however this process ends
        wait_for(mutex)
        if stamp("pins") != pins_wanted():
            build()
        if stamp("project") != project_wanted():
            install_project()


def check_interpreter() -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if sys.version_info < OLDEST:
        fail(f"{sys.executable} is Python {version}; 3.11 or newer is needed: make PYTHON=python3.11 ...")
    try:
        __import__("ensurepip")  # Debian ships it, and with it a working venv, in a package of its own
        __import__("venv")
    except ImportError:
        fail(f"{sys.executable} has no venv; on Debian and Ubuntu: apt-get install python{version}-venv")


def wait_for(mutex: "IO[str]") -> None:
    try:
        fcntl.flock(mutex, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another set-up of this checkout is running; waiting for it")
        fcntl.flock(mutex, fcntl.LOCK_EX)


def build() -> None:
    say("making .venv and installing the pinned packages (a minute or two; again only when the pins change)")
    run(sys.executable, "-I", "-m", "venv", "--clear", VENV)
    pip("install", "--require-hashes", "-r", PINS)
    set_stamp("pins", pins_wanted())


def install_project() -> None:
    say("installing awsvault into .venv")
    pip("install", "--no-deps", "--no-build-isolation", "-e", ROOT)
    set_stamp("project", project_wanted())


def pins_wanted() -> str:
    """What .venv is made from. A venv neither moves to another path nor survives another interpreter."""
    interpreter = f"{Path(sys.executable).resolve()} {sys.version}"
    return digest([PINS.read_bytes(), str(ROOT).encode(), interpreter.encode()])


def project_wanted() -> str:
    files = sorted(file for pattern in COPIED for file in ROOT.glob(pattern))
    named = [part for file in files for part in (str(file.relative_to(ROOT)).encode(), file.read_bytes())]
    return digest([pins_wanted().encode(), *named])


def digest(parts: "list[bytes]") -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def stamp(name: str) -> "str | None":
    try:
        return (VENV / f".{name}").read_text()
    except FileNotFoundError:
        return None


def set_stamp(name: str, value: str) -> None:
    (VENV / f".{name}").write_text(value)


def lock() -> None:
    """Pin the newest versions that pyproject.toml allows: run time first, development round it."""
    options = ["--universal", "--python-version", "3.11", "--upgrade", "--generate-hashes"]
    options += ["--no-emit-index-url", "--no-annotate", "--custom-compile-command", "make lock"]
    with tempfile.TemporaryDirectory() as scratch:
        run(sys.executable, "-I", "-m", "venv", scratch)
        run(f"{scratch}/bin/python", "-I", "-m", "pip", "-q", "install", "uv")
        compile_pins = [f"{scratch}/bin/uv", "pip", "compile", "-q", "pyproject.toml", *options]
        run(*compile_pins, "-o", RUN_TIME_PINS)
        run(*compile_pins, "--group", "dev", "-c", RUN_TIME_PINS, "-o", PINS)


def pip(*arguments: object) -> None:
    options = ["-q", "--disable-pip-version-check", "--no-input"]
    run(VENV / "bin" / "python", "-I", "-m", "pip", *options, *arguments)


def run(*command: object) -> None:
    words = [str(word) for word in command]
    status = subprocess.call(words, cwd=str(ROOT), stdin=subprocess.DEVNULL)
    if status:
        fail(f"set-up failed (exit {status}): {' '.join(words)}")


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def fail(text: str) -> NoReturn:
    sys.exit(text)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
