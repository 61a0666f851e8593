# SPDX-License-Identifier: Apache-2.0
"""`rotate --wait` lasts for days, and what it asks meanwhile keeps nothing open."""

import time

import pytest

from awsvault.commands.rotate import _Rotations
from vaultd.edge.handlers import OPERATIONS
from vaultd.wire import client
from vaultd.wire.protocol import Frame

RUN = {
    "state": "grace",
    "waits": None,
    "rolled_back": False,
    "old_key": "AKIAIOSFODNN7EXAMPLE",
    "new_key": "AKIAIOSFODNN7ANOTHER",
    "next_at": "2026-11-25T12:00:00Z",
}


def test_who_waits_does_not_put_the_lock_off(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def call(op: str, **_fields: object) -> Frame:
        asked.append(op)
        run = None if len(asked) > 1 else RUN
        return {"rotation": run, "profile": {"rotation": run}}

    monkeypatch.setattr(client, "call", call)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    assert None is _Rotations(None, {}, wait=True, as_json=False)._awaited("dev", RUN)
    assert ["", ""] == [OPERATIONS[op].extends for op in asked]
