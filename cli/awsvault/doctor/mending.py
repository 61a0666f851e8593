# SPDX-License-Identifier: Apache-2.0
"""Does what `doctor --fix` may: closes files to others, writes hook lines anew, takes out keys that the vault holds.

Never more than was found, and never a secret whose twin is not proven to be in the vault.
"""

import hmac
import os
import stat

from awsvault import hook, rewriting
from awsvault.doctor.checks.rivals import KEY_ID, SECRET, STATIC, TOKENS
from awsvault.doctor.findings import AddHook, CloseToOthers, Fix, Rehook, Unplain
from vaultd.core import awsfiles
from vaultd.core.awsfiles import PROCESS, AwsFile
from vaultd.core.ini import Edit, Section
from vaultd.wire import client
from vaultd.wire.errors import Refused, StorageFailed


def mend(home: str | None, fix: Fix) -> str:
    """Do it, and say what was done. Raises VaultError; then nothing was."""
    match fix:
        case CloseToOthers():
            return _close(fix)
        case Rehook():
            return _rehook(fix)
        case AddHook():
            return _add_hook(home, fix)
        case Unplain():
            return _unplain(home, fix)


def _close(fix: CloseToOthers) -> str:
    try:
        fd = os.open(fix.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.fchmod(fd, stat.S_IMODE(os.fstat(fd).st_mode) & ~fix.rights)
        finally:
            os.close(fd)
    except OSError as error:
        raise StorageFailed(
            f"{fix.path} cannot be changed ({error.strerror})", hint="mend that, then try again"
        ) from None
    return f"{fix.path} is closed to others."


def _rehook(fix: Rehook) -> str:
    program = hook.find_program()

    def change(config: AwsFile) -> str:
        section = awsfiles.profile(config, fix.profile)
        process = section.option(PROCESS) if section else None
        if process is None:
            raise Refused(f"{config.where} was changed meanwhile", hint="try again")
        edit = Edit(config)
        edit.replace(process, f"{PROCESS} = {fix.hook.line_for(program)}")
        return edit.text()

    hook.edit(change)
    return f"The hook line of {fix.profile} calls {program}."


def _add_hook(home: str | None, fix: AddHook) -> str:
    region = client.call("region", home=home, profile=fix.name)["region"]
    hook.plan(fix.name, home, region).write()
    return f"{hook.config_path()} asks for {fix.name}."


def _unplain(home: str | None, fix: Unplain) -> str:
    """The vault's own key is asked for, to be compared: an id says nothing of the secret beside it."""
    held = client.call("get", home=home, profile=fix.hook.name, serve="key")

    def change(file: AwsFile) -> str:
        section = _section(file, fix)
        kept = section and _same(section, held)
        if not (section and kept):
            raise Refused(
                f"the vault holds another key for {fix.profile} than {file.where}, or only a part stands there; "
                "nothing was taken out",
                hint="compare them, then remove the lines yourself",
            )
        edit = Edit(file)
        going = [option for option in section.options if option.key in STATIC]
        for option in reversed(going):
            edit.drop(option)
        if len(going) == len(section.options):
            edit.drop_empty_section(section)
        return edit.text()

    rewriting.edit(fix.file, change)
    return f"The key of {fix.profile} is out of {fix.file}; the vault holds it."


def _section(file: AwsFile, fix: Unplain) -> Section | None:
    if file.where == hook.config_path():
        return awsfiles.profile(file, fix.profile)
    return next((section for section in file.sections if section.header == fix.profile), None)


def _same(section: Section, held: dict[str, str]) -> bool:
    """A session is not the vault's, whatever key it is of: it is left to a person."""
    values = {option.key: option.value for option in section.options}
    if any(token in values for token in TOKENS):
        return False
    return all(
        hmac.compare_digest(
            values.get(key, "").encode("utf-8", "surrogateescape"), str(held.get(field, "")).encode()
        )
        for key, field in ((KEY_ID, "AccessKeyId"), (SECRET, "SecretAccessKey"))
    )
