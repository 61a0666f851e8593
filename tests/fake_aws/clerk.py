# SPDX-License-Identifier: Apache-2.0
"""What is written down of a call: in the books, in CloudTrail, and as the last use of its key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tests.fake_aws import terms, trail
from tests.fake_aws.books import Call
from tests.fake_aws.sigv4 import Claim, Request
from tests.fake_aws.world import AccessKey, LastUse, Signer, User, World


@dataclass(slots=True)
class Seen:
    """What is known so far of the request being answered."""

    action: str
    service: str
    parameters: Mapping[str, str]
    claim: Claim | None = None
    signer: Signer | None = None
    made: list[AccessKey] = field(default_factory=list)
    outcome: str = "ok"


def enter(world: World, now: datetime, request: Request, seen: Seen, struck: str | None) -> Call:
    """The line for the books; a call by a known caller also has consequences. `struck` is the fault that hit it."""
    who, user = seen.claim or seen.signer, _user_meant(world, seen)
    if seen.claim and seen.signer:
        _witness(world, now, request, seen, seen.claim, seen.signer)
    return Call(
        at=now,
        action=seen.action,
        access_key_id=who.access_key_id if who else None,
        user=seen.signer.arn if seen.signer else None,
        region=seen.claim.region if seen.claim else None,
        user_agent=request.header("user-agent"),
        outcome=struck or seen.outcome,
        method=request.method,
        parameters=tuple(sorted(seen.parameters)),
        terms=terms.read(seen.parameters),
        target=_made(seen) or seen.parameters.get("AccessKeyId"),
        keys=tuple((key.access_key_id, key.status) for key in world.keys_of(user)) if user else (),
    )


def _witness(world: World, now: datetime, request: Request, seen: Seen, claim: Claim, signer: Signer) -> None:
    """A key is used by whatever it signed, also by what it may not do."""
    if isinstance(signer, AccessKey):
        signer.uses.append(LastUse(seen.service, claim.region, now))
    if not trail.is_recorded(seen.service, seen.action):
        return
    world.events.append(
        trail.Event(
            at=now,
            action=seen.action,
            region=claim.region,
            account=signer.principal.account,
            partition=signer.principal.partition,
            caller=signer.arn,
            user=signer.user.name or "root",
            access_key_id=signer.access_key_id,
            user_agent=request.header("user-agent"),
            parameters=seen.parameters,
            made_key=_made(seen),
            error=None if seen.outcome == "ok" else seen.outcome,
        )
    )


def _made(seen: Seen) -> str | None:
    return seen.made[0].access_key_id if seen.made else None


def _user_meant(world: World, seen: Seen) -> User | None:
    if seen.signer is None:
        return None
    name = seen.parameters.get("UserName")
    return world.user_named(name, seen.signer.principal) if name else seen.signer.user
