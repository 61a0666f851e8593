# SPDX-License-Identifier: Apache-2.0
"""After a lock no secret is in the daemon's memory: read from outside, map by map, through /proc/PID/mem.

Every search has its control: the same search finds each kind of secret before the lock. Without that a scan that looks
in the wrong place, or for the wrong bytes, would find nothing either.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import canary, procfs
from tests.campaign import times
from tests.daemons import WARM, Daemon, until
from tests.weak_daemon import BOUNDS
from vaultd.core import recovery_code, vault
from vaultd.core.secret import Secret
from vaultd.wire import protocol
from vaultd.wire.errors import WrongPassphrase

pytestmark = procfs.needs_root

LOCKS = times(50, 10)
PROFILES = [f"profile{number}" for number in range(50)]
_MARK = canary.MARK.encode()
GUESS = f"wrong {canary.MARK} guess"


class Needles:
    """What to look for, by name. `plain` ones carry the tests' mark: one search of the memory finds them all."""

    def __init__(self, plain: dict[str, str], raw: dict[str, bytes]) -> None:
        self._raw = raw
        self._plain = {text.encode(): name for name, text in plain.items()}
        #: Where a needle begins before its mark, and its length: what to cut out of the memory round a mark.
        self._cuts = {(text.index(_MARK), len(text)) for text in self._plain}

    def found(self, pid: int) -> Counter[str]:
        """How often each stands in the memory of `pid`."""
        hits: Counter[str] = Counter()
        for piece in procfs.memory(pid):
            for name, value in self._raw.items():
                hits[name] += piece.count(value)
            at = piece.find(_MARK)
            while at >= 0:
                cuts = (
                    piece[at - before : at - before + length] for before, length in self._cuts if at >= before
                )
                hits.update(self._plain[cut] for cut in cuts if cut in self._plain)
                at = piece.find(_MARK, at + 1)
        return +hits


@pytest.fixture(scope="module")
def recovery() -> list[str]:
    return []


@pytest.fixture(scope="module")
def daemon(recovery: list[str]) -> Iterator[Daemon]:
    """Unlocked, with fifty keys."""
    with contextlib.closing(Daemon(entry=[str(WARM)])) as made:
        recovery.append(made.start().init())
        for name in PROFILES:
            made.add(name)
        yield made


@pytest.fixture(scope="module")
def needles(daemon: Daemon, recovery: list[str]) -> Needles:
    opened = vault.unlock((daemon.home / "vault").read_bytes(), Secret(canary.PASSPHRASE), BOUNDS)
    plain = {f"secret of {name}": canary.secret(name) for name in PROFILES}
    plain |= {"passphrase": canary.PASSPHRASE, "guess": GUESS}
    code = Secret(recovery[0])
    raw = {
        "vault key": opened.vault_key.reveal_bytes(),
        "recovery code as printed": code.reveal_bytes(),
        "recovery code": recovery_code.read(code).reveal_bytes(),
    }
    return Needles(plain, raw)


def use(daemon: Daemon) -> None:
    """Fifty answers on eight connections at once: copies in every buffer that an answer goes through."""
    with ThreadPoolExecutor(8) as threads:
        for reply in threads.map(
            lambda name: daemon.ask(protocol.encode(protocol.request("get", profile=name))), PROFILES
        ):
            assert "SecretAccessKey" in reply


@contextlib.contextmanager
def half_a_request(daemon: Daemon, text: str) -> Iterator[None]:
    """A request whose end has not come: the daemon has read it and holds it."""
    with daemon.connect() as sock:
        sock.sendall(protocol.encode(protocol.request("unlock", passphrase=text))[:-2])
        yield


def test_every_kind_of_secret_is_found_while_unlocked(
    daemon: Daemon, needles: Needles, recovery: list[str]
) -> None:
    """The control. What the daemon need not hold by now is given to it once more, in a request that it keeps."""
    use(daemon)
    found = needles.found(daemon.pid)
    assert [] == [name for name in PROFILES if not found[f"secret of {name}"]]
    assert found["vault key"]
    kinds = {"passphrase": canary.PASSPHRASE, "guess": GUESS, "recovery code as printed": recovery[0]}
    for name, text in kinds.items():
        with half_a_request(daemon, text):
            wait_until_found(daemon, needles, name)


def wait_until_found(daemon: Daemon, needles: Needles, name: str) -> None:
    until(lambda: needles.found(daemon.pid)[name], f"{name} in the daemon's memory")


def test_nothing_is_left_by_a_lock(daemon: Daemon, needles: Needles) -> None:
    pid = daemon.pid
    for _ in range(LOCKS):
        daemon.unlock()
        use(daemon)
        daemon.lock_and_wait()
        assert Counter() == needles.found(pid)
    assert pid == daemon.status()["pid"] == daemon.pid


def test_nothing_is_left_by_a_request_that_the_lock_cut_off(daemon: Daemon, needles: Needles) -> None:
    with half_a_request(daemon, GUESS):
        wait_until_found(daemon, needles, "guess")
        daemon.lock_and_wait()
        assert Counter() == needles.found(daemon.pid)


def test_nothing_is_left_by_a_failed_unlock(daemon: Daemon, needles: Needles) -> None:
    """The guess may be the passphrase of something else, or this one with a slip."""
    before = daemon.lock_and_wait()["instance"]
    with pytest.raises(WrongPassphrase):
        daemon.unlock(GUESS)
    daemon.await_new_image(before)
    assert Counter() == needles.found(daemon.pid)


def test_nothing_is_left_by_a_failed_recovery(daemon: Daemon, needles: Needles) -> None:
    before = daemon.lock_and_wait()["instance"]
    with pytest.raises(WrongPassphrase):
        daemon.call("recover", code=recovery_code.spell(os.urandom(20)).reveal(), passphrase=GUESS)
    daemon.await_new_image(before)
    assert Counter() == needles.found(daemon.pid)
