# SPDX-License-Identifier: Apache-2.0
"""Small vaults whose key derivation costs nothing: the weak bounds that only a constructor can make."""

import os
from datetime import UTC, datetime

from vaultd.core import vault
from vaultd.core.envelope import KdfBounds, KdfCost
from vaultd.core.keys import Key
from vaultd.core.records import KeyProfile
from vaultd.core.secret import Secret

COST = KdfCost(memory_kib=8, passes=1)
BOUNDS = KdfBounds(
    min_memory_kib=8, max_memory_kib=64, min_passes=1, max_passes=16, max_lanes=1, max_work_kib=1024
)
NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
PASSPHRASE = Secret("correct horse battery staple")


def created(passphrase: Secret = PASSPHRASE, *, with_recovery: bool = True) -> vault.Created:
    return vault.create(passphrase, cost=COST, with_recovery=with_recovery, now=NOW, random=os.urandom)


def sealed_after(opened: vault.Vault, *profiles: KeyProfile) -> vault.Sealed:
    body = opened.body
    for profile in profiles:
        body = body.with_profile(profile)
    return vault.seal(opened, body, now=NOW, random=os.urandom)


def unlocked(data: bytes, passphrase: Secret = PASSPHRASE) -> vault.Vault:
    return vault.unlock(data, passphrase, BOUNDS)


def key_profile(name: str = "dev", number: int = 0) -> KeyProfile:
    return KeyProfile(
        name=name,
        key=Key(f"AKIAIOSFODNN7{number:07}", Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), NOW, NOW),
        serve="session",
        partition="aws",
        account="123456789012",
        arn=f"arn:aws:iam::123456789012:user/{name}",
        region="eu-central-1",
        mfa_serial=None,
        verified_at=NOW,
        last_used_at=None,
    )
