# SPDX-License-Identifier: Apache-2.0
"""`exec` and `env` wait for an AWS that is slow, as an SDK's hook must not, and say when the vault will lock."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from awsvault import lending
from tests.scripted import SESSION, ScriptedDaemon
from vaultd.wire import protocol
from vaultd.wire.errors import AwsPending, Locked

PENDING = protocol.encode(protocol.error_frame(AwsPending()))
Start = Callable[..., tuple[ScriptedDaemon, str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with contextlib.ExitStack() as stack:

        def make(*answers: bytes) -> tuple[ScriptedDaemon, str]:
            tmp_path.chmod(0o700)
            daemon = stack.enter_context(contextlib.closing(ScriptedDaemon(tmp_path, list(answers))))
            return daemon, str(tmp_path)

        yield make


def test_a_slow_aws_is_waited_for(start: Start) -> None:
    daemon, home = start(PENDING, PENDING, SESSION)
    assert "t" == lending.credentials(home, "dev", None)["SessionToken"]
    assert 3 == daemon.asked


def test_but_not_for_ever(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "PATIENCE_S", 0.05)
    _, home = start(PENDING)
    with pytest.raises(AwsPending):
        lending.credentials(home, "dev", None)


def test_what_is_no_delay_is_raised_at_once(start: Start) -> None:
    daemon, home = start(protocol.encode(protocol.error_frame(Locked())))
    with pytest.raises(Locked):
        lending.credentials(home, "dev", None)
    assert 1 == daemon.asked


@pytest.mark.parametrize(
    ("soonest", "latest", "said"),
    [
        (3_600, 43_200, "in 1 h when unused, at the latest in 12 h"),
        (600, 600, "in 10 min"),
        (3_600, None, "in 1 h when unused"),
        (None, None, None),
    ],
    ids=["both", "the last minutes", "idle only", "never"],
)
def test_when_the_vault_locks(
    start: Start, soonest: int | None, latest: int | None, said: str | None
) -> None:
    _, home = start(protocol.encode({"ok": True, "locks_in_s": soonest, "locks_at_latest_in_s": latest}))
    assert said == lending.locks(home)
