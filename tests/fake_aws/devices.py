# SPDX-License-Identifier: Apache-2.0
"""Virtual MFA devices: whose code is good, once. From RFC 6238 (SHA-1, 30 s, six digits), sharing no code with a client."""

import base64
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime

WINDOW_S = 30


@dataclass(eq=False, slots=True)
class Device:
    serial: str
    seed: bytes = field(repr=False)
    spent: set[int] = field(default_factory=set)  # windows whose code was taken

    @property
    def base32(self) -> str:
        """The seed as AWS shows it beside the QR code."""
        return base64.b32encode(self.seed).decode()

    def code(self, moment: datetime) -> str:
        """What the device shows at this moment."""
        return self._code(_window(moment))

    def takes(self, code: str, now: datetime) -> bool:
        """Whether this is the code of now, of just before or just after, and was not taken yet; it is spent then."""
        here = _window(now)
        good = [w for w in (here, here - 1, here + 1) if w not in self.spent and self._code(w) == code]
        self.spent.update(good[:1])
        return bool(good)

    def _code(self, window: int) -> str:
        digest = hmac.new(self.seed, window.to_bytes(8, "big"), "sha1").digest()
        start = digest[19] % 16
        number = int.from_bytes(digest[start : start + 4], "big") % 2**31
        return str(number % 1_000_000).zfill(6)


def new_seed() -> bytes:
    return secrets.token_bytes(40)  # AWS's length


def read_seed(base32: str) -> bytes:
    """Raises ValueError, as b32decode does."""
    return base64.b32decode(base32 + "=" * (-len(base32) % 8))


def _window(moment: datetime) -> int:
    return int(moment.timestamp() // WINDOW_S)
