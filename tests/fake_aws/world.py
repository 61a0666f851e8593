# SPDX-License-Identifier: Apache-2.0
"""Who exists: accounts' users, their keys and MFA devices, roles, sessions. Who may do what is decided in `rights`."""

import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypedDict

from tests.fake_aws.devices import Device
from tests.fake_aws.pace import Pace
from tests.fake_aws.trail import Event

ACCOUNT = "123456789012"
KEYS_PER_USER = 2

Kind = Literal["session", "role", "federated"]

_ID_ALPHABET = string.ascii_uppercase + "234567"
_SECRET_ALPHABET = string.ascii_letters + string.digits + "+/"


@dataclass(frozen=True, slots=True)
class LastUse:
    service: str
    region: str
    at: datetime


@dataclass(eq=False, slots=True)
class User:
    """An IAM user, or an account's root user (`name` is None then)."""

    name: str | None
    account: str
    partition: str
    path: str
    user_id: str
    created_at: datetime
    denied: set[str] = field(default_factory=set)  # actions as policies write them: "iam:ListAccessKeys"
    tags: dict[str, str] = field(default_factory=dict)
    policies: dict[str, str] = field(default_factory=dict)  # inline: documents by name
    attached: set[str] = field(default_factory=set)  # ARNs of managed policies

    @property
    def arn(self) -> str:
        resource = "root" if self.name is None else f"user{self.path}{self.name}"
        return f"arn:{self.partition}:iam::{self.account}:{resource}"


class Conditions(TypedDict, total=False):
    """Those of a role's trust policy; see Role."""

    external_id: str
    needs_mfa: bool
    named_after_user: bool
    allows_tags: bool
    allows_source_identity: bool
    max_session_s: int


@dataclass(eq=False, slots=True)
class Role:
    """A role, and the conditions of its trust policy."""

    name: str
    account: str
    partition: str
    path: str
    role_id: str
    trusts: set[str]  # ARNs of users and roles; an account's root stands for all of the account
    external_id: str | None = None
    needs_mfa: bool = False
    named_after_user: bool = False  # the session name must be ${aws:username}
    allows_tags: bool = False  # sts:TagSession
    allows_source_identity: bool = False  # sts:SetSourceIdentity
    max_session_s: int = 3600
    denied: set[str] = field(default_factory=set)  # what its sessions may not do

    @property
    def arn(self) -> str:
        return f"arn:{self.partition}:iam::{self.account}:role{self.path}{self.name}"


@dataclass(eq=False, slots=True)
class AccessKey:
    access_key_id: str
    secret: str = field(repr=False)
    user: User
    status: str
    created_at: datetime
    works_at: datetime | None = None  # may sign from then on; None for at once
    listed_at: datetime | None = None
    last_use: LastUse | None = None  # what IAM is to say, whatever the key does
    uses: list[LastUse] = field(default_factory=list)

    @property
    def principal(self) -> User:
        return self.user

    @property
    def arn(self) -> str:
        return self.user.arn

    @property
    def user_id(self) -> str:
        return self.user.user_id


@dataclass(eq=False, slots=True)
class IssuedSession:
    access_key_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    user: User  # at the root of the chain
    made_with: str  # the access key id that asked
    mfa: bool
    issued_at: datetime
    expires_at: datetime
    kind: Kind = "session"
    role: Role | None = None
    name: str = ""  # of a role's session, or of a federated user
    is_chained: bool = False  # a role's, assumed by a session
    tags: Mapping[str, str] = field(default_factory=dict)
    transitive_tags: frozenset[str] = frozenset()
    source_identity: str | None = None

    @property
    def principal(self) -> User | Role:
        """What trust policies name and permissions belong to."""
        return self.role or self.user

    @property
    def arn(self) -> str:
        if self.kind == "session":
            return self.user.arn
        resource = f"assumed-role/{self.role.name}/" if self.role else "federated-user/"
        return f"arn:{self.principal.partition}:sts::{self.principal.account}:{resource}{self.name}"

    @property
    def user_id(self) -> str:
        if self.kind == "session":
            return self.user.user_id
        return f"{self.role.role_id if self.role else self.user.account}:{self.name}"


Signer = AccessKey | IssuedSession


class World:
    """Not thread-safe: the server holds its lock round every use."""

    def __init__(self) -> None:
        self.users: list[User] = []
        self.roles: dict[str, Role] = {}  # by ARN
        self.devices: dict[str, tuple[Device, User]] = {}  # by serial
        self.keys: dict[str, AccessKey] = {}
        self.deleted: list[tuple[AccessKey, datetime]] = []  # and when
        self.sessions: dict[str, IssuedSession] = {}
        self.signins: dict[str, tuple[IssuedSession, datetime]] = {}  # by sign-in token; when it was made
        self.events: list[Event] = []
        self.pace = Pace()
        self.token_length = 350  # what STS sends is about this long
        self.packed_bytes = 1200  # what a session's policies and tags may take together

    def add_user(self, name: str | None, now: datetime, *, account: str, partition: str, path: str) -> User:
        user_id = account if name is None else new_id("AIDA")
        user = User(name, account, partition, path, user_id, now)
        self.users.append(user)
        return user

    def add_device(self, user: User, name: str, seed: bytes) -> Device:
        device = Device(f"arn:{user.partition}:iam::{user.account}:mfa/{name}", seed)
        self.devices[device.serial] = device, user
        return device

    def add_key(
        self, user: User, now: datetime, *, access_key_id: str | None, secret: str | None
    ) -> AccessKey:
        key = AccessKey(access_key_id or new_id("AKIA"), secret or new_secret(40), user, "Active", now)
        self.keys[key.access_key_id] = key
        return key

    def add_session(self, signer: Signer, now: datetime, *, length: timedelta, mfa: bool) -> IssuedSession:
        """A session of the signer's user; the caller fills in what else it is."""
        head = "IQoJb3JpZ2luX2Vj"
        token = head + new_secret(max(self.token_length - len(head), 1))
        # AWS tells whole seconds.
        expires_at = (now + length).replace(microsecond=0)
        made = IssuedSession(
            new_id("ASIA"), new_secret(40), token, signer.user, signer.access_key_id, mfa, now, expires_at
        )
        self.sessions[made.access_key_id] = made
        return made

    def delete_key(self, key: AccessKey, now: datetime) -> None:
        del self.keys[key.access_key_id]
        self.deleted.append((key, now))

    def delete_user(self, user: User, now: datetime) -> None:
        """With all that is the user's, as the console does it; sessions end with their user."""
        for key in self.keys_of(user):
            self.delete_key(key, now)
        self.users.remove(user)
        self.devices = {serial: pair for serial, pair in self.devices.items() if pair[1] is not user}
        self.sessions = {id_: made for id_, made in self.sessions.items() if made.user is not user}

    def keys_of(self, user: User) -> list[AccessKey]:
        """All that there are, whatever a list shows."""
        return [key for key in self.keys.values() if key.user is user]

    def listed(self, user: User, now: datetime) -> list[AccessKey]:
        """What ListAccessKeys shows: a while ago."""
        lag = self.pace.key_list
        ghosts = [key for key, deleted_at in self.deleted if key.user is user and now < deleted_at + lag]
        return [key for key in ghosts + self.keys_of(user) if key.listed_at is None or key.listed_at <= now]

    def known_use(self, key: AccessKey, now: datetime) -> LastUse | None:
        """What GetAccessKeyLastUsed shows: a while ago."""
        seen = (use for use in reversed(key.uses) if use.at + self.pace.last_used <= now)
        return key.last_use or next(seen, None)

    def pending(self, now: datetime) -> list[datetime]:
        """When what has happened will be known everywhere."""
        pace = self.pace
        moments = [moment for key in self.keys.values() for moment in (key.works_at, key.listed_at) if moment]
        moments += [use.at + pace.last_used for key in self.keys.values() for use in key.uses[-1:]]
        moments += [deleted_at + pace.key_list for _, deleted_at in self.deleted]
        moments += [event.at + pace.trail for event in self.events[-1:]]
        return [moment for moment in moments if moment > now]

    def user_named(self, name: str, like: User | Role) -> User | None:
        """The user of that name in the account of `like`."""
        place = (name, like.account, like.partition)
        return next((user for user in self.users if (user.name, user.account, user.partition) == place), None)


def new_id(prefix: str) -> str:
    return prefix + "".join(secrets.choice(_ID_ALPHABET) for _ in range(16))


def new_secret(length: int) -> str:
    return "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(length))
