# SPDX-License-Identifier: Apache-2.0
"""Asks AWS about the keys in the vault: when each was used, is its user in quarantine, did another machine rotate it.

At most once a day a key, one key at a time, a while after the unlock, and never in anybody's way: what AWS does not
tell stays unknown. Must not know what is made of the answers, nor the socket.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from vaultd.core import chain, preflight, uses
from vaultd.core.backoff import is_transient
from vaultd.core.canonical import from_time_or_none, to_time_or_none
from vaultd.core.records import Body, KeyProfile
from vaultd.core.reminders import KeyFacts
from vaultd.core.sessions import of_key
from vaultd.core.userpolicy import is_quarantine
from vaultd.core.uses import Seen
from vaultd.edge import log
from vaultd.edge.aws import UNTOLD, Aws, LastUsed
from vaultd.edge.clock import Clock
from vaultd.edge.iam_user import IamUser
from vaultd.edge.preflight import if_allowed
from vaultd.wire.errors import AwsFailed, Locked, VaultError

EVERY_S = 86_400.0
SETTLE_S = 60.0  # after an unlock: first the programs that waited for it
PAUSE_S = 3_600.0  # after AWS could not be reached, or the answers not be kept
NOTHING_TO_ASK_S = 60.0
KEPT = 400  # answers that go over a lock; of more, some keys are asked about again


@dataclass(frozen=True, slots=True)
class Answer:
    at: float  # boot time
    facts: KeyFacts | None  # None: asked, and AWS said nothing that we understand
    asked_at: datetime | None = None  # by the wall's clock, when AWS told the last use


class Inspector:
    """Lives on the event loop's thread; `aws` blocks, and is asked in another."""

    def __init__(
        self,
        clock: Clock,
        aws: Callable[[], Aws],
        epoch: Callable[[], int],
        host: str,
        save: Callable[[Callable[[Body], Body]], Awaitable[None]],
    ) -> None:
        self._clock = clock
        self._save = save
        self._host = host
        self._aws = aws
        self._epoch = epoch
        self._seen_epoch: int | None = None
        self._answers: dict[str, Answer] = {}
        self._not_before = 0.0
        self._asking: asyncio.Task[None] | None = None
        self._complained = False
        self.version = 0  # moves with every new fact

    @property
    def facts(self) -> Mapping[str, KeyFacts]:
        """By access key id."""
        return {key_id: answer.facts for key_id, answer in self._answers.items() if answer.facts}

    def about(self, access_key_id: str) -> KeyFacts:
        answer = self._answers.get(access_key_id)
        return answer.facts if answer and answer.facts else KeyFacts()

    def look(self, body: Body) -> None:
        """Start to ask about the key that waited longest, if it is time. Returns at once."""
        now = self._clock.boottime()
        if self._seen_epoch != self._epoch():
            self._seen_epoch, self._not_before = self._epoch(), now + SETTLE_S
        if now < self._not_before or self._asking:
            return
        profile = self._next(body, now)
        if profile is None:
            self._not_before = now + NOTHING_TO_ASK_S
            if self._noted(body) is body:
                return
        work = self._ask(profile) if profile else self._keep()
        self._asking = asyncio.get_running_loop().create_task(work)

    def _next(self, body: Body, now: float) -> KeyProfile | None:
        """Not the keys that AWS was never asked about (`add --no-verify`): their owner wanted it so."""
        keys = {
            profile.key.access_key_id: profile
            for profile in body.profiles.values()
            if isinstance(profile, KeyProfile)
            and profile.verified_at
            and profile.name not in body.revocations  # AWS would not take its signature
        }
        self._answers = {key_id: answer for key_id, answer in self._answers.items() if key_id in keys}
        waited = {
            key_id: self._answers[key_id].at if key_id in self._answers else -EVERY_S for key_id in keys
        }
        first = min(waited, key=waited.__getitem__, default=None)
        return keys[first] if first is not None and now - waited[first] >= EVERY_S else None

    async def _ask(self, profile: KeyProfile) -> None:
        key_id, epoch = profile.key.access_key_id, self._epoch()
        before = self._answers.get(key_id) or Answer(0.0, None)
        try:
            now = self._clock.now()
            facts, is_told = await asyncio.to_thread(_ask, self._aws(), profile, before, now, self._host)
        except AwsFailed as error:
            self._failed(key_id, error)
        else:
            self._complained = False
            if self._epoch() == epoch:
                asked_at = now if is_told else before.asked_at
                self._answers[key_id] = Answer(self._clock.boottime(), facts, asked_at)
                self.version += before.facts != facts
        finally:
            self._asking = None

    async def _keep(self) -> None:
        """All at once, when there is nothing left to ask: after a restart our questions of today look like uses."""
        try:
            await self._save(self._noted)
        except Locked:
            return
        except VaultError as error:
            self._not_before = self._clock.boottime() + PAUSE_S
            self._complain(f"when keys were used is not kept: {error.line}")
        finally:
            self._asking = None

    def _noted(self, body: Body) -> Body:
        return uses.noted(
            body,
            {
                key_id: Seen(answer.asked_at, answer.facts.used_at if answer.facts else None)
                for key_id, answer in self._answers.items()
                if answer.asked_at
            },
        )

    def _failed(self, key_id: str, error: AwsFailed) -> None:
        now = self._clock.boottime()
        if is_transient(error):
            self._not_before = now + PAUSE_S
        else:  # an answer of a kind; the same question would get the same
            before = self._answers.get(key_id)
            self._answers[key_id] = replace(before, at=now) if before else Answer(now, None)
        self._complain(f"AWS does not say when keys were used: {error.line}")

    def _complain(self, line: str) -> None:
        """Once, until AWS answers again."""
        if not self._complained:
            self._complained = True
            log.say(line)

    # --- over a lock

    def carry(self) -> dict[str, Any]:
        """The newest answers; no secret, and the audit names the same keys."""
        newest = sorted(self._answers.items(), key=lambda item: item[1].at)[-KEPT:]
        return {
            key_id: [answer.at, _carried(answer.facts), from_time_or_none(answer.asked_at)]
            for key_id, answer in newest
        }

    def resume(self, carried: Mapping[str, Any]) -> None:
        for key_id, (at, told, asked_at) in carried.items():
            facts = None
            if told:
                used_at, quarantined_at, rotated_at = map(to_time_or_none, told[:3])
                facts = KeyFacts(used_at, quarantined_at, rotated_at, *told[3:5])
            self._answers[key_id] = Answer(at, facts, to_time_or_none(asked_at))


def _carried(facts: KeyFacts | None) -> list[int | str | None] | None:
    if facts is None:
        return None
    moments = (facts.used_at, facts.quarantined_at, facts.rotated_at)
    return [
        *map(from_time_or_none, moments),
        facts.rotated_by,
        facts.used_for,
    ]


def _ask(aws: Aws, profile: KeyProfile, before: Answer, now: datetime, host: str) -> tuple[KeyFacts, bool]:
    """What is known now, and whether AWS told the last use. Blocking. Raises AwsFailed; that a right is missing is no failure."""
    known, credentials = before.facts or KeyFacts(), of_key(profile.key)
    user = IamUser(aws.iam, credentials, profile.partition, profile.region, chain.user_name(profile))
    used, is_told = _last_used(user, profile.key.access_key_id)
    attached = if_allowed(user.attached_policies)
    is_quarantined = (
        known.quarantined_at is not None if attached is None else any(map(is_quarantine, attached))
    )
    rotated_at, rotated_by = _rotated(user, profile, known, host)
    if used and not uses.is_own(used, profile, before.asked_at, now):
        known = replace(known, used_at=used.at, used_for=used.service)
    facts = KeyFacts(
        known.used_at,
        (known.quarantined_at or now) if is_quarantined else None,
        rotated_at,
        rotated_by,
        known.used_for,
    )
    return facts, is_told


def _rotated(user: IamUser, profile: KeyProfile, known: KeyFacts, host: str) -> tuple[datetime | None, str]:
    """When another machine began to rotate the key, and which. Not seen is not gone: the old key is refused in the end."""
    tags = if_allowed(user.tags)
    if tags is None:
        return known.rotated_at, known.rotated_by
    claim = preflight.claim_of(tags)
    if claim is None or claim.host == host:
        return None, ""
    listed = if_allowed(user.keys)
    if listed is not None and preflight.came_to_nothing(claim, listed, profile.key.access_key_id):
        return None, ""
    return claim.at, claim.machine


def _last_used(user: IamUser, key_id: str) -> tuple[LastUsed | None, bool]:
    """The last use, None for never; and whether AWS told, which it does to keys that it accepts."""
    try:
        return user.last_used(key_id), True
    except AwsFailed as error:
        if error.details.get("aws_code") not in UNTOLD:
            raise
        return None, False
