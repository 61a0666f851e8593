# SPDX-License-Identifier: Apache-2.0
"""How a rotation asks AWS: as whom, in which thread, and what its answers mean for the run.

Must not know the states.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final, ParamSpec, TypeVar

from vaultd.core import chain, preflight, rotation
from vaultd.core.keys import Key
from vaultd.core.records import KeyProfile
from vaultd.core.replies import Identity
from vaultd.core.sessions import Credentials, of_key
from vaultd.edge.iam import Iam
from vaultd.edge.iam_user import IamUser
from vaultd.edge.preflight import look
from vaultd.edge.successor import threads

#: Calls to AWS at once, in threads of their own: AWS hanging must not take those that derive keys and save.
AT_ONCE: Final = 8

_Value = TypeVar("_Value")
_P = ParamSpec("_P")
Progress = Callable[[str], Awaitable[None]]


class Waits(Exception):
    """For what a rotation waits, in words for a person."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text[: rotation.MAX_WAITS]


class TurnBack(Exception):
    """The new key is of no use, and why: the old one has to be served again."""


class StartOver(Exception):
    """We used the old key ourselves: the grace begins again, so that this use is taken for nobody else's.

    The words are for a person, should it happen twice in a row.
    """


@dataclass(slots=True, kw_only=True)
class Asking:
    """`sign` gives what signs for a profile: its MFA session where there is one, else the key that it serves."""

    iam: Callable[[], Iam]
    sign: Callable[[KeyProfile], Awaitable[Credentials]]
    boottime: Callable[[], float]
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    _threads: ThreadPoolExecutor = field(default_factory=lambda: threads(AT_ONCE, "rotation"))

    async def user(self, profile: KeyProfile) -> IamUser:
        """The profile's user, asked by whatever signs for it now; its name is the one of whom the key is verified for."""
        credentials = await self.sign(profile)
        return IamUser(self.iam(), credentials, profile.partition, profile.region, chain.user_name(profile))

    async def found(self, profile: KeyProfile) -> preflight.Found:
        """All about the user before a rotation begins."""
        return await self.call(look, await self.user(profile))

    async def call(self, ask: Callable[_P, _Value], *args: _P.args, **kwargs: _P.kwargs) -> _Value:
        """In a thread of our own."""
        work = partial(ask, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def identify(self, key: Key, profile: KeyProfile, region: str | None) -> Identity:
        """Whose key it is. Raises Waits when it is another's than the profile's."""
        ask = partial(self.iam().who_am_i, of_key(key), partition=profile.partition, region=region)
        identity = await self.call(ask)
        if (identity.account, identity.arn) != (profile.account, profile.arn):
            whose = f"the key {key.access_key_id} belongs to {identity.arn[:120]}"
            raise Waits(f"{whose}; if the user was renamed: give it its name back until the rotation is over")
        return identity

    async def is_listed(self, profile: KeyProfile, key: Key) -> bool:
        return key.access_key_id in await self.listed(await self.user(profile))

    async def listed(self, user: IamUser) -> dict[str, bool]:
        """The ids of the user's keys, and whether each is active."""
        return {key.access_key_id: key.active for key in await self.call(user.keys)}
