# SPDX-License-Identifier: Apache-2.0
"""An AWS access key: its id, its secret, and when it was made."""

import re
from dataclasses import dataclass
from datetime import datetime

from vaultd.core.fields import check, check_times
from vaultd.core.secret import Secret
from vaultd.wire.errors import Usage

ACCESS_KEY_ID = re.compile(r"[A-Za-z0-9_]{16,128}\Z")  # IAM's own pattern: nothing is judged by a prefix
SECRET_KEY = re.compile(rb"[!-~]{16,128}\Z")


@dataclass(frozen=True, slots=True)
class Key:
    """An AWS access key. `created_at` is IAM's CreateDate, None when IAM did not tell."""

    access_key_id: str
    secret: Secret
    created_at: datetime | None
    added_at: datetime

    def __post_init__(self) -> None:
        check(ACCESS_KEY_ID, self.access_key_id, "the access key id")
        if not SECRET_KEY.match(self.secret.reveal_bytes()):
            raise Usage("the secret access key has a form that AWS does not give out")
        check_times(self.created_at, self.added_at)
