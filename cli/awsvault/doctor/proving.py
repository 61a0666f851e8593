# SPDX-License-Identifier: Apache-2.0
"""Tries the hooks: the daemon's own answer, the line itself as a shell runs it, botocore and the aws command.

Each gets credentials and shows none: what stays is a key's id. Must not know what is made of it (checks/answers.py).
"""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from awsvault.doctor.machine import Machine, Proof, Resolved, Run
from awsvault.doctor.survey import Profile
from vaultd.core.awsfiles import Hook
from vaultd.wire import client
from vaultd.wire.errors import AwsPending, VaultError

TRIED = 50  # hooks that are tried unasked: three programs for each
TRIED_OF_MANY = 5  # where each of those programs has a large file to read first
MANY = 500
RUN_TIMEOUT_S = 15.0
CLIENT_TIMEOUT_S = 60.0
PENDING_S = 20.0
AT_ONCE = 4
SLOW_S = 0.5  # then it is run again: a cold disk or a busy moment is not how it always is
RUNS = 3

#: `access_key  ****************ABCD  custom-process`, in version 2 with colons between.
_LISTED = re.compile(r"^\s*access_key[\s:]+(?:\*+(\S{4})|<not set>)[\s:]+([A-Za-z-]+)", re.MULTILINE)

Wanted = list[tuple[Profile, Hook]]


def prove(machine: Machine, wanted: frozenset[str], progress: Callable[[str], None]) -> Machine:
    """The machine with what came of trying the hooks of this home; all of `wanted`, else not too many."""
    hooks = [
        (profile, hook)
        for profile, hook in machine.hooked()
        if hook.home == machine.home
        and hook.name in (machine.vault or ())
        and machine.calls_us(profile)
        and not machine.is_revoked(hook.name)
    ]
    limit = TRIED if len(machine.profiles) <= MANY else TRIED_OF_MANY
    chosen = [(p, h) for p, h in hooks if p.name in wanted] if wanted else hooks[:limit]
    rest = () if wanted else tuple(profile.name for profile, _ in hooks[limit:])
    if not chosen:
        return machine
    progress("trying the hooks")
    proofs = {profile.name: _ask(machine.home, hook.name) for profile, hook in chosen}
    served = [(profile, hook) for profile, hook in chosen if proofs[profile.name].key_id]
    if served:
        proofs |= _tried(machine, served, proofs)
    return replace(machine, proofs=proofs, not_proven=rest)


def _ask(home: str | None, name: str) -> Proof:
    """Whom the daemon answers for this profile."""
    deadline = time.monotonic() + PENDING_S
    while True:
        try:
            return Proof(key_id=str(client.call("get", home=home, profile=name).get("AccessKeyId", "")))
        except AwsPending as error:
            if time.monotonic() > deadline:
                return Proof(code=error.code, line=error.line)
        except VaultError as error:
            return Proof(code=error.code, line=error.line)


def _tried(machine: Machine, served: Wanted, proofs: Mapping[str, Proof]) -> dict[str, Proof]:
    """The lines one after another, for their time counts; the clients side by side."""
    names = [profile.name for profile, _ in served]
    runs = {profile.name: run_line(_line(machine, profile), machine.environment) for profile, _ in served}
    if machine.is_broken:
        return {name: replace(proofs[name], run=runs[name]) for name in names}
    environment = clean_environment(machine)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        sdk = pool.submit(by_botocore, names, environment)
        listed = dict(zip(names, pool.map(lambda name: by_aws(name, environment), names), strict=True))
        resolved = sdk.result()
    return {
        name: replace(proofs[name], run=runs[name], botocore=resolved.get(name), aws=listed[name])
        for name in names
    }


def _line(machine: Machine, profile: Profile) -> str:
    line = machine.line_of(profile)
    return line.value if line else ""


def clean_environment(machine: Machine) -> dict[str, str]:
    """What an IDE's or cron's program would have: no AWSVAULT_HOME, no AWS_*, nothing of Python's."""
    kept = {name: machine.environment[name] for name in ("HOME", "PATH") if name in machine.environment}
    return {
        **kept,
        "AWS_CONFIG_FILE": machine.config.path,
        "AWS_SHARED_CREDENTIALS_FILE": machine.credentials.path,
        "AWS_EC2_METADATA_DISABLED": "true",  # without credentials it would be waited for
    }


def run_line(line: str, environment: Mapping[str, str]) -> Run:
    """The hook line as most SDKs run it, in the environment that is here; of a slow one the best of some runs."""
    best = _run_once(line, environment)
    for _ in range(RUNS - 1):
        if best.took_s < SLOW_S or best.status:
            break
        best = min(best, _run_once(line, environment), key=lambda run: run.took_s)
    return best


def _run_once(line: str, environment: Mapping[str, str]) -> Run:
    begun = time.monotonic()
    try:
        done = _run(["/bin/sh", "-c", line], environment, RUN_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Run(-1, time.monotonic() - begun, stderr=_why(error))
    took_s = time.monotonic() - begun
    stderr = done.stderr.decode("utf-8", "replace").strip()
    return Run(done.returncode, took_s, stderr, len(done.stdout), _key_id(done.stdout))


def _key_id(stdout: bytes) -> str | None:
    try:
        document = json.loads(stdout)
    except ValueError:
        return None
    found = document.get("AccessKeyId") if isinstance(document, dict) else None
    return found if isinstance(found, str) else None


def by_botocore(names: Iterable[str], environment: Mapping[str, str]) -> dict[str, Resolved]:
    names = list(names)
    command = [sys.executable, "-I", "-m", "awsvault.doctor.sdk"]
    try:
        done = _run(command, environment, CLIENT_TIMEOUT_S, json.dumps(names).encode())
        told: dict[str, dict[str, str]] = json.loads(done.stdout)
        return {name: Resolved(**facts) for name, facts in told.items()}
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        return dict.fromkeys(names, Resolved(error=_why(error)))


def by_aws(name: str, environment: Mapping[str, str]) -> Resolved | None:
    """None where it is not installed. `configure list` shows the ends of key and secret: only the key's is read."""
    program = shutil.which("aws", path=environment.get("PATH"))
    if program is None:
        return None
    try:
        done = _run([program, "configure", "list", "--profile", name], environment, CLIENT_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Resolved(error=_why(error))
    if done.returncode:
        return Resolved(error=done.stderr.decode("utf-8", "replace").strip() or f"status {done.returncode}")
    found = _LISTED.search(done.stdout.decode("utf-8", "replace"))
    if found is None:
        return None  # a version that writes it in another way
    return Resolved(provider=found[2] if found[1] else "", key_tail=found[1] or "")


def _run(
    command: list[str], environment: Mapping[str, str], timeout_s: float, stdin: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    options: dict[str, Any] = {"input": stdin} if stdin else {"stdin": subprocess.DEVNULL}
    return subprocess.run(
        command,
        env=dict(environment),
        capture_output=True,
        timeout=timeout_s,
        check=False,
        cwd="/",
        **options,
    )


def _why(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no answer within {error.timeout:.0f} s"
    return getattr(error, "strerror", None) or type(error).__name__
