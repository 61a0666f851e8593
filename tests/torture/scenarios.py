# SPDX-License-Identifier: Apache-2.0
"""The scenarios, and the points that each is known to have: whoever adds a side effect has to add it here."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from tests.fake_aws import Fault
from tests.torture.play import HOUR, MINUTE, Play

Script = Callable[[Play], Awaitable[None]]

# A harmless question about a right has a tilde; "x*3" is three times x.
PREFLIGHT = """
GetCallerIdentity ListAccessKeys GetAccessKeyLastUsed ~UpdateAccessKey ~DeleteAccessKey ListUserTags LookupEvents
ListAttachedUserPolicies ListUserTags TagUser ListUserTags save:intent reserve CreateAccessKey
"""
CREATED = f"{PREFLIGHT} save:created GetAccessKeyLastUsed"
PROMOTED = f"{CREATED} GetCallerIdentity*6 save:verified save:grace"
CHECKED = "GetCallerIdentity ListAccessKeys"
CHECKED_USE = f"{CHECKED} GetAccessKeyLastUsed"
WATCHED = "GetCallerIdentity*5"  # once an hour, where hours pass one by one
SOAKED = "GetCallerIdentity*8"  # the same
STEP = 2 * HOUR  # less than checker.HEALS_WITHIN: the look after a person's deed has to come in time


def _ended(back: str = "") -> str:
    return f"""
    {CHECKED_USE} save:deactivating{back} {CHECKED_USE} UpdateAccessKey save:soak{back}
    {SOAKED} save:deleting{back} {CHECKED_USE} DeleteAccessKey save:closed
    """


@dataclass(frozen=True)
class Scenario:
    """`after`: what comes before and with this point is struck at in another scenario."""

    name: str
    script: Script
    points: str
    after: str = ""
    repeated: int = 1  # of what `after` names, the how many-th

    @property
    def expected(self) -> list[str]:
        return [name for word in self.points.split() for name in _repeated(word)]

    def targets(self) -> Iterator[tuple[int, str]]:
        """The points to strike at; of a row of equal ones the first two and the last."""
        names = self.expected
        begin, seen = 0, 0
        for at, name in enumerate(names):
            seen += name == self.after
            if self.after and name == self.after and seen == self.repeated:
                begin = at + 1
        for at in range(begin, len(names)):
            if not (begin + 2 <= at < len(names) - 1 and {names[at]} == set(names[at - 2 : at + 2])):
                yield at, names[at]


def _repeated(word: str) -> list[str]:
    name, _, times = word.partition("*")
    return [name] * int(times or 1)


async def plain(play: Play, *, steps: int = 0, back: bool = False, **fields: bool) -> None:
    """A rotation to its end; after so many steps of time with `back` the other way round."""
    await play.host.serve()
    await play.host.ask("rotate", profile="dev", **fields)
    for _ in range(steps):
        await play.pass_time(STEP)
    if back:
        await play.host.ask("rotate", profile="dev", rollback=True)
    await play.host.serve()
    await play.settle()


async def in_a_hurry(play: Play) -> None:
    play.is_hurry = True
    await plain(play, now=True)


async def back_in_grace(play: Play) -> None:
    """At once: in the very second of the promotion."""
    await plain(play, back=True)


async def back_late_in_grace(play: Play) -> None:
    await plain(play, steps=5, back=True)


async def back_in_soak(play: Play) -> None:
    await plain(play, steps=14, back=True)


async def never_works(play: Play) -> None:
    play.fake.pace.new_key = timedelta(days=100)
    await plain(play)


async def lost(play: Play) -> None:
    play.fake.pace.trail = play.fake.pace.trail or 5 * MINUTE
    play.fake.fault(Fault.lose_reply(), action="CreateAccessKey")
    await plain(play)


async def slow(play: Play) -> None:
    """AWS's parts learn late what happened."""
    pace = play.fake.pace
    pace.new_key, pace.key_list = timedelta(seconds=60), timedelta(seconds=60)
    pace.last_used, pace.trail = 4 * HOUR, 15 * MINUTE
    await plain(play)


async def without_trail(play: Play) -> None:
    """Nobody may ask CloudTrail, so a key whose reply was lost stays, and a person is told."""
    play.fake.deny(play.alice, "cloudtrail:LookupEvents")
    play.may_leave_orphan = play.needs_person = True
    await plain(play)


_BACK = _ended("+back")
ROTATE = Scenario("rotate", plain, f"{PROMOTED} {WATCHED} {_ended()}")
HURRY = Scenario(
    "rotate --now",
    in_a_hurry,
    f"""{PROMOTED} {CHECKED} save:deactivating {CHECKED} UpdateAccessKey save:soak
    save:deleting {CHECKED} DeleteAccessKey save:closed""",
    after="ListAttachedUserPolicies",
)
SCENARIOS = (
    ROTATE,
    HURRY,
    Scenario(
        "--rollback at once",
        back_in_grace,
        f"{PROMOTED} GetCallerIdentity*4 save:grace+back {WATCHED} {_BACK}",
        after="save:grace",
    ),
    Scenario(
        "--rollback late in grace",
        back_late_in_grace,
        f"{PROMOTED} {WATCHED} save:grace GetCallerIdentity*4 save:grace+back {WATCHED} {_BACK}",
        after="save:grace",
    ),
    Scenario(
        "--rollback in soak",
        back_in_soak,
        f"""{PROMOTED} GetCallerIdentity*11 {CHECKED_USE} save:deactivating {CHECKED_USE} UpdateAccessKey save:soak
        GetCallerIdentity*2 save:grace GetCallerIdentity UpdateAccessKey GetCallerIdentity*3 save:grace+back {WATCHED} {_BACK}""",
        after="save:soak",
    ),
    Scenario(
        "a key that never works",
        never_works,
        f"{CREATED} GetCallerIdentity*25 ListAccessKeys save:undoing DeleteAccessKey save:closed",
        after="save:created",
    ),
    Scenario(
        "a lost reply",
        lost,
        f"""{PREFLIGHT} save:uncertain ListAccessKeys LookupEvents ListUserTags ListAccessKeys LookupEvents
        ListUserTags GetAccessKeyLastUsed DeleteAccessKey save:closed""",
        after="CreateAccessKey",
    ),
    Scenario(
        "AWS slow to learn",
        slow,
        f"{CREATED} GetCallerIdentity*15 save:verified save:grace {WATCHED} {_ended()}",
        after="ListAttachedUserPolicies",
    ),
    Scenario(
        "CloudTrail closed",
        without_trail,
        f"{PROMOTED} {WATCHED} {_ended()}",
        after="ListAttachedUserPolicies",
    ),
)
