# SPDX-License-Identifier: Apache-2.0
"""What is done in each state of a rotation, and what must be true before it (design section 8).

A step gets the run as it is saved and gives the next state, None when the rotation is over. It saves nothing, so that
whatever it did is done again after a crash: each call that it makes may be repeated. Must not know when a step is due,
nor the socket.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, ParamSpec, TypeVar

from vaultd.core import chain, preflight, rotation
from vaultd.core.backoff import is_transient
from vaultd.core.keys import Key
from vaultd.core.partitions import is_in
from vaultd.core.records import KeyProfile
from vaultd.core.refusals import UNKNOWN_KEY
from vaultd.core.replies import Identity
from vaultd.core.rotation import Rotation
from vaultd.core.sessions import Credentials, of_key
from vaultd.edge.iam import NO_SUCH_ENTITY, Iam
from vaultd.edge.iam_user import IamUser
from vaultd.edge.lost_reply import settle
from vaultd.edge.preflight import if_allowed, look
from vaultd.edge.successor import threads
from vaultd.wire.errors import AwsFailed

#: Successes in a row, spread over 10 s: IAM tells its hosts one after another (hashicorp/vault #8413: 5-10 s or more).
VERIFY_SUCCESSES: Final = 3
VERIFY_PAUSE_S = 5.0
VERIFY_PATIENCE_S = 120.0
#: Calls to AWS at once, in threads of their own: AWS hanging must not take those that derive keys and save.
AT_ONCE: Final = 8

_WAY_OUT: Final = "activate {old} in the IAM console, then run: awsvault rotate {name} --rollback"

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
    """We used the old key ourselves: the grace begins again, so that this use is taken for nobody else's."""


@dataclass(slots=True)
class Steps:
    """`sign` gives what signs for a profile: its MFA session where there is one, else the key that it serves."""

    host: str
    iam: Callable[[], Iam]
    sign: Callable[[KeyProfile], Awaitable[Credentials]]
    now: Callable[[], datetime]
    boottime: Callable[[], float]
    regions: Callable[[KeyProfile], tuple[str | None, ...]]  # where the profile is used, as far as we know
    handed_out_for: Callable[[], timedelta]  # how long a key may be used by whom it was handed out to
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    _threads: ThreadPoolExecutor = field(default_factory=lambda: threads(AT_ONCE, "rotation"))

    async def take(self, run: Rotation, profile: KeyProfile, progress: Progress) -> Rotation | None:
        """Do what is next. Raises Waits, TurnBack, AwsFailed."""
        match run.state:
            case "intent" | "uncertain":
                return await self._settle(run, profile)
            case "created":
                return await self._verify(run, profile, progress)
            case "verified":
                return rotation.promoted(run, self.now())
            case "undoing":
                await self._undo(run, profile)
                return None
            case "grace":
                await self._check_safe(run, profile, progress)
                return run.at("deactivating", self.now())
            case "deactivating":
                return await self._deactivate(run, profile, progress)
            case "soak":
                return run.at("deleting", self.now())
            case "deleting":
                await self._check_safe(run, profile, progress)
                await progress(f"deleting the old key {run.old.access_key_id}")
                await self.call((await self.user(profile)).delete_key, run.old.access_key_id)
                return None

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

    # --- before the promotion

    async def _settle(self, run: Rotation, profile: KeyProfile) -> Rotation | None:
        """What became of the key that a lost reply told of."""
        user = await self.user(profile)
        settlement = await self.call(settle, user, run, self.host, self.now())
        match settlement.verdict:
            case "delete":
                for key_id in settlement.key_ids:
                    await self.call(user.delete_key, key_id)
                return None
            case "none":
                return None
            case "wait":
                raise Waits("")
            case "ask":
                named = " and ".join(settlement.key_ids)
                what = (
                    "AWS's reply was lost" if run.host == self.host else f"{run.machine} began this rotation"
                )
                raise Waits(
                    f"{what}, and IAM lists {named}, which nothing proves ours; to delete it: "
                    f"awsvault rotate {profile.name} --replace {settlement.key_ids[0]}; to leave it: --rollback"
                )

    async def _verify(self, run: Rotation, profile: KeyProfile, progress: Progress) -> Rotation:
        assert run.new
        user = await self.user(profile)
        used = await self.call(if_allowed, partial(user.last_used, run.old.access_key_id))
        try:
            await self.prove(run.new, profile, progress, used.region if used else None)
        except Waits as failure:
            reason = failure.text
            if not await self._is_listed(profile, run.new):
                reason = f"somebody deleted the new key {run.new.access_key_id} in AWS"
            raise TurnBack(reason) from None
        return run.at("verified", self.now())

    async def prove(
        self, key: Key, profile: KeyProfile, progress: Progress, used_in: str | None = None
    ) -> None:
        """Until the key works wherever the profile is used. Raises Waits when it never does, AwsFailed when AWS fails."""
        deadline = self.boottime() + VERIFY_PATIENCE_S
        regions = dict.fromkeys(
            (*self.regions(profile), *([used_in] if used_in and is_in(used_in, profile.partition) else []))
        )
        successes, failure = 0, ""
        while successes < VERIFY_SUCCESSES:
            await progress(f"trying the key {key.access_key_id} ({successes} of {VERIFY_SUCCESSES})")
            try:
                for region in regions:
                    await self._identify(key, profile, region)
                successes += 1
            except AwsFailed as error:
                if self.boottime() >= deadline and is_transient(error):
                    raise
                successes, failure = 0, error.message
            if self.boottime() >= deadline and successes < VERIFY_SUCCESSES:
                raise Waits(failure or "it did not work often enough")
            if successes < VERIFY_SUCCESSES:
                await self.pause(VERIFY_PAUSE_S)

    async def _identify(self, key: Key, profile: KeyProfile, region: str | None) -> Identity:
        """Whose key it is. Raises Waits when it is another's than the profile's."""
        ask = partial(self.iam().who_am_i, of_key(key), partition=profile.partition, region=region)
        identity = await self.call(ask)
        if (identity.account, identity.arn) != (profile.account, profile.arn):
            raise Waits(f"the key {key.access_key_id} belongs to {identity.arn[:120]}")
        return identity

    async def _undo(self, run: Rotation, profile: KeyProfile) -> None:
        assert run.new
        await self.call((await self.user(profile)).delete_key, run.new.access_key_id)

    # --- after the promotion

    async def _deactivate(self, run: Rotation, profile: KeyProfile, progress: Progress) -> Rotation | None:
        await self._check_safe(run, profile, progress)
        await progress(f"deactivating the old key {run.old.access_key_id}")
        user = await self.user(profile)
        try:
            await self.call(user.set_key_active, run.old.access_key_id, active=False)
        except AwsFailed as error:
            if error.details.get("aws_code") == NO_SUCH_ENTITY and not await self._is_listed(
                profile, run.old
            ):
                return None  # somebody deleted it already
            raise
        return run.at("soak", self.now())

    async def watch(self, run: Rotation, profile: KeyProfile) -> None:
        """In grace: does the new key still work? Raises TurnBack, StartOver, Waits, AwsFailed."""
        assert run.new
        try:
            await self._identify(run.new, profile, profile.region)
        except AwsFailed as error:
            if error.details.get("aws_code") in UNKNOWN_KEY:
                await self._new_key_refused(run, profile)
            raise

    async def _check_safe(self, run: Rotation, profile: KeyProfile, progress: Progress) -> None:
        """The new key works and is listed active, and nothing that does not ask us uses the old one."""
        await self.watch(run, profile)
        user = await self.user(profile)
        await self._await_listing(run, profile, user, progress)
        if not (run.force or run.hurry):
            await self._check_unused(run, profile, user)

    async def _await_listing(
        self, run: Rotation, profile: KeyProfile, user: IamUser, progress: Progress
    ) -> None:
        assert run.new
        deadline = self.boottime() + VERIFY_PATIENCE_S
        while True:
            listed = await self._listed(user)
            if listed.get(run.new.access_key_id):
                return
            if listed.get(run.new.access_key_id) is False:
                raise _useless(run, profile, "deactivated")
            if self.boottime() >= deadline:
                raise Waits(f"IAM does not list the new key {run.new.access_key_id}")
            await progress(f"waiting until IAM lists the new key {run.new.access_key_id}")
            await self.pause(VERIFY_PAUSE_S)

    async def _check_unused(self, run: Rotation, profile: KeyProfile, user: IamUser) -> None:
        forced = f"to go on all the same: awsvault rotate {profile.name} --force"
        try:
            used = await self.call(user.last_used, run.old.access_key_id)
        except AwsFailed as error:
            if error.details.get("aws_code") == NO_SUCH_ENTITY:
                return
            if is_transient(error):
                raise
            raise Waits(
                f"iam:GetAccessKeyLastUsed is refused, so nobody sees whether the old key is used; {forced}"
            ) from None
        if used and rotation.used_since(run, used.at, self.handed_out_for()):
            where = f"{used.service[:40]} in {used.region[:25]}"
            raise Waits(f"the old key was used on {used.at:%Y-%m-%d at %H:%M} UTC by {where}; {forced}")

    async def _new_key_refused(self, run: Rotation, profile: KeyProfile) -> None:
        """AWS does not know the key that is served: raises what is to be done about it."""
        assert run.new
        by_old = replace(await self.user(profile), credentials=of_key(run.old))
        new, old = run.new.access_key_id, run.old.access_key_id
        try:
            listed = await self._listed(by_old)
        except AwsFailed as error:
            if is_transient(error):
                raise
            way_out = _WAY_OUT.format(old=old, name=profile.name)
            gone = f"if they are gone: awsvault remove {profile.name}"
            raise Waits(f"AWS takes neither {new} nor {old}; {way_out}; {gone}") from None
        if not listed.get(new):
            raise _useless(run, profile, "deactivated" if new in listed else "deleted")
        raise StartOver

    async def _is_listed(self, profile: KeyProfile, key: Key) -> bool:
        return key.access_key_id in await self._listed(await self.user(profile))

    async def _listed(self, user: IamUser) -> dict[str, bool]:
        """The ids of the user's keys, and whether each is active."""
        return {key.access_key_id: key.active for key in await self.call(user.keys)}

    async def reactivate(self, run: Rotation, profile: KeyProfile, progress: Progress) -> None:
        """The old key works again, or an exception says why not. Raises Waits, AwsFailed."""
        try:
            await self._identify(run.old, profile, profile.region)
        except AwsFailed as error:
            if error.details.get("aws_code") not in UNKNOWN_KEY:
                raise
            await progress(f"activating the key {run.old.access_key_id} again")
            await self.call((await self.user(profile)).set_key_active, run.old.access_key_id, active=True)
        await self.prove(run.old, profile, progress)


def _useless(run: Rotation, profile: KeyProfile, did: str) -> Waits | TurnBack:
    """While the old key is active the way back needs nobody."""
    assert run.new
    reason = f"somebody {did} the new key {run.new.access_key_id} in AWS"
    if run.state in ("grace", "deactivating"):
        return TurnBack(reason)
    return Waits(f"{reason}; {_WAY_OUT.format(old=run.old.access_key_id, name=profile.name)}")
