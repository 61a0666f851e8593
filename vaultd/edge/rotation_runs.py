# SPDX-License-Identifier: Apache-2.0
"""The open rotations as they stand in the vault, and the one way to change them: from the state that one knows to the next.

Lives on the event loop's thread. Must not know AWS.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from vaultd.core import revocation, rotation
from vaultd.core.records import Body, KeyProfile
from vaultd.core.rotation import Rotation
from vaultd.edge.clock import Clock
from vaultd.edge.keeper import Keeper
from vaultd.wire.errors import Conflict, Locked


class Journal(Protocol):
    """Where it is told what happened: the audit, and the log. Never fails."""

    def __call__(self, profile: str, event: str, **facts: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Runs:
    keeper: Keeper
    clock: Clock
    journal: Journal
    forget: Callable[[str], None]  # the sessions of a profile
    save: Callable[[Callable[[Body], Body]], Awaitable[None]]
    is_panicking: Callable[[], bool]

    @property
    def open(self) -> Mapping[str, Rotation]:
        """By profile; those of revoked keys stand still."""
        body = self.keeper.body
        return {
            name: run
            for name, run in body.rotations.items()
            if not revocation.covers(body.revocations, name, run.key_ids)
        }

    def profile(self, name: str) -> KeyProfile:
        """Raises Refused for one whose key is revoked."""
        profile = self.keeper.body.key_profile(name)
        revocation.check_served(self.keeper.body.revocations, name, profile.key.access_key_id)
        return profile

    def held(self) -> set[str]:
        """The ids of all keys in the vault."""
        body = self.keeper.body
        held = {p.key.access_key_id for p in body.profiles.values() if isinstance(p, KeyProfile)}
        return held | {key_id for run in body.rotations.values() for key_id in run.key_ids}

    def forget_sessions(self, key_id: str) -> None:
        """Of every profile that owns this key: what is handed out from here on is made anew."""
        for profile in self.keeper.body.profiles.values():
            if isinstance(profile, KeyProfile) and profile.key.access_key_id == key_id:
                self.forget(profile.name)

    def check_unlocked(self) -> None:
        """Raises Locked from the moment of a lock or a panic on, though what must be saved still can be."""
        if not self.keeper.is_unlocked or self.keeper.is_closing or self.is_panicking():
            raise Locked("vault was locked meanwhile")

    async def move(
        self,
        name: str,
        before: Rotation | None,
        after: Rotation | None,
        *,
        change: Callable[[Body], Body] = lambda body: body,
    ) -> None:
        """Save the next state, if the run still is where we think. The promotion is a part of its save."""
        if before == after:
            return
        is_promotion = after and rotation.is_promotion(before, after)

        def moved(body: Body) -> Body:
            current = body.rotations.get(name)
            if current == after:
                return body  # an earlier try did it, and the disk would not confirm it
            if current != before:
                raise Conflict(f'the rotation of "{name}" was changed meanwhile', hint="try again")
            body = change(body).with_rotation(name, after)
            return body.serving_new_key(after, self.clock.now()) if after and is_promotion else body

        await self.save(moved)
        if after and is_promotion and after.hurry:
            self.forget_sessions(after.key_ids[-1])
        told = after or before
        if told and (after is None or before is None or after.state != before.state):
            self.journal(name, after.state if after else "closed", run=told.run, key=told.key_ids[-1])
        if after:
            self.profile(name)  # it may have been revoked while AWS was asked
