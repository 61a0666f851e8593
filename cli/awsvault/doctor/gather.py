# SPDX-License-Identifier: Apache-2.0
"""Looks at this machine for the checks: files, modes, the environment, the daemon. Changes nothing, asks nobody at a prompt.

Every look may fail by itself, and says so in what it returns; none keeps the others from being made.
"""

import contextlib
import grp
import os
import pwd
import re
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from awsvault import hook, launch, units
from awsvault.doctor import leftovers
from awsvault.doctor.machine import (
    Answerer,
    AwsText,
    Daemon,
    Entry,
    Kind,
    Machine,
    Probe,
    Program,
    Unit,
)
from awsvault.doctor.survey import Survey, survey
from vaultd import __version__
from vaultd.core.ini import split
from vaultd.wire import client, paths
from vaultd.wire.errors import Usage, VaultError

MAX_FILE = 32 * 1024 * 1024
STATUS_TIMEOUT_S = 3.0
REGIONS_PROBED = 3
_CONFIDENTIAL = re.compile(r"secret|password|passphrase|(?:session|security)_token")
_SILENT = frozenset({"no-vault", "daemon-unreachable"})  # nobody is there: no fault of anything


def look(home: str | None, progress: Callable[[str], None]) -> Machine:
    config, credentials = aws_text(hook.config_path()), aws_text(hook.credentials_path())
    daemon, socket_trouble = _daemon(home)
    vault = _vault(home) if daemon.state == "unlocked" else None
    own = os.path.realpath(os.path.join(os.path.dirname(sys.executable), "awsvault"))
    machine = Machine(
        uid=os.getuid(),
        home=home,
        environment=dict(os.environ),
        config=config,
        credentials=credentials,
        own_program=own,
        hook_program=_hook_program(),
        socket_trouble=socket_trouble,
        entries=tuple(_aws_entries(config, credentials)),
        vault_entries=tuple(_vault_entries(home)),
        daemon=daemon,
        vault=vault,
        probe=_probe(home, vault, progress) if vault is not None else None,
        caches=tuple(leftovers.caches(os.path.expanduser("~"))),
        histories=leftovers.histories(os.path.expanduser("~"), os.environ.get("HISTFILE")),
        units=_units(),
        now=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    called = {line.value.split()[0] for _, line, _ in machine.ours()}
    return replace(machine, programs={path: program(path) for path in sorted(called)})


# --- files


def aws_text(path: str) -> AwsText:
    """One of AWS's files, as far as it can be read. What it holds of secrets is not kept."""
    entry = entry_of(path)
    try:
        os.stat(path)
    except FileNotFoundError:
        return AwsText(path, entry=entry)
    except OSError as error:
        return AwsText(path, trouble=f"cannot be read ({error.strerror})", entry=entry)
    if entry.kind != "file":
        return AwsText(path, trouble="is not a file", entry=entry)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        return AwsText(path, trouble=f"cannot be read ({error.strerror})", entry=entry)
    if len(data) > MAX_FILE:
        return AwsText(path, trouble=f"is larger than {MAX_FILE >> 20} MiB", entry=entry)
    text = data.decode("utf-8", "surrogateescape")
    return AwsText(path, _without_secrets(survey(text)), not_utf8=_not_utf8(data, text), entry=entry)


def _not_utf8(data: bytes, text: str) -> int | None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return len(split(text[: len(data[: error.start].decode())] + "x"))
    return None


def _without_secrets(found: Survey) -> Survey:
    for part in found.parts:
        for setting in part.settings.values():
            if _CONFIDENTIAL.search(setting.key):
                setting.value = ""
    return found


def entry_of(path: str, *, strictly: bool = False) -> Entry:
    """Through links: who may write to what is meant. The link itself is protected by its directory.

    Unless `strictly`, the rights of a group that nobody else is in are nobody else's: many systems give new files so.
    """
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return Entry(path, "missing")
    alone = not strictly and info.st_gid == _private_group()
    return Entry(path, _kind(info), info.st_mode, info.st_uid, alone)


def _private_group() -> int | None:
    try:
        user = pwd.getpwuid(os.getuid())
        group = grp.getgrgid(user.pw_gid)
    except KeyError:
        return None
    return group.gr_gid if group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name} else None


def _kind(info: os.stat_result) -> Kind:
    if stat.S_ISDIR(info.st_mode):
        return "directory"
    return "file" if stat.S_ISREG(info.st_mode) else "other"


def _aws_entries(config: AwsText, credentials: AwsText) -> Iterator[Entry]:
    """The files, where they really lie, and the directories in which somebody could put others in their place."""
    seen = [os.path.expanduser("~")]
    for path in (config.path, credentials.path):
        seen += [os.path.dirname(path), os.path.dirname(os.path.realpath(path)), path]
    for path in dict.fromkeys(seen):
        yield entry_of(path)


def _vault_entries(home: str | None) -> Iterator[Entry]:
    import platformdirs

    if home:
        data = state = home
    else:
        data = platformdirs.user_data_dir("awsvault", appauthor=False)
        state = platformdirs.user_state_dir("awsvault", appauthor=False)
    found = [data, state, os.path.join(data, "vault"), os.path.join(data, "backups")]
    found += [os.path.join(state, name) for name in ("audit.jsonl", "agenda.json", "highwater")]
    with contextlib.suppress(VaultError):
        found += paths.socket_dirs(home)
    for path in dict.fromkeys(found):
        yield entry_of(path, strictly=True)


def program(path: str) -> Program:
    entry = entry_of(path)
    real = os.path.realpath(path)
    holders = (entry_of(real), entry_of(os.path.dirname(real))) if entry.kind == "file" else ()
    return Program(path, entry.kind, real, os.access(path, os.X_OK), holders)


def _hook_program() -> str | None:
    with contextlib.suppress(Usage):
        return hook.find_program()
    return None


def _units() -> tuple[Unit, ...]:
    with contextlib.suppress(VaultError):  # a checkout without its templates
        return tuple(Unit(*found) for found in units.drift())
    return ()


# --- the daemon


def _daemon(home: str | None) -> tuple[Daemon, str]:
    """Everybody who answers, and what is wrong with the place of the socket."""
    trouble = ""
    answerers: list[Answerer] = []
    try:
        directories = paths.socket_dirs(home)
        for directory in directories:
            paths.socket_path(directory)
            answerers.append(_answerer(directory))
    except VaultError as error:
        trouble = error.message
    has_vault = bool(home and os.path.lexists(os.path.join(home, "vault"))) or (
        not home and not _says_no_vault()
    )
    return Daemon(tuple(answerers), launch.holder(home), has_vault, __version__), trouble


def _says_no_vault() -> bool:
    try:
        return paths.unreachable(None).code == "no-vault"
    except VaultError:
        return False


def _answerer(directory: str) -> Answerer:
    try:
        return Answerer(directory, client.call("status", home=directory, timeout_s=STATUS_TIMEOUT_S))
    except VaultError as error:
        known = type(error).code not in _SILENT
        return Answerer(directory, code=error.code if known else "", line=error.message if known else "")
    except OSError as error:
        return Answerer(directory, code="refused", line=f"{directory} cannot be used ({error.strerror})")


def _vault(home: str | None) -> dict[str, dict[str, Any]] | None:
    """None when it was locked meanwhile."""
    try:
        return {str(it["profile"]): it for it in client.call("list", home=home)["profiles"]}
    except VaultError:
        return None


def _probe(
    home: str | None, vault: dict[str, dict[str, Any]], progress: Callable[[str], None]
) -> Probe | None:
    """STS where the profiles use it; the first place that does not answer, else the last."""
    regions = {it["region"] for it in vault.values() if it["region"] or it["partition"] in (None, "aws")}
    found = None
    progress("asking AWS for its time")
    for region in sorted(regions or {None}, key=str)[:REGIONS_PROBED]:
        try:
            reply = client.call("probe", home=home, region=region)
        except VaultError as error:
            return Probe(line=error.line) if error.code not in ("locked", "usage") else None
        found = Probe(reply["host"], int(reply["clock_error_s"]))
    return found
