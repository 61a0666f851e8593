# SPDX-License-Identifier: Apache-2.0
"""Rewrites the files once the keys are in the vault: the hooks in, the secrets out, and before that the way back sealed.

A file that changes meanwhile is read anew: only what the vault holds goes out of what stands there then. What is killed
in between leaves each key in the vault, and some of them in a file, too: the next import finishes it.
"""

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from awsvault import hook, rewriting
from awsvault.importing import account, sources
from awsvault.importing.account import Step
from awsvault.importing.candidates import Candidate
from awsvault.importing.keeping import Kept
from awsvault.importing.sources import AwsFiles
from vaultd.core import envfile, scrub
from vaultd.core.awsfiles import AwsFile, Hook
from vaultd.core.scrub import Move
from vaultd.wire.errors import Conflict

ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Edit:
    """One file, whole, before and after."""

    path: str
    before: bytes | None
    text: str
    after: str
    is_ini: bool = True

    @property
    def data(self) -> bytes:
        return self.after.encode("utf-8", "surrogateescape")


@dataclass(slots=True)
class _Known:
    """What was read and written already: a file of seven thousand profiles takes half a second to read."""

    parsed: dict[tuple[str, str], AwsFile]
    written: dict[str, bytes] = field(default_factory=dict)

    def file(self, path: str, text: str) -> AwsFile:
        file = self.parsed.get((path, text))
        if file is None:
            file = self.parsed[path, text] = AwsFile(text, path)
        return file


def paths(kept: Kept) -> list[str]:
    """The files that will be changed, or looked at for it."""
    named = [it.source.path for it in kept.keys if it.source.kind in ("env", "ini")]
    return [hook.config_path(), hook.credentials_path(), *dict.fromkeys(named)]


def rewrite(kept: Kept, program: str, aws: AwsFiles) -> list[str]:
    """The files that were changed. From the first change to the last no Ctrl-C comes between."""
    sealing = account.Sealing(kept.home, [it.name for it in kept.keys], [*kept.made])
    changed: list[str] = []
    known = _Known({(file.where, "".join(file.lines)): file for file in (aws.config, aws.credentials)})
    with _uninterrupted():
        for _attempt in range(ATTEMPTS):
            edits = [edit for edit in _edits(kept, program, known) if edit.before != edit.data]
            if not edits:
                break
            sealing.keep([Step.of(edit.path, edit.text, edit.after) for edit in edits])
            for edit in edits:
                if not rewriting.swap(edit.path, edit.before, edit.data, is_ini=edit.is_ini):
                    break  # it moved: look again
                changed.append(edit.path)
                known.written[edit.path] = edit.data
        else:
            raise Conflict(
                "the files keep changing; the keys are in the vault, and still in the files",
                hint="end what changes them, then run: awsvault import",
            )
        sealing.end()
    return list(dict.fromkeys(changed))


def _edits(kept: Kept, program: str, known: _Known) -> Iterator[Edit]:
    """`config` first: from the moment that the hooks stand there, a key that goes is one that is not missed."""
    moves = moves_of(kept)
    for path in (hook.config_path(), hook.credentials_path()):
        before, text = rewriting.read(path)
        if before is not None and before == known.written.get(path):
            continue
        file = known.file(path, text)
        is_config = path == hook.config_path()
        after = scrub.config_text(file, moves, program) if is_config else scrub.credentials_text(file, moves)
        if before is not None or after:
            yield Edit(path, before, text, after)
    for path in paths(kept)[2:]:
        before, text = rewriting.read(path)
        here = [it for it in kept.keys if it.source.path == path]
        yield Edit(path, before, text, _without(here, text, path, program), is_ini=False)


def _without(here: Sequence[Candidate], text: str, path: str, program: str) -> str:
    """A file that was named, without the keys that were found in it."""
    copied = [
        Move(it.found.profile, None, ((it.found.access_key_id, it.found.secret),))
        for it in here
        if it.source.kind == "ini"
    ]
    if copied:
        file = AwsFile(text, path)
        is_config = sources.is_config(file)
        return scrub.config_text(file, copied, program) if is_config else scrub.credentials_text(file, copied)
    for it in here:
        text = envfile.without_key(text, it.found.access_key_id, it.found.secret, it.name)
    return text


def moves_of(kept: Kept) -> list[Move]:
    """What becomes of each profile of the files."""
    moves: dict[str, Move] = {}
    adopted = {role.profile: role for role in kept.roles}
    for it in kept.keys:
        found = it.found
        if it.source.kind == "aws":
            here = moves.get(found.profile, Move(found.profile, None))
            key = (found.access_key_id, found.secret)
            moves[found.profile] = replace(here, keys=(*here.keys, key))
        if not found.role:
            here = moves.get(it.asked_by, Move(it.asked_by, None))
            moves[it.asked_by] = replace(here, hook=Hook(it.name, kept.home))
    for profile, role in adopted.items():
        here = moves.get(profile, Move(profile, None))
        moves[profile] = replace(here, hook=Hook(role.name, kept.home), takes_role=True)
    return list(moves.values())


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """It takes milliseconds; who pressed Ctrl-C is obeyed after it."""
    numbers = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def check_writable(found: Sequence[str]) -> None:
    for path in found:
        if os.path.exists(path) or path == hook.config_path():
            rewriting.check_writable(path)
