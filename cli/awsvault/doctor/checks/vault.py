# SPDX-License-Identifier: Apache-2.0
"""The hooks beside the vault's own list: one for each profile, and each for a profile."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from awsvault.doctor.checks import hooks
from awsvault.doctor.findings import AddHook, Check, Finding, problem, shown, together, warning
from awsvault.doctor.machine import Machine
from vaultd.core.awsfiles import PROCESS, Hook
from vaultd.wire.errors import Usage

#: What a session without MFA may not call, and what makes IAM resources for its user.
_IAM = ("iam", "cloudformation")
_UNKNOWN_KEY = "InvalidClientTokenId"
RECENTLY = timedelta(hours=1)


def wanted(machine: Machine) -> Iterator[Finding]:
    """Does each hook ask for a profile that is there?"""
    for profile, line, file in machine.ours():
        hook = machine.hook_of(profile)
        if hook and hook.home == machine.home and hook.name not in (machine.vault or ()):
            yield problem(
                f"the hook of {shown(profile.name)} asks for {hook.name}, which the vault does not have",
                f"run: awsvault add {hook.name}, or remove that line",
                profile=profile.name,
                file=file,
                line=line.line,
            )


def hooked(machine: Machine) -> Iterator[Finding]:
    """Does each profile of the vault have a hook?"""
    meant = (
        hooks.meant(line.value) for _, line, _ in machine.ours()
    )  # a line that is badly written is told as that
    asked = {hook.name for hook in meant if hook and hook.home == machine.home}
    for name in machine.vault or ():
        if name in asked or machine.is_revoked(name):
            continue
        mend = f"add to {machine.config.path}: [profile {name}] {PROCESS} = {_line(machine, name)}"
        known = machine.profiles.get(name)
        is_free = known is None or machine.line_of(known) is None
        yield warning(
            f"no hook asks for {name}: no tool finds it",
            mend,
            profile=name,
            fix=AddHook(name) if machine.hook_program and is_free else None,
        )


def _line(machine: Machine, name: str) -> str:
    try:
        return Hook(name, machine.home).line_for(machine.hook_program or "/path/to/awsvault")
    except Usage:
        return f"/path/to/awsvault get {name}"


def other_homes(machine: Machine) -> Iterator[Finding]:
    others = [(profile.name, hook.home) for profile, hook in machine.hooked() if hook.home != machine.home]
    commands = {home: f"awsvault --home {home}" if home else "AWSVAULT_HOME= awsvault" for _, home in others}
    yield from together(
        ((name, f"run: {commands[home]} doctor") for name, home in others), "judged: another vault's; "
    )


def sessions(machine: Machine) -> Iterator[Finding]:
    """Sessions that may not do what their key was used for: IAM then says InvalidClientTokenId."""
    for name, profile in (machine.vault or {}).items():
        used_for = profile.get("used_in_aws_for")
        if profile["kind"] == "key" and profile["serve"] == "session" and used_for in _IAM:
            if profile.get("mfa_serial"):
                continue
            yield warning(
                f"{name} serves sessions without MFA, and its key was last used for {used_for}: IAM refuses such a "
                f"session with {_UNKNOWN_KEY}",
                f"read: awsvault help session; then run: awsvault edit {name} --serve key",
                profile=name,
            )


def refusals(machine: Machine) -> Iterator[Finding]:
    """AWS said, to vaultd itself, that it does not take a key or a session."""
    told = set()
    for refusal in machine.daemon.status["refusals"] if machine.daemon.status else ():
        name = refusal["profile"]
        if name in told or not (_is_of_key(refusal["line"]) and is_recent(refusal["at"], machine.now)):
            continue
        told.add(name)
        yield warning(
            f"AWS did not take the key or session of {name} at {refusal['at']} ({_UNKNOWN_KEY}): the key is gone or "
            "inactive, or the call wants MFA",
            f"run: awsvault show {name}; read: awsvault help session",
            profile=name,
        )


def _is_of_key(line: str) -> bool:
    return any(
        part in line for part in (_UNKNOWN_KEY, "does not know the key", "does not accept this session")
    )


def is_recent(at: str, now: str) -> bool:
    return bool(now) and datetime.fromisoformat(now) - datetime.fromisoformat(at) < RECENTLY


CHECKS = (
    Check("hook-profile", "does every hook ask for a profile that is there", wanted, wants_vault=True),
    Check("profile-hook", "is every profile of the vault asked for", hooked, wants_vault=True),
    Check("hook-home", "do the hooks ask this vault", other_homes),
    Check("session-iam", "are sessions used for what they may do", sessions, wants_vault=True),
    Check("refused-lately", "did AWS know the keys", refusals),
)
