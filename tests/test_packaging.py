# SPDX-License-Identifier: Apache-2.0
"""What is shipped, what it may depend on, and that an installed copy starts."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from vaultd import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME = f"{PROJECT['name']}-{__version__}"
BIN = Path(sys.executable).parent

#: The specifications travel with the code that they are reviewed with.
DOCUMENTS = {"vaultd/PROTOCOL.md", "vaultd/FORMAT.md", "vaultd/THREATS.md"}
LAUNCHER = f"{NAME}.data/scripts/awsvault"


def build(target: str, directory: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (built,) = directory.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


def expected_files() -> set[str]:
    code = {str(path.relative_to(ROOT)) for path in (ROOT / "vaultd").rglob("*.py")}
    command = {str(path.relative_to(ROOT / "cli")) for path in (ROOT / "cli" / "awsvault").rglob("*.py")}
    units = {f"{NAME}.data/data/share/systemd/user/vaultd.{kind}" for kind in ("socket", "service")}
    system = {
        f"{NAME}.data/data/share/awsvault/systemd/system/vaultd.{kind}" for kind in ("socket", "service")
    }
    about = {
        f"{NAME}.dist-info/{name}"
        for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    }
    manual = {f"{NAME}.data/data/share/man/man1/awsvault.1"}
    return code | command | DOCUMENTS | units | system | manual | about | {LAUNCHER}


def test_the_wheel_holds_exactly_what_it_should(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert expected_files() == set(archive.namelist())


def test_the_launcher_is_ours_and_starts_with_the_marker_that_installers_replace(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert b"#!python" == archive.read(LAUNCHER).splitlines()[0]


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    sdist = build("sdist", tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "wheel")]
    subprocess.run(command, cwd=tmp_path / NAME, check=True, capture_output=True, timeout=120)
    (again,) = (tmp_path / "wheel").iterdir()
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert set(first.namelist()) == set(second.namelist())


# --- pins -----------------------------------------------------------------------------------------------------------

PINS = {"run-time": ROOT / ".ci" / "run-time.txt", "development": ROOT / ".ci" / "development.txt"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(file: Path) -> dict[str, str]:
    """Name -> version of every requirement that applies to this machine."""
    lines = [
        line.removesuffix("\\").strip()
        for line in file.read_text().splitlines()
        if line and line[0] not in " #"
    ]
    requirements = [Requirement(line) for line in lines]
    assert all(str(requirement.specifier).startswith("==") for requirement in requirements)
    here = [
        requirement
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate()
    ]
    return {canonical(requirement.name): str(requirement.specifier)[2:] for requirement in here}


def closure(requirements: list[str]) -> set[str]:
    """The names of everything that `requirements` need, from what is installed here."""
    found: set[str] = set()
    waiting = [(Requirement(text), "") for text in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonical(requirement.name)
        if name not in found:
            found.add(name)
            below = importlib.metadata.requires(name) or []
            waiting += [
                (Requirement(text), wanted) for text in below for wanted in (requirement.extras or {""})
            ]
    return found


def test_run_time_pins_are_exactly_what_the_project_needs() -> None:
    assert closure(PROJECT["dependencies"]) == set(pinned(PINS["run-time"]))


def test_the_daemon_does_without_pydantic() -> None:
    """A second native library in the process that holds the secrets, and 15 times a bare interpreter's start."""
    assert [] == [name for name in pinned(PINS["run-time"]) if name.startswith("pydantic")]


def test_what_is_tested_is_what_is_pinned_for_run_time() -> None:
    development = pinned(PINS["development"])
    run_time = pinned(PINS["run-time"])
    assert run_time == {name: development.get(name) for name in run_time}


def test_what_is_installed_here_is_what_is_pinned() -> None:
    development = pinned(PINS["development"])
    assert development == {name: importlib.metadata.version(name) for name in development}


@pytest.mark.parametrize("which", PINS)
def test_pin_files_name_no_address_and_hash_everything(which: str) -> None:
    text = PINS[which].read_text()
    assert "://" not in text
    assert "index" not in text
    entries = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).strip())
    assert [] == [entry for entry in entries if "--hash=sha256:" not in entry]


# --- installed ------------------------------------------------------------------------------------------------------


class Installed:
    """A virtual environment of its own in which the project is installed; the dependencies are this one's."""

    def __init__(self, root: Path) -> None:
        venv.create(root, with_pip=False, symlinks=True)
        self.bin = root / "bin"
        (site,) = root.glob("lib/python*/site-packages")
        dependencies = importlib.metadata.distribution("cryptography").locate_file("")
        (site / "dependencies.pth").write_text(f"{dependencies}\n")

    def install(self, *arguments: str | Path) -> None:
        options = [
            "--quiet",
            "--no-deps",
            "--no-build-isolation",
            "--no-index",
            "--disable-pip-version-check",
        ]
        command = [
            str(BIN / "pip"),
            "--python",
            str(self.bin / "python"),
            "install",
            *options,
            *map(str, arguments),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=120)

    def run(self, *command: str) -> str:
        environment = {"PATH": os.defpath, "HOME": str(self.bin.parent)}
        program = [str(self.bin / command[0]), *command[1:]]
        done = subprocess.run(
            program, env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        assert "" == done.stderr
        return done.stdout


@pytest.mark.parametrize("how", ["wheel", "directory", "editable"])
def test_an_installation_gives_both_commands(how: str, wheel: Path, tmp_path: Path) -> None:
    sources: dict[str, list[str | Path]] = {"wheel": [wheel], "directory": [ROOT], "editable": ["-e", ROOT]}
    installed = Installed(tmp_path / "venv")
    installed.install(*sources[how])
    assert f"awsvault {__version__}\n" == installed.run("awsvault", "--version")
    assert f"vaultd {__version__}\n" == installed.run("vaultd", "--version")


def test_an_installed_launcher_names_its_interpreter(wheel: Path, tmp_path: Path) -> None:
    installed = Installed(tmp_path / "venv")
    installed.install(wheel)
    launcher = (installed.bin / "awsvault").read_text()
    assert f"#!{installed.bin / 'python'}" == launcher.splitlines()[0].rstrip("3")
    assert "import re" not in launcher


# --- set-up ---------------------------------------------------------------------------------------------------------


def set_up(*before: str) -> subprocess.CompletedProcess[str]:
    """Run .ci/setup.py after some lines of Python that make the machine a lesser one."""
    script = "\n".join(
        ["import runpy, sys", *before, f"runpy.run_path({str(ROOT / '.ci/setup.py')!r}, run_name='__main__')"]
    )
    return subprocess.run(
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )


def test_an_older_python_is_told_which_is_needed() -> None:
    done = set_up("sys.version_info = (3, 9, 2, 'final', 0)")
    assert 1 == done.returncode
    assert (
        f"{sys.executable} is Python 3.9; 3.11 or newer is needed: make PYTHON=python3.11 ...\n"
        == done.stderr
    )


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_a_missing_venv_is_told_with_the_package_that_has_it(missing: str) -> None:
    done = set_up(f"sys.modules[{missing!r}] = None")
    assert 1 == done.returncode
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert f"on Debian and Ubuntu: apt-get install python{version}-venv\n" in done.stderr
