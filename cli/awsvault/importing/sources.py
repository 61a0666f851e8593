# SPDX-License-Identifier: Apache-2.0
"""Where keys to import are looked for: AWS's two files, files that were named, other tools that hold some.

Reading only. What the lines mean is vaultd.core's business.
"""

import functools
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from awsvault import hook, keyinput, output, reading, rewriting
from vaultd.core import envfile, plaintext
from vaultd.core.awsfiles import AwsFile, profile_in
from vaultd.core.plaintext import Found, Place
from vaultd.core.secret import Secret
from vaultd.wire.errors import NoSuchProfile, Refused, Usage, VaultError, printable

Kind = Literal["aws", "ini", "env", "csv", "tool"]
#: A header that has its line to itself (a shell's `[ -f x ] && ...` has not), and AWS's own word for a secret.
_LIKE_AWS = re.compile(
    r"^\[[^\]\r\n]+\][ \t]*\r?$.*^[ \t]*aws_secret_access_key[ \t]*[=:]", re.MULTILINE | re.DOTALL
)
TOOLS = {
    "aws-vault": ("aws-vault", "export", "--no-session", "--format=json"),
    "granted": ("granted", "credential-process", "--profile"),
}


@dataclass(frozen=True, slots=True)
class Source:
    """A key, and what kind of place it lies in. `path`: of a file that was named."""

    found: Found
    kind: Kind
    path: str = ""


@dataclass(frozen=True)
class AwsFiles:
    config: AwsFile
    credentials: AwsFile

    @classmethod
    def read(cls) -> "AwsFiles":
        """Raises Usage by line number for a file that AWS's tools refuse."""
        return cls(hook.read_config(), hook.read_credentials())

    @functools.cached_property
    def profiles(self) -> dict[str, plaintext.Profile]:
        return plaintext.profiles(self.config, self.credentials)


def of_aws(files: AwsFiles, home: str | None) -> list[Source]:
    return [Source(found, "aws") for found in plaintext.found_in(files.config, files.credentials, home)]


def of_file(path: str) -> list[Source]:
    """The keys of a .env file, a shell's start-up file, a download of the IAM console or a copy of a file of AWS. Raises Usage."""
    path = os.path.abspath(os.path.expanduser(path))
    if os.path.realpath(path) in map(os.path.realpath, (hook.config_path(), hook.credentials_path())):
        return []  # they are looked at anyway
    head = reading.content(path, limit=keyinput.SIZE_LIMIT)
    if keyinput.is_csv(head):
        return [
            Source(_of_key(key, Place(path, row), profile), "csv", path)
            for row, key, profile in keyinput.all_from_csv(path)
        ]
    _, text = rewriting.read(path)
    if _LIKE_AWS.search(text):
        return [Source(it, "ini", path) for it in _in_copy(AwsFile(text, path))]
    found = envfile.found_in(text, path, _profile_for(path))
    if not found:
        output.say(f"There is no access key in {path}.")
    return [Source(it, "env", path) for it in found]


def _in_copy(file: AwsFile) -> Iterator[Found]:
    """What a copy of `credentials` or of `config` holds. That a profile is a role is the business of AWS's own file."""
    empty = AwsFile("", file.where)
    pair = (file, empty) if is_config(file) else (empty, file)
    for it in plaintext.found_in(*pair):
        obstacle = "it is a role there: the copy is no place to take it over from" if it.role else ""
        yield replace(it, obstacle=it.obstacle or obstacle)


def is_config(file: AwsFile) -> bool:
    """Do its headers say `profile`?"""
    return any(profile_in(section.header) not in (None, "default") for section in file.sections)


def _profile_for(path: str) -> str:
    """`~/shop/.env` is shop's, `~/.bashrc` is bashrc's."""
    name = os.path.basename(path)
    return os.path.basename(os.path.dirname(path)) if name.startswith(".env") else name.lstrip(".")


def _of_key(key: keyinput.KeyText, place: Place, profile: str) -> Found:
    obstacle = plaintext.shape(key.access_key_id, key.secret_access_key, has_token=False)
    return Found(profile, (place,), key.access_key_id, Secret(key.secret_access_key), obstacle=obstacle)


def of_tool(tool: str, profile: str, files: AwsFiles, home: str | None) -> Source:
    """What another tool holds for one of its profiles. Raises NoSuchProfile, Refused, Usage."""
    answer = _asked(tool, profile)
    key_id, secret = (answer.get(name) for name in ("AccessKeyId", "SecretAccessKey"))
    if not (isinstance(key_id, str) and isinstance(secret, str)):
        raise Usage(f"{tool} did not answer with a key")
    here = files.profiles.get(profile)
    obstacle = plaintext.shape(key_id, secret, has_token=bool(answer.get("SessionToken")))
    if here:
        obstacle = obstacle or plaintext.obstacle_to(here, files.config, files.credentials, home, tool)
    settings = here.settings() if here else {}
    if "role_arn" in settings:
        obstacle = (
            obstacle
            or f"it is a role: take it over with awsvault add-role --from-config {printable(profile)[:40]}"
        )
    found = Found(
        profile,
        (Place(tool, 0),),
        key_id,
        Secret(secret),
        region=plaintext.region_in(settings),
        mfa_serial=plaintext.serial_in(settings),
        obstacle=obstacle,
    )
    return Source(found, "tool", tool)


def _asked(tool: str, profile: str) -> dict[str, object]:
    """Its own prompts reach the terminal; what it prints stays here."""
    if profile.startswith("-"):
        raise Usage("that is not the name of a profile")
    try:
        done = subprocess.run([*TOOLS[tool], profile], stdout=subprocess.PIPE, check=False)
    except FileNotFoundError:
        raise Usage(f"{tool} is not installed, or not on PATH", hint="") from None
    except OSError as error:
        raise VaultError(f"{tool} cannot be run ({error.strerror})") from None
    if done.returncode:
        raise NoSuchProfile(
            f"{tool} gave no key for {printable(profile)[:40]} (exit {done.returncode})", hint=""
        )
    try:
        answer = json.loads(done.stdout)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise Refused(f"{tool} did not answer with JSON")
    return answer
