# SPDX-License-Identifier: Apache-2.0
"""Whose credentials sign a request: those that the thread making the call was given, and no others.

Has the shape that botocore expects of its credential chain, and needs nothing of it. Must not know which calls there are.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from vaultd.core.sessions import Credentials


class _Signing(NamedTuple):
    """The shape that botocore's signers read."""

    access_key: str
    secret_key: str
    token: str | None


class CallersOwn:
    """What botocore takes for its credential chain: the credentials of the call this very thread is making.

    Clients are cached and shared by threads, so they must hold no secret; and because this is the whole chain, no
    mistake here or there can fall through to a file, a process or the instance metadata service.
    """

    method = "explicit"
    account_id = None

    def __init__(self) -> None:
        self._thread = threading.local()

    @contextmanager
    def signing_as(self, credentials: Credentials) -> Iterator[None]:
        self._thread.credentials = credentials
        try:
            yield
        finally:
            del self._thread.credentials

    def load_credentials(self) -> "CallersOwn":
        return self

    def get_frozen_credentials(self) -> _Signing:
        own: Credentials = self._thread.credentials
        token = own.session_token
        return _Signing(own.access_key_id, own.secret.reveal(), token.reveal() if token else None)

    def get_deferred_property(self, _name: str) -> Any:
        return lambda: None
