# SPDX-License-Identifier: Apache-2.0
"""The files round the hook line: which they are, what would stand in its way, and the path of our own program.

What is written is vaultd.core.awsfiles' business, how it gets into the file rewriting.py's.
"""

import os
import re
import shlex
import sys
from dataclasses import dataclass

from awsvault import output, rewriting
from awsvault.rewriting import Change
from vaultd.core import adopt, awsfiles
from vaultd.core.awsfiles import AwsFile, Hook
from vaultd.wire.errors import Refused, StorageFailed, Usage, VaultError

_WORD = re.compile(r"[A-Za-z0-9_./-]+")


def config_path() -> str:
    return _path("AWS_CONFIG_FILE", "config")


def credentials_path() -> str:
    return _path("AWS_SHARED_CREDENTIALS_FILE", "credentials")


def _path(variable: str, name: str) -> str:
    return os.path.abspath(os.path.expanduser(os.environ.get(variable) or f"~/.aws/{name}"))


def edit(change: Change) -> bool:
    """Replace the config by what `change` makes of it; False when that is the same. Raises Usage, StorageFailed."""
    return rewriting.edit(config_path(), change)


def read_config() -> AwsFile:
    return _file(config_path())


def read_credentials() -> AwsFile:
    return _file(credentials_path())


def _file(path: str) -> AwsFile:
    return AwsFile(rewriting.read(path)[1], path)


@dataclass(frozen=True, slots=True)
class Plan:
    """A hook line that can be written. `adopted` is the role profile of the config in whose place it goes."""

    hook: Hook
    program: str
    region: str | None
    adopted: str | None = None

    def change(self, config: AwsFile) -> str:
        if self.adopted:
            return adopt.with_hook_instead(config, self.adopted, self.hook, self.program, self.region)
        return awsfiles.with_hook(config, self.hook, self.program, self.region)

    def write(self) -> bool:
        """Put the line in; False when it stood there already."""
        return edit(self.change)

    def write_last(self, kept: str) -> None:
        """`write`, and say how to use it. `kept` is in the vault whatever happens here; what is missing is told then."""
        try:
            self.write()
        except VaultError as error:
            line = self.hook.line_for(self.program)
            raise type(error)(
                f"{kept} is kept, but {error.message}", hint=f"add there: credential_process = {line}"
            ) from None
        profile = self.adopted or self.hook.name
        output.say(f"{config_path()} asks for it. Try: aws sts get-caller-identity --profile {profile}")


def check_home(home: str | None) -> None:
    if home and not _WORD.fullmatch(home):
        raise Usage(
            "the home's path has characters that a hook line cannot have",
            hint="choose one without them, or use --no-config",
        )


def plan(name: str, home: str | None, region: str | None, adopted: str | None = None) -> Plan:
    """Check everything that could stop the line from being written or from being used. Raises Usage, Refused."""
    check_home(home)
    made = Plan(Hook(name, home), find_program(), region, adopted)
    config = read_config()
    _check_rivals(config, made)
    made.change(config)
    rewriting.check_writable(config.where)
    return made


def _check_rivals(config: AwsFile, made: Plan) -> None:
    found = awsfiles.rivals(config, read_credentials(), made.hook, made.adopted)
    if made.adopted:  # what is taken over goes out of the config
        going = (*adopt.TAKEN, awsfiles.PROCESS)
        found = [rival for rival in found if rival.where != config.where or rival.key not in going]
    if not found:
        return
    name = made.hook.name
    is_role = found[0].key in adopt.TAKEN and not made.adopted
    cure = (
        f"take the role over: awsvault add-role {name} --from-config {name}"
        if is_role
        else "remove that line"
    )
    raise Usage(
        f"{found[0].where} line {found[0].line}: {found[0].key} would be used instead of the hook",
        hint=f"{cure}, or use --no-config",
    )


def remove(name: str, home: str | None, region: str | None) -> bool:
    """Take the hook out wherever it stands; False when it stood nowhere."""
    if not os.path.exists(config_path()):
        return False
    return edit(lambda config: awsfiles.without_hook(config, Hook(name, home), region))


def change_region(name: str, home: str | None, old: str | None, new: str | None) -> bool:
    """Let the region line that was written with the hook follow the vault; False when there was nothing to change."""
    if not os.path.exists(config_path()):
        return False
    return edit(lambda config: awsfiles.with_region(config, Hook(name, home), old, new))


def check_readable() -> None:
    """Raise what `remove` would raise for a file that cannot be edited, before anything else is changed."""
    read_config()


def names(home: str | None) -> list[str]:
    """The names that hook lines of this home ask for; none when the file cannot be read."""
    try:
        config = read_config()
    except (Usage, Refused, StorageFailed):
        return []
    return [hook.name for hook in awsfiles.hooks(config) if hook.home == home]


def region(name: str, home: str | None) -> str | None:
    """The region that tools with `--profile` would use; None when the file says none or cannot be read."""
    try:
        return awsfiles.region(read_config(), Hook(name, home))
    except (Usage, Refused, StorageFailed):
        return None


def beats_endpoint(name: str, home: str | None) -> str | None:
    """What in [default] gives programs other credentials than the container endpoint: SDKs look there first."""
    try:
        config, credentials = read_config(), read_credentials()
        found = awsfiles.rivals(config, credentials, Hook(name, home), "default")
    except (Usage, Refused, StorageFailed):
        return None
    return f"{found[0].where} line {found[0].line}: {found[0].key} of [default]" if found else None


def find_program() -> str:
    """The absolute path under which every program will find us: what PATH finds, symlinks kept. Raises Usage.

    A version manager's shim costs about 90 ms for each `get`, and has already found the real file: argv[0] is it.
    """
    running = os.path.abspath(sys.argv[0])
    on_path = [
        os.path.join(os.path.abspath(folder), "awsvault")
        for folder in os.environ.get("PATH", "").split(":")
        if folder
    ]
    candidates = [path for path in on_path if _is_program(path) and not _is_shim(path)]
    if os.path.basename(running) == "awsvault" and _is_program(running):
        candidates.append(running)
    if not candidates:
        raise Usage(
            "awsvault is not on PATH, so no hook line can name it",
            hint="add its directory to PATH, or use --no-config",
        )
    same = os.path.realpath(candidates[0])
    links = [*candidates, os.path.expanduser("~/.local/bin/awsvault"), "/usr/local/bin/awsvault"]
    for path in links:
        if _WORD.fullmatch(path) and os.path.realpath(path) == same:
            return path
    raise Usage(
        "the path of awsvault has characters that a hook line cannot have",
        hint=f"run: {_link_command(candidates[0])}",
    )


def _link_command(program: str) -> str:
    folder = os.path.expanduser("~/.local/bin")
    if _WORD.fullmatch(folder):
        return f"mkdir -p {folder} && ln -s {shlex.quote(program)} {folder}/awsvault"
    return f"sudo ln -s {shlex.quote(program)} /usr/local/bin/awsvault"


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)


def _is_shim(path: str) -> bool:
    """pyenv, asdf and mise all keep theirs in a directory of this name."""
    return os.path.basename(os.path.dirname(path)) == "shims"
