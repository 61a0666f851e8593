# SPDX-License-Identifier: Apache-2.0
"""The access keys that lie in plain text in ~/.aws/credentials and ~/.aws/config, and what stands against moving one.

Text in, facts out. What is found is what AWS's tools would use: of two keys for one profile, that of `credentials`. It
must not know AWS or the vault; how the lines go out of the files is scrub.py's business.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from vaultd.core.awsfiles import PROCESS, RIVALS, hook_in, profile_in
from vaultd.core.ini import IniFile, Option, Section
from vaultd.core.keys import ACCESS_KEY_ID, SECRET_KEY
from vaultd.core.refusals import BAD_SIGNATURE, UNKNOWN_KEY
from vaultd.core.secret import Secret

KEY_ID: Final = "aws_access_key_id"
SECRET: Final = "aws_secret_access_key"  # noqa: S105 - the setting's name
TOKENS: Final = ("aws_session_token", "aws_security_token")
#: What AWS answers to a key that does not work; any other failure says nothing about the key.
DEAD: Final = UNKNOWN_KEY | BAD_SIGNATURE

TEMPORARY: Final = "temporary: it ends by itself"
_ROLE: Final = "role_arn"
_SOURCE: Final = "source_profile"
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_SHOUTED = re.compile(r"[A-Z0-9_]{4,128}")
_SERIAL = re.compile(r"[A-Za-z0-9_+=/:,.@-]{9,256}")


@dataclass(frozen=True, slots=True)
class Place:
    where: str
    line: int  # as people count


@dataclass(frozen=True, slots=True)
class Found:
    """A key in plain text. `profile` is the file's name for it, of any characters."""

    profile: str
    places: tuple[Place, ...]
    access_key_id: str
    secret: Secret
    region: str | None = None
    mfa_serial: str | None = None
    obstacle: str = ""  # why it stays where it is
    shadowed: bool = False  # the same profile has another key in `credentials`, which is the one that is used
    role: bool = False  # the profile itself is a role, which this key assumes

    @property
    def shown_id(self) -> str:
        """The access key id, if it can be told from a secret: the two may have changed places. Otherwise nothing."""
        return self.access_key_id if looks_like_id(self.access_key_id) else ""

    @property
    def is_harmless(self) -> bool:
        """An access key id that was left alone: nothing that anybody could use."""
        return not self.secret.reveal_bytes() and looks_like_id(self.access_key_id)

    @property
    def line(self) -> str:
        return ", ".join(f"{place.where}:{place.line}" for place in self.places)

    def same_key(self, other: "Found") -> bool:
        return self.access_key_id == other.access_key_id and self.secret == other.secret


@dataclass(slots=True)
class Profile:
    """What both files say of one profile."""

    config: Section | None = None
    credentials: Section | None = None
    doubled: list[str] = field(default_factory=list)

    @property
    def has_keys(self) -> bool:
        """Does a half of a key, or a token, stand in either file?"""
        return any(self.settings().get(key) for key in (KEY_ID, SECRET, *TOKENS))

    def settings(self) -> dict[str, str]:
        """Merged as AWS's tools do: `credentials` wins."""
        sections = [section for section in (self.config, self.credentials) if section]
        return {option.key: option.value for section in sections for option in section.options}


def found_in(config: IniFile, credentials: IniFile, home: str | None = None) -> list[Found]:
    """Every key of both files, in their order. `home`: of the vault that they may move to."""
    inherited = [_inherited(file) for file in (credentials, config)]
    found = []
    for name, profile in profiles(config, credentials).items():
        for key in _keys(name, profile, config, credentials):
            against = key.obstacle or obstacle_to(profile, config, credentials, home)
            against = against or next((line for line in inherited if line), "")
            found.append(replace(key, obstacle=against))
    return found


def profiles(config: IniFile, credentials: IniFile) -> dict[str, Profile]:
    """By name: those of `credentials` first."""
    known: dict[str, Profile] = {}
    for section in credentials.sections:
        if section.header != "DEFAULT":
            known.setdefault(section.header, Profile()).credentials = section
    for section in config.sections:
        name = profile_in(section.header)
        if name is None:
            continue
        profile = known.setdefault(name, Profile())
        if profile.config:
            profile.doubled.append(f"{config.where} line {section.first + 1} has a second section for it")
        profile.config = section
    return known


def _keys(name: str, profile: Profile, config: IniFile, credentials: IniFile) -> Iterator[Found]:
    main = _key(name, profile, profile.credentials, credentials.where)
    other = _key(name, profile, profile.config, config.where)
    if main and other and main.same_key(other):
        yield replace(main, places=main.places + other.places, obstacle=main.obstacle or other.obstacle)
        return
    if main:
        yield main
    if other:
        yield replace(other, shadowed=main is not None, role=other.role and main is None)


def _key(name: str, profile: Profile, section: Section | None, where: str) -> Found | None:
    """The key in one section, whole or not; None when there is nothing of one."""
    options = {it.key: it for it in section.options if it.value} if section else {}
    lines = [options[key].first for key in (KEY_ID, SECRET) if key in options]
    if not lines:
        return None
    key_id, secret = (options[key].value if key in options else "" for key in (KEY_ID, SECRET))
    settings = profile.settings()
    return Found(
        profile=name,
        places=(Place(where, min(lines) + 1),),
        access_key_id=key_id,
        secret=Secret(secret.encode("utf-8", "surrogateescape")),
        region=region_in(settings),
        mfa_serial=serial_in(settings),
        obstacle=shape(key_id, secret, has_token=any(token in options for token in TOKENS)),
        role=bool(profile.config and profile.config.option(_ROLE)),
    )


def region_in(settings: Mapping[str, str]) -> str | None:
    value = settings.get("region", "")
    return value if _REGION.fullmatch(value) else None


def serial_in(settings: Mapping[str, str]) -> str | None:
    value = settings.get("mfa_serial", "")
    return value if _SERIAL.fullmatch(value) else None


def looks_like_id(value: str) -> bool:
    """Secrets have small letters in them; AWS's key ids never."""
    return bool(_SHOUTED.fullmatch(value))


def shape(key_id: str, secret: str, *, has_token: bool) -> str:
    """Why these two are not a key that can be kept; empty when they look like one."""
    if has_token or key_id.startswith("ASIA"):
        return TEMPORARY
    if not key_id or not secret:
        return f"only half a key: the {'secret' if key_id else 'access key id'} is missing"
    if "\n" in key_id + secret:
        return "it is not written on one line"
    if looks_like_id(secret) and not looks_like_id(key_id):
        return "the access key id stands where the secret access key belongs"
    if not ACCESS_KEY_ID.match(key_id) or not SECRET_KEY.match(secret.encode("utf-8", "surrogateescape")):
        return "that is no access key"
    return ""


def obstacle_to(
    profile: Profile, config: IniFile, credentials: IniFile, home: str | None, tool: str | None = None
) -> str:
    """What would go on giving the profile other credentials once its key is gone; nothing: an empty text.

    `tool`: a program whose `credential_process` lines are none.
    """
    if profile.doubled:
        return profile.doubled[0]
    in_config = profile.config.options if profile.config else ()
    may_move = any(option.key == _ROLE for option in in_config)  # a role that can be taken over is none
    rivals = [(config, option) for option in in_config if _is_rival(option, home, tool, may_move=may_move)]
    rivals += [
        (credentials, option)
        for option in (profile.credentials.options if profile.credentials else ())
        if option.key == PROCESS or _is_rival(option, home, None, may_move=False)
    ]
    return next(
        (f"{file.where} line {it.first + 1}: {it.key} would be used instead" for file, it in rivals), ""
    )


def _is_rival(option: Option, home: str | None, tool: str | None, *, may_move: bool) -> bool:
    if option.key in (KEY_ID, SECRET, *TOKENS):
        return False
    if option.key in (_ROLE, _SOURCE):
        return not may_move
    if option.key == PROCESS:
        hook = hook_in(option.value)
        return not (hook.home == home if hook else tool and calls(option.value, tool))
    return option.key in RIVALS or option.key.startswith("sso_")


def calls(process: str, tool: str) -> bool:
    """Does a `credential_process` call this program, by whatever path?"""
    words = process.replace('"', " ").split()
    return bool(words) and words[0].rpartition("/")[2] == tool


def _inherited(file: IniFile) -> str:
    """To Python, [DEFAULT] in capitals is no profile: every profile of the file has what stands there."""
    for section in file.sections:
        for option in section.options if section.header == "DEFAULT" else ():
            if option.key in RIVALS or option.key == PROCESS or option.key.startswith("sso_"):
                return f"{file.where} line {option.first + 1}: every profile inherits from [DEFAULT]"
    return ""


def comments_with_secrets(lines: Iterable[str]) -> list[int]:
    """The numbers of the lines that are commented out and still look like a secret."""
    return [
        number
        for number, line in enumerate(lines, 1)
        if line.lstrip()[:1] in ("#", ";")
        and re.match(rf"\W*{SECRET}\s*[=:]\s*\S", line.lstrip(), re.IGNORECASE)
    ]
