# SPDX-License-Identifier: Apache-2.0
"""Who exists: accounts' users, their keys and sessions. Who may do what is decided in `actions`."""

import secrets
import string
from dataclasses import dataclass, field
from datetime import datetime, timedelta

ACCOUNT = "123456789012"
KEYS_PER_USER = 2

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

    @property
    def arn(self) -> str:
        resource = "root" if self.name is None else f"user{self.path}{self.name}"
        return f"arn:{self.partition}:iam::{self.account}:{resource}"


@dataclass(eq=False, slots=True)
class AccessKey:
    access_key_id: str
    secret: str = field(repr=False)
    user: User
    status: str
    created_at: datetime
    last_use: LastUse | None = None


@dataclass(eq=False, slots=True)
class IssuedSession:
    access_key_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    user: User
    made_with: str  # the access key id that asked
    mfa: bool
    expires_at: datetime


class World:
    """Not thread-safe: the server holds its lock round every use."""

    def __init__(self) -> None:
        self.users: list[User] = []
        self.keys: dict[str, AccessKey] = {}
        self.sessions: dict[str, IssuedSession] = {}
        self.token_length = 350  # what STS sends is about this long

    def add_user(self, name: str | None, now: datetime, *, account: str, partition: str, path: str) -> User:
        user_id = account if name is None else new_id("AIDA")
        user = User(name, account, partition, path, user_id, now)
        self.users.append(user)
        return user

    def add_key(
        self, user: User, now: datetime, *, access_key_id: str | None, secret: str | None
    ) -> AccessKey:
        key = AccessKey(access_key_id or new_id("AKIA"), secret or new_secret(40), user, "Active", now)
        self.keys[key.access_key_id] = key
        return key

    def add_session(self, key: AccessKey, now: datetime, *, length: timedelta, mfa: bool) -> IssuedSession:
        head = "IQoJb3JpZ2luX2Vj"
        token = head + new_secret(max(self.token_length - len(head), 1))
        # AWS tells whole seconds.
        expires_at = (now + length).replace(microsecond=0)
        made = IssuedSession(
            new_id("ASIA"), new_secret(40), token, key.user, key.access_key_id, mfa, expires_at
        )
        self.sessions[made.access_key_id] = made
        return made

    def keys_of(self, user: User) -> list[AccessKey]:
        return [key for key in self.keys.values() if key.user is user]

    def user_named(self, name: str, like: User) -> User | None:
        """The user of that name in the account of `like`."""
        place = (name, like.account, like.partition)
        return next((user for user in self.users if (user.name, user.account, user.partition) == place), None)


def new_id(prefix: str) -> str:
    return prefix + "".join(secrets.choice(_ID_ALPHABET) for _ in range(16))


def new_secret(length: int) -> str:
    return "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(length))
