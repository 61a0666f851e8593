# SPDX-License-Identifier: Apache-2.0
"""Credentials as they are handed out: how long they are good for, and the exact line that carries them.

Knows nothing of AWS calls, caches or sockets. The figures are those that real SDKs need (R3-R8): boto3 asks again for
every request below 15 minutes, so a client never sees less than 20 unless renewal fails.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vaultd.core.keys import Key
from vaultd.core.secret import Secret

RENEW_BELOW = timedelta(minutes=20)
LAST_RESORT = timedelta(seconds=60)
RENEW_SPREAD = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What signs a request. Always one version: the three are replaced together or not at all (R8)."""

    access_key_id: str
    secret: Secret
    session_token: Secret | None = None

    @property
    def tail(self) -> str:
        """How a key id is shown to people."""
        return f"...{self.access_key_id[-4:]}"


def of_key(key: Key) -> Credentials:
    """What the key itself signs with."""
    return Credentials(key.access_key_id, key.secret)


@dataclass(frozen=True, slots=True)
class Session:
    credentials: Credentials
    expires_at: datetime


def is_fresh(session: Session, now: datetime) -> bool:
    """Good enough to be served without a second thought."""
    return session.expires_at - now >= RENEW_BELOW


def is_servable(session: Session, now: datetime) -> bool:
    """Still worth serving when it cannot be renewed."""
    return session.expires_at - now >= LAST_RESORT


def renew_at(session: Session, jitter: float) -> datetime:
    """From when to renew it ahead: 21 to 26 minutes before its end, by a jitter of 0 to 1, so before anybody must wait."""
    return session.expires_at - RENEW_BELOW - timedelta(minutes=1) - RENEW_SPREAD * jitter


def answer(credentials: Credentials, expires_at: datetime, account: str | None) -> bytes:
    """The one line that `credential_process` prints: R1-R4. A part that is unknown is absent, never null or empty."""
    if expires_at.tzinfo is None:
        raise ValueError("an expiry without a time zone")
    token = credentials.session_token
    parts: dict[str, int | str | None] = {
        "Version": 1,
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret.reveal(),
        "SessionToken": token.reveal() if token else None,
        # Whole seconds, rounded down: an answer may say less than the truth, never more (R6).
        "Expiration": expires_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "AccountId": account,
    }
    known = {name: value for name, value in parts.items() if value}
    return json.dumps(known, separators=(",", ":")).encode("ascii") + b"\n"
