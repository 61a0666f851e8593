# SPDX-License-Identifier: Apache-2.0
"""Edits the text of ~/.aws/config: puts our hook line in, takes it out again, names what would beat it.

Text in, text out: it must not know files, locks or where anything is. Rules R19-R24 are about this line: every SDK
has its own reader of these files, and what is written here is what all of them take.
"""

import re
import shlex
from dataclasses import dataclass

from vaultd.core.ini import Edit, IniFile, Option, Section, indent_of, line_end_of, short, split
from vaultd.wire.errors import Usage

AwsFile = IniFile  # what every function here reads: AwsFile(text, name for messages)

PROCESS = "credential_process"
#: What else gives a profile credentials. Clients disagree about which wins; in most of them not the hook.
RIVALS = frozenset(
    "aws_access_key_id aws_secret_access_key aws_session_token role_arn source_profile credential_source "
    "web_identity_token_file login_session".split()
)
_HOOK = re.compile(
    r"(?:[A-Za-z0-9_./-]*/)?awsvault(?: --home (?P<home>[A-Za-z0-9_./-]+))? get (?P<name>[A-Za-z][A-Za-z0-9_-]{0,63})"
)
#: Nearly all headers: shlex is a hundred times slower.
_PLAIN_PROFILE = re.compile(r"profile[ \t]+([A-Za-z0-9_.@/+:-]+)\Z")
_REGION = r"[a-z0-9-]{1,40}"
#: Not compiled before there is something to back up: every `add` waits for what is done at import.
_CONFIDENTIAL = r"(?i)[#;\s]*\S*(?:secret|password|passphrase|(?:session|security)_token)(?!_file)\w*\s*[=:]"


@dataclass(frozen=True, slots=True)
class Hook:
    """Whom a hook line asks: a name in the vault, and that vault's home when it is not the usual one."""

    name: str
    home: str | None

    def line_for(self, program: str) -> str:
        """The value of `credential_process`: bare words, no quotes, absolute. Raises Usage."""
        value = f"{program} --home {self.home} get {self.name}" if self.home else f"{program} get {self.name}"
        if hook_in(value) != self or not program.startswith("/"):
            raise Usage("a hook line takes only letters, digits and _ . / - in its path, home and name")
        return value


@dataclass(frozen=True, slots=True)
class Rival:
    """A setting that gives the profile other credentials than the hook does."""

    where: str
    line: int
    key: str


def hook_in(value: str) -> Hook | None:
    """The hook in a `credential_process` value, None when it calls something else."""
    found = _HOOK.fullmatch(" ".join(value.split()))
    return Hook(found["name"], found["home"]) if found else None


def hooks(config: IniFile) -> list[Hook]:
    """Every hook in the file, in its order."""
    processes = (section.option(PROCESS) for section in config.sections)
    return [hook for process in processes if process and (hook := hook_in(process.value))]


def profile(config: IniFile, name: str) -> Section | None:
    """The section of a profile in `config`. Raises Usage when two sections claim the name."""
    found = [section for section in config.sections if profile_in(section.header) == name]
    if len(found) > 1:
        raise config.refusal(found[1].first, f"has a second section for the profile {short(name)}")
    return found[0] if found else None


def profile_in(header: str) -> str | None:
    """The profile that a header of `config` names, by botocore's reading: words split like a shell's."""
    if header == "default":
        return header
    plain = _PLAIN_PROFILE.match(header)
    if plain:
        return plain[1]
    if not header.startswith("profile"):
        return None
    try:
        words = shlex.split(header)
    except ValueError:
        return None
    return words[1] if len(words) == 2 else None  # noqa: PLR2004 - the word profile and the name


def rivals(config: IniFile, credentials: IniFile, hook: Hook, name: str | None = None) -> list[Rival]:
    """Every setting of the profile, in both files, that competes with `hook`. `name`: when it is not the hook's."""
    name = name or hook.name
    plain = next((section for section in credentials.sections if section.header == name), None)
    return [
        Rival(file.where, option.first + 1, option.key)
        for file, section in ((config, profile(config, name)), (credentials, plain))
        for option in (section.options if section else ())
        if option.key in RIVALS
        or option.key.startswith("sso_")
        or (option.key == PROCESS and hook_in(option.value) != hook)
    ]


def with_hook(config: IniFile, hook: Hook, program: str, region: str | None) -> str:
    """The text in which the profile of the hook's name asks `program`, and has `region` where it had none.

    Doing it twice changes nothing. An existing `credential_process` is replaced: ask `rivals` first.
    """
    line = hook.line_for(program)
    check_region(region)
    section = profile(config, hook.name)
    process = section.option(PROCESS) if section else None
    new = [] if process else [f"{PROCESS} = {line}"]
    if region and not (section and section.option("region")):
        new.append(f"region = {region}")
    edit = Edit(config)
    if section is None:
        edit.append_section("default" if hook.name == "default" else f"profile {hook.name}", new)
        return edit.text()
    edit.add(section, process or next(reversed(section.options), None), new)
    if process and process.value != line:
        edit.replace(process, f"{PROCESS} = {line}")
    return edit.text()


def region(config: IniFile, hook: Hook) -> str | None:
    """The region that stands beside the hook, or else in the profile of its name; None where there is none."""
    asking = [section for section, _ in _asking(config, hook)]
    sections = [*asking, *filter(None, [profile(config, hook.name)])]
    found = [option.value for section in sections if (option := section.option("region"))]
    return found[0] if found and re.fullmatch(_REGION, found[0]) else None


def without_hook(config: IniFile, hook: Hook, region: str | None) -> str:
    """The text without the lines that ask `hook`, and without the `region` line that was written with them.

    A section goes with its last setting, unless a comment stands in it: then it is the user's.
    """
    edit = Edit(config)
    for section, process in reversed(_asking(config, hook)):
        beside = _region_beside(section, process, region)
        if beside:
            edit.drop(beside)
        edit.drop(process)
        if len(section.options) == 1 + bool(beside):
            edit.drop_empty_section(section)
    return edit.text()


def with_region(config: IniFile, hook: Hook, old: str | None, new: str | None) -> str:
    """The text in which the `region` line written with the hook says `new`; another region is the user's and stays."""
    check_region(new)
    edit = Edit(config)
    for section, process in reversed(_asking(config, hook)):
        beside = _region_beside(section, process, old)
        if beside and new:
            edit.replace(beside, f"region = {new}")
        elif beside:
            edit.drop(beside)
        elif new and not section.option("region"):
            edit.add(section, process, [f"region = {new}"])
    return edit.text()


def _asking(config: IniFile, hook: Hook) -> list[tuple[Section, Option]]:
    found = ((section, section.option(PROCESS)) for section in config.sections)
    return [(section, process) for section, process in found if process and hook_in(process.value) == hook]


def _region_beside(section: Section, process: Option, region: str | None) -> Option | None:
    """The region line that was written with the hook: directly below it, and of that value."""
    option = section.option("region")
    return option if option and option.value == region and option.first == process.last + 1 else None


def check_region(region: str | None) -> None:
    if region is not None and not re.fullmatch(_REGION, region):
        raise Usage("a region is written like eu-central-1")


def without_secrets(text: str) -> str:
    """The text with the values of secrets cut out, also of those in comments: for a backup."""
    kept: list[str] = []
    cut_below: int | None = None  # lines indented deeper than this continue a secret
    confidential = re.compile(_CONFIDENTIAL)
    for line in split(text):
        lower = line.lower()  # nearly no line has one of the words, and the pattern is slow to find that out
        found = confidential.match(line) if "secret" in lower or "pass" in lower or "token" in lower else None
        if found:
            kept.append(f"{found[0]} (cut out by awsvault){line_end_of(line)}")
            cut_below = len(indent_of(line))
        elif not line.strip():
            kept.append(line)
        elif cut_below is None or len(indent_of(line)) <= cut_below:
            kept.append(line)
            cut_below = None
    return "".join(kept)
