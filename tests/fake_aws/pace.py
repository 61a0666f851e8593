# SPDX-License-Identifier: Apache-2.0
"""How late AWS's parts learn what has happened. Everything at once, unless a test says so."""

from dataclasses import dataclass
from datetime import timedelta

AT_ONCE = timedelta(0)


@dataclass(slots=True)
class Pace:
    """Delays by AWS's clock, which tests move, except for `answer_s`."""

    new_key: timedelta = (
        AT_ONCE  # until a key that CreateAccessKey makes from now on may sign: InvalidClientTokenId
    )
    key_list: timedelta = AT_ONCE  # until ListAccessKeys shows that a key was made or deleted
    last_used: timedelta = AT_ONCE  # until GetAccessKeyLastUsed shows a use; AWS says within hours
    trail: timedelta = AT_ONCE  # until LookupEvents shows a call; AWS says within 5 minutes on average
    page_size: int = 100  # of IAM's lists and LookupEvents, whatever the caller asks for
    answer_s: float = 0.0  # real seconds that every answer takes
