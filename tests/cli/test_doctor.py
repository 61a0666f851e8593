# SPDX-License-Identifier: Apache-2.0
"""Each check of `doctor` on a machine that is well but for one thing: that check speaks, and no other does."""

import stat
from dataclasses import replace
from typing import Any

import pytest

from awsvault.doctor.checks import CHECKS
from awsvault.doctor.findings import AddHook, CloseToOthers, Rehook, Unplain
from awsvault.doctor.machine import (
    Answerer,
    AwsText,
    Cache,
    Daemon,
    Machine,
    Probe,
    Program,
    Proof,
    Resolved,
    Run,
    Unit,
)
from tests.cli.machines import (
    CONFIG,
    CREDENTIALS,
    DEV,
    DIRECTORY,
    FILE,
    HOME,
    HOOK,
    NOW,
    OURS,
    PROFILE,
    PROGRAM,
    PROOF,
    SESSION,
    STATIC,
    STATUS,
    beside,
    called,
    daemon,
    entry,
    findings,
    fired,
    hooked,
    in_,
    machine,
    proof,
    refused,
    status,
    text,
    vault,
)
from vaultd.core.awsfiles import Hook

CASES: dict[str, tuple[str, Machine]] = {
    # --- the files
    "credentials that may not be read": (
        "files-readable",
        machine(credentials_file=AwsText(CREDENTIALS, trouble="cannot be read (Permission denied)")),
    ),
    "a byte that is no UTF-8": (
        "files-encoding",
        machine(credentials_file=AwsText(CREDENTIALS, not_utf8=3)),
    ),
    "a line that is nothing": ("files-form", machine(f"nonsense\n{DEV}")),
    "a byte order mark": ("files-form", machine(f"\ufeff{DEV}")),
    "a second section": ("files-duplicates", machine(f"{DEV}[profile x]\n[profile x]\n")),
    "a second setting": ("files-duplicates", machine(f"{DEV}region = x\n")),
    # --- what beats the hook
    "a key beside the hook in config": ("static-keys", beside(STATIC.strip())),
    "a key beside the hook in credentials": ("static-keys", machine(credentials=f"[dev]\n{STATIC}")),
    "a session beside the hook": ("static-keys", beside("aws_session_token = x")),
    "a key of another profile": ("plaintext-keys", machine(credentials=f"[other]\n{STATIC}")),
    "a key of another profile in config": ("plaintext-keys", machine(f"{DEV}[default]\n{STATIC}")),
    **{
        f"{setting} beside the hook": ("rivals", beside(f"{setting} = x"))
        for setting in "sso_session sso_account_id role_arn source_profile credential_source "
        "web_identity_token_file login_session".split()
    },
    "another program in credentials": (
        "rivals",
        machine(credentials="[dev]\ncredential_process = /x/other\n"),
    ),
    "a role that is assumed from the hook": (
        "role-sources",
        machine(f"{DEV}[profile admin]\nrole_arn = arn:x\nsource_profile = dev\n"),
    ),
    # --- the line
    "quotes": ("hook-form", hooked(f'"{OURS}" get dev')),
    "quotes round all of it": ("hook-form", hooked(f'"{OURS} get dev"', vault={})),
    "a space in the path": ("hook-form", hooked("/My Tools/awsvault get dev", vault={})),
    "a comment": ("hook-form", hooked(f"{OURS} get dev # mine", vault={})),
    "a second line": ("hook-form", hooked(f"{OURS}\n  get dev")),
    "a tilde": ("hook-form", hooked("~/bin/awsvault get dev", vault={})),
    "a variable": ("hook-form", hooked("$HOME/bin/awsvault get dev", vault={})),
    "a relative path": ("hook-form", hooked("awsvault get dev")),
    "one word too many": ("hook-form", hooked(f"{OURS} get dev --verbose", vault={})),
    "a backslash": ("hook-form", hooked("/My\\ Tools/awsvault get dev", vault={})),
    "a program that is gone": ("hook-program", called(Program("/x/awsvault", "missing", "/x/awsvault"))),
    "a directory": ("hook-program", called(Program("/x/awsvault", "directory", "/x/awsvault"))),
    "a program that may not run": (
        "hook-program",
        called(Program("/x/awsvault", "file", OURS, may_run=False)),
    ),
    "a shim": (
        "hook-program",
        called(Program("/h/.pyenv/shims/awsvault", "file", "/h/.pyenv/shims/awsvault")),
    ),
    "another installation": ("hook-program", called(Program("/x/awsvault", "file", "/y/awsvault"))),
    "an empty line": ("hook-empty", machine(f"{DEV}[profile x]\ncredential_process =\n")),
    "a dot in the name": ("hook-name", hooked(f"{OURS} get dev", "acme.dev")),
    "quotes in the header": ("hook-name", hooked(f"{OURS} get dev", '"dev"')),
    "a hook in credentials": ("hook-name", machine("", f"[dev]\n{HOOK}")),
    "a hook in no profile": ("hook-section", machine(f"{DEV}[other]\n{HOOK}")),
    # --- the environment
    "a key in the environment": ("env-keys", in_(AWS_ACCESS_KEY_ID="AKIAEXAMPLE000000000")),
    "AWS_PROFILE that is no profile": ("env-profile", in_(AWS_PROFILE="nothing")),
    "AWS_PROFILE without a hook": (
        "env-profile",
        machine(f"{DEV}[profile x]\nregion = x\n", environment={"AWS_PROFILE": "x"}),
    ),
    "two names that differ": (
        "env-profile",
        machine(f"{DEV}[profile b]\n{HOOK}", environment={"AWS_PROFILE": "dev", "AWS_DEFAULT_PROFILE": "b"}),
    ),
    "another config": (
        "env-files",
        machine(config_file=text("/x/config", DEV), environment={"AWS_CONFIG_FILE": "/x/config"}),
    ),
    "another credentials": (
        "env-files",
        machine(credentials_file=text("/x/c", ""), environment={"AWS_SHARED_CREDENTIALS_FILE": "/x/c"}),
    ),
    "a web identity": ("env-providers", in_(AWS_WEB_IDENTITY_TOKEN_FILE="/x")),
    "a container": ("env-providers", in_(AWS_CONTAINER_CREDENTIALS_FULL_URI="http://127.0.0.1/")),
    "no HOME": ("env-home", machine(environment={"HOME": ""})),
    **{
        f"{name}": ("env-python", in_(**{name: "/nonexistent"}))
        for name in "PYTHONHOME PYTHONPATH PYTHONEXECUTABLE PYTHONVERBOSE PYTHONMALLOCSTATS "
        "PYTHONPROFILEIMPORTTIME PYTHONHASHSEED PYTHONUTF8".split()
    },
    "LD_PRELOAD": ("env-loader", in_(LD_PRELOAD="/x.so")),
    # --- the vault
    "a hook for nobody": ("hook-profile", machine(f"{DEV}[profile x]\n{HOOK.replace('dev', 'x')}")),
    "a profile without a hook": ("profile-hook", machine(vault={"dev": PROFILE, "x": PROFILE})),
    "a session whose key makes IAM calls": ("session-iam", machine(vault=vault(used_in_aws_for="iam"))),
    "a key that AWS did not know": (
        "refused-lately",
        refused("AWS does not know the key ...DEVV in aws: it was deleted, is inactive or belongs elsewhere"),
    ),
    "a session that AWS did not take": (
        "refused-lately",
        refused("AWS does not accept this session for iam:ListAccessKeys: it has no MFA, or its key is gone"),
    ),
    # --- the hooks, tried
    "a vault that hands out nothing": (
        "hook-served",
        machine(proofs={"dev": Proof(code="aws-failed", line="cannot reach STS")}),
    ),
    "a line that fails": ("hook-runs", proof(run=Run(127, 0.1, "sh: not found"))),
    "a line that prints no answer": ("hook-runs", proof(run=Run(0, 0.1, size=3))),
    "a line that talks": ("hook-runs", proof(run=replace(PROOF.run or Run(0, 0), stderr="import os"))),
    "a line that answers for another": ("hook-runs", proof(run=Run(0, 0.1, "", 800, "ASIAEXAMPLE00000OTHR"))),
    "a slow line": ("hook-quick", proof(run=Run(0, 1.4, "", 800, SESSION))),
    "a long answer": ("hook-short", proof(run=Run(0, 0.1, "", 1001, SESSION))),
    "boto3 that finds another provider": ("hook-boto3", proof(botocore=Resolved("env", "SESS"))),
    "boto3 that gets another key": ("hook-boto3", proof(botocore=Resolved("custom-process", "OTHR"))),
    "boto3 that fails": ("hook-boto3", proof(botocore=Resolved(error="Partial credentials"))),
    "the aws command that finds another provider": (
        "hook-aws",
        proof(aws=Resolved("shared-credentials-file", "OTHR")),
    ),
    # --- who else may write
    "~/.aws that others may write": (
        "open-aws",
        machine(entries=(entry(DIRECTORY | 0o022, kind="directory"),)),
    ),
    "a config of somebody else": ("open-aws", machine(entries=(entry(FILE, 1001),))),
    "a key that others may read": (
        "open-secrets",
        machine(
            credentials_file=replace(
                text(CREDENTIALS, f"[x]\n{STATIC}aws_session_token = x\n"), entry=entry(FILE | 0o044)
            )
        ),
    ),
    "a vault that others may read": (
        "open-vault",
        machine(vault_entries=(entry(FILE | 0o040, path="/v/vault"),)),
    ),
    "a program that others may change": (
        "open-program",
        machine(programs={OURS: replace(PROGRAM, holders=(entry(stat.S_IFREG | 0o775, path=OURS),))}),
    ),
    "a program of somebody else": (
        "open-program",
        machine(programs={OURS: replace(PROGRAM, holders=(entry(stat.S_IFREG | 0o755, 1001, OURS),))}),
    ),
    # --- the daemon
    "a socket's path that is too long": (
        "daemon-socket",
        machine(socket_trouble="the socket's path is longer"),
    ),
    "a second daemon": (
        "daemon-single",
        machine(
            daemon=daemon(
                Answerer("/run/user/1000/awsvault", STATUS), Answerer("/state/run", STATUS | {"pid": 101})
            )
        ),
    ),
    "a lock that another daemon holds": ("daemon-single", machine(daemon=daemon(holder=99))),
    "a daemon that nobody reaches": (
        "daemon-single",
        machine(daemon=daemon(Answerer("/run/user/1000/awsvault")), vault=None, proofs={}, probe=None),
    ),
    "a daemon in the second place": (
        "daemon-reachable",
        machine(daemon=daemon(Answerer("/run/user/1000/awsvault"), Answerer("/state/run", STATUS))),
    ),
    "a directory that is open to others": (
        "daemon-reachable",
        machine(daemon=daemon(Answerer("/r", STATUS), Answerer("/s", code="refused", line="/s is open"))),
    ),
    "a daemon of another version": ("daemon-version", machine(daemon=status(version="0.9"))),
    "a daemon of another protocol": (
        "daemon-version",
        machine(
            daemon=daemon(Answerer("/r", STATUS), Answerer("/s", code="protocol-mismatch", line="another"))
        ),
    ),
    "a daemon that warns": ("daemon-warnings", machine(daemon=status(warnings=["the vault file is gone"]))),
    "half of the units": (
        "daemon-units",
        machine(units=(Unit("/u/vaultd.socket", True), Unit("/u/vaultd.service", False))),
    ),
    "an older unit": ("daemon-units", machine(units=(Unit("/u/vaultd.service", True, False),))),
    "an STS that does not answer": ("aws-reachable", machine(probe=Probe(line="cannot reach sts"))),
    "a clock that is ahead": ("clock", machine(probe=Probe("sts", 61))),
    "a clock that is behind": ("clock", machine(probe=Probe("sts", -400))),
    # --- what others left
    "a session in a cache": (
        "caches",
        machine(caches=(Cache(f"{HOME}/.aws/cli/cache/a.json", "session", "2026-11-24T13:00:00Z"),)),
    ),
    "a sign-in in a cache": ("caches", machine(caches=(Cache(f"{HOME}/.aws/sso/cache/a.json", "sign-in"),))),
    "an old copy": ("caches", machine(caches=(Cache(f"{HOME}/.aws/credentials.bak", "copy"),))),
    "a key in a history": ("histories", machine(histories={f"{HOME}/.bash_history": 2})),
}


def test_a_machine_that_is_well_is_told_nothing() -> None:
    assert [] == findings(machine())


@pytest.mark.parametrize(("check", "ill"), CASES.values(), ids=CASES)
def test_one_fault_is_one_checks_business(check: str, ill: Machine) -> None:
    assert {check} == fired(ill), findings(ill)


def test_every_check_has_a_case() -> None:
    checks = {check.name for check in CHECKS}
    assert {"hook-home"} == checks - {name for name, _ in CASES.values()}, "which only says where to look"
    assert len(checks) == len(CHECKS)


@pytest.mark.parametrize(("check", "ill"), CASES.values(), ids=CASES)
def test_every_finding_says_what_helps(check: str, ill: Machine) -> None:
    for name, finding in findings(ill):
        assert finding.evidence
        own = name in {"hook-served", "hook-runs", "hook-boto3", "hook-aws"}  # quote who says so himself
        assert finding.mend or own or finding.verdict == "unchecked", finding


WELL = {
    "a role adopted from the hook": machine(f"{DEV}[profile admin]\nrole_arn = x\nsource_profile = other\n"),
    "a session of another tool": machine(credentials=f"[x]\n{STATIC}aws_session_token = x\n"),
    "another tool's process": machine(
        f"{DEV}[profile x]\ncredential_process = /usr/bin/aws-vault export x\n"
    ),
    "nested settings": machine(f"{DEV}s3 =\n  addressing_style = path\n  credential_process = x\n"),
    "sections that are no profiles": machine(
        f"{DEV}[sso-session x]\nsso_region = x\n[services s]\nsts =\n  x = y\n"
    ),
    "spaces in the line": hooked(f"{OURS}  get   dev"),
    "variables inside exec": in_(AWSVAULT_PROFILE="dev", AWS_ACCESS_KEY_ID="ASIA", AWS_SESSION_TOKEN="x"),
    "AWS_PROFILE that leads to a hook": in_(AWS_PROFILE="dev"),
    "the usual file by name": in_(AWS_CONFIG_FILE=CONFIG),
    "a fixed hash seed": in_(PYTHONHASHSEED="0", PYTHONUTF8="1"),
    "an MFA session whose key makes IAM calls": machine(
        vault=vault(used_in_aws_for="iam", mfa_serial="arn:aws:iam::123456789012:mfa/alice")
    ),
    "a key served for IAM calls": machine(vault=vault(used_in_aws_for="iam", serve="key")),
    "a refusal of long ago": refused("AWS does not know the key", "2026-11-24T10:59:59Z"),
    "a refusal of another kind": refused("vault is locked; run: awsvault unlock"),
    "no units at all": machine(units=(Unit("/u/a", is_installed=False), Unit("/u/b", is_installed=False))),
    "a cache that is over": machine(caches=(Cache("/c", "session", NOW),)),
    "a directory for all with the sticky bit": machine(
        entries=(entry(stat.S_IFDIR | 0o1777, 0, "/tmp", "directory"),)
    ),
    "a revoked profile without a hook": machine(vault={"dev": PROFILE, "x": PROFILE | {"status": "revoked"}}),
    "a revoked profile with one": machine(vault=vault(status="revoked"), proofs={}),
    "a directory for a group of one": machine(
        entries=(replace(entry(DIRECTORY | 0o070, kind="directory"), alone=True),)
    ),
    "a clock that is nearly right": machine(probe=Probe("sts", -60)),
}


@pytest.mark.parametrize("well", WELL.values(), ids=WELL)
def test_what_is_as_it_should_be_is_no_finding(well: Machine) -> None:
    assert set() == fired(well), findings(well)


CLOSED = {
    "locked": daemon(Answerer("/r", STATUS | {"state": "locked"})),
    "without a daemon": daemon(Answerer("/r"), holder=None),
    "without a vault": daemon(Answerer("/r"), holder=None, has_vault=False),
}


@pytest.mark.parametrize("closed", CLOSED.values(), ids=CLOSED)
def test_a_closed_vault_is_no_finding_and_what_was_not_checked_is_said(closed: Daemon) -> None:
    shut = machine(daemon=closed, vault=None, probe=None, proofs={})
    assert set() == fired(shut)
    said = {name: finding.evidence for name, finding in findings(shut)}
    assert {check.name for check in CHECKS if check.wants_vault} == said.keys()
    assert 1 == len(set(said.values()))
    assert "run: awsvault " in next(iter(said.values()))


def test_a_hook_that_waits_for_a_person_is_not_tried() -> None:
    waiting = machine(
        proofs={"dev": Proof(code="mfa-needed", line="an MFA code is needed; run: awsvault mfa dev")}
    )
    assert set() == fired(waiting)
    ((name, finding),) = findings(waiting)
    assert ("hook-served", "unchecked") == (name, finding.verdict)
    assert "awsvault mfa dev" in finding.evidence


def test_hooks_of_another_vault_are_pointed_to() -> None:
    other = machine(f"{DEV}[profile x]\ncredential_process = {OURS} --home /h get x\n")
    assert [
        ("hook-home", "the hook of x was not judged: another vault's; run: awsvault --home /h doctor")
    ] == [(name, finding.evidence) for name, finding in findings(other)]


def test_named_profiles_narrow_what_is_said_of_profiles_only() -> None:
    ill = machine(f"{DEV}[profile x]\ncredential_process =\n", environment={"LD_PRELOAD": "/x.so"})
    assert {"hook-empty", "env-loader"} == {name for name, _ in findings(ill)}
    assert {"hook-empty", "env-loader"} == {name for name, _ in findings(ill, "x")}
    assert {"env-loader"} == {name for name, _ in findings(ill, "dev")}


# --- what mends it

FIXES: dict[str, tuple[Machine, Any]] = {
    "quotes": (hooked(f'"{OURS}" get dev'), Rehook("dev", Hook("dev", None))),
    "another home": (
        hooked(f"'{OURS}' --home /h get dev", vault={}),
        Rehook("dev", Hook("dev", "/h")),
    ),
    "a name of its own": (hooked(f'"{OURS}" get dev', "acme-dev"), Rehook("acme-dev", Hook("dev", None))),
    "a program that is gone": (
        called(Program("/x/awsvault", "missing", "/x/awsvault")),
        Rehook("dev", Hook("dev", None)),
    ),
    "no name to be seen": (hooked(f'"{OURS}" list', vault={}), None),
    "another installation": (called(Program("/x/awsvault", "file", "/y/awsvault")), None),
    "a key beside the hook": (beside(STATIC.strip()), Unplain("dev", CONFIG, Hook("dev", None))),
    "a key beside another vault's hook": (
        machine(f"[profile dev]\ncredential_process = {OURS} --home /h get dev\n{STATIC}", vault={}),
        None,
    ),
    "a profile without a hook": (machine(vault={"dev": PROFILE, "x": PROFILE}), AddHook("x")),
    "open": (
        machine(entries=(entry(DIRECTORY | 0o072, kind="directory"),)),
        CloseToOthers(CONFIG, 0o022),
    ),
    "an sso setting": (beside("sso_session = x"), None),
    "a cached session": (machine(caches=(Cache("/c", "session", ""),)), None),
}


@pytest.mark.parametrize(("ill", "fix"), FIXES.values(), ids=FIXES)
def test_only_what_is_safe_is_offered(ill: Machine, fix: object) -> None:
    (offered,) = [finding.fix for _, finding in findings(ill) if finding.verdict != "unchecked"]
    assert fix == offered


def test_the_line_to_write_is_told_whole() -> None:
    ((_, finding),) = findings(hooked("~/awsvault get dev", vault={}))
    assert f"write instead: credential_process = {OURS} get dev" == finding.mend
    assert (CONFIG, 2) == (finding.file, finding.line)


def test_keys_are_shown_by_their_ends_only() -> None:
    ((_, finding),) = findings(beside("aws_access_key_id = AKIAEXAMPLE00000WXYZ"))
    assert "the key ...WXYZ stands beside" in finding.evidence
    assert "AKIA" not in finding.evidence
