# SPDX-License-Identifier: Apache-2.0
"""What must be true while the new key is served, and right before the old one is deactivated or deleted (design section 8).

Changes nothing in AWS. Must not know when it is asked.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from vaultd.core import rotation
from vaultd.core.backoff import is_transient
from vaultd.core.records import KeyProfile
from vaultd.core.refusals import UNKNOWN_KEY
from vaultd.core.rotation import Rotation
from vaultd.core.sessions import of_key
from vaultd.edge.iam import NO_SUCH_ENTITY
from vaultd.edge.iam_user import IamUser
from vaultd.edge.rotation_asking import Asking, Progress, StartOver, TurnBack, Waits
from vaultd.wire.errors import AwsFailed

#: How long the list may lack the new key (hashicorp/vault #8413), and how often it is asked for.
LISTED_WITHIN_S = 120.0
LIST_AGAIN_S = 5.0

_WAY_OUT: Final = "activate {old} in the IAM console, then run: awsvault rotate {name} --rollback"


@dataclass(slots=True, kw_only=True)
class Checks(Asking):
    handed_out_for: Callable[[], timedelta]  # how long a key may be used by whom it was handed out to

    async def watched(self, run: Rotation, profile: KeyProfile) -> Rotation:
        """The run, if its new key still works. Raises TurnBack, StartOver, Waits, AwsFailed."""
        assert run.new
        unknown = (
            f"AWS does not take the new key {run.new.access_key_id} in {profile.region or 'its region'}, "
            f"though IAM lists it as active; if that stays so: awsvault rotate {profile.name} --rollback"
        )
        try:
            await self.identify(run.new, profile, profile.region)
        except AwsFailed as error:
            if error.details.get("aws_code") not in UNKNOWN_KEY:
                raise
            if run.waits == unknown:  # the old key is not used once more to ask
                raise Waits(unknown) from None
            await self._check_useless(run, profile)
            raise StartOver(unknown) from None
        return run

    async def check_safe(self, run: Rotation, profile: KeyProfile, progress: Progress) -> None:
        """The new key works and is listed active, and nothing that does not ask us uses the old one."""
        await self.watched(run, profile)
        user = await self.user(profile)
        await self._await_listing(run, profile, user, progress)
        if not (run.force or run.hurry):
            await self._check_unused(run, profile, user)

    async def _await_listing(
        self, run: Rotation, profile: KeyProfile, user: IamUser, progress: Progress
    ) -> None:
        assert run.new
        deadline = self.boottime() + LISTED_WITHIN_S
        while True:
            listed = await self.listed(user)
            if listed.get(run.new.access_key_id):
                return
            if listed.get(run.new.access_key_id) is False:
                raise _useless(run, profile, "deactivated")
            if self.boottime() >= deadline:
                raise Waits(f"IAM does not list the new key {run.new.access_key_id}")
            await progress(f"waiting until IAM lists the new key {run.new.access_key_id}")
            await self.pause(LIST_AGAIN_S)

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

    async def _check_useless(self, run: Rotation, profile: KeyProfile) -> None:
        """AWS does not know the key that is served: raises what is to be done about it, unless IAM lists it active."""
        assert run.new
        by_old = replace(await self.user(profile), credentials=of_key(run.old))
        new, old = run.new.access_key_id, run.old.access_key_id
        try:
            listed = await self.listed(by_old)
        except AwsFailed as error:
            if is_transient(error):
                raise
            way_out = _WAY_OUT.format(old=old, name=profile.name)
            gone = f"if they are gone: awsvault remove {profile.name}"
            raise Waits(f"AWS takes neither {new} nor {old}; {way_out}; {gone}") from None
        if not listed.get(new):
            raise _useless(run, profile, "deactivated" if new in listed else "deleted")


def _useless(run: Rotation, profile: KeyProfile, did: str) -> Waits | TurnBack:
    """While the old key is active the way back needs nobody."""
    assert run.new
    reason = f"somebody {did} the new key {run.new.access_key_id} in AWS"
    if run.state in ("grace", "deactivating"):
        return TurnBack(reason)
    return Waits(f"{reason}; {_WAY_OUT.format(old=run.old.access_key_id, name=profile.name)}")
