# SPDX-License-Identifier: Apache-2.0
"""IAM: the life of a user's keys, what stands on the user, and CloudTrail's proof of who made a key.

Every call blocks, so callers run it in a thread. `region` says no more than where the profile lives: IAM is one place
in a partition. Must not know profiles, the vault, the socket, or why a key is made or deleted.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from vaultd.core import probes, replies, trail
from vaultd.core.probes import Right
from vaultd.core.refusals import DENIED
from vaultd.core.replies import Identity, LastUsed, ListedKey, NewKey
from vaultd.core.sessions import Credentials
from vaultd.edge.boto import Boto
from vaultd.wire.errors import AwsFailed

NO_SUCH_ENTITY: Final = "NoSuchEntity"

#: Of 50 events or 100 other things each. IAM may give a page fewer than there is room for.
MAX_PAGES = 40
#: AWS takes signatures from 15 minutes ago, so an event may lie as long before the caller's "since".
_SIGNING_WINDOW = timedelta(minutes=15)

_Value = TypeVar("_Value")


class Iam:
    """Blocking and thread-safe. Every failure is an AwsFailed, a user or key that is not there has NoSuchEntity."""

    def __init__(self, boto: Boto) -> None:
        self._boto = boto

    def who_am_i(self, credentials: Credentials, *, partition: str, region: str | None) -> Identity:
        """Whose key this is, as the STS of exactly this region knows it; of the partition's home without one."""
        where = region or self._boto.region(partition, None)
        return self._boto.call("sts", "GetCallerIdentity", credentials, replies.identity, where)

    def list_keys(
        self, credentials: Credentials, *, partition: str, region: str | None, user_name: str | None
    ) -> tuple[ListedKey, ...]:
        """All keys of the user; of the signer without a name, which is the only way to ask about the root user."""
        where = self._boto.region(partition, region)
        return self._all("ListAccessKeys", credentials, where, replies.keys, UserName=user_name)

    def create_key(
        self,
        credentials: Credentials,
        *,
        partition: str,
        region: str | None,
        user_name: str | None,
        nonce: str,
    ) -> NewKey:
        """A second key, asked for exactly once. Raises AwsFailed; details["definite"] is False unless none was made.

        What is not definite is a lost reply: the key may exist, and its secret is gone.
        """
        trail.word(nonce)
        where = self._boto.region(partition, region)
        try:
            with self._boto.sending_once(nonce) as once:
                return _ask(once, "CreateAccessKey", credentials, where, replies.new_key, UserName=user_name)
        except AwsFailed as error:
            error.details.setdefault("definite", False)
            raise

    def set_key_active(
        self,
        credentials: Credentials,
        *,
        partition: str,
        region: str | None,
        user_name: str | None,
        access_key_id: str,
        active: bool,
    ) -> None:
        """Takes effect within seconds, not at once. Does nothing to a key that is so already."""
        self._do(
            "UpdateAccessKey",
            credentials,
            self._boto.region(partition, region),
            UserName=user_name,
            AccessKeyId=access_key_id,
            Status="Active" if active else "Inactive",
        )

    def delete_key(
        self,
        credentials: Credentials,
        *,
        partition: str,
        region: str | None,
        user_name: str | None,
        access_key_id: str,
    ) -> None:
        """The key is gone after this; one that was gone already is a success.

        A user that is not there is none: it may have been renamed, and its keys work on.
        """
        where = self._boto.region(partition, region)
        try:
            self._do("DeleteAccessKey", credentials, where, UserName=user_name, AccessKeyId=access_key_id)
        except AwsFailed as error:
            if error.details.get("aws_code") != NO_SUCH_ENTITY or is_about_user(error):
                raise

    def key_last_used(
        self, credentials: Credentials, *, partition: str, region: str | None, access_key_id: str
    ) -> LastUsed | None:
        """What a key was last used for, as AWS knows it hours later; None when never. Raises AwsFailed when untold."""
        where = self._boto.region(partition, region)
        return _ask(
            self._boto,
            "GetAccessKeyLastUsed",
            credentials,
            where,
            replies.last_used,
            AccessKeyId=access_key_id,
        )

    def created_by(
        self, credentials: Credentials, *, partition: str, region: str | None, nonce: str, since: datetime
    ) -> tuple[str, ...]:
        """Ids of the keys that CloudTrail proves to be made with this nonce. It knows within minutes, not at once.

        Nothing found is no proof of anything.
        """
        found: list[str] = []
        token: str | None = None
        for _ in range(MAX_PAGES):
            made, token = self._boto.call(
                "cloudtrail",
                "LookupEvents",
                credentials,
                partial(trail.page, nonce=nonce),
                self._boto.region(partition, region),
                **_given(
                    LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": trail.EVENT_NAME}],
                    StartTime=since - _SIGNING_WINDOW,
                    MaxResults=50,
                    NextToken=token,
                ),
            )
            found += made
            if token is None:
                break
        return tuple(dict.fromkeys(found))

    def user_tags(
        self, credentials: Credentials, *, partition: str, region: str | None, user_name: str
    ) -> dict[str, str]:
        """Written by anybody who may: untrusted."""
        where = self._boto.region(partition, region)
        return dict(self._all("ListUserTags", credentials, where, replies.tags, UserName=user_name))

    def tag_user(
        self,
        credentials: Credentials,
        *,
        partition: str,
        region: str | None,
        user_name: str,
        key: str,
        value: str,
    ) -> None:
        """Replaces the tag of that key."""
        where, tags = self._boto.region(partition, region), [{"Key": key, "Value": value}]
        self._do("TagUser", credentials, where, UserName=user_name, Tags=tags)

    def put_user_policy(
        self,
        credentials: Credentials,
        *,
        partition: str,
        region: str | None,
        user_name: str,
        name: str,
        document: str,
    ) -> None:
        """Replaces the inline policy of that name."""
        where, policy = self._boto.region(partition, region), {"PolicyName": name, "PolicyDocument": document}
        self._do("PutUserPolicy", credentials, where, UserName=user_name, **policy)

    def attached_policies(
        self, credentials: Credentials, *, partition: str, region: str | None, user_name: str
    ) -> tuple[str, ...]:
        """ARNs of the managed policies on the user itself, where AWS puts its quarantine; not those of its groups."""
        where = self._boto.region(partition, region)
        return self._all(
            "ListAttachedUserPolicies", credentials, where, replies.attached_policies, UserName=user_name
        )

    def probe_right(
        self, credentials: Credentials, *, partition: str, region: str | None, user_name: str, action: str
    ) -> Right:
        """May the signer do this to the user? Asks for what changes nothing; what cannot be asked so is "unknown"."""
        asked = probes.parameters(action, user_name, credentials)
        if asked is None:
            return "unknown"
        service, name = action.split(":")
        try:
            self._boto.call(
                service, name, credentials, replies.done, self._boto.region(partition, region), **asked
            )
        except AwsFailed as error:
            code = error.details.get("aws_code")
            if code in DENIED:
                return "missing"
            return "proven" if code == NO_SUCH_ENTITY else "unknown"
        return "proven"

    def _do(self, action: str, credentials: Credentials, where: str, **parameters: object) -> None:
        _ask(self._boto, action, credentials, where, replies.done, **parameters)

    def _all(
        self,
        action: str,
        credentials: Credentials,
        where: str,
        read: Callable[[replies.Reply], Sequence[_Value]],
        **parameters: object,
    ) -> tuple[_Value, ...]:
        """Every page of a list, or AwsFailed: half a list of keys would hide one."""
        found: list[_Value] = []
        marker: str | None = None
        for _ in range(MAX_PAGES):
            page = partial(replies.page, read=read)
            items, marker = _ask(self._boto, action, credentials, where, page, Marker=marker, **parameters)
            found += items
            if marker is None:
                return tuple(found)
        raise AwsFailed(f"the answer to iam:{action} does not end", hint="try again")


def is_about_user(error: AwsFailed) -> bool:
    """Is it the user that IAM does not have, and not what is asked of it?"""
    return error.details.get("aws_code") == NO_SUCH_ENTITY and "user with name" in error.message


def _ask(
    boto: Boto,
    action: str,
    credentials: Credentials,
    where: str,
    read: Callable[[Any], _Value],
    **parameters: object,
) -> _Value:
    return boto.call("iam", action, credentials, read, where, **_given(**parameters))


def _given(**parameters: object) -> dict[str, object]:
    return {name: value for name, value in parameters.items() if value is not None}
