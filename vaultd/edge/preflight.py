# SPDX-License-Identifier: Apache-2.0
"""Asks AWS everything that a rotation should know before it begins; changes nothing. Blocking.

What is made of the answers is core/preflight.py's.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from vaultd.core import preflight
from vaultd.core.backoff import is_transient
from vaultd.core.preflight import HELPFUL, NEEDED, WATCHING, Found, FoundKey
from vaultd.core.probes import Right
from vaultd.core.replies import ListedKey
from vaultd.core.userpolicy import is_quarantine
from vaultd.edge.iam_user import IamUser
from vaultd.wire.errors import AwsFailed

_Value = TypeVar("_Value")


def look(user: IamUser) -> Found:
    """All about the signer's own user. Raises AwsFailed when it stays unknown whose key this is, or which others are."""
    identity = user.who_signs()
    user = replace(user, name=identity.user_name)
    listed = user.keys()
    rights: dict[str, Right] = {"iam:ListAccessKeys": "proven"}
    keys = tuple(_key(user, key, rights) for key in listed)
    for right in (*NEEDED, *HELPFUL):
        if right not in rights:
            rights[right] = user.right(right)
    attached = if_allowed(user.attached_policies) or ()
    return Found(identity, keys, rights, preflight.claim_of(tags(user)), any(map(is_quarantine, attached)))


def tags(user: IamUser) -> Mapping[str, str]:
    """Those of the user; none when it may not be asked."""
    return if_allowed(user.tags) or {}


def _key(user: IamUser, listed: ListedKey, rights: dict[str, Right]) -> FoundKey:
    try:
        used = user.last_used(listed.access_key_id)
    except AwsFailed as error:
        if is_transient(error):
            raise
        rights[WATCHING] = "missing"
        return FoundKey(listed, is_told=False)
    rights.setdefault(WATCHING, "proven")
    return FoundKey(listed, used)


def if_allowed(ask: Callable[[], _Value]) -> _Value | None:
    """None when AWS refuses: that is an answer. That it cannot be reached is none, and raised."""
    try:
        return ask()
    except AwsFailed as error:
        if is_transient(error):
            raise
        return None
