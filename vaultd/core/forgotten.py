# SPDX-License-Identifier: Apache-2.0
"""Keys that the vault gave up although they live on in AWS: the last save that holds one must not be pruned.

`remove` and `add --replace` forget a secret that AWS does not show again. Pure.
"""

from dataclasses import replace

from vaultd.core.records import Body, KeyProfile
from vaultd.core.revocation import covers
from vaultd.core.rotation import Rotation


def noted(before: Body, after: Body, revision: str) -> Body:
    """`after`, which knows where the keys are that only `before` holds. `revision`: of the save that `before` is."""
    held = _held(after)
    gone = _held(before) - held - _dead(before, after)
    still = {key_id: kept for key_id, kept in after.forgotten.items() if key_id not in held}
    forgotten = {**still, **dict.fromkeys(gone, revision)}
    return after if forgotten == after.forgotten else replace(after, forgotten=forgotten)


def _held(body: Body) -> set[str]:
    held = {p.key.access_key_id for p in body.profiles.values() if isinstance(p, KeyProfile)}
    return held | {key_id for run in body.rotations.values() for key_id in run.key_ids}


def _dead(before: Body, after: Body) -> set[str]:
    """What rotations that came to their end, and revocations, have deleted in AWS."""
    revoked = {key_id for found in before.revocations.values() for key_id in found.deleted}
    return revoked | {
        _deleted(run)
        for name, run in before.rotations.items()
        if name not in after.rotations
        and name in after.profiles
        # those of revoked keys stand still, and end only with the profile, or when another key takes its place
        and not covers(before.revocations, name, run.key_ids)
    }


def _deleted(run: Rotation) -> str:
    return run.new.access_key_id if run.state == "undoing" and run.new else run.old.access_key_id
