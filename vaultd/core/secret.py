# SPDX-License-Identifier: Apache-2.0
"""A value that must not be seen by accident.

It does not protect memory (Python cannot; locking replaces the whole address space instead: design section 5).
It protects against the accidents that really leak keys: repr in a log, an f-string, a traceback, a JSON dump.
"""

import hmac
from typing import NoReturn


class Secret:
    """Text or bytes that only `reveal()` shows; equality is constant-time; no repr, pickle, hash or iteration."""

    __slots__ = ("_value",)

    def __init__(self, value: str | bytes) -> None:
        self._value = value.encode() if isinstance(value, str) else bytes(value)

    def reveal(self) -> str:
        """The text itself: call it where the bytes leave for AWS, a caller or the sealed body, nowhere else."""
        return self._value.decode()

    def reveal_bytes(self) -> bytes:
        return self._value

    def __repr__(self) -> str:
        return "Secret(...)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __hash__(self) -> int:
        raise TypeError("a secret is not a key of anything")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")
