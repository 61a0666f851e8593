# SPDX-License-Identifier: Apache-2.0
"""Which of AWS's separate worlds a region lies in. A key lives in exactly one, and is unknown to the others.

From the region's name alone, so that nothing has to be loaded or asked to refuse one.
"""

import re
from typing import Final

from vaultd.wire.errors import Usage, printable

#: The partitions that awsvault goes to, in the order in which it looks for a key, and where their STS is asked.
HOME_REGION: Final = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}

_REGION = re.compile(r"[a-z]{2,8}(-[a-z]{1,16}){1,3}-[0-9]{1,2}\Z")
_FIRST_PARTS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
_CLOSED = ("us-iso", "eu-iso", "eusc-")  # the air-gapped ones and the European Sovereign Cloud: never tried


def partition_of(region: str) -> str:
    """The partition of a region. Raises Usage for what is no region, or lies where we cannot go."""
    if not _REGION.match(region):
        raise Usage(f'"{printable(region)[:40]}" is not the name of an AWS region')
    if region.startswith(_CLOSED):
        raise Usage(f"{region} is in a partition of AWS that awsvault does not know")
    return next((name for start, name in _FIRST_PARTS.items() if region.startswith(start)), "aws")


def check_in(region: str | None, partition: str) -> None:
    """Raise Usage for a region where a key of this partition is unknown."""
    if region is not None and partition_of(region) != partition:
        raise Usage(f"{region} is in {partition_of(region)}, but the key in {partition}")


def is_in(region: str, partition: str) -> bool:
    """Is this the name of a region of that partition? AWS says other things, too, where a region belongs."""
    try:
        return partition_of(region) == partition
    except Usage:
        return False
