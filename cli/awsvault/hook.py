# SPDX-License-Identifier: Apache-2.0
"""The files round the hook line: which they are, and changing them so that no reader ever sees half of a change.

What is written is vaultd.core.awsfiles' business. Here: AWS's variables, the path of our own program, the lock, the
backup, and a rename through symlinks.
"""

import contextlib
import fcntl
import os
import re
import shlex
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vaultd.core import awsfiles
from vaultd.core.awsfiles import AwsFile, Hook
from vaultd.wire.errors import Conflict, Refused, StorageFailed, Usage

LOCK_TIMEOUT_S = 5.0
ATTEMPTS = 5
_WORD = re.compile(r"[A-Za-z0-9_./-]+")

Change = Callable[[AwsFile], str]


def config_path() -> str:
    return _path("AWS_CONFIG_FILE", "config")


def credentials_path() -> str:
    return _path("AWS_SHARED_CREDENTIALS_FILE", "credentials")


def _path(variable: str, name: str) -> str:
    return os.path.abspath(os.path.expanduser(os.environ.get(variable) or f"~/.aws/{name}"))


@dataclass(frozen=True, slots=True)
class Plan:
    """A hook line that can be written."""

    hook: Hook
    program: str
    region: str | None

    def write(self) -> bool:
        """Put the line in; False when it stood there already."""
        return edit(lambda config: awsfiles.with_hook(config, self.hook, self.program, self.region))


def plan(name: str, home: str | None, region: str | None) -> Plan:
    """Check everything that could stop the line from being written or from being used. Raises Usage, Refused."""
    hook = Hook(name, home)
    if home and not _WORD.fullmatch(home):
        raise Usage(
            "the home's path has characters that a hook line cannot have",
            hint="choose one without them, or use --no-config",
        )
    program = find_program()
    config, credentials = (AwsFile(_read(path)[1], path) for path in (config_path(), credentials_path()))
    found = awsfiles.rivals(config, credentials, hook)
    if found:
        raise Usage(
            f"{found[0].where} line {found[0].line}: {found[0].key} would be used instead of the hook",
            hint="remove that line, or use --no-config",
        )
    awsfiles.with_hook(config, hook, program, region)
    folder = os.path.dirname(os.path.realpath(config.where))
    if not os.access(folder if os.path.isdir(folder) else os.path.dirname(folder), os.W_OK | os.X_OK):
        raise Refused(f"{folder} cannot be written", hint="mend that, or use --no-config")
    return Plan(hook, program, region)


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
    AwsFile(_read(config_path())[1], config_path())


def names(home: str | None) -> list[str]:
    """The names that hook lines of this home ask for; none when the file cannot be read."""
    try:
        config = AwsFile(_read(config_path())[1], "config")
    except (Usage, Refused, StorageFailed):
        return []
    return [hook.name for hook in awsfiles.hooks(config) if hook.home == home]


def region(name: str, home: str | None) -> str | None:
    """The region that tools with `--profile` would use; None when the file says none or cannot be read."""
    try:
        return awsfiles.region(AwsFile(_read(config_path())[1], "config"), Hook(name, home))
    except (Usage, Refused, StorageFailed):
        return None


def beats_endpoint(name: str, home: str | None) -> str | None:
    """What in [default] gives programs other credentials than the container endpoint: SDKs look there first."""
    try:
        config, credentials = (AwsFile(_read(path)[1], path) for path in (config_path(), credentials_path()))
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


# --- changing the file


def edit(change: Change) -> bool:
    """Replace the config by what `change` makes of it; False when that is the same. Raises Usage, StorageFailed."""
    shown = config_path()
    path = os.path.realpath(shown)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.dirname(path), 0o700)
        with _locked(path):
            for _attempt in range(ATTEMPTS):
                before, text = _read(path)
                after = change(AwsFile(text, shown)).encode("utf-8", "surrogateescape")
                if after == (before or b""):
                    return False
                if before:
                    _back_up(path, text)
                if _replace(path, before, after):
                    return True
    except OSError as error:
        raise StorageFailed(
            f"{shown} cannot be changed ({error.strerror})", hint="mend that, then try again"
        ) from None
    raise Conflict(f"{shown} keeps changing; nothing was written", hint="end what changes it, then try again")


def _read(path: str) -> tuple[bytes | None, str]:
    """The bytes, None when there is no file, and their text: any bytes survive the way to text and back."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO in its place must not hang us
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        raise StorageFailed(
            f"{path} cannot be read ({error.strerror})", hint="mend that, then try again"
        ) from None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Refused(f"{path} is not a file", hint="remove it")
        with open(fd, "rb", closefd=False) as file:
            data = file.read()
    finally:
        os.close(fd)
    return data, data.decode("utf-8", "surrogateescape")


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """One awsvault at a time. The file stays: removing it would let two hold two locks."""
    fd = os.open(f"{path}.awsvault-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Conflict(f"another awsvault is changing {path}", hint="try again") from None
                time.sleep(0.02)
        yield
    finally:
        os.close(fd)


def _back_up(path: str, text: str) -> None:
    """The file as it was before we first touched it, less the secrets in it."""
    with contextlib.suppress(FileExistsError):
        _write_new(
            f"{path}.awsvault-backup",
            awsfiles.without_secrets(text).encode("utf-8", "surrogateescape"),
            0o600,
        )


def _replace(path: str, before: bytes | None, after: bytes) -> bool:
    """Rename a complete new file into place; False when the file is no longer what was read."""
    mode = stat.S_IMODE(os.stat(path).st_mode) if before is not None else 0o600
    fresh = f"{path}.awsvault-{os.urandom(4).hex()}"
    try:
        _write_new(fresh, after, mode)
        if _read(path)[0] != before:
            return False
        os.rename(fresh, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)
    _sync_directory(os.path.dirname(path))
    return True


def _write_new(path: str, data: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(fd, "wb") as file:
        os.fchmod(fd, mode)
        file.write(data)
        file.flush()
        os.fsync(fd)


def _sync_directory(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
