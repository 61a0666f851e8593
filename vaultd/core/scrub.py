# SPDX-License-Identifier: Apache-2.0
"""Takes keys out of ~/.aws/credentials and ~/.aws/config, and lets their profiles ask the vault instead.

Text in, text out. A line goes only when it holds exactly the key that is in the vault; whatever else stands in the
files stays byte for byte. Doing it twice changes nothing.
"""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from vaultd.core import adopt
from vaultd.core.awsfiles import PROCESS, Hook, profile_in
from vaultd.core.ini import Edit, IniFile, Option, Section, is_blank_or_comment
from vaultd.core.plaintext import KEY_ID, SECRET
from vaultd.core.secret import Secret


@dataclass(frozen=True, slots=True)
class Move:
    """What becomes of one profile of the files.

    `keys`: those that are in the vault by now. `hook`: what the profile is to ask; None leaves `config` without one.
    """

    profile: str
    hook: Hook | None
    keys: tuple[tuple[str, Secret], ...] = ()
    takes_role: bool = False


def config_text(config: IniFile, moves: Iterable[Move], program: str) -> str:
    """`config` with the hooks in and the keys out. Raises Usage when no hook line can name the program."""
    wanted = {move.profile: move for move in moves}
    edit = Edit(config)
    missing = dict(wanted)
    for section in config.sections:
        missing.pop(profile_in(section.header) or "", None)
    for move in missing.values():
        if move.hook:
            edit.append_section(_header(move.profile), [_line(move.hook, program)])
    for section in reversed(config.sections):
        move_here = wanted.get(profile_in(section.header) or "")
        if move_here:
            _rewrite(edit, section, move_here, program)
    return edit.text()


def credentials_text(credentials: IniFile, moves: Iterable[Move]) -> str:
    """`credentials` with the keys out; a section goes with its last setting, unless a comment stands in it."""
    wanted = {move.profile: move for move in moves}
    edit = Edit(credentials)
    for section in reversed(credentials.sections):
        move = wanted.get(section.header)
        going = _key_lines(section, move.keys) if move else []
        for option in reversed(going):
            edit.drop(option)
        if going and len(going) == len(section.options) and not _has_comment(credentials, section):
            edit.drop_empty_section(section)
    return edit.text()


def _header(profile: str) -> str:
    """As `aws configure` writes it: quoted only when it must be."""
    if profile == "default":
        return profile
    plain = f"profile {profile}"
    return plain if profile_in(plain) == profile else f"profile {shlex.quote(profile)}"


def _line(hook: Hook, program: str) -> str:
    return f"{PROCESS} = {hook.line_for(program)}"


def _rewrite(edit: Edit, section: Section, move: Move, program: str) -> None:
    going = _key_lines(section, move.keys)
    process = section.option(PROCESS)
    if move.hook is None:
        process = None
    elif move.takes_role:
        going = [option for option in section.options if option in going or option.key in adopt.TAKEN]
    if move.hook and process is None:
        if not going:  # nothing in whose place it could stand
            edit.add(section, next(reversed(section.options), None), [_line(move.hook, program)])
            return
        process = _place(going)
    for option in reversed(section.options):
        if move.hook and option is process:
            if option.value != move.hook.line_for(program) or option.key != PROCESS:
                edit.replace(option, _line(move.hook, program))
        elif option in going:
            edit.drop(option)


def _place(going: list[Option]) -> Option:
    role = next((option for option in going if option.key == adopt.ROLE), None)
    return role or going[0]


def _key_lines(section: Section, keys: tuple[tuple[str, Secret], ...]) -> list[Option]:
    """The lines of a key, when both halves are those of one that we hold; an empty line of a key says nothing."""
    halves = {option.key: option.value for option in section.options if option.key in (KEY_ID, SECRET)}
    key_id, secret = halves.get(KEY_ID, ""), halves.get(SECRET, "")
    here = Secret(secret.encode("utf-8", "surrogateescape"))
    is_held = any(key_id == held_id and here == held for held_id, held in keys)
    if not is_held and (key_id or secret):
        return []
    return [option for option in section.options if option.key in halves]


def _has_comment(file: IniFile, section: Section) -> bool:
    last = section.options[-1].last
    lines = file.lines[section.first + 1 : last + 1]
    return any(line.strip() and is_blank_or_comment(line) for line in lines)
