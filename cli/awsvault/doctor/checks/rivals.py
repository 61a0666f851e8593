# SPDX-License-Identifier: Apache-2.0
"""What gives a profile other credentials than its hook: clients disagree about which wins, in most of them not the hook."""

from collections.abc import Iterator

from awsvault.doctor.findings import Check, Finding, Unplain, problem, shown, warning, word
from awsvault.doctor.machine import Machine
from awsvault.doctor.survey import Part, Profile, Setting
from vaultd.core import adopt, awsfiles
from vaultd.core.awsfiles import PROCESS

KEY_ID, SECRET = "aws_access_key_id", "aws_secret_access_key"
TOKENS = ("aws_session_token", "aws_security_token")
STATIC = (KEY_ID, SECRET, *TOKENS)
TAIL = 4


def _parts(machine: Machine, profile: Profile) -> Iterator[tuple[str, Part]]:
    if profile.config:
        yield machine.config.path, profile.config
    if profile.credentials:
        yield machine.credentials.path, profile.credentials


def static_keys(machine: Machine) -> Iterator[Finding]:
    """A key left beside the hook, in either file."""
    for profile in machine.profiles.values():
        if machine.line_of(profile) is None:
            continue
        hook = machine.hook_of(profile)
        for file, part in _parts(machine, profile):
            left = [part.settings[key] for key in STATIC if key in part.settings]
            if left:
                yield problem(
                    f"{_key(part)} stands beside the hook of {shown(profile.name)}, and most tools use it instead",
                    f"awsvault doctor --fix takes it out if the vault holds the same; or: awsvault import {word(profile.name)}",
                    profile=profile.name,
                    file=file,
                    line=min(setting.line for setting in left),
                    fix=Unplain(profile.name, file, hook) if hook and hook.home == machine.home else None,
                )


def _key(part: Part) -> str:
    found = part.settings.get(KEY_ID)
    if not found or not found.value or found.value != found.value.upper():
        return "a key"  # with small letters in its place it is the secret
    return f"the key ...{shown(found.value[-TAIL:])}"


def plaintext(machine: Machine) -> Iterator[Finding]:
    """A long-term key of a profile that has no hook. A session beside its token ends by itself."""
    for profile in machine.profiles.values():
        if machine.line_of(profile):
            continue
        for file, part in _parts(machine, profile):
            if SECRET in part.settings and not any(token in part.settings for token in TOKENS):
                yield warning(
                    f"{_key(part)} of {shown(profile.name)} lies there in plain text",
                    f"run: awsvault import {word(profile.name)}",
                    profile=profile.name,
                    file=file,
                    line=part.settings[SECRET].line,
                )


def others(machine: Machine) -> Iterator[Finding]:
    """sso_*, role_arn, web identity, login_session, credential_source, a second credential_process."""
    for profile in machine.profiles.values():
        hook = machine.line_of(profile)
        if hook is None:
            continue
        for file, part in _parts(machine, profile):
            for setting in part.settings.values():
                if not _rivals(setting, hook):
                    continue
                is_role = setting.key in (adopt.ROLE, adopt.SOURCE)
                name = shown(profile.name)
                mend = (
                    f"remove that line, or take the role over: awsvault add-role {name} --from-config {name}"
                )
                yield problem(
                    f"{shown(setting.key)} stands beside the hook of {name}: some tools use it instead, others fail",
                    mend if is_role else "remove that line",
                    profile=profile.name,
                    file=file,
                    line=setting.line,
                )


def _rivals(setting: Setting, hook: Setting) -> bool:
    if setting.key == PROCESS:
        return setting.value != hook.value
    if setting.key in STATIC:
        return False  # told by themselves
    return setting.key in awsfiles.RIVALS or setting.key.startswith("sso_")


def sources(machine: Machine) -> Iterator[Finding]:
    """Roles that a hooked profile is the source of: several SDKs cannot do that."""
    hooked = {profile.name for profile, _ in machine.hooked()}
    for profile in machine.profiles.values():
        part = profile.config
        source = part.settings.get(adopt.SOURCE) if part else None
        if source and part and adopt.ROLE in part.settings and source.value in hooked - {profile.name}:
            name = shown(profile.name)
            yield warning(
                f"{name} is assumed from {shown(source.value)}, whose hook the SDKs for C++, JavaScript 2, Java 1 and PHP "
                "do not ask then",
                f"run: awsvault add-role {adopt.fit_name(profile.name)} --from-config {name}",
                profile=profile.name,
                file=machine.config.path,
                line=source.line,
            )


CHECKS = (
    Check("static-keys", "are there keys left beside the hooks", static_keys),
    Check("plaintext-keys", "are there keys in plain text in other profiles", plaintext),
    Check("rivals", "is there anything else that beats the hooks", others),
    Check("role-sources", "are roles assumed from hooked profiles", sources),
)
