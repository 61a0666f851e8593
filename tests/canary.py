# SPDX-License-Identifier: Apache-2.0
"""Secrets that tests use: made so that a search finds them wherever they leaked to, in whatever disguise."""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

#: In every secret and passphrase of the tests. Stands in no source but this one, so a hit is a leak.
MARK = "CaNaRy7qZ2"
PASSPHRASE = f"correct horse {MARK} staple"
NEW_PASSPHRASE = f"battery {MARK} paperclip"


def secret(name: str) -> str:
    """A secret access key (40 characters, as IAM makes them) of its own for each name."""
    return MARK + base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()[: 40 - len(MARK)]


def access_key_id(name: str) -> str:
    return "AKIA" + base64.b32encode(hashlib.sha256(name.encode()).digest()).decode()[:16]


def disguises(text: str) -> Iterator[bytes]:
    """How `text` looks in places that re-code what they are given: as it is, UTF-16, hex, base64, reversed."""
    plain = text.encode()
    yield plain
    yield plain[::-1]
    yield text.encode("utf-16-le")
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
    for shift in range(3):  # where it falls in base64's groups of three decides the letters
        encoded = base64.b64encode(b"\0" * shift + plain)
        yield encoded[(4 if shift else 0) : len(encoded) // 4 * 4 - 4]


_DISGUISES = tuple(disguises(MARK))


def found_in(data: bytes | str) -> bool:
    return any(form in (data.encode() if isinstance(data, str) else data) for form in _DISGUISES)


#: How much was searched in this run of the suite, to be said at its end.
SEARCHED: Counter[str] = Counter()


def files_with(paths: Iterable[Path]) -> list[str]:
    """The files that hold a secret, by name or content; the value itself is not shown."""
    SEARCHED["homes"] += 1
    return [str(path) for path in paths if found_in(str(path)) or (path.is_file() and _holds(path))]


def _holds(path: Path) -> bool:
    data = path.read_bytes()
    SEARCHED["files"] += 1
    SEARCHED["bytes"] += len(data)
    return found_in(data)
