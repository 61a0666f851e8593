# SPDX-License-Identifier: Apache-2.0
"""The unit templates, judged offline by systemd's own checker, and the daemon inside their limits. Nothing starts systemd.

The checker answers 0 to a misspelt directive and says so only on stderr, so an empty stderr is part of every verdict.
"""

import ctypes.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import DaemonFactory
from tests.fake_aws import FakeAws
from vaultd.wire.errors import WrongPassphrase

TEMPLATES = Path(__file__).parents[1] / "systemd"
COMMAND = f"{sys.executable} -I -m vaultd"
KINDS = {"user": TEMPLATES, "system": TEMPLATES / "system"}

#: What would need a mount namespace in a user manager, and PrivateUsers= with it (implied from systemd 254 on).
NAMESPACES = (
    "PrivateUsers ProtectSystem ProtectHome PrivateTmp PrivateMounts PrivateDevices PrivateIPC PrivateNetwork "
    "ProtectKernelTunables ProtectKernelModules ProtectKernelLogs ProtectControlGroups ProtectClock ProtectHostname "
    "ProtectProc ProcSubset ReadWritePaths ReadOnlyPaths InaccessiblePaths ExecPaths NoExecPaths BindPaths "
    "BindReadOnlyPaths TemporaryFileSystem MountAPIVFS RootDirectory RootImage DynamicUser"
).split()

needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is missing: the units are not checked here",
)


def directives(unit: Path) -> list[tuple[str, str]]:
    """Every `Name=value` of a unit file, in order."""
    lines = [line for line in unit.read_text().splitlines() if line and line[0] not in "#["]
    return [(name, value) for name, _, value in (line.partition("=") for line in lines)]


def render(kind: str, target: Path) -> list[Path]:
    """Socket and service of one kind with the command filled in, as an installation does it."""
    units = []
    for name in ("vaultd.socket", "vaultd.service"):
        unit = target / name
        unit.write_text((KINDS[kind] / name).read_text().replace("@VAULTD@", COMMAND))
        units.append(unit)
    return units


def analyze(*arguments: str | Path, runtime: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "XDG_RUNTIME_DIR": str(runtime),
        "HOME": str(runtime),
    }
    command = ["systemd-analyze", "--no-pager", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def verify(kind: str, units: list[Path], runtime: Path) -> tuple[int, str]:
    done = analyze(f"--{kind}", "--man=no", "verify", *units, runtime=runtime)
    return done.returncode, done.stderr


@needs_analyze
@pytest.mark.parametrize("kind", KINDS)
def test_units_verify_without_a_word(kind: str, tmp_path: Path) -> None:
    assert (0, "") == verify(kind, render(kind, tmp_path), tmp_path)


@needs_analyze
@pytest.mark.parametrize("kind", KINDS)
def test_a_misspelt_directive_would_be_noticed(kind: str, tmp_path: Path) -> None:
    socket, service = render(kind, tmp_path)
    service.write_text(service.read_text().replace("NoNewPrivileges=", "NoNewPrivilege="))
    _, complaint = verify(kind, [socket, service], tmp_path)
    assert "NoNewPrivilege" in complaint


@needs_analyze
def test_the_system_unit_is_exposed_to_at_most_1_5(tmp_path: Path) -> None:
    service = render("system", tmp_path)[1]
    done = analyze("security", "--offline=true", "--threshold=15", service, runtime=tmp_path)
    assert 0 == done.returncode, done.stdout


@needs_analyze
def test_a_more_exposed_system_unit_would_be_noticed(tmp_path: Path) -> None:
    service = render("system", tmp_path)[1]
    service.write_text(service.read_text().replace("CapabilityBoundingSet=\n", ""))
    done = analyze("security", "--offline=true", "--threshold=15", service, runtime=tmp_path)
    assert 0 != done.returncode


def test_the_user_unit_leaves_the_peers_proc_readable() -> None:
    """A mount or user namespace would blind the audit to the executables of the programs that ask."""
    assert [] == [name for name, _ in directives(TEMPLATES / "vaultd.service") if name in NAMESPACES]


def test_the_system_unit_keeps_uids_apart() -> None:
    """With PrivateUsers= every peer arrives as uid 65534."""
    assert "PrivateUsers" not in dict(directives(TEMPLATES / "system" / "vaultd.service"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Type", "notify"),
        ("NotifyAccess", "main"),  # the exec of a lock keeps the pid, so main stays who may notify
        ("WatchdogSec", "30"),
        ("Restart", "on-failure"),
        ("LimitCORE", "0"),
        ("MemorySwapMax", "0"),
        ("UMask", "0077"),
        ("Also", "vaultd.socket"),
    ],
)
def test_the_service_says(kind: str, name: str, value: str) -> None:
    assert value == dict(directives(KINDS[kind] / "vaultd.service")).get(name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SocketMode", "0600"),
        ("DirectoryMode", "0700"),
        ("FileDescriptorName", "vaultd"),
        ("RemoveOnStop", "yes"),
        ("WantedBy", "sockets.target"),
    ],
)
def test_the_socket_says(kind: str, name: str, value: str) -> None:
    assert value == dict(directives(KINDS[kind] / "vaultd.socket")).get(name)


def test_the_users_socket_is_where_clients_look() -> None:
    assert "%t/awsvault/vaultd.sock" == dict(directives(TEMPLATES / "vaultd.socket"))["ListenStream"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_kdf_fits_into_the_memory_limit(kind: str) -> None:
    """A vault may ask for 1 GiB of Argon2; an unlock that the kernel ends would look like a broken daemon."""
    limit = dict(directives(KINDS[kind] / "vaultd.service"))["MemoryMax"]
    assert limit.endswith("M")
    assert 1024 + 200 <= int(limit[:-1])


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_is_the_only_thing_to_fill_in(kind: str) -> None:
    services = KINDS[kind] / "vaultd.service"
    assert ["ExecStart"] == [name for name, value in directives(services) if "@VAULTD@" in value]
    assert "@VAULTD@" not in (KINDS[kind] / "vaultd.socket").read_text()


# --- the daemon behind the system call filter -----------------------------------------------------------------------

needs_seccomp = pytest.mark.skipif(
    ctypes.util.find_library("seccomp") is None, reason="libseccomp is missing: the filter is not tried here"
)


def allowed_calls(service: Path, runtime: Path) -> set[str]:
    """What the SystemCallFilter= lines of a unit come to, in systemd's reading: each line adds or, with ~, takes away."""
    allowed = members("@default", runtime)
    for name, value in directives(service):
        if name == "SystemCallFilter":
            named = {call for word in value.lstrip("~").split() for call in members(word, runtime)}
            allowed = allowed - named if value.startswith("~") else allowed | named
    return allowed


def members(name: str, runtime: Path) -> set[str]:
    if not name.startswith("@"):
        return {name}
    listed = analyze("syscall-filter", name, runtime=runtime).stdout.splitlines()[1:]
    words = [line.strip() for line in listed if line.strip() and not line.strip().startswith("#")]
    return {call for word in words for call in members(word, runtime)}


@needs_analyze
@needs_seccomp
@pytest.mark.parametrize("kind", KINDS)
def test_the_daemon_lives_with_the_units_filter(kind: str, daemons: DaemonFactory, tmp_path: Path) -> None:
    """From the first passphrase through AWS, a lock and a wrong guess; a call that we lack would end it or fail it."""
    calls = tmp_path / "calls"
    calls.write_text("\n".join(allowed_calls(KINDS[kind] / "vaultd.service", tmp_path)))
    entry = str(Path(__file__).with_name("filtered_daemon.py"))
    with FakeAws() as aws:
        key = aws.add_key(aws.add_user("alice"))
        confined = daemons(config=f'[aws]\nendpoint_url = "{aws.url}"\n', entry=(entry, str(calls))).start()
        assert "2" == status_of(confined.pid)["Seccomp"]
        confined.init()
        confined.add(
            "dev", access_key_id=key.access_key_id, secret_access_key=key.secret, serve="session", verify=True
        )
        assert b"SessionToken" in confined.get("dev").stdout
        confined.lock_and_wait()
        assert 3 == confined.get("dev").returncode
        before = confined.status()["instance"]
        with pytest.raises(WrongPassphrase):
            confined.unlock("not the passphrase")
        confined.await_new_image(before)
        confined.unlock()
        assert 0 == confined.get("dev").returncode
        assert 0 == confined.stop()


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
