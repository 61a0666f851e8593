# SPDX-License-Identifier: Apache-2.0
"""The environment: variables that beat every profile, choose other files, or change the program that a hook runs."""

from collections.abc import Iterator

from awsvault.doctor.findings import Check, Finding, problem, shown, unchecked, warning
from awsvault.doctor.machine import Machine
from awsvault.environment import CONFLICTING, MARKER

_NAMES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE")
_FILES = {"AWS_CONFIG_FILE": "config", "AWS_SHARED_CREDENTIALS_FILE": "credentials"}
_KEYS = (
    "AWS_ACCESS_KEY_ID AWS_ACCESS_KEY AWS_SECRET_ACCESS_KEY AWS_SECRET_KEY AWS_SESSION_TOKEN AWS_SECURITY_TOKEN"
).split()

#: Measured: with these Python does not start, or talks on stderr, before any code of ours (the promise's test has them).
_PYTHON = {
    "PYTHONHOME": "Python looks there for itself",
    "PYTHONEXECUTABLE": "Python takes itself for that",
    "PYTHONPLATLIBDIR": "Python looks for itself in other directories",
    "PYTHONVERBOSE": "Python talks on stderr",
    "PYTHONPROFILEIMPORTTIME": "Python talks on stderr",
    "PYTHONMALLOCSTATS": "Python talks on stderr",
    "PYTHONPATH": "a module there that is named like one of Python's own is run instead",
}
_LOADER = "LD_PRELOAD LD_AUDIT LD_LIBRARY_PATH DYLD_INSERT_LIBRARIES DYLD_LIBRARY_PATH".split()


def keys(machine: Machine) -> Iterator[Finding]:
    found = [name for name in _KEYS if machine.environment.get(name)]
    if not found:
        return
    if machine.environment.get(MARKER):
        yield unchecked("this shell runs inside `awsvault exec`, whose credentials every tool uses")
        return
    yield problem(
        f"{found[0]} is set: nearly every tool uses it instead of any profile",
        f"run: unset {' '.join(found)} (and look where your shell sets them)",
    )


def chosen(machine: Machine) -> Iterator[Finding]:
    """AWS_PROFILE: does it lead to a hook?"""
    set_ = {name: machine.environment[name] for name in _NAMES if machine.environment.get(name)}
    if len(set(set_.values())) > 1:
        yield warning(
            "AWS_PROFILE and AWS_DEFAULT_PROFILE differ: boto3 and the aws command take another one than other SDKs",
            "run: unset AWS_DEFAULT_PROFILE",
        )
    for name, value in set_.items():
        profile = machine.profiles.get(value)
        if profile is None:
            yield problem(f"{name} names {shown(value)}, which is no profile", f"run: unset {name}")
        elif machine.line_of(profile) is None:
            yield warning(f"{name} names {shown(value)}, which has no hook", f"run: unset {name}")


def other_files(machine: Machine) -> Iterator[Finding]:
    for name, usual in _FILES.items():
        value = machine.environment.get(name)
        if value and (machine.config if usual == "config" else machine.credentials).path != _usual(
            machine, usual
        ):
            yield warning(
                f"{name} is set: programs without it (IDEs, cron, the watcher) read ~/.aws/{usual} instead",
                f"run: unset {name}, or set it for every program",
                file=(machine.config if usual == "config" else machine.credentials).path,
            )


def _usual(machine: Machine, name: str) -> str:
    return f"{machine.environment.get('HOME', '')}/.aws/{name}"


def other_providers(machine: Machine) -> Iterator[Finding]:
    """Roles of web identities, endpoints of containers, and what older tools read."""
    if machine.environment.get(MARKER):
        return
    for name in CONFLICTING:
        if machine.environment.get(name) and name not in _KEYS and name not in _NAMES:
            yield warning(
                f"{name} is set: programs without a profile, and some with one, take other credentials or a wrong account",
                f"run: unset {name}",
            )


def home(machine: Machine) -> Iterator[Finding]:
    if not machine.environment.get("HOME"):
        yield warning(
            "HOME is not set: several SDKs then find no ~/.aws", "set HOME where this program is started"
        )


def python(machine: Machine) -> Iterator[Finding]:
    for name, effect in _PYTHON.items():
        if machine.environment.get(name):
            yield warning(
                f"{name} is set, against which a hook cannot defend itself: {effect}", f"run: unset {name}"
            )
    for name, fine in (("PYTHONHASHSEED", ("random",)), ("PYTHONUTF8", ("0", "1"))):
        value = machine.environment.get(name)
        if value and value not in fine and not (name == "PYTHONHASHSEED" and value.isdecimal()):
            yield problem(
                f"{name} has a value with which Python, and so every hook, refuses to start",
                f"run: unset {name}",
            )


def loader(machine: Machine) -> Iterator[Finding]:
    for name in _LOADER:
        if machine.environment.get(name):
            yield warning(
                f"{name} is set: the libraries that it names run inside every hook, and can see what it hands out",
                f"run: unset {name}, or see what they are: echo ${name}",
            )


CHECKS = (
    Check("env-keys", "are there credentials in the environment", keys),
    Check("env-profile", "does AWS_PROFILE lead to a hook", chosen),
    Check("env-files", "does the environment choose other files", other_files),
    Check("env-providers", "does the environment name other sources of credentials", other_providers),
    Check("env-home", "is HOME set", home),
    Check("env-python", "does the environment change Python", python),
    Check("env-loader", "does the environment change what programs load", loader),
)
