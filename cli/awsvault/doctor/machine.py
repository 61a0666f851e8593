# SPDX-License-Identifier: Apache-2.0
"""What was seen of this machine, once, for all checks. Values only: gather.py fills it, tests write it down.

No long-term secret is kept in it: of ~/.aws only the names of such settings, of answers only the id of the key.
"""

import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from awsvault.doctor.survey import Profile, Setting, Survey, profiles
from vaultd.core import awsfiles
from vaultd.core.awsfiles import Hook

#: A `credential_process` that means to call us, in whatever clothes.
_MEANS_US = re.compile(r"""(?:\A|[\s"'/\\=])awsvault["']?(?=\s|\Z)""")

Kind = Literal["missing", "file", "directory", "other"]


@dataclass(frozen=True, slots=True)
class Entry:
    """Something of the file system, links followed. `alone`: nobody else is in its group."""

    path: str
    kind: Kind
    mode: int = 0
    uid: int = 0
    alone: bool = False

    def gives_others(self, rights: int) -> int:
        """Which of these rights others have."""
        if self.kind == "missing":
            return 0
        return self.mode & rights & ~(stat.S_IRWXG if self.alone else 0)


@dataclass(frozen=True, slots=True)
class AwsText:
    """One of AWS's two files."""

    path: str
    survey: Survey = field(default_factory=Survey)
    trouble: str = ""  # why it could not be read
    not_utf8: int | None = None  # the first such line
    entry: Entry | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """What a hook line calls. `holders`: the file and its directory, through links."""

    path: str
    kind: Kind
    real: str
    may_run: bool = True
    holders: tuple[Entry, ...] = ()

    @property
    def is_shim(self) -> bool:
        return "/shims/" in self.path


@dataclass(frozen=True, slots=True)
class Answerer:
    """What answers on one socket: its `status`, or why there is none."""

    directory: str
    status: Mapping[str, Any] | None = None
    code: str = ""
    line: str = ""


@dataclass(frozen=True, slots=True)
class Daemon:
    answerers: tuple[Answerer, ...] = ()  # of every place where one may listen, the best first
    holder: int | None = None  # the pid that holds the vault's lock
    has_vault: bool = True
    version: str = ""  # of this command

    @property
    def status(self) -> Mapping[str, Any] | None:
        return next((it.status for it in self.answerers if it.status), None)

    @property
    def state(self) -> str:
        if self.status:
            return str(self.status["state"])
        return "unreachable" if self.has_vault else "no-vault"


@dataclass(frozen=True, slots=True)
class Probe:
    """STS, asked by the daemon: its host and our clock minus its own, or why not."""

    host: str = ""
    clock_error_s: int = 0
    line: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """The hook line itself, run by a shell in this environment."""

    status: int
    took_s: float
    stderr: str = ""
    size: int = 0  # bytes on stdout
    key_id: str | None = None  # None: no answer as SDKs want it


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a client in a clean environment came to: by which provider, and the end of which key's id."""

    provider: str = ""
    key_tail: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Proof:
    """One hooked profile, tried. `key_id`: whom the daemon names; "" with `code` and `line` when it refuses."""

    key_id: str = ""
    code: str = ""
    line: str = ""
    run: Run | None = None
    botocore: Resolved | None = None
    aws: Resolved | None = None


@dataclass(frozen=True, slots=True)
class Cache:
    """A file in which some tool, or a person, keeps credentials in the clear."""

    path: str
    what: Literal["session", "sign-in", "key", "copy"]
    until: str = ""  # when it ends, as the file says


@dataclass(frozen=True, slots=True)
class Unit:
    path: str
    is_installed: bool
    is_as_rendered: bool = True


@dataclass(frozen=True, slots=True)
class Machine:
    uid: int
    home: str | None  # AWSVAULT_HOME or --home
    environment: Mapping[str, str]
    config: AwsText
    credentials: AwsText
    own_program: str  # of this installation, links resolved
    hook_program: str | None  # what a hook line would name; None when there is nothing to name
    socket_trouble: str = ""
    programs: Mapping[str, Program] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()  # the home directory and ~/.aws
    vault_entries: tuple[Entry, ...] = ()  # whatever is the vault's
    daemon: Daemon = field(default_factory=Daemon)
    vault: Mapping[str, Mapping[str, Any]] | None = (
        None  # its profiles as `list` shows them, while it is open
    )
    probe: Probe | None = None
    proofs: Mapping[str, Proof] = field(default_factory=dict)
    not_proven: tuple[str, ...] = ()  # profiles that were too many
    caches: tuple[Cache, ...] = ()
    histories: Mapping[str, int] = field(default_factory=dict)  # file: lines that look like keys
    units: tuple[Unit, ...] = ()
    now: str = ""  # as AWS writes times
    profiles: Mapping[str, Profile] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "profiles", profiles(self.config.survey, self.credentials.survey))

    def line_of(self, profile: Profile) -> Setting | None:
        """The line that calls awsvault, or tries to; of two the one that tools would run."""
        return next((it for it in profile.processes() if _MEANS_US.search(it.value)), None)

    def hook_of(self, profile: Profile) -> Hook | None:
        line = self.line_of(profile)
        return awsfiles.hook_in(line.value) if line else None

    def ours(self) -> Iterator[tuple[Profile, Setting, str]]:
        """The profiles whose line calls awsvault, or tries to, with that line and its file."""
        for profile in self.profiles.values():
            line = self.line_of(profile)
            if line:
                yield profile, line, self.file_of(profile, line)

    def hooked(self) -> Iterator[tuple[Profile, Hook]]:
        """The profiles with a good hook line, of this home or another."""
        found = ((profile, awsfiles.hook_in(line.value)) for profile, line, _ in self.ours())
        return ((profile, hook) for profile, hook in found if hook)

    def is_revoked(self, name: str) -> bool:
        """Is this profile of the vault's out of use, because somebody wanted it so?"""
        return (self.vault or {}).get(name, {}).get("status") in ("revoking", "revoked")

    def calls_us(self, profile: Profile) -> bool:
        """Does its line call this very installation? No other program is run by us, whatever SDKs do."""
        line = self.line_of(profile)
        found = self.programs.get(line.value.split()[0]) if line else None
        return bool(found and found.kind == "file" and found.may_run and found.real == self.own_program)

    def file_of(self, profile: Profile, line: Setting) -> str:
        in_config = profile.config and profile.config.settings.get(line.key) is line
        return self.config.path if in_config else self.credentials.path

    @property
    def is_broken(self) -> bool:
        """Does botocore refuse one of the files? Then it refuses every profile."""
        files = (self.config, self.credentials)
        return any(file.survey.defects or file.trouble or file.not_utf8 is not None for file in files)

    def why_closed(self) -> str:
        """Why nothing can be learnt from the vault."""
        return {
            "locked": "the vault is locked; run: awsvault unlock",
            "no-vault": "there is no vault yet; run: awsvault init",
            "unreachable": "vaultd does not run; run: awsvault unlock",
        }.get(self.daemon.state, "vaultd did not tell what is in the vault")
