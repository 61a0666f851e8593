# SPDX-License-Identifier: Apache-2.0
"""Who else can read or change what a hook depends on: ~/.aws, the program, and everything of the vault."""

import stat
from collections.abc import Iterator

from awsvault.doctor.findings import Check, CloseToOthers, Finding, problem, shown, warning
from awsvault.doctor.machine import Entry, Machine
from awsvault.doctor.survey import Survey

_WRITE = stat.S_IWGRP | stat.S_IWOTH
_ALL = stat.S_IRWXG | stat.S_IRWXO
_READ = stat.S_IRGRP | stat.S_IROTH
SECRET = "aws_secret_access_key"  # noqa: S105 - its name


def aws(machine: Machine) -> Iterator[Finding]:
    """Who can write there can have any program run in place of the hook."""
    for entry in machine.entries:
        yield from _of_another(machine, entry)
        rights = entry.gives_others(_WRITE)
        if rights and not (entry.kind == "directory" and entry.mode & stat.S_ISVTX):
            yield _open(
                entry, rights, "can be written by other users, who can then change what the hooks call"
            )


def secrets(machine: Machine) -> Iterator[Finding]:
    for file in (machine.config, machine.credentials):
        entry = file.entry
        if entry and _has_secret(file.survey) and (rights := entry.gives_others(_READ)):
            yield _open(entry, rights, "holds keys in plain text and can be read by other users")


def _has_secret(survey: Survey) -> bool:
    return any(SECRET in part.settings for part in survey.parts)


def vault(machine: Machine) -> Iterator[Finding]:
    for entry in machine.vault_entries:
        yield from _of_another(machine, entry)
        if rights := entry.gives_others(_ALL):
            yield _open(entry, rights, "is the vault's and open to other users")


def _open(entry: Entry, rights: int, fact: str) -> Finding:
    take = CloseToOthers(entry.path, rights)
    mend = f"run: chmod {stat.S_IMODE(entry.mode) & ~rights:o} {entry.path}"
    return problem(f"mode {stat.S_IMODE(entry.mode):o}: it {fact}", mend, file=entry.path, fix=take)


def _of_another(machine: Machine, entry: Entry) -> Iterator[Finding]:
    if entry.kind != "missing" and entry.uid not in (0, machine.uid):
        yield problem(
            f"it belongs to uid {entry.uid}, who can change it",
            f"run: sudo chown {machine.uid} {entry.path}",
            file=entry.path,
        )


def programs(machine: Machine) -> Iterator[Finding]:
    """Said, not mended: it is an installation's, and perhaps meant so."""
    for program in machine.programs.values():
        for entry in program.holders:
            owner = entry.uid not in (0, machine.uid)
            if owner or entry.gives_others(_WRITE):
                by = f"uid {entry.uid}" if owner else "other users"
                yield warning(
                    f"{by} can change it, and hooks call {shown(program.path)}",
                    f"run: chmod go-w {entry.path}"
                    if not owner
                    else "install awsvault where only you can write",
                    file=entry.path,
                )


CHECKS = (
    Check("open-aws", "can only you write to ~/.aws", aws),
    Check("open-secrets", "can only you read the keys there", secrets),
    Check("open-vault", "is the vault closed to others", vault),
    Check("open-program", "can only you change the program that the hooks call", programs),
)
