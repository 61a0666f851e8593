# SPDX-License-Identifier: Apache-2.0
"""The recovery code: 160 random bits in a form that survives paper and a person (FORMAT.md, "Recovery code").

    7KX2-M0QF-...   nine groups of four: 32 characters of code, 4 of checksum

The alphabet is Crockford's: no letter can be taken for a digit, and O, I, L are read as the digits they look like.
"""

import hashlib

from vaultd.core.secret import Secret
from vaultd.wire.errors import Usage

SIZE = 20  # bytes
GROUPS = 9
GROUP_SIZE = 4

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LOOKALIKES = str.maketrans("OIL", "011", " -\t\r\n")
_CHECKSUM_CHARACTERS = 4
_LENGTH = SIZE * 8 // 5 + _CHECKSUM_CHARACTERS


def spell(code: bytes) -> Secret:
    """What is printed for the person to keep."""
    characters = _base32(code) + _checksum(code)
    return Secret("-".join(characters[i : i + GROUP_SIZE] for i in range(0, _LENGTH, GROUP_SIZE)))


def read(typed: Secret) -> Secret:
    """The 20 bytes that `typed` spells, whatever its case, spaces and hyphens. Raises Usage."""
    characters = typed.reveal().upper().translate(_LOOKALIKES)
    if len(characters) != _LENGTH or not set(characters) <= set(_ALPHABET):
        raise Usage(f"that is not a recovery code: it has {GROUPS} groups of {GROUP_SIZE} letters and digits")
    number = 0
    for character in characters[:-_CHECKSUM_CHARACTERS]:
        number = number << 5 | _ALPHABET.index(character)
    code = number.to_bytes(SIZE)
    if _checksum(code) != characters[-_CHECKSUM_CHARACTERS:]:
        raise Usage("the recovery code is mistyped: its last group does not fit the others")
    return Secret(code)


def _base32(data: bytes) -> str:
    """Five bits a character, the first bit first; `data` is a multiple of five bytes."""
    number = int.from_bytes(data)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(len(data) * 8 - 5, -1, -5))


def _checksum(code: bytes) -> str:
    """Finds a mistyped code before anything is derived; it proves nothing. Wrong once in a million."""
    return _base32(hashlib.sha256(b"awsvault/v1/recovery-code" + code).digest()[:5])[:_CHECKSUM_CHARACTERS]
