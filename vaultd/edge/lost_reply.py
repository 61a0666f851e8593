# SPDX-License-Identifier: Apache-2.0
"""What became of a CreateAccessKey whose reply was lost: IAM's list, and CloudTrail's word for whose the key is. Blocking."""

from datetime import datetime

from vaultd.core import rotation
from vaultd.core.replies import ListedKey
from vaultd.core.rotation import Rotation, Settlement
from vaultd.edge.iam_user import IamUser
from vaultd.edge.preflight import if_allowed, tags


def settle(user: IamUser, run: Rotation, host: str, now: datetime) -> Settlement:
    """`host` is this one: a copy of the vault proves nothing, since the reply may have reached where it was copied from.

    Raises AwsFailed.
    """
    listed = user.keys()
    proven = if_allowed(lambda: user.made_with(run.run, run.started_at)) if run.host == host else None
    ours = None if proven is None else _without_doubt(user, run, listed, proven)
    return rotation.settled(run, tuple(key.access_key_id for key in listed), ours, now)


def _without_doubt(
    user: IamUser, run: Rotation, listed: tuple[ListedKey, ...], proven: tuple[str, ...]
) -> tuple[str, ...]:
    """Those of the proven keys that nothing speaks against."""
    labels = tags(user)
    return tuple(
        key.access_key_id
        for key in listed
        if key.access_key_id in proven
        and rotation.could_be_ours(
            run,
            key.created_at,
            is_tagged=key.access_key_id in labels,
            is_used=not if_allowed(lambda key_id=key.access_key_id: user.last_used(key_id) is None),  # type: ignore[misc]
        )
    )
