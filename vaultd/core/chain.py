# SPDX-License-Identifier: Apache-2.0
"""From a profile to the calls that make its credentials: a key, perhaps a session of it, then role after role.

A step is the name of its own result: everything that shapes the call is in it (and no secret), so that two profiles
which need the same session share it, and a changed setting is another session. Who makes the calls is not known here.
"""

from dataclasses import dataclass

from vaultd.core.records import Body, KeyProfile, Profile
from vaultd.core.roles import CHAINED_DURATION_S, RoleProfile, fit_session_name
from vaultd.wire.errors import NoSuchProfile, Usage


@dataclass(frozen=True, slots=True)
class KeyStep:
    """The long-term key itself; nothing is called."""

    profile: str
    access_key_id: str
    partition: str
    region: str | None


@dataclass(frozen=True, slots=True)
class SessionStep:
    """GetSessionToken; with a serial it needs a code, and its result is kept in the vault."""

    key: KeyStep
    duration_s: int
    mfa_serial: str | None = None


@dataclass(frozen=True, slots=True)
class FederationStep:
    """GetFederationToken: a session of the key that may do no more than the policies say."""

    key: KeyStep
    duration_s: int
    name: str
    policy: str | None
    policy_arns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RoleStep:
    """AssumeRole, signed by what `source` gives."""

    source: "Step"
    profile: str
    role_arn: str
    session_name: str
    duration_s: int
    region: str | None
    external_id: str | None
    tags: tuple[tuple[str, str], ...]
    transitive_tags: tuple[str, ...]
    source_identity: str | None
    policy: str | None
    policy_arns: tuple[str, ...]


Step = KeyStep | SessionStep | FederationStep | RoleStep


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds that sessions live (config.toml [session])."""

    key: int
    role: int
    mfa: int


def base_of(step: Step) -> KeyStep:
    """The key at the root of a chain."""
    while isinstance(step, RoleStep):
        step = step.source
    return step if isinstance(step, KeyStep) else step.key


def mfa_of(step: Step) -> SessionStep | None:
    """The step of a chain that needs a code, if there is one."""
    while isinstance(step, RoleStep):
        step = step.source
    return step if isinstance(step, SessionStep) and step.mfa_serial else None


def session_of(body: Body, profile: Profile, durations: Durations) -> Step:
    """The step whose result is handed out as a session for `profile`. Raises Usage, NoSuchProfile."""
    if isinstance(profile, RoleProfile):
        return _role(body, profile, durations, ())
    key = key_step(profile)
    if profile.narrowed:
        name = fit_session_name(user_name(profile) or profile.name)[:32]
        return FederationStep(key, durations.key, name, profile.policy, profile.policy_arns)
    if profile.mfa_serial:
        return SessionStep(key, durations.mfa, profile.mfa_serial)
    return SessionStep(key, durations.key)


def check_all(body: Body, durations: Durations, name: str) -> None:
    """Raise what is wrong with `name` and with every role that is assumed through it: at the change, not at the next use."""
    for profile in body.profiles.values():
        if profile.name == name or (isinstance(profile, RoleProfile) and _passes(body, profile, name)):
            session_of(body, profile, durations)


def _passes(body: Body, profile: Profile | None, name: str) -> bool:
    seen: set[str] = set()
    while isinstance(profile, RoleProfile) and profile.name not in seen:
        if profile.source == name:
            return True
        seen.add(profile.name)
        profile = body.profiles.get(profile.source)
    return False


def key_step(profile: KeyProfile) -> KeyStep:
    return KeyStep(profile.name, profile.key.access_key_id, profile.partition, profile.region)


def _role(body: Body, profile: RoleProfile, durations: Durations, above: tuple[str, ...]) -> RoleStep:
    if profile.name in above:
        loop = " -> ".join((*above[above.index(profile.name) :], profile.name))
        raise Usage(
            f"the roles go round in a circle: {loop}",
            hint=f"run: awsvault edit {profile.name} --source PROFILE",
        )
    source = body.profiles.get(profile.source)
    if source is None:
        raise NoSuchProfile(f'"{profile.name}" is assumed from "{profile.source}", which does not exist')
    if source.partition != profile.partition:
        raise Usage(
            f'"{profile.name}" is in {profile.partition}, but its source "{source.name}" in {source.partition}'
        )
    parent: Step
    if isinstance(source, RoleProfile):
        parent = _role(body, source, durations, (*above, profile.name))
    else:
        parent = _signer(source, profile, durations)
    duration_s = profile.duration_s or durations.role
    if not isinstance(parent, KeyStep):
        duration_s = min(duration_s, CHAINED_DURATION_S)
    return RoleStep(
        parent,
        profile.name,
        profile.role_arn,
        profile.session_name or fit_session_name(_person(body, source) or profile.name),
        duration_s,
        profile.region or source.region,
        profile.external_id,
        profile.tags,
        profile.transitive_tags,
        profile.source_identity,
        profile.policy,
        profile.policy_arns,
    )


def _signer(source: KeyProfile, profile: RoleProfile, durations: Durations) -> Step:
    """What signs the first AssumeRole: the MFA session where there is a device, else the key, which stays in the daemon."""
    if source.narrowed:
        raise Usage(
            f'"{profile.name}" cannot be assumed from "{source.name}", which is narrowed: GetFederationToken may not assume roles'
        )
    key = key_step(source)
    return SessionStep(key, durations.mfa, source.mfa_serial) if source.mfa_serial else key


def _person(body: Body, source: Profile) -> str | None:
    """The IAM user at the root: the session name that trust policies with ${aws:username} want."""
    while isinstance(source, RoleProfile):
        source = body.profile(source.source)
    return user_name(source)


def user_name(profile: KeyProfile) -> str | None:
    """The IAM user's name, without its path; None when nobody asked AWS, or for a root key."""
    kind, _, name = (profile.arn or "").rpartition(":")[2].partition("/")
    return name.rpartition("/")[2] if kind == "user" and name else None


def is_chained(step: Step) -> bool:
    """Is it signed by a session? STS counts an MFA session as a chain, too, and gives it an hour at most."""
    return isinstance(step, RoleStep) and not isinstance(step.source, KeyStep)
