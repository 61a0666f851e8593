# SPDX-License-Identifier: Apache-2.0
"""One-time codes of a virtual MFA device (RFC 6238: SHA-1, 6 digits, 30 s, as AWS's are)."""

import base64
import binascii
import hmac
import struct
from datetime import datetime

from vaultd.core.secret import Secret
from vaultd.wire.errors import Usage

STEP_S = 30
_DIGITS = 6
_SEED = range(10, 129)  # bytes; AWS's have 40, RFC 4226 section 4 asks for at least 16, some devices give 10


def read_seed(text: Secret) -> Secret:
    """The seed that base32 `text` spells, as AWS shows it; spaces and case don't matter. Raises Usage."""
    letters = "".join(text.reveal().split()).replace("-", "").upper().rstrip("=")
    try:
        seed = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except (binascii.Error, ValueError):
        raise Usage(
            "the TOTP seed is not base32", hint="copy the secret key that AWS shows beside the QR code"
        ) from None
    if len(seed) not in _SEED:
        raise Usage("the TOTP seed has a length that no device uses")
    return Secret(seed)


def step_of(now: datetime) -> int:
    """The number of the 30 s window that `now` is in."""
    return int(now.timestamp()) // STEP_S


def code(seed: Secret, step: int) -> str:
    """The code of that window."""
    digest = hmac.digest(seed.reveal_bytes(), struct.pack(">Q", step), "sha1")
    (number,) = struct.unpack_from(">I", digest, digest[-1] & 0x0F)
    return f"{(number & 0x7FFFFFFF) % 10**_DIGITS:0{_DIGITS}}"


def wait_s(now: datetime, last_used_step: int | None) -> float:
    """How long until there is a code that was not used: AWS takes none twice."""
    if last_used_step is None or step_of(now) > last_used_step:
        return 0.0
    return (last_used_step + 1) * STEP_S - now.timestamp()
