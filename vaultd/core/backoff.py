# SPDX-License-Identifier: Apache-2.0
"""When to ask AWS again after it failed: a refusal is remembered for seconds, a failure for longer each time.

A hundred programs that start at once must not become a hundred refused calls, nor a hundred time-outs against an
endpoint that is down. Pure: the clock and the jitter are arguments.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from vaultd.core.refusals import THROTTLED
from vaultd.wire.errors import AwsFailed

REFUSAL_REMEMBERED = timedelta(seconds=5)
LONGEST = timedelta(seconds=60)
OPENS_AFTER = 5  # failures in a row against one place: its breaker opens

#: What another try may cure. Everything else that AWS says is an answer.
_TRANSIENT = THROTTLED | {
    "unreachable",
    "InternalFailure",
    "InternalError",
    "InternalServerError",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "RequestTimeout",
    "RequestTimeoutException",
}


def is_transient(error: AwsFailed) -> bool:
    """Would another try perhaps succeed? An answer without a code was none of AWS's."""
    return error.details.get("aws_code", "unreachable") in _TRANSIENT


@dataclass(frozen=True, slots=True)
class Trouble:
    """The last failure, how many there were in a row, and until when nobody asks."""

    error: AwsFailed
    failures: int
    until: datetime

    def holds(self, now: datetime) -> bool:
        """False too when the clock was set back: it must not hold for the length of the jump."""
        return timedelta(0) < self.until - now <= LONGEST


def after(error: AwsFailed, before: Trouble | None, now: datetime, jitter: Callable[[], float]) -> Trouble:
    """The trouble that `error` makes: 5 s for a refusal; 5, 10, 20, 40, 60 s, less up to half of it, for failures in a row.

    `jitter` gives a number from 0 to 1: callers that failed together must not come back together.
    """
    if not is_transient(error):
        return Trouble(error, 0, now + REFUSAL_REMEMBERED)
    failures = before.failures + 1 if before else 1
    wait = min(LONGEST, REFUSAL_REMEMBERED * 2 ** (min(failures, 10) - 1))
    return Trouble(error, failures, now + wait - wait * 0.5 * jitter())


@dataclass(frozen=True, slots=True)
class Breaker:
    """Failures in a row at one place, whoever asked. Open, it lets one call through each time that its pause is over."""

    trouble: Trouble | None = None

    def refusal(self, now: datetime) -> AwsFailed | None:
        """Why not to ask now; None to go ahead."""
        trouble = self.trouble
        if trouble is None or trouble.failures < OPENS_AFTER or not trouble.holds(now):
            return None
        seconds = max(1, round((trouble.until - now).total_seconds()))
        return AwsFailed(
            f"AWS failed {trouble.failures} times in a row; asking again in {seconds} s",
            hint=trouble.error.hint,
            details=dict(trouble.error.details),
        )

    def failed(self, error: AwsFailed, now: datetime, jitter: Callable[[], float]) -> "Breaker":
        if not is_transient(error):
            return Breaker()  # it answers
        return replace(self, trouble=after(error, self.trouble, now, jitter))
