# SPDX-License-Identifier: Apache-2.0
"""Programs that use AWS's SDKs, each in a folder of its language, with the versions that its lock file pins.

They are built in build/conformance, so that the second run does not wait. One whose tools or registry are out of reach
is skipped, and why is said; one that gets something else than was pinned fails.
"""

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.vault_at_aws import REGION

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build/conformance"
BUILD_S = 1_200  # Rust, on two cores that others use too, needs three minutes

MISMATCHES = ("EINTEGRITY", "checksum mismatch", "failed to verify the checksum")


def python() -> list[str]:
    """With the boto3 that the daemon has, too."""
    return [sys.executable, str(HERE / "python/whoami.py")]


def javascript() -> list[str]:
    return ["node", str(npm().with_name("whoami.js"))]


def npm() -> Path:
    """The packages of javascript/package-lock.json."""
    folder = _sources_of("javascript")
    _fetch("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=folder)
    return folder / "node_modules"


def go() -> list[str]:
    folder = _sources_of("go")
    _fetch("go", "mod", "download", folder=folder)  # against go.sum
    _build("go", "build", "-mod=readonly", "-o", "whoami", ".", folder=folder)
    return [str(folder / "whoami")]


def rust() -> list[str]:
    """Cargo.lock is kept without the lines that name a registry; cargo writes a lock with its own, and ours is completed."""
    folder = _sources_of("rust")
    lock = folder / "Cargo.lock"
    pinned = lock.read_text("ascii")
    lock.unlink()
    _fetch("cargo", "generate-lockfile", folder=folder)
    source = re.search(r"^source = .*\n", lock.read_text("ascii"), re.MULTILINE)
    assert source
    lock.write_text(pinned.replace("\nchecksum = ", f"\n{source[0]}checksum = "), "ascii")
    _fetch("cargo", "fetch", "--locked", folder=folder)
    _build("cargo", "build", "--locked", folder=folder)
    return [str(folder / "target/debug/whoami")]


def java() -> list[str]:
    """Maven has no lock file: jars.sha256 is what the jars are compared with."""
    folder = _sources_of("java")
    shutil.rmtree(folder / "target", ignore_errors=True)
    _fetch("mvn", "-q", "-B", "compile", folder=folder)
    jars = folder / "target/dependency"
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in jars.iterdir()}
    lines = (line.split() for line in (folder / "jars.sha256").read_text("ascii").splitlines())
    assert {name: digest for digest, name in lines} == found
    region = f"-Daws.region={REGION}"  # a ProfileCredentialsProvider has the profile's credentials without its region
    return ["java", region, "-cp", f"{folder}/target/classes:{jars}/*", "Whoami"]


BUILDERS = {"python": python, "javascript": javascript, "go": go, "rust": rust, "java": java}


def _sources_of(language: str) -> Path:
    return shutil.copytree(HERE / language, BUILD / language, dirs_exist_ok=True)


def _fetch(tool: str, *words: str, folder: Path) -> None:
    """What needs the registry."""
    if not shutil.which(tool):
        pytest.skip(f"{tool} is not installed")
    done = _run(tool, *words, folder=folder)
    assert not [word for word in MISMATCHES if word in done.stderr], done.stderr
    if done.returncode:
        pytest.skip(f"{tool} {words[0]} fails here; is the registry within reach? {done.stderr[-300:]}")


def _build(*words: str, folder: Path) -> None:
    done = _run(*words, folder=folder)
    assert 0 == done.returncode, done.stderr


def _run(*words: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=BUILD_S, check=False)
