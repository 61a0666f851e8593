# SPDX-License-Identifier: Apache-2.0
"""Reads a role profile of ~/.aws/config, as AWS's tools and aws-vault write it, and puts our hook in its place.

Text in, values and text out. What is taken over goes out of the section, since it would beat the hook or mean nothing
beside it; region, output, comments and whatever else stands there stay byte for byte.
"""

import re
from dataclasses import dataclass

from vaultd.core import awsfiles
from vaultd.core.awsfiles import PROCESS, Hook
from vaultd.core.ini import Edit, IniFile, Section, short
from vaultd.wire.errors import Usage

ROLE = "role_arn"
SOURCE = "source_profile"
#: What a role profile says about its session. The last four are aws-vault's.
TAKEN = (
    f"{ROLE} {SOURCE} credential_source external_id mfa_serial duration_seconds role_session_name "
    "include_profile session_tags transitive_session_tags source_identity"
).split()


@dataclass(frozen=True, slots=True)
class Found:
    """A role as the file has it. `source` is a profile of the file, not of the vault."""

    role_arn: str
    source: str | None
    external_id: str | None
    mfa_serial: str | None
    duration_s: int | None
    session_name: str | None
    tags: dict[str, str]
    transitive_tags: tuple[str, ...]
    source_identity: str | None
    region: str | None


def role_in(config: IniFile, name: str) -> Found:
    """The role of the profile `name`. Raises Usage: no such profile, no role, or one that is written in no known form."""
    section = awsfiles.profile(config, name)
    if section is None:
        raise Usage(f"{config.where} has no such profile")  # the name was typed, and is not repeated
    settings = _with_included(config, section)
    if ROLE not in settings:
        raise Usage(f"the profile {short(name)} of {config.where} names no role_arn")
    return Found(
        role_arn=settings[ROLE],
        source=settings.get(SOURCE),
        external_id=settings.get("external_id"),
        mfa_serial=settings.get("mfa_serial"),
        duration_s=_seconds(settings.get("duration_seconds")),
        session_name=settings.get("role_session_name"),
        tags=_pairs(settings.get("session_tags", "")),
        transitive_tags=tuple(_words(settings.get("transitive_session_tags", ""))),
        source_identity=settings.get("source_identity"),
        region=settings.get("region"),
    )


def _with_included(config: IniFile, section: Section) -> dict[str, str]:
    """aws-vault's include_profile: what a section does not say itself, the included one does, and so on."""
    settings: dict[str, str] = {}
    seen: set[str] = set()
    while section.header not in seen:
        seen.add(section.header)
        own = {option.key: option.value for option in section.options if option.value}
        settings = own | settings
        included = own.get("include_profile")
        if included is None:
            return settings
        found = awsfiles.profile(config, included)
        if found is None:
            raise Usage(f"include_profile names {short(included)}, which {config.where} does not have")
        section = found
    raise Usage(
        f"the include_profile lines of {config.where} go round in a circle at {short(section.header)}"
    )


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 7):  # noqa: PLR2004 - a million seconds are no session
        raise Usage("duration_seconds is not a number of seconds")
    return int(text)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _pairs(text: str) -> dict[str, str]:
    """`session_tags = key=value,key=value`, as aws-vault reads it."""
    found: dict[str, str] = {}
    for word in _words(text):
        key, equals, value = (part.strip() for part in word.partition("="))
        if not (key and equals) or key in found:
            raise Usage("session_tags is not written key=value,key=value")
        found[key] = value
    return found


def vault_name(config: IniFile, profile: str, home: str | None) -> str:
    """The name in this home's vault that a profile of the file stands for: whom its hook asks, else its own."""
    section = awsfiles.profile(config, profile)
    process = section.option(PROCESS) if section else None
    hook = awsfiles.hook_in(process.value) if process else None
    return hook.name if hook and hook.home == home else profile


def fit_name(profile: str) -> str:
    """A name that the vault can have, for a profile whose own may have dots, slashes or spaces."""
    fitted = re.sub(r"[^A-Za-z0-9_-]", "-", profile)[:64]
    return fitted if re.match(r"[A-Za-z]", fitted) else f"p{fitted}"[:64]


def is_role(config: IniFile, profile: str) -> bool:
    """Is it a role profile that nobody has adopted yet?"""
    section = awsfiles.profile(config, profile)
    return bool(section and section.option(ROLE))


def with_hook_instead(config: IniFile, name: str, hook: Hook, program: str, region: str | None) -> str:
    """The text in which the role profile `name` asks `hook`, and has `region` where it had none. Twice changes nothing."""
    section = awsfiles.profile(config, name)
    if section is None:
        raise Usage(f"{config.where} has no such profile")
    line = f"{PROCESS} = {hook.line_for(program)}"
    taken = [option for option in section.options if option.key in (*TAKEN, PROCESS)]
    place = next((option for option in taken if option.key in (PROCESS, ROLE)), None)
    edit = Edit(config)
    for option in reversed(taken):
        if option is place:
            edit.replace(option, line)
        else:
            edit.drop(option)
    return _with_missing(IniFile(edit.text(), config.where), name, line, region)


def _with_missing(config: IniFile, name: str, line: str, region: str | None) -> str:
    """Add the hook, where the role was only included, and the region, where the section had none."""
    section = awsfiles.profile(config, name)
    assert section
    awsfiles.check_region(region)
    process = section.option(PROCESS)
    new = [] if process else [line]
    if region and not section.option("region"):
        new.append(f"region = {region}")
    edit = Edit(config)
    edit.add(section, process or next(reversed(section.options), None), new)
    return edit.text()
