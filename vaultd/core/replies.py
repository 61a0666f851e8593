# SPDX-License-Identifier: Apache-2.0
"""What AWS's answers say, checked before anybody believes them.

Pure: gets the parsed reply as a mapping. Whatever is not of the expected shape is a ValueError, LookupError or
TypeError, and becomes "did not answer as AWS does" at the edge: a captive portal must not end up in the vault.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from vaultd.core.secret import Secret
from vaultd.core.sessions import Credentials, Session

Reply = Mapping[str, Any]

_Item = TypeVar("_Item")

# AWS promises no lengths; these only keep nonsense out and an answer inside a frame of 64 KiB.
_ARN = re.compile(r"arn:(aws[a-z-]{0,20}):(?:iam|sts)::([0-9]{12}):([!-~]{1,1600})\Z")
_KEY_ID = re.compile(r"[A-Za-z0-9_]{16,128}\Z")
_WORD = re.compile(r"[!-~]{1,32768}\Z")


@dataclass(frozen=True, slots=True)
class Identity:
    account: str
    arn: str
    user_id: str

    @property
    def partition(self) -> str:
        return self.arn.split(":")[1]

    @property
    def is_root(self) -> bool:
        return self.arn.endswith(":root")

    @property
    def user_name(self) -> str | None:
        """The IAM user's name without its path; None for the root user and for roles."""
        resource = self.arn.split(":", 5)[5]
        return resource.rsplit("/", 1)[1] if resource.startswith("user/") else None


@dataclass(frozen=True, slots=True)
class LastUsed:
    service: str
    region: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key as IAM lists it: without its secret, which IAM shows once."""

    access_key_id: str
    active: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewKey:
    access_key_id: str
    secret: Secret
    created_at: datetime


def identity(reply: Reply) -> Identity:
    arn = _ARN.match(reply["Arn"])
    if arn is None or arn[2] != reply["Account"]:
        raise ValueError("not an identity")
    return Identity(account=arn[2], arn=arn[0], user_id=_word(reply["UserId"]))


def session(reply: Reply) -> Session:
    given = reply["Credentials"]
    key_id = _key_id(given["AccessKeyId"])
    secret, token = Secret(_word(given["SecretAccessKey"])), Secret(_word(given["SessionToken"]))
    return Session(Credentials(key_id, secret, token), _utc(given["Expiration"]))


def done(reply: Reply) -> None:
    """An answer that says nothing but that it was done: AWS's own has a request id, a captive portal's has none."""
    _word(reply["ResponseMetadata"]["RequestId"])


def page(reply: Reply, read: Callable[[Reply], Sequence[_Item]]) -> tuple[Sequence[_Item], str | None]:
    """One page of a list of IAM's, and the mark that the next one begins at; None after the last."""
    return read(reply), _word(reply["Marker"]) if reply.get("IsTruncated") else None


def keys(reply: Reply) -> list[ListedKey]:
    return [
        ListedKey(_key_id(key["AccessKeyId"]), key["Status"] == "Active", _utc(key["CreateDate"]))
        for key in reply["AccessKeyMetadata"]
    ]


def new_key(reply: Reply) -> NewKey:
    key = reply["AccessKey"]
    secret = Secret(_word(key["SecretAccessKey"]))
    return NewKey(_key_id(key["AccessKeyId"]), secret, _utc(key["CreateDate"]))


def tags(reply: Reply) -> list[tuple[str, str]]:
    """Whatever anybody wrote on a user: of any content, and untrusted."""
    return [(_text(tag["Key"]), _text(tag["Value"])) for tag in reply["Tags"]]


def attached_policies(reply: Reply) -> list[str]:
    return [_word(policy["PolicyArn"]) for policy in reply["AttachedPolicies"]]


def last_used(reply: Reply) -> LastUsed | None:
    """The last use; None for a key never used, which AWS tells by leaving the date out."""
    use = reply["AccessKeyLastUsed"]
    if "LastUsedDate" not in use:
        return None
    return LastUsed(_word(use["ServiceName"]), _word(use["Region"]), _utc(use["LastUsedDate"]))


def _key_id(text: str) -> str:
    if not _KEY_ID.match(text):
        raise ValueError("not a key id")
    return text


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError("not a text")
    return text


def _word(text: str) -> str:
    if not _WORD.match(text):
        raise ValueError("not a printable word")
    return text


def _utc(moment: object) -> datetime:
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise ValueError("not a time with a zone")
    return moment.astimezone(UTC)
