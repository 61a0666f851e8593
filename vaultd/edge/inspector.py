# SPDX-License-Identifier: Apache-2.0
"""Asks AWS about the keys in the vault: when each was used, is its user in quarantine, did another machine rotate it.

At most once a day a key, one key at a time, a while after the unlock, and never in anybody's way: what AWS does not
tell stays unknown. Must not know what is made of the answers, nor the socket.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vaultd.core import chain, preflight
from vaultd.core.backoff import is_transient
from vaultd.core.canonical import from_time_or_none, to_time_or_none
from vaultd.core.records import Body, KeyProfile
from vaultd.core.reminders import KeyFacts
from vaultd.core.sessions import of_key
from vaultd.core.userpolicy import is_quarantine
from vaultd.edge import log
from vaultd.edge.aws import Aws
from vaultd.edge.clock import Clock
from vaultd.edge.iam_user import IamUser
from vaultd.edge.preflight import if_allowed, tags
from vaultd.wire.errors import AwsFailed

EVERY_S = 86_400.0
SETTLE_S = 60.0  # after an unlock: first the programs that waited for it
PAUSE_S = 3_600.0  # after AWS could not be reached
NOTHING_TO_ASK_S = 60.0
KEPT = 400  # answers that go over a lock; of more, some keys are asked about again


@dataclass(frozen=True, slots=True)
class Answer:
    at: float  # boot time
    facts: KeyFacts | None  # None: asked, and AWS said nothing that we understand


class Inspector:
    """Lives on the event loop's thread; `aws` blocks, and is asked in another."""

    def __init__(self, clock: Clock, aws: Callable[[], Aws], epoch: Callable[[], int], host: str) -> None:
        self._clock = clock
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
            return
        self._asking = asyncio.get_running_loop().create_task(self._ask(profile))

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
        known = self.about(key_id)
        try:
            facts = await asyncio.to_thread(_ask, self._aws(), profile, known, self._clock.now(), self._host)
        except AwsFailed as error:
            self._failed(key_id, error)
        else:
            self._complained = False
            if self._epoch() == epoch:
                before = self._answers.get(key_id)
                self._answers[key_id] = Answer(self._clock.boottime(), facts)
                self.version += before is None or before.facts != facts
        finally:
            self._asking = None

    def _failed(self, key_id: str, error: AwsFailed) -> None:
        now = self._clock.boottime()
        if is_transient(error):
            self._not_before = now + PAUSE_S
        else:  # an answer of a kind; the same question would get the same
            before = self._answers.get(key_id)
            self._answers[key_id] = Answer(now, before.facts if before else None)
        if not self._complained:
            self._complained = True
            log.say(f"AWS does not say when keys were used: {error.line}")

    # --- over a lock

    def carry(self) -> dict[str, Any]:
        """The newest answers; no secret, and the audit names the same keys."""
        newest = sorted(self._answers.items(), key=lambda item: item[1].at)[-KEPT:]
        return {key_id: [answer.at, _carried(answer.facts)] for key_id, answer in newest}

    def resume(self, carried: Mapping[str, Any]) -> None:
        for key_id, (at, told) in carried.items():
            facts = None
            if told:
                used_at, quarantined_at, rotated_at = map(to_time_or_none, told[:3])
                facts = KeyFacts(used_at, quarantined_at, rotated_at, *told[3:5])
            self._answers[key_id] = Answer(at, facts)


def _carried(facts: KeyFacts | None) -> list[int | str | None] | None:
    if facts is None:
        return None
    moments = (facts.used_at, facts.quarantined_at, facts.rotated_at)
    return [
        *map(from_time_or_none, moments),
        facts.rotated_by,
        facts.used_for,
    ]


def _ask(aws: Aws, profile: KeyProfile, known: KeyFacts, now: datetime, host: str) -> KeyFacts:
    """Blocking. Raises AwsFailed; that a right is missing is no failure."""
    credentials = of_key(profile.key)
    used = aws.last_used(credentials, partition=profile.partition, region=profile.region)
    user = IamUser(aws.iam, credentials, profile.partition, profile.region, chain.user_name(profile))
    attached = if_allowed(user.attached_policies)
    is_quarantined = (
        known.quarantined_at is not None if attached is None else any(map(is_quarantine, attached))
    )
    claim = preflight.claim_of(tags(user))
    foreign = claim if claim and claim.host != host else None
    return KeyFacts(
        used.at if used else None,
        (known.quarantined_at or now) if is_quarantined else None,
        foreign.at if foreign else None,
        foreign.machine if foreign else "",
        used.service if used else "",
    )
