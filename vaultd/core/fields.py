# SPDX-License-Identifier: Apache-2.0
"""What one field of a record may hold. Checked when a record is made: whatever exists can then be written and read.

The patterns are AWS's own where AWS has one. Messages name the field and never show what stood in it.
"""

import re
from datetime import datetime, timedelta

from vaultd.core.canonical import FIRST_YEAR
from vaultd.wire.errors import Usage

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")
_REGION = re.compile(r"[a-z0-9-]{1,63}\Z")
_MFA_SERIAL = re.compile(r"[A-Za-z0-9_+=/:,.@-]{9,256}\Z")  # an ARN, or the serial number of a hardware token


def check_name(name: object) -> str:
    """`name` if it can name a profile. Raises Usage, showing none of it: it may be a secret in the wrong place.

    Refusals outlive a lock (they are handed to the next image), so a glimpse of it would too.
    """
    if isinstance(name, str) and NAME.match(name):
        return name
    raise Usage("that is not a profile name: a letter, then letters, digits, - and _, at most 64 in all")


def check_region(region: str | None) -> None:
    check_optional(_REGION, region, "the region")


def check_mfa_serial(serial: str | None) -> None:
    check_optional(_MFA_SERIAL, serial, "the MFA serial")


def check(pattern: re.Pattern[str], value: str, what: str) -> None:
    if not pattern.match(value):
        raise Usage(f"{what} has a form that AWS does not give out")


def check_optional(pattern: re.Pattern[str], value: str | None, what: str) -> None:
    if value is not None:
        check(pattern, value, what)


def check_times(*moments: datetime | None) -> None:
    for moment in moments:
        # A programming error, not the user's: what could be made but not read again would lose the vault.
        if moment is not None and (moment.utcoffset() != timedelta(0) or moment.year < FIRST_YEAR):
            raise ValueError("a time in a record is not aware UTC, or before 1970")
