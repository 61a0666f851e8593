# SPDX-License-Identifier: Apache-2.0
"""Machines for `doctor` to judge: one that is well, and how a test makes it ill in one point."""

import stat
from dataclasses import replace
from typing import Any

from awsvault.doctor.checks import CHECKS
from awsvault.doctor.findings import Finding, judge
from awsvault.doctor.machine import (
    Answerer,
    AwsText,
    Daemon,
    Entry,
    Machine,
    Probe,
    Program,
    Proof,
    Resolved,
    Run,
    Unit,
)
from awsvault.doctor.survey import survey

HOME = "/home/alice"
CONFIG, CREDENTIALS = f"{HOME}/.aws/config", f"{HOME}/.aws/credentials"
OURS = "/opt/awsvault/bin/awsvault"
HOOK = f"credential_process = {OURS} get dev\n"
DEV = f"[profile dev]\n{HOOK}region = eu-central-1\n"
NOW = "2026-11-24T12:00:00Z"
KEY, SESSION = "AKIAEXAMPLE00000DEVV", "ASIAEXAMPLE00000SESS"
DIRECTORY, FILE = stat.S_IFDIR | 0o700, stat.S_IFREG | 0o600

STATUS: dict[str, Any] = {
    "state": "unlocked",
    "pid": 100,
    "version": "1.0",
    "warnings": [],
    "refusals": [],
}
PROFILE: dict[str, Any] = {
    "profile": "dev",
    "kind": "key",
    "serve": "session",
    "mfa_serial": None,
    "region": None,
    "partition": "aws",
    "access_key_id": KEY,
    "used_in_aws_for": "s3",
}
PROOF = Proof(
    key_id=SESSION,
    run=Run(0, 0.05, size=800, key_id=SESSION),
    botocore=Resolved("custom-process", "SESS"),
    aws=Resolved("custom-process", "SESS"),
)
PROGRAM = Program(
    OURS, "file", OURS, holders=(Entry(OURS, "file", stat.S_IFREG | 0o755), Entry("/opt", "directory", 0o755))
)


def text(path: str, content: str) -> AwsText:
    return AwsText(path, survey(content), entry=Entry(path, "file", FILE, 1000))


def machine(config: str = DEV, credentials: str = "", **changes: Any) -> Machine:
    """Well, but for what the test changes."""
    environment = {"HOME": HOME, "PATH": "/usr/bin"} | changes.pop("environment", {})
    healthy: dict[str, Any] = {
        "uid": 1000,
        "home": None,
        "environment": environment,
        "config": changes.pop("config_file", None) or text(CONFIG, config),
        "credentials": changes.pop("credentials_file", None) or text(CREDENTIALS, credentials),
        "own_program": OURS,
        "hook_program": OURS,
        "programs": {OURS: PROGRAM},
        "entries": (Entry(f"{HOME}/.aws", "directory", DIRECTORY, 1000), Entry(CONFIG, "file", FILE, 1000)),
        "vault_entries": (Entry("/v/vault", "file", FILE, 1000), Entry("/v/backups", "missing")),
        "daemon": daemon(),
        "vault": {"dev": PROFILE},
        "probe": Probe("sts.amazonaws.com", 2),
        "proofs": {"dev": PROOF},
        "units": (Unit("/u/vaultd.socket", is_installed=True), Unit("/u/vaultd.service", is_installed=True)),
        "now": NOW,
    }
    return Machine(**(healthy | changes))


def daemon(*answerers: Answerer, **changes: Any) -> Daemon:
    found = answerers or (Answerer("/run/user/1000/awsvault", STATUS), Answerer("/state/run"))
    healthy: dict[str, Any] = {"answerers": found, "holder": 100, "version": "1.0"}
    return Daemon(**(healthy | changes))


def status(**changes: Any) -> Daemon:
    return daemon(Answerer("/run/user/1000/awsvault", STATUS | changes))


def findings(ill: Machine, *wanted: str) -> list[tuple[str, Finding]]:
    return [
        (check.name, finding)
        for check, finding in judge(CHECKS, ill, frozenset(wanted))
        if finding.verdict != "ok"
    ]


def fired(ill: Machine) -> set[str]:
    return {name for name, finding in findings(ill) if finding.verdict != "unchecked"}


def hooked(value: str, name: str = "dev", **changes: Any) -> Machine:
    """One profile with that `credential_process`."""
    return machine(f"[profile {name}]\ncredential_process = {value}\n", **changes)


def called(program: Program) -> Machine:
    return hooked(f"{program.path} get dev", programs={program.path: program})


def beside(setting: str) -> Machine:
    return machine(f"{DEV}{setting}\n")


def in_(**environment: str) -> Machine:
    return machine(environment=environment)


def entry(mode: int, uid: int = 1000, path: str = CONFIG, kind: Any = "file") -> Entry:
    return Entry(path, kind, mode, uid)


def vault(**changes: Any) -> dict[str, Any]:
    return {"dev": PROFILE | changes}


def proof(**changes: Any) -> Machine:
    return machine(proofs={"dev": replace(PROOF, **changes)})


def refused(line: str, at: str = NOW) -> Machine:
    return machine(daemon=status(refusals=[{"profile": "dev", "line": line, "at": at}]))


STATIC = "aws_access_key_id = AKIAEXAMPLE000000000\naws_secret_access_key = x\n"
