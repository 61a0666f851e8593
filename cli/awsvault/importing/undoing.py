# SPDX-License-Identifier: Apache-2.0
"""`awsvault import --undo`: the lines go back into their files, and what the import made goes out of the vault.

In that order, and all files are looked at before the first is written: what is killed in between is begun again.
"""

from collections.abc import Sequence

from awsvault import hook, output, prompts, rewriting
from awsvault.importing import account, telling
from awsvault.importing.account import Step
from awsvault.importing.files import Edit
from vaultd.core import hunks
from vaultd.core.awsfiles import AwsFile
from vaultd.core.hunks import Changed
from vaultd.wire import client
from vaultd.wire.errors import Conflict, Refused, Usage


def undo(home: str | None, *, yes: bool) -> None:
    """Take the last import back. Raises Refused when there is none, or lines have changed since."""
    reply = client.call("import_undo", home=home)
    edits = _edits(account.read(reply["pieces"]))
    if not yes:
        _confirm(edits, reply["made"])
    for edit in edits:
        if edit.before != edit.data and not rewriting.swap(edit.path, edit.before, edit.data, is_ini=False):
            raise Conflict(f"{edit.path} was changed at this moment", hint="run: awsvault import --undo")
    removed = client.call("import_undone", home=home)["removed"]
    for edit in edits:
        output.say(f"{telling.short(edit.path)} has its lines back.")
    gone = f"{', '.join(removed)} {'is' if len(removed) == 1 else 'are'} out of the vault." if removed else ""
    output.say(f"The import is taken back. {gone}".strip())


def _edits(steps: Sequence[Step]) -> list[Edit]:
    """Every file as it was, the one with the secrets first: a key is never in none of both places."""
    edits: dict[str, Edit] = {}
    for step in reversed(steps):
        edit = edits.get(step.path)
        if edit is None:
            before, text = rewriting.read(step.path)
            edit = Edit(step.path, before, text, text)
        try:
            after = hunks.taken_back(edit.after, step.hunks)
        except Changed as changed:
            raise Refused(
                f"{step.path} line {changed.line} was changed since the import; nothing was taken back",
                hint="mend that line, or take the key out of the vault by hand: awsvault remove",
            ) from None
        edits[step.path] = Edit(edit.path, edit.before, edit.text, after)
    for path in (hook.config_path(), hook.credentials_path()):
        if path in edits:
            _check(edits[path])
    return list(edits.values())


def _check(edit: Edit) -> None:
    """What was written since may not stand beside what would come back: AWS's tools refuse a file for one duplicate."""
    try:
        AwsFile(edit.after, edit.path)
    except Usage as error:
        raise Refused(
            f"nothing was taken back: with its lines, {error.message}", hint="mend that first"
        ) from None


def _confirm(edits: Sequence[Edit], made: Sequence[str]) -> None:
    if not prompts.available():
        raise Usage("no terminal to confirm on", hint="use --yes")
    files = " and ".join(telling.short(edit.path) for edit in edits)
    vault = f", and take {', '.join(made)} out of the vault" if made else ""
    if not prompts.confirm(f"Put the keys back into {files} in plain text{vault}?", default=False):
        raise Usage("not confirmed; nothing was changed", hint="")
