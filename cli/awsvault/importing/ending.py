# SPDX-License-Identifier: Apache-2.0
"""What an import says at its end: what moved, what is left in plain text, and the offer to make older copies worthless."""

from collections.abc import Sequence
from importlib import import_module

from awsvault import download, hook, output, prompts, rewriting
from awsvault.importing import telling
from awsvault.importing.candidates import Candidate
from awsvault.importing.keeping import Kept
from vaultd.core import plaintext
from vaultd.core.ini import split
from vaultd.wire import client


def tell(kept: Kept, changed: Sequence[str], *, yes: bool) -> None:
    once = [it for it in kept.keys if it.twin is None]
    for it in kept.keys:
        it.imported = True
    for it in once:
        owner = it.facts.get("arn") or "unverified"
        key = output.short_key(it.found.access_key_id)
        output.say(
            f"{it.name} is in the vault: key {key} ({owner}), serves {it.facts.get('serve') or it.serve}."
        )
    for role in kept.roles:
        output.say(f"{role.name} is in the vault: a role, assumed from {role.source}.")
    for path in changed:
        output.say(f"{telling.short(path)} is rewritten.")
    if changed:
        output.say("To take it back within a week: awsvault import --undo")
    _tell_of_mfa(kept.home, once)
    _tell_of_comments()
    _tell_of_others(kept.keys, yes=yes)
    _offer_rotation(kept, yes=yes)


def _tell_of_mfa(home: str | None, keys: Sequence[Candidate]) -> None:
    """Not by itself: what ran without a code would stop. A role that was taken over may have brought the device."""
    for it in keys:
        if it.found.mfa_serial and not it.found.role and not _device_of(home, it.name):
            output.say(
                f"{it.name} names an MFA device. To use it: awsvault edit {it.name} --mfa-serial {it.found.mfa_serial}"
            )


def _device_of(home: str | None, name: str) -> object:
    return client.call("show", home=home, profile=name)["profile"]["mfa_serial"]


def _tell_of_comments() -> None:
    for path in (hook.credentials_path(), hook.config_path()):
        for line in plaintext.comments_with_secrets(split(rewriting.read(path)[1])):
            output.say(
                f"{telling.short(path)} line {line}: a comment that looks like a secret is left there."
            )


def _tell_of_others(keys: Sequence[Candidate], *, yes: bool) -> None:
    """What import does not write in: the console's file, the other tool's store."""
    for path in dict.fromkeys(it.source.path for it in keys if it.source.kind == "csv"):
        download.finish(path, delete=False, ask=not yes)
    for it in keys:
        if it.source.kind == "tool":
            output.say(f"{it.source.path} still holds the key of {it.found.profile}, too.")


def _offer_rotation(kept: Kept, *, yes: bool) -> None:
    output.say(
        "Older copies in plain text may exist elsewhere: in backups, shell histories, dotfile repositories."
    )
    names = list(dict.fromkeys(it.name for it in kept.keys if it.facts.get("verified_at")))
    if not names:
        return
    question = f"Rotate {', '.join(names)} now, so that those are worth nothing?"
    if yes or not prompts.confirm(question, default=False):
        output.say(f"A new key makes them worthless: awsvault rotate {' '.join(names)}")
        return
    import_module("awsvault.commands.rotate").begin(kept.home, names)
