# SPDX-License-Identifier: Apache-2.0
"""Puts the chosen keys, and the roles that are assumed from them, into the vault. No file is touched here.

What stops it in the middle leaves the vault as it was: the keys are still in their files.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from awsvault import adopting, output
from awsvault.importing.candidates import Candidate, Wanted, hooked
from awsvault.importing.sources import AwsFiles
from vaultd.core import adopt, plaintext, slugs
from vaultd.core.awsfiles import AwsFile, profile_in
from vaultd.core.fields import NAME
from vaultd.wire import client
from vaultd.wire.errors import Conflict, Refused, VaultError
from vaultd.wire.protocol import Frame


@dataclass(frozen=True, slots=True)
class Role:
    """A role profile of the config: `source` is the vault's name for what it is assumed from."""

    profile: str
    name: str
    source: str
    mfa_serial: str | None


@dataclass(slots=True)
class Kept:
    """What is in the vault by now; `made`: what was not there before, in its order, with the ids of keys."""

    home: str | None
    made: dict[str, str | None] = field(default_factory=dict)
    keys: list[Candidate] = field(default_factory=list)
    roles: list[Role] = field(default_factory=list)

    def take_back(self) -> None:
        """As it was. What is not there, or is another's by now, stays."""
        for name, key_id in reversed(self.made.items()):
            with contextlib.suppress(VaultError):
                shown = client.call("show", home=self.home, profile=name)["profile"]
                if shown["access_key_id"] == key_id:
                    client.call("remove", home=self.home, profile=name)


@contextlib.contextmanager
def all_or_nothing(home: str | None) -> Iterator[Kept]:
    """Until the files are about to be changed. Raises what came between."""
    kept = Kept(home)
    try:
        yield kept
    except (VaultError, KeyboardInterrupt, EOFError):
        if kept.made:
            output.say("The vault is put back as it was; no file was changed.")
        kept.take_back()
        raise


def keep(kept: Kept, candidates: Sequence[Candidate], wanted: Wanted) -> None:
    for candidate in candidates:
        if not candidate.held:
            _add(kept, candidate, wanted)
        kept.keys.append(candidate)


def _add(kept: Kept, candidate: Candidate, wanted: Wanted) -> None:
    kept.made[candidate.name] = (
        candidate.found.access_key_id
    )  # an answer that does not reach us may have been done
    try:
        fields = candidate.request(keep=True, wanted=wanted)
        reply = client.call("add", home=kept.home, on_progress=output.progress, **fields)
    except Conflict:
        del kept.made[candidate.name]
        raise
    candidate.facts = reply["profile"]
    if reply["held"]:
        del kept.made[candidate.name]


# --- roles


def own_roles(config: AwsFile, keys: Sequence[Candidate], home: str | None) -> list[Role]:
    """Of profiles that are roles and have the key for it themselves: one cannot move without the other."""
    others = {profile for profile, _, _ in _role_profiles(config)}
    return [
        Role(
            it.found.profile,
            _role_name(config, it.found.profile, home),
            it.name,
            _serial(config, it.found.profile),
        )
        for it in keys
        if it.found.role and it.found.profile not in others
    ]


def roles_from(
    files: AwsFiles, keys: Sequence[Candidate], home: str | None, vault: Mapping[str, Frame]
) -> list[Role]:
    """Those that are assumed from the keys, and from one another, sources first. `vault`: what is there, by name."""
    known = {it.found.profile: it.name for it in keys if not it.found.shadowed}
    claimed = {it.name for it in keys}
    asks = hooked(files.config, home)
    waiting = {
        profile: (source, arn)
        for profile, source, arn in _role_profiles(files.config)
        if _can_move(files, profile, [it.found.profile for it in keys], home)
    }
    found: list[Role] = []
    while ready := [profile for profile, (source, _) in waiting.items() if source in known]:
        for profile in ready:
            source, arn = waiting.pop(profile)
            name = asks.get(profile) or _free_name(profile, known[source], arn, claimed, vault)
            claimed.add(name)
            found.append(Role(profile, name, known[source], _serial(files.config, profile)))
            known.setdefault(profile, name)
    return found


def _can_move(files: AwsFiles, role: str, moving: Collection[str], home: str | None) -> bool:
    """Does nothing in its section, or of its name, stay that would beat the hook?"""
    profile = files.profiles[role]
    if profile.has_keys and role not in moving:
        return False
    return not plaintext.obstacle_to(profile, files.config, files.credentials, home)


def _free_name(
    profile: str, source: str, role_arn: str, claimed: Collection[str], vault: Mapping[str, Frame]
) -> str:
    def is_free(name: str) -> bool:
        there = vault.get(name)
        same = there and (there.get("source"), there.get("role_arn")) == (source, role_arn)
        return name not in claimed and (there is None or bool(same))

    return slugs.made_free(adopt.fit_name(profile), is_free)


def _role_profiles(config: AwsFile) -> Iterator[tuple[str, str, str]]:
    """Every section that is a role of its own words and assumed from another profile: its name, that one's, the ARN."""
    for section in config.sections:
        profile, source, role = (
            profile_in(section.header),
            section.option(adopt.SOURCE),
            section.option(adopt.ROLE),
        )
        if profile and source and role and source.value != profile:
            yield profile, source.value, role.value


def _role_name(config: AwsFile, profile: str, home: str | None) -> str:
    return hooked(config, home).get(profile) or (profile if NAME.match(profile) else adopt.fit_name(profile))


def _serial(config: AwsFile, profile: str) -> str | None:
    with contextlib.suppress(VaultError):
        return adopt.role_in(config, profile).mfa_serial
    return None


def take_over(
    kept: Kept, config: AwsFile, roles: Sequence[Role], *, verify: bool, yes: bool, with_devices: bool
) -> None:
    """Each role that AWS lets its source assume; the others stay as they are, and why is said.

    `with_devices`: also where a key gets an MFA device by it, though `yes` keeps us from asking: what uses the key
    without a code would stop.
    """
    failed: set[str] = set()
    for role in roles:
        if role.source in failed:
            failed.add(role.name)
            continue
        try:
            if role.mfa_serial and yes and not with_devices:
                _check_device(kept, role, role.mfa_serial)
            _take_over(kept, config, role, verify=verify, yes=yes)
        except VaultError as error:
            failed.add(role.name)
            output.say(f"{role.profile} stays a role of the file: {error.line}. {_by_hand(role)}")


def _check_device(kept: Kept, role: Role, serial: str) -> None:
    if not adopting.Device(kept.home, serial, role.source).is_settled:
        raise Refused(
            f"with its MFA device {role.source} would be served after a code only, which --roles agrees to",
            hint="",
        )


def _by_hand(role: Role) -> str:
    return f"Later: awsvault add-role {role.name} --from-config {role.profile}"


def _take_over(kept: Kept, config: AwsFile, role: Role, *, verify: bool, yes: bool) -> None:
    found = adopt.role_in(config, role.profile)
    fields = {**adopting.settings(found, {}), "source": role.source, "policy_arns": None, "verify": verify}
    device = adopting.Device(kept.home, role.mfa_serial, role.source) if role.mfa_serial else None
    try:
        adopting.add(kept.home, role.name, fields, device, yes=yes)
        kept.made[role.name] = None
    except Conflict:
        shown = client.call("show", home=kept.home, profile=role.name)["profile"]
        if (shown.get("source"), shown.get("role_arn")) != (role.source, found.role_arn):
            raise
    kept.roles.append(role)


def without_halves(kept: Kept) -> list[Candidate]:
    """Take out, and return, the keys of profiles that stay roles of the file: with half of it gone they would not work."""
    adopted = {role.profile for role in kept.roles}
    halves = [it for it in kept.keys if it.found.role and it.found.profile not in adopted]
    kept.keys = [it for it in kept.keys if it not in halves]
    return halves
