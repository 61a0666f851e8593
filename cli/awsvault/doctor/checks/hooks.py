# SPDX-License-Identifier: Apache-2.0
"""The hook lines as they stand there: would every SDK find them, read them alike, and run this program?

Rules R19-R23: each SDK has a reader of its own, and half of them hand the line to a shell.
"""

import re
from collections.abc import Iterator

from awsvault.doctor.findings import Check, Finding, Rehook, problem, shown, warning
from awsvault.doctor.machine import Machine, Program
from awsvault.doctor.survey import Profile
from vaultd.core import awsfiles
from vaultd.core.awsfiles import PROCESS, Hook
from vaultd.wire.errors import Usage

_SEEN_BY_ALL = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")
_NAME = re.compile(r"""\bget["']?\s+["']?([A-Za-z][A-Za-z0-9_-]{0,63})(?=["']|\s|\Z)""")
_HOME = re.compile(r"""--home["']?[\s=]+["']?([A-Za-z0-9_./-]+)""")
#: What stands in a line that is not bare words, and what becomes of it. The first that fits is told.
_FLAWS = (
    ("\n", "it goes on in a second line, which only some SDKs read"),
    ("\"'", "it has quotes, which some SDKs cut off and others pass on"),
    ("#;", "it has a comment, which boto3 passes on as arguments"),
    ("~$`", "it has ~ or $, which boto3 does not expand"),
    ("\\&|<>()*?%", "it has characters that a shell obeys: some SDKs use one, boto3 does not"),
)


def form(machine: Machine) -> Iterator[Finding]:
    for profile, line, file in machine.ours():
        flaw = _flaw(line.value)
        if not flaw:
            continue
        hook = meant(line.value)
        yield problem(
            f"the hook of {shown(profile.name)} is not bare words: {flaw}",
            _mend(machine, hook),
            profile=profile.name,
            file=file,
            line=line.line,
            fix=_rehook(machine, profile, hook, file),
        )


def _flaw(value: str) -> str:
    if awsfiles.hook_in(value) and "\n" not in value:
        return (
            "" if value.startswith("/") else "its path is not absolute, and not every program has your PATH"
        )
    return next(
        (fact for marks, fact in _FLAWS if set(marks) & set(value)),
        "it is not PATH get NAME, with a path and a name of letters, digits and _ . / -",
    )


def meant(value: str) -> Hook | None:
    """Whom a badly written line is to ask, as far as that can be told."""
    found = _NAME.findall(value)
    home = _HOME.search(value)
    return Hook(found[-1], home[1] if home else None) if found else None


def _mend(machine: Machine, hook: Hook | None) -> str:
    line = _line(machine, hook)
    return f"write instead: {PROCESS} = {line}" if line else "write it as `awsvault add` does, or remove it"


def _line(machine: Machine, hook: Hook | None) -> str:
    if hook is None or machine.hook_program is None:
        return ""
    try:
        return hook.line_for(machine.hook_program)
    except Usage:
        return ""


def _rehook(machine: Machine, profile: Profile, hook: Hook | None, file: str) -> Rehook | None:
    """Only in `config`, in a profile that is there to be found."""
    return (
        Rehook(profile.name, hook) if hook and file == machine.config.path and _line(machine, hook) else None
    )


def program(machine: Machine) -> Iterator[Finding]:
    """Missing, moved, not ours to run, another one than this, or a shim."""
    for profile, line, file in machine.ours():
        hook = awsfiles.hook_in(line.value)
        found = machine.programs.get(line.value.split()[0])
        if hook is None or found is None or not found.path.startswith("/"):
            continue  # what is no hook, and a relative one, is told by its form
        fact, is_problem, is_safe = _of_program(machine, found)
        if fact:
            yield Finding(
                "problem" if is_problem else "warning",
                f"{found.path}, which the hook of {shown(profile.name)} calls, {fact}",
                _mend(machine, hook),
                profile=profile.name,
                file=file,
                line=line.line,
                fix=_rehook(machine, profile, hook, file) if is_safe else None,
            )


def _of_program(machine: Machine, found: Program) -> tuple[str, bool, bool]:
    """What is wrong with it, whether it cannot work so, and whether to name ours instead is safe."""
    if found.kind == "missing":
        return "is not there", True, True
    if found.kind != "file":
        return "is no program", True, True
    if not found.may_run:
        return "may not be run", True, True
    if found.is_shim:
        return "is a version manager's shim: about 0.1 s more for each request", False, True
    if found.real != machine.own_program:
        return f"is another installation than this one ({machine.own_program})", False, False
    return "", False, False


def found_by_all(machine: Machine) -> Iterator[Finding]:
    """Names that some SDKs do not see, and places where they do not look."""
    for profile, line, file in machine.ours():
        header = profile.config.header if profile.config else ""
        if file == machine.credentials.path:
            yield warning(
                f"the hook of {shown(profile.name)} stands where some tools look for keys only",
                f"move that line to {machine.config.path}, into [{_header(profile.name)}]",
                profile=profile.name,
                file=file,
                line=line.line,
            )
        elif not _SEEN_BY_ALL.match(profile.name) or _has_quotes(header):
            yield warning(
                f"not every SDK sees a profile that is written [{shown(header)}]",
                "name it with letters, digits, - and _ only, and a letter first",
                profile=profile.name,
                file=file,
                line=profile.config.line if profile.config else None,
            )


def _has_quotes(header: str) -> bool:
    return bool(set(header) & set("\"'\\"))


def _header(name: str) -> str:
    return "default" if name == "default" else f"profile {shown(name)}"


def in_profiles(machine: Machine) -> Iterator[Finding]:
    """A hook in a section of `config` that is no profile: nobody reads it."""
    for part in machine.config.survey.parts:
        process = part.settings.get(PROCESS)
        hook = awsfiles.hook_in(process.value) if process else None
        if process and hook and awsfiles.profile_in(part.header) is None:
            yield problem(
                f"[{shown(part.header)}] is no profile in `config`: nobody reads the hook in it",
                f"write [{_header(hook.name)}] instead",
                profile=hook.name,
                file=machine.config.path,
                line=part.line,
            )


def not_empty(machine: Machine) -> Iterator[Finding]:
    for profile in machine.profiles.values():
        for line in profile.processes():
            if not line.value:
                yield problem(
                    f"the {PROCESS} of {shown(profile.name)} is empty: boto3 and the aws command crash on it",
                    "remove that line",
                    profile=profile.name,
                    file=machine.file_of(profile, line),
                    line=line.line,
                )


CHECKS = (
    Check("hook-form", "are the hook lines bare words with an absolute path", form),
    Check("hook-empty", "does every credential_process call something", not_empty),
    Check("hook-program", "do the hooks call this installation", program),
    Check("hook-name", "does every SDK see the hooked profiles", found_by_all),
    Check("hook-section", "do the hooks stand in profiles", in_profiles),
)
