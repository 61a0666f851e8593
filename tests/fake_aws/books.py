# SPDX-License-Identifier: Apache-2.0
"""The books of every call, and the clock by which they are kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True, slots=True)
class Terms:
    """What a call for a session asked for; None and empty where it did not say."""

    role_arn: str | None = None
    session_name: str | None = None  # a federated user's name too
    duration_s: int | None = None
    external_id: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    transitive_tags: tuple[str, ...] = ()
    source_identity: str | None = None
    policy: str | None = None
    policy_arns: tuple[str, ...] = ()
    mfa_serial: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request that arrived. `outcome` is "ok", AWS's error code, or the name of the fault that struck."""

    at: datetime
    action: str
    access_key_id: str | None
    user: str | None  # the caller's ARN
    region: str | None
    user_agent: str
    outcome: str
    method: str = "POST"
    parameters: tuple[str, ...] = ()  # their names, sorted
    terms: Terms = field(default_factory=Terms)
    target: str | None = None  # the access key id that it named, or made
    keys: tuple[tuple[str, str], ...] = ()  # id and status of all of the user's keys, after it


class Clock:
    """The real time, moved: AWS's clock can be wrong against ours, or hours ahead of the test's start."""

    def __init__(self) -> None:
        self.offset = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def advance(self, step: timedelta) -> None:
        self.offset += step
