# SPDX-License-Identifier: Apache-2.0
"""The vault opens for who knows the passphrase, under the settings that were confirmed, and closes in time."""

import asyncio
from pathlib import Path

import pytest

from tests.edge.desk import KEY, PASSPHRASE, Desk, code
from tests.weak_daemon import BOUNDS
from vaultd.core import vault as core
from vaultd.core.policy import LockSettings, Settings
from vaultd.core.secret import Secret
from vaultd.wire.errors import WrongPassphrase


def test_a_vault_past_its_time_is_locked_before_the_request_is_looked_at(desk: Desk) -> None:
    """Timers don't count sleep: a laptop that wakes up must not serve the first caller."""

    async def scenario() -> None:
        await desk.opened()
        assert "ok" == code(await desk.ask("list"))
        desk.booted += 3_600
        assert "locked" == code(await desk.ask("list"))
        assert ["time"] == desk.locks
        assert not desk.service.keeper.is_unlocked

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("extend", "op", "extends"),
    [
        ("any", "get", True),
        ("person", "get", False),
        ("any", "list", True),
        ("person", "list", True),
        ("any", "names", False),
        ("any", "status", False),
    ],
)
def test_only_what_should_puts_the_lock_off(tmp_path: Path, extend: str, op: str, *, extends: bool) -> None:
    desk = Desk(tmp_path, Settings(lock=LockSettings(extend=extend)))

    async def scenario() -> None:
        await desk.opened()
        await desk.ask("add", profile="dev", verify=False, serve="key", **KEY)
        desk.booted += 3_000
        await desk.ask(op, **({"profile": "dev"} if op == "get" else {}))
        assert desk.service.locks_in_s() == (3_600 if extends else 600)

    asyncio.run(scenario())


def test_a_refused_request_does_not_put_the_lock_off(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        desk.booted += 3_000
        assert "no-such-profile" == code(await desk.ask("get", profile="nobody"))
        assert desk.service.locks_in_s() == 600

    asyncio.run(scenario())


def test_a_wrong_passphrase_ends_the_image_and_delays_the_next(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        closed = desk.relocked()
        assert "wrong-passphrase" == code(await closed.ask("unlock", passphrase="wrong horse battery"))
        assert ["failed unlock"] == closed.locks
        assert 1 == closed.service.guesses.failures
        again = desk.relocked()
        again.service.guesses = closed.service.guesses
        again.service.guesses.last_at = again.booted - 0.45
        assert "ok" == code(await again.ask("unlock", passphrase=PASSPHRASE))
        assert ["waiting 1 s after 1 wrong passphrases"] == again.progress
        assert 0 == again.service.guesses.failures

    asyncio.run(scenario())


def test_unlocking_an_open_vault_derives_nothing(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        assert (await desk.ask("unlock", passphrase="anything at all"))["already"] is True
        assert desk.locks == []

    asyncio.run(scenario())


def test_passwd_needs_the_old_passphrase_although_the_vault_is_open(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        assert "wrong-passphrase" == code(
            await desk.ask("passwd", old="wrong horse battery", new="a new passphrase")
        )
        assert 1 == desk.service.guesses.failures
        desk.booted += 1
        assert "ok" == code(await desk.ask("passwd", old=PASSPHRASE, new="a new passphrase"))
        assert "wrong-passphrase" == code(await desk.relocked().ask("unlock", passphrase=PASSPHRASE))
        assert "ok" == code(await desk.relocked().ask("unlock", passphrase="a new passphrase"))

    asyncio.run(scenario())


def test_after_passwd_no_backup_here_opens_with_the_old_passphrase(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        for name in ("one", "two", "three"):
            await desk.ask("add", profile=name, verify=False, **KEY)
        foreign = desk.home / "backups" / "vault-20260101T000000.000000Z-0123456789abcdef"
        foreign.write_bytes(b"not a vault")
        notes = (await desk.ask("passwd", old=PASSPHRASE, new="a new passphrase"))["notes"]
        assert "backups here that open with the new passphrase now: 4" == notes[0]
        assert notes[1].startswith("backups that could not be changed: 1;")
        assert "copies of the vault elsewhere still open with the old passphrase" == notes[2]
        names: set[frozenset[str]] = set()
        foreign.unlink()
        for path in (desk.home / "backups").iterdir():
            with pytest.raises(WrongPassphrase):
                core.unlock(path.read_bytes(), Secret(PASSPHRASE), BOUNDS)
            opened = core.unlock(path.read_bytes(), Secret("a new passphrase"), BOUNDS)
            names.add(frozenset(opened.body.profiles))
        assert {
            frozenset[str](),
            frozenset({"one"}),
            frozenset({"one", "two"}),
            frozenset({"one", "two", "three"}),
        } == names

    asyncio.run(scenario())


def test_the_recovery_code_opens_once_and_is_issued_anew(desk: Desk) -> None:
    async def scenario() -> None:
        first = (await desk.ask("init", passphrase=PASSPHRASE))["recovery_code"]
        reply = await desk.relocked().ask("recover", code=first, passphrase="a new passphrase")
        assert reply["recovery_code"] != first
        assert "wrong-passphrase" == code(
            await desk.relocked().ask("recover", code=first, passphrase="another one!")
        )
        assert "wrong-passphrase" == code(await desk.relocked().ask("unlock", passphrase=PASSPHRASE))
        assert "ok" == code(await desk.relocked().ask("unlock", passphrase="a new passphrase"))

    asyncio.run(scenario())


def test_changed_settings_are_shown_and_confirmed_before_the_vault_opens(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        assert "ok" == code(await desk.relocked().ask("unlock", passphrase=PASSPHRASE))
        (desk.home / "config.toml").write_text(
            "[lock]\nidle = '0s'\n[aws]\nendpoint_url = 'https://evil.example'\n"
        )
        closed = desk.relocked()
        reply = await closed.ask("unlock", passphrase=PASSPHRASE)
        assert "settings-changed" == code(reply)
        assert {"[lock] idle = 0", "[aws] endpoint_url = https://evil.example"} == set(
            reply["error"]["details"]["changes"]
        )
        assert ["settings changed"] == closed.locks
        confirmed = desk.relocked()
        reply = await confirmed.ask("unlock", passphrase=PASSPHRASE, accept_settings=True)
        assert ["the changed settings are confirmed"] == reply["notes"]
        assert 0 == confirmed.service.settings.lock.idle
        assert (await desk.relocked().ask("unlock", passphrase=PASSPHRASE))["notes"] == []

    asyncio.run(scenario())


def test_an_unreadable_settings_file_does_not_open_a_vault_under_other_rules(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        (desk.home / "config.toml").write_text("[lock]\nidel = '5m'\n")
        reply = await desk.relocked().ask("unlock", passphrase=PASSPHRASE)
        assert "usage" == code(reply)
        assert "config.toml line 2" in reply["error"]["line"]

    asyncio.run(scenario())
