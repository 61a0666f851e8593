# SPDX-License-Identifier: Apache-2.0
"""How a rotation begins: what is checked, said and saved before CreateAccessKey is sent, and that its reply is kept.

Lives on the event loop's thread. CreateAccessKey is the one call that cannot be repeated, and its reply the one that
cannot be had again: so the intent is saved before it, and a lock waits until the reply is in the vault.
"""

import asyncio
import secrets
from dataclasses import dataclass, field, replace

from vaultd.core import preflight, rotation
from vaultd.core.keys import Key
from vaultd.core.preflight import Claim, Found, Wanted
from vaultd.core.records import Body, KeyProfile
from vaultd.core.replies import NewKey
from vaultd.core.rotation import Rotation
from vaultd.edge import log
from vaultd.edge.iam_user import IamUser
from vaultd.edge.preflight import if_allowed
from vaultd.edge.rotation_asking import Progress
from vaultd.edge.rotation_runs import Runs
from vaultd.edge.rotation_steps import Steps
from vaultd.wire.errors import AwsFailed, Refused, StorageFailed, Usage, VaultError

#: How long a new key's secret is tried to be saved before the key is deleted again. A lock waits for 25 s.
SEAL_PATIENCE_S = 15.0
SEAL_PAUSE_S = 0.5


@dataclass(slots=True)
class Start:
    runs: Runs
    steps: Steps
    host: str
    creating: int = 0  # replies of CreateAccessKey that are awaited, or not sealed yet
    _sealed: asyncio.Event = field(default_factory=asyncio.Event)

    async def sealed(self) -> None:
        """Until no reply of CreateAccessKey is awaited or unsaved."""
        while self.creating:
            self._sealed.clear()
            await self._sealed.wait()

    async def begin(self, profile: KeyProfile, wanted: Wanted, progress: Progress) -> None:
        """From the preflight to a new key in the vault. Raises Refused, AwsFailed, StorageFailed."""
        _check_alone(self.runs.keeper.body, profile)
        await progress("asking AWS about the user's keys and rights")
        found = await self.steps.found(profile)
        profile = _known(profile, found)
        self.check(found, profile, wanted)
        is_blind = found.rights[preflight.WATCHING] == "missing"
        now = self.runs.clock.now()
        user = await self.steps.user(profile)
        if wanted.replace:
            await progress(f"deleting the key {wanted.replace}")
            await self.steps.call(user.delete_key, wanted.replace)
            self.runs.journal(profile.name, "deleted", key=wanted.replace)
        run = Rotation(
            run=secrets.token_hex(8),
            state="intent",
            since=now,
            started_at=now,
            host=self.host,
            old=profile.key,
            known=tuple(known for known in found.key_ids if known != wanted.replace),
            hurry=wanted.hurry,
            # A claim that is passed over says nothing of who uses the old key: that is looked at all the same.
            force=wanted.force and is_blind,
        )
        await self._claim(user, run, wanted)
        await self._create(profile, run, user, progress)

    def check(self, found: Found, profile: KeyProfile, wanted: Wanted) -> None:
        """Raise what stands against beginning, or against what is wanted of the rotation that is open."""
        run = self.runs.open.get(profile.name)
        if run is None:
            self._check_new(found, profile, wanted)
        elif wanted.replace:
            self._check_lost(run, found, profile, wanted.replace)

    def _check_lost(self, run: Rotation, found: Found, profile: KeyProfile, key_id: str) -> None:
        """Only of a key that a lost reply may have told of there is a question whose it is. Raises Usage, Refused."""
        hint = "run: awsvault rotate --status"
        if run.new:
            raise Usage(f'a rotation of "{profile.name}" is open, and no key is in its way', hint=hint)
        if key_id not in rotation.strangers(run, found.key_ids):
            raise Usage(f"{key_id} is not the key that is in question", hint=hint)
        self._check_new(found, profile, Wanted(replace=key_id, force=True))

    def _check_new(self, found: Found, profile: KeyProfile, wanted: Wanted) -> None:
        key_id, now = profile.key.access_key_id, self.runs.clock.now()
        preflight.check(found, profile.name, key_id, self.runs.held(), self.host, wanted, now)

    async def _claim(self, user: IamUser, run: Rotation, wanted: Wanted) -> None:
        """Say on the user that this host rotates, where that is allowed; the last word of two hosts at once counts."""
        claim = Claim(run.run, run.host, run.started_at)

        def write_and_read() -> dict[str, str]:
            user.tag(preflight.TAG, str(claim))
            return user.tags()

        tags = await self.steps.call(lambda: if_allowed(write_and_read))
        read = preflight.claim_of(tags or {})
        if preflight.stops(read, self.host, self.runs.clock.now()) and not wanted.force:
            assert read
            raise Refused(
                f"{read.machine} began to rotate the same user at this moment", hint="try again in a while"
            )

    async def _create(self, profile: KeyProfile, run: Rotation, user: IamUser, progress: Progress) -> None:
        name = profile.name
        self.creating += 1
        try:
            await self.runs.move(name, None, run, change=lambda body: _begun(body, profile))
            await self._reserve(name, run)
            await progress("making the new key")
            self.runs.check_unlocked()
            try:
                made = await self.steps.call(user.create_key, run.run)
            except AwsFailed as error:
                raise await self._not_made(name, run, error) from None
            await self._seal(name, run, made, user)
        finally:
            self.creating -= 1
            self._sealed.set()

    async def _reserve(self, name: str, run: Rotation) -> None:
        """The save that must not fail gets its room before AWS makes what it is for."""
        try:
            await self.runs.keeper.reserve()
        except StorageFailed:
            await self.runs.move(name, run, None)
            raise

    async def _not_made(self, name: str, run: Rotation, error: AwsFailed) -> AwsFailed:
        """The run is over, or uncertain; the error to raise."""
        if error.details.get("definite"):
            await self.runs.move(name, run, None)
            return error
        await self.runs.move(name, run, run.at("uncertain", self.runs.clock.now()))
        return AwsFailed(
            f"it is not known whether AWS made a key ({error.message}); the old one goes on serving",
            hint="vaultd finds out; run: awsvault rotate --status",
            details=dict(error.details),
        )

    async def _seal(self, name: str, run: Rotation, made: NewKey, user: IamUser) -> None:
        """Save the new key's secret, which AWS shows once; when that cannot be done, delete the key again."""
        now = self.runs.clock.now()
        deadline = self.runs.clock.boottime() + SEAL_PATIENCE_S
        while True:
            try:
                key = Key(made.access_key_id, made.secret, made.created_at, now)
                return await self.runs.move(name, run, rotation.created(run, key, now))
            except Refused:
                raise  # it is saved, and was revoked meanwhile
            except VaultError:
                if self.runs.clock.boottime() >= deadline or not self.runs.keeper.is_unlocked:
                    log.say(f"the new key {made.access_key_id} could not be saved and is deleted again")
                    await self.steps.call(user.delete_key, made.access_key_id)
                    raise
            await self.steps.pause(SEAL_PAUSE_S)


def _known(profile: KeyProfile, found: Found) -> KeyProfile:
    """The profile with what AWS says of its owner. Raises Refused when the vault knows another."""
    identity = found.identity
    if (profile.account or identity.account, profile.arn or identity.arn) != (identity.account, identity.arn):
        raise Refused(
            f"the key of {profile.name} belongs to {identity.arn[:120]} now, not to whom it was added for",
            hint=f"run: awsvault add {profile.name} --replace",
        )
    return replace(profile, account=identity.account, arn=identity.arn)


def _begun(body: Body, profile: KeyProfile) -> Body:
    """With the profile as it is in the vault at this moment, but for what AWS said of its owner. Raises Refused."""
    _check_alone(body, profile)  # once more: another profile's rotation may have begun while AWS was asked
    now = replace(body.key_profile(profile.name), account=profile.account, arn=profile.arn)
    return body.with_profile(now)


def _check_alone(body: Body, profile: KeyProfile) -> None:
    """Two profiles may own one key, but it is rotated once. Raises Refused."""
    for name, run in body.rotations.items():
        if profile.key.access_key_id in run.key_ids and name != profile.name:
            raise Refused(
                f'the key of "{profile.name}" is being rotated as that of "{name}"',
                hint=f"run: awsvault rotate {name}",
            )
