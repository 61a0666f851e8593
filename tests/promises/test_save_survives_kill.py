# SPDX-License-Identifier: Apache-2.0
"""A save killed at any moment leaves the old vault or the new one, never a third thing.

A child is really killed (SIGKILL) before every single operation of the file port, and in the middle of every write.
"""

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.children import in_child
from tests.disks import announced, content
from tests.vaults import COST, NOW, PASSPHRASE, created, key_profile, sealed_after, unlocked
from vaultd.core import vault
from vaultd.core.secret import Secret
from vaultd.core.vault import Sealed, Vault
from vaultd.edge.files import Files
from vaultd.edge.store import HighWater, LocalStore

NEW_PASSPHRASE = Secret("a new passphrase")
SAVES_BEFORE = 13  # so that a backup is pruned, too


@dataclass(frozen=True)
class Home:
    directory: Path

    def store(self, files: Files | None = None) -> LocalStore:
        return LocalStore(self.directory / "vault", self.directory / "backups", files)

    def high_water(self, files: Files | None = None) -> HighWater:
        return HighWater(self.directory / "highwater", files)

    def create(self, new: Sealed, files: Files | None = None) -> str:
        """The mark first: a vault whose mark is missing would not open on a machine that has an audit."""
        self.high_water(files).save(vault.mark(new.vault))
        return self.store(files).save(new.data, None, verify=new.verify)

    def save(self, sealed: Sealed, expected: str, files: Files | None = None) -> str:
        """The mark last: it may name an ancestor, but not a descendant of what is there."""
        revision = self.store(files).save(sealed.data, expected, verify=sealed.verify)
        self.high_water(files).save(vault.mark(sealed.vault))
        return revision


def change_a_key(opened: Vault) -> Sealed:
    return sealed_after(opened, key_profile("new", 1))


def change_the_passphrase(opened: Vault) -> Sealed:
    return vault.with_passphrase(opened, NEW_PASSPHRASE, cost=COST, now=NOW, random=os.urandom)


def change_the_recovery_code(opened: Vault) -> Sealed:
    return vault.with_new_recovery(opened, now=NOW, random=os.urandom)[0]


class Killer:
    """Kills this very process before its n-th operation, or half-way through it when that is a write."""

    def __init__(self, at: int, *, half_write: bool) -> None:
        self.at = at
        self.half_write = half_write
        self.count = 0

    def __call__(self, operation: str, arguments: tuple[object, ...]) -> None:
        self.count += 1
        if self.count == self.at:
            if self.half_write and operation == "write":
                fd, data = arguments
                assert isinstance(fd, int)
                assert isinstance(data, memoryview)
                os.write(fd, data[: len(data) // 2])
            os.kill(os.getpid(), signal.SIGKILL)


def kill_points(action: Callable[[Files], object]) -> list[tuple[int, bool]]:
    """Before each operation that `action` asks for, within each write, and after the last (it is not killed then)."""
    names: list[str] = []
    action(announced(lambda operation, _arguments: names.append(operation)))
    points = [(at, False) for at in range(1, len(names) + 2)]
    return points + [(at, True) for at, name in enumerate(names, 1) if name == "write"]


def kill_everywhere(tmp_path: Path, start: Path, action: Callable[[Home, Files], object]) -> list[Home]:
    """A home for each point at which `action` was killed; the last one is where it was not."""
    rehearsal = Home(tmp_path / "rehearsal")
    shutil.copytree(start, rehearsal.directory)
    points = kill_points(lambda files: action(rehearsal, files))
    last = max(at for at, _ in points)
    homes = []
    for at, half_write in points:
        home = Home(tmp_path / f"{at}-{half_write}")
        shutil.copytree(start, home.directory)
        files = announced(Killer(at, half_write=half_write))
        status = in_child(partial(action, home, files))
        homes.append(home)
        assert status == (0 if at == last and not half_write else -signal.SIGKILL)
    return homes


CHANGES = [
    (change_a_key, PASSPHRASE),
    (change_the_passphrase, NEW_PASSPHRASE),
    (change_the_recovery_code, PASSPHRASE),
]


@pytest.mark.parametrize(("change", "passphrase"), CHANGES)
def test_a_save_killed_anywhere_leaves_the_old_or_the_new_vault(
    tmp_path: Path,
    change: Callable[[Vault], Sealed],
    passphrase: Secret,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = Home(tmp_path / "start")
    start.directory.mkdir()
    old: Sealed = created()
    revision = start.create(old)
    for number in range(SAVES_BEFORE):
        old = sealed_after(old.vault, key_profile(f"p{number}", number))
        revision = start.save(old, revision)
    new = change(old.vault)

    homes = kill_everywhere(tmp_path, start.directory, lambda home, files: home.save(new, revision, files))

    left = [home.store().load()[0] for home in homes]
    assert {old.data, new.data} == set(left)  # both, and nothing else
    for home, data in zip(homes, left, strict=True):
        opened = unlocked(data, passphrase if data == new.data else PASSPHRASE)
        vault.check_mark(opened, home.high_water().load(), history_exists=True)
        assert data == old.data or old.data in content(home.directory / "backups").values()
        the_next_save_cleans_up(home, opened)
    with capsys.disabled():
        print(
            f"\n{change.__name__}: {len(homes) - 1} kills, {left.count(old.data)} of them left the old vault"
        )


def the_next_save_cleans_up(home: Home, opened: Vault) -> None:
    following = sealed_after(opened, key_profile("following", 2))
    home.save(following, home.store().load()[1])
    assert following.data == home.store().load()[0]
    assert [] == [name for name in content(home.directory) if name.endswith(".tmp")]


def test_an_init_killed_anywhere_leaves_no_vault_or_the_new_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = tmp_path / "start"
    start.mkdir()
    new = created()

    homes = kill_everywhere(tmp_path, start, lambda home, files: home.create(new, files))

    left = [home.store().load()[0] if home.store().exists() else None for home in homes]
    assert {None, new.data} == set(left)
    for home, data in zip(homes, left, strict=True):
        if data is None:
            home.create(created())
            assert [] == [name for name in content(home.directory) if name.endswith(".tmp")]
        else:
            vault.check_mark(unlocked(data), home.high_water().load(), history_exists=True)
    with capsys.disabled():
        print(f"\ninit: {len(homes) - 1} kills, {left.count(None)} of them left no vault")
