# SPDX-License-Identifier: Apache-2.0
"""What is done in each state of a rotation (design section 8).

A step gets the run as it is saved and gives the next state, None when the rotation is over. It saves nothing, so that
whatever it did is done again after a crash: each call that it makes may be repeated. Must not know when a step is due,
nor the socket.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from vaultd.core import rotation
from vaultd.core.backoff import is_transient
from vaultd.core.keys import Key
from vaultd.core.partitions import is_in
from vaultd.core.records import KeyProfile
from vaultd.core.refusals import UNKNOWN_KEY
from vaultd.core.rotation import Rotation
from vaultd.edge.iam import NO_SUCH_ENTITY
from vaultd.edge.lost_reply import settle
from vaultd.edge.preflight import if_allowed
from vaultd.edge.rotation_asking import Progress, TurnBack, Waits
from vaultd.edge.rotation_checks import Checks
from vaultd.wire.errors import AwsFailed

#: Successes in a row, spread over 10 s: IAM tells its hosts one after another (hashicorp/vault #8413: 5-10 s or more).
VERIFY_SUCCESSES: Final = 3
VERIFY_PAUSE_S = 5.0
VERIFY_PATIENCE_S = 120.0


@dataclass(slots=True, kw_only=True)
class Steps(Checks):
    host: str
    now: Callable[[], datetime]
    regions: Callable[[KeyProfile], tuple[str | None, ...]]  # where the profile is used, as far as we know
    #: Round the call that makes a key active. Raises Refused for one that is revoked by now.
    waking: Callable[[KeyProfile, str], AbstractAsyncContextManager[None]]

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
                await self.check_safe(run, profile, progress)
                return run.at("deactivating", self.now())
            case "deactivating":
                return await self._deactivate(run, profile, progress)
            case "soak":
                return run.at("deleting", self.now())
            case "deleting":
                await self.check_safe(run, profile, progress)
                await progress(f"deleting the old key {run.old.access_key_id}")
                await self.call((await self.user(profile)).delete_key, run.old.access_key_id)
                return None

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
            if not await self.is_listed(profile, run.new):
                reason = f"somebody deleted the new key {run.new.access_key_id} in AWS"
            raise TurnBack(reason) from None
        return run.at("verified", self.now())

    async def prove(
        self, key: Key, profile: KeyProfile, progress: Progress, used_in: str | None = None
    ) -> None:
        """Until the key works wherever the profile is used. Raises Waits when it never does, AwsFailed when AWS fails."""
        deadline = self.boottime() + VERIFY_PATIENCE_S
        regions = dict.fromkeys(self.regions(profile))
        elsewhere = used_in if used_in not in regions and is_in(used_in or "", profile.partition) else None
        successes, failure = 0, ""
        while successes < VERIFY_SUCCESSES:
            await progress(f"trying the key {key.access_key_id} ({successes} of {VERIFY_SUCCESSES})")
            try:
                for region in regions:
                    await self.identify(key, profile, region)
                if elsewhere:
                    await self._identify_if_reached(key, profile, elsewhere)
                successes += 1
            except AwsFailed as error:
                if self.boottime() >= deadline and is_transient(error):
                    raise
                successes, failure = 0, error.message
            if self.boottime() >= deadline and successes < VERIFY_SUCCESSES:
                raise Waits(failure or "it did not work often enough")
            if successes < VERIFY_SUCCESSES:
                await self.pause(VERIFY_PAUSE_S)

    async def _identify_if_reached(self, key: Key, profile: KeyProfile, region: str) -> None:
        """Somebody else used the old key there; this machine may have no way to it."""
        try:
            await self.identify(key, profile, region)
        except AwsFailed as error:
            if not is_transient(error):
                raise

    async def _undo(self, run: Rotation, profile: KeyProfile) -> None:
        assert run.new
        await self.call((await self.user(profile)).delete_key, run.new.access_key_id)

    # --- after the promotion

    async def _deactivate(self, run: Rotation, profile: KeyProfile, progress: Progress) -> Rotation | None:
        await self.check_safe(run, profile, progress)
        await progress(f"deactivating the old key {run.old.access_key_id}")
        user = await self.user(profile)
        try:
            await self.call(user.set_key_active, run.old.access_key_id, active=False)
        except AwsFailed as error:
            if error.details.get("aws_code") == NO_SUCH_ENTITY and not await self.is_listed(profile, run.old):
                return None  # somebody deleted it already
            raise
        return run.at("soak", self.now())

    async def reactivate(self, run: Rotation, profile: KeyProfile, progress: Progress) -> None:
        """The old key works again, or an exception says why not. Raises Waits, AwsFailed, Refused."""
        try:
            await self.identify(run.old, profile, profile.region)
        except AwsFailed as error:
            if error.details.get("aws_code") not in UNKNOWN_KEY:
                raise
            await progress(f"activating the key {run.old.access_key_id} again")
            user = await self.user(profile)
            async with self.waking(profile, run.old.access_key_id):
                await self.call(user.set_key_active, run.old.access_key_id, active=True)
        await self.prove(run.old, profile, progress)
