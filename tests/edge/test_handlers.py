# SPDX-License-Identifier: Apache-2.0
"""Every request is checked, decided and written down in one place, whatever its handler does.

In one process: the real keeper on a real directory with a weak key derivation, a clock that the test moves, and AWS
as tests/fake_aws.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fake_aws import FakeAws, Fault, Gate
from tests.weak_daemon import BOUNDS, COST
from vaultd.core import vault as core
from vaultd.core.policy import AwsSettings, LockSettings, Settings
from vaultd.core.secret import Secret
from vaultd.edge.audit import Audit
from vaultd.edge.aws import Aws
from vaultd.edge.clock import Clock
from vaultd.edge.handlers import OPERATIONS, Handlers
from vaultd.edge.keeper import Keeper
from vaultd.edge.peer import Peer
from vaultd.edge.places import places
from vaultd.edge.service import Service
from vaultd.edge.store import HighWater, LocalStore
from vaultd.wire import protocol
from vaultd.wire.errors import WrongPassphrase

PASSPHRASE = "correct horse battery"
KEY = {
    "access_key_id": "AKIAIOSFODNN7EXAMPLE",
    "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}
ME = Peer(0, 1)


@dataclass
class Bench:
    """The handlers as daemon.py wires them, but for the loop, the socket and the exec."""

    home: Path
    settings: Settings = field(default_factory=Settings)
    now: datetime = datetime(2026, 11, 24, 12, tzinfo=UTC)
    booted: float = 1000.0
    locks: list[str] = field(default_factory=list)
    progress: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        where = places(str(self.home))
        where.backups.mkdir(exist_ok=True)
        clock = Clock(lambda: self.now, lambda: self.booted)
        keeper = Keeper(
            LocalStore(where.vault, where.backups),
            HighWater(where.high_water),
            bounds=BOUNDS,
            now=clock.now,
            history_exists=lambda: any(where.backups.iterdir()),
        )
        self.service = Service(
            places=where,
            clock=clock,
            keeper=keeper,
            audit=Audit(where.audit, fsync=False),
            settings=self.settings,
            make_aws=lambda settings: Aws(settings.aws),
            cost=COST,
            succeed=self.locks.append,
        )
        self.handlers = Handlers(self.service)

    async def send(self, data: bytes) -> None:
        self.progress.append(json.loads(data)["progress"])

    async def raw(self, line: bytes) -> Any:
        return json.loads(await self.handlers.answer(line, ME, self.send))

    async def ask(self, op: str, **fields: Any) -> Any:
        return await self.raw(protocol.encode(protocol.request(op, **fields)))

    async def opened(self) -> "Bench":
        assert (await self.ask("init", passphrase=PASSPHRASE, recovery=False))["ok"]
        return self

    def relocked(self) -> "Bench":
        """The next process image: nothing but the files goes over."""
        return Bench(self.home, self.settings, self.now, self.booted)

    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.home / "audit.jsonl").read_text().splitlines()]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[FakeAws]:
    with FakeAws() as server:
        (tmp_path / "config.toml").write_text(f'[aws]\nendpoint_url = "{server.url}"\n')
        yield server


def at_aws(bench: Bench, aws: FakeAws) -> Bench:
    return Bench(
        bench.home,
        replace(bench.settings, aws=AwsSettings(endpoint_url=aws.url)),
        now=datetime.now(UTC).replace(microsecond=0),
    )


def code(reply: Any) -> str:
    return str(reply["error"]["code"]) if "error" in reply else "ok"


# --- what is refused before any handler runs


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ({"op": "status"}, "protocol-mismatch"),
        ({"v": 2, "op": "status"}, "protocol-mismatch"),
        ({"v": True, "op": "status"}, "protocol-mismatch"),
        ({"v": "1", "op": "status"}, "protocol-mismatch"),
        ({"v": 1}, "usage"),
        ({"v": 1, "op": ["status"]}, "usage"),
        ({"v": 1, "op": "shutdown"}, "usage"),
        ({"v": 1, "op": "status", "extra": 1}, "usage"),
        ({"v": 1, "op": "show"}, "usage"),
        ({"v": 1, "op": "show", "profile": 1}, "usage"),
        ({"v": 1, "op": "show", "profile": None}, "usage"),
        ({"v": 1, "op": "unlock", "passphrase": "x", "for_s": True}, "usage"),
        ({"v": 1, "op": "unlock", "passphrase": "x", "for_s": 1.5}, "usage"),
        ({"v": 1, "op": "edit", "profile": "dev", "changes": []}, "usage"),
        ({"v": 1, "op": "status", "request": "abc"}, "usage"),
        ({"v": 1, "op": "status", "request": 7}, "usage"),
    ],
)
def test_a_request_with_anything_wrong_is_refused(bench: Bench, frame: dict[str, Any], expected: str) -> None:
    assert expected == code(asyncio.run(bench.raw(json.dumps(frame).encode())))
    assert not (bench.home / "audit.jsonl").exists()


def test_without_a_vault_everything_says_so(bench: Bench) -> None:
    async def scenario() -> None:
        for name, operation in OPERATIONS.items():
            if not operation.while_locked:
                fields = {
                    key: {} if entry.type is dict else "dev"
                    for key, entry in operation.fields.items()
                    if entry.default is ...
                }
                assert "no-vault" == code(await bench.ask(name, **fields)), name
        assert "no-vault" == code(await bench.ask("unlock", passphrase=PASSPHRASE))
        assert "no-vault" == code(await bench.ask("recover", code="x", passphrase=PASSPHRASE))

    asyncio.run(scenario())


# --- the lock


def test_a_vault_past_its_time_is_locked_before_the_request_is_looked_at(bench: Bench) -> None:
    """Timers don't count sleep: a laptop that wakes up must not serve the first caller."""

    async def scenario() -> None:
        await bench.opened()
        assert "ok" == code(await bench.ask("list"))
        bench.booted += 3_600
        assert "locked" == code(await bench.ask("list"))
        assert ["time"] == bench.locks
        assert not bench.service.keeper.is_unlocked

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
    bench = Bench(tmp_path, Settings(lock=LockSettings(extend=extend)))

    async def scenario() -> None:
        await bench.opened()
        await bench.ask("add", profile="dev", verify=False, serve="key", **KEY)
        bench.booted += 3_000
        await bench.ask(op, **({"profile": "dev"} if op == "get" else {}))
        assert bench.service.locks_in_s() == (3_600 if extends else 600)

    asyncio.run(scenario())


def test_a_refused_request_does_not_put_the_lock_off(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.opened()
        bench.booted += 3_000
        assert "no-such-profile" == code(await bench.ask("get", profile="nobody"))
        assert bench.service.locks_in_s() == 600

    asyncio.run(scenario())


def test_a_wrong_passphrase_ends_the_image_and_delays_the_next(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.opened()
        closed = bench.relocked()
        assert "wrong-passphrase" == code(await closed.ask("unlock", passphrase="wrong horse battery"))
        assert ["failed unlock"] == closed.locks
        assert 1 == closed.service.guesses.failures
        again = bench.relocked()
        again.service.guesses = closed.service.guesses
        again.service.guesses.last_at = again.booted - 0.45
        assert "ok" == code(await again.ask("unlock", passphrase=PASSPHRASE))
        assert ["waiting 1 s after 1 wrong passphrases"] == again.progress
        assert 0 == again.service.guesses.failures

    asyncio.run(scenario())


def test_unlocking_an_open_vault_derives_nothing(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.opened()
        assert (await bench.ask("unlock", passphrase="anything at all"))["already"] is True
        assert bench.locks == []

    asyncio.run(scenario())


def test_passwd_needs_the_old_passphrase_although_the_vault_is_open(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.opened()
        assert "wrong-passphrase" == code(
            await bench.ask("passwd", old="wrong horse battery", new="a new passphrase")
        )
        assert 1 == bench.service.guesses.failures
        bench.booted += 1
        assert "ok" == code(await bench.ask("passwd", old=PASSPHRASE, new="a new passphrase"))
        assert "wrong-passphrase" == code(await bench.relocked().ask("unlock", passphrase=PASSPHRASE))
        assert "ok" == code(await bench.relocked().ask("unlock", passphrase="a new passphrase"))

    asyncio.run(scenario())


def test_after_passwd_no_backup_here_opens_with_the_old_passphrase(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.opened()
        for name in ("one", "two", "three"):
            await bench.ask("add", profile=name, verify=False, **KEY)
        foreign = bench.home / "backups" / "vault-20260101T000000.000000Z-0123456789abcdef"
        foreign.write_bytes(b"not a vault")
        notes = (await bench.ask("passwd", old=PASSPHRASE, new="a new passphrase"))["notes"]
        assert "backups here that open with the new passphrase now: 4" == notes[0]
        assert notes[1].startswith("backups that could not be changed: 1;")
        assert "copies of the vault elsewhere still open with the old passphrase" == notes[2]
        names: set[frozenset[str]] = set()
        foreign.unlink()
        for path in (bench.home / "backups").iterdir():
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


def test_the_recovery_code_opens_once_and_is_issued_anew(bench: Bench) -> None:
    async def scenario() -> None:
        first = (await bench.ask("init", passphrase=PASSPHRASE))["recovery_code"]
        reply = await bench.relocked().ask("recover", code=first, passphrase="a new passphrase")
        assert reply["recovery_code"] != first
        assert "wrong-passphrase" == code(
            await bench.relocked().ask("recover", code=first, passphrase="another one!")
        )
        assert "wrong-passphrase" == code(await bench.relocked().ask("unlock", passphrase=PASSPHRASE))
        assert "ok" == code(await bench.relocked().ask("unlock", passphrase="a new passphrase"))

    asyncio.run(scenario())


def test_changed_settings_are_shown_and_confirmed_before_the_vault_opens(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.opened()
        assert "ok" == code(await bench.relocked().ask("unlock", passphrase=PASSPHRASE))
        (bench.home / "config.toml").write_text(
            "[lock]\nidle = '0s'\n[aws]\nendpoint_url = 'https://evil.example'\n"
        )
        closed = bench.relocked()
        reply = await closed.ask("unlock", passphrase=PASSPHRASE)
        assert "settings-changed" == code(reply)
        assert {"[lock] idle = 0", "[aws] endpoint_url = https://evil.example"} == set(
            reply["error"]["details"]["changes"]
        )
        assert ["settings changed"] == closed.locks
        confirmed = bench.relocked()
        reply = await confirmed.ask("unlock", passphrase=PASSPHRASE, accept_settings=True)
        assert ["the changed settings are confirmed"] == reply["notes"]
        assert 0 == confirmed.service.settings.lock.idle
        assert (await bench.relocked().ask("unlock", passphrase=PASSPHRASE))["notes"] == []

    asyncio.run(scenario())


def test_an_unreadable_settings_file_does_not_open_a_vault_under_other_rules(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.opened()
        (bench.home / "config.toml").write_text("[lock]\nidel = '5m'\n")
        reply = await bench.relocked().ask("unlock", passphrase=PASSPHRASE)
        assert "usage" == code(reply)
        assert "config.toml line 2" in reply["error"]["line"]

    asyncio.run(scenario())


# --- what is asked twice


def test_a_thing_with_a_request_id_is_done_once(bench: Bench) -> None:
    """A client that lost the connection may ask again and gets the first answer."""

    async def scenario() -> None:
        await bench.opened()
        request = "0" * 32
        first = await bench.ask("add", profile="dev", verify=False, request=request, **KEY)
        again = await bench.ask("add", profile="dev", verify=False, request=request, **KEY)
        assert first == again
        assert "conflict" == code(
            await bench.ask("add", profile="dev", verify=False, request="1" * 32, **KEY)
        )
        assert ["init", "add", "add"] == [line["op"] for line in bench.audit()]

    asyncio.run(scenario())


def test_what_was_begun_is_ended_although_the_client_left(bench: Bench, aws: FakeAws) -> None:
    """Ctrl-C in the middle of `add` leaves the profile whole or absent, never half."""
    bench, gate = at_aws(bench, aws), Gate()
    key = aws.add_key(aws.add_user("alice"))

    async def scenario() -> None:
        await bench.opened()
        aws.fault(Fault.hold(gate), action="GetCallerIdentity")
        asking = asyncio.create_task(
            bench.ask(
                "add",
                profile="dev",
                request="2" * 32,
                access_key_id=key.access_key_id,
                secret_access_key=key.secret,
            )
        )
        await asyncio.to_thread(gate.arrived.acquire)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        gate.open()
        await bench.handlers._remembered["2" * 32]
        assert ["dev"] == (await bench.ask("names"))["names"]

    asyncio.run(scenario())


# --- profiles


def test_add_decides_by_evidence_how_a_key_is_served(bench: Bench, aws: FakeAws) -> None:
    bench = at_aws(bench, aws)
    users = {name: aws.add_user(name) for name in ("plain", "admin", "nosts")}
    keys = {name: aws.add_key(user) for name, user in users.items()}
    aws.set_last_use(keys["admin"], "iam", "us-east-1", datetime(2026, 11, 1, tzinfo=UTC))
    aws.deny(users["nosts"], "sts:GetSessionToken")

    async def add(name: str, **more: Any) -> Any:
        key = keys[name]
        return await bench.ask(
            "add", profile=name, access_key_id=key.access_key_id, secret_access_key=key.secret, **more
        )

    async def scenario() -> None:
        await bench.opened()
        reply = await add("plain")
        assert ("session", "ok") == (reply["profile"]["serve"], reply["profile"]["status"])
        assert "arn:aws:iam::123456789012:user/plain" == reply["profile"]["arn"]
        assert reply["profile"]["created_at"]
        assert "key" == (await add("nosts"))["profile"]["serve"]
        undecided = await add("admin")
        assert ("serve-undecided", 2) == (code(undecided), undecided["error"]["exit"])
        assert {"last_used_service": "iam", "proposal": "key"}.items() <= undecided["error"][
            "details"
        ].items()
        assert ["nosts", "plain"] == (await bench.ask("names"))["names"]
        assert "key" == (await add("admin", serve="key"))["profile"]["serve"]
        assert "aws-failed" == code(await add("nosts", serve="session", replace=True))

    asyncio.run(scenario())


def test_root_keys_are_refused_unless_asked_for(bench: Bench, aws: FakeAws) -> None:
    bench = at_aws(bench, aws)
    key = aws.add_key(aws.add_root())
    fields = {"access_key_id": key.access_key_id, "secret_access_key": key.secret}

    async def scenario() -> None:
        await bench.opened()
        reply = await bench.ask("add", profile="root", **fields)
        assert ("refused", 6) == (code(reply), reply["error"]["exit"])
        assert "--allow-root" in reply["error"]["line"]
        assert [] == (await bench.ask("names"))["names"]
        assert "ok" == code(await bench.ask("add", profile="root", allow_root=True, **fields))

    asyncio.run(scenario())


def test_a_wrong_secret_is_not_kept(bench: Bench, aws: FakeAws) -> None:
    bench = at_aws(bench, aws)
    key = aws.add_key(aws.add_user("alice"))

    async def scenario() -> None:
        await bench.opened()
        reply = await bench.ask(
            "add", profile="dev", access_key_id=key.access_key_id, secret_access_key=KEY["secret_access_key"]
        )
        assert "aws-failed" == code(reply)
        assert KEY["secret_access_key"] not in json.dumps(reply)
        assert [] == (await bench.ask("names"))["names"]

    asyncio.run(scenario())


def test_get_gives_a_session_and_asks_aws_once(bench: Bench, aws: FakeAws) -> None:
    bench = at_aws(bench, aws)
    key = aws.add_key(aws.add_user("alice"))

    async def scenario() -> None:
        await bench.opened()
        await bench.ask("add", profile="dev", access_key_id=key.access_key_id, secret_access_key=key.secret)
        before = len(aws.calls("GetSessionToken"))
        answers = await asyncio.gather(*(bench.ask("get", profile="dev") for _ in range(20)))
        assert 1 == len(aws.calls("GetSessionToken")) - before
        assert 1 == len({json.dumps(answer) for answer in answers})
        assert answers[0]["SessionToken"]
        assert key.secret not in json.dumps(answers)
        lines = [line for line in bench.audit() if line["op"] == "get"]
        assert {answers[0]["AccessKeyId"]} == {line["key"] for line in lines}
        assert {answers[0]["Expiration"]} == {line["expires"] for line in lines}

    asyncio.run(scenario())


def test_get_does_not_wait_longer_than_its_deadline_and_the_call_goes_on(
    bench: Bench, aws: FakeAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaultd.edge.profile_ops.GET_DEADLINE_S", 0.05)
    bench, gate = at_aws(bench, aws), Gate()
    key = aws.add_key(aws.add_user("alice"))

    async def scenario() -> None:
        await bench.opened()
        await bench.ask("add", profile="dev", access_key_id=key.access_key_id, secret_access_key=key.secret)
        before = len(aws.calls("GetSessionToken"))
        aws.fault(Fault.hold(gate), action="GetSessionToken")
        reply = await bench.ask("get", profile="dev")
        assert ("aws-pending", 7) == (code(reply), reply["error"]["exit"])
        assert "still waiting for AWS; try again" == reply["error"]["line"]
        gate.open()
        monkeypatch.setattr("vaultd.edge.profile_ops.GET_DEADLINE_S", 5)
        assert (await bench.ask("get", profile="dev"))["SessionToken"]
        assert 1 == len(aws.calls("GetSessionToken")) - before

    asyncio.run(scenario())


def test_a_lock_during_the_call_to_aws_hands_nothing_out(bench: Bench, aws: FakeAws) -> None:
    bench, gate = at_aws(bench, aws), Gate()
    key = aws.add_key(aws.add_user("alice"))

    async def scenario() -> None:
        await bench.opened()
        await bench.ask("add", profile="dev", access_key_id=key.access_key_id, secret_access_key=key.secret)
        aws.fault(Fault.hold(gate), action="GetSessionToken")
        asking = asyncio.create_task(bench.ask("get", profile="dev"))
        await asyncio.to_thread(gate.arrived.acquire)
        bench.service.lock("asked")
        gate.open()
        assert "locked" == code(await asking)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("age", "status"),
    [
        (timedelta(0), "unverified"),
        (timedelta(days=75, hours=23), "unverified"),
        (timedelta(days=76), "due"),
        (timedelta(days=90), "overdue"),
    ],
)
def test_list_tells_when_a_key_is_due(bench: Bench, age: timedelta, status: str) -> None:
    async def scenario() -> None:
        await bench.opened()
        await bench.ask("add", profile="dev", verify=False, **KEY)
        bench.now += age
        bench.service.extend()
        (found,) = (await bench.ask("list"))["profiles"]
        assert (status, age.days) == (found["status"], found["age_days"])
        assert "2027-02-22T12:00:00Z" == found["rotate_by"]
        assert KEY["secret_access_key"] not in json.dumps(found)
        assert {
            "profile", "kind", "serve", "account", "arn", "access_key_id", "created_at", "age_days", "rotate_by",
            "last_used_at", "status", "rotation",
        } <= found.keys()  # fmt: skip

    asyncio.run(scenario())


def test_edit_changes_what_it_names_and_nothing_else(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.opened()
        before = (await bench.ask("add", profile="dev", verify=False, region="eu-west-1", **KEY))["profile"]
        changed = (await bench.ask("edit", profile="dev", changes={"serve": "key", "region": None}))[
            "profile"
        ]
        assert before | {"serve": "key", "region": None} == changed
        for bad in ({}, {"account": "1"}, {"serve": "both"}, {"serve": None}, {"region": 5}):
            assert "usage" == code(await bench.ask("edit", profile="dev", changes=bad)), bad
        assert "no-such-profile" == code(await bench.ask("edit", profile="nobody", changes={"serve": "key"}))

    asyncio.run(scenario())


def test_remove_forgets_the_key_and_says_which_it_was(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.opened()
        await bench.ask("add", profile="dev", verify=False, serve="key", **KEY)
        assert KEY["access_key_id"] == (await bench.ask("remove", profile="dev"))["access_key_id"]
        assert "no-such-profile" == code(await bench.ask("get", profile="dev"))
        assert "no-such-profile" == code(await bench.ask("remove", profile="dev"))

    asyncio.run(scenario())


def test_the_time_of_use_goes_into_the_vault_with_the_next_save(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.opened()
        await bench.ask("add", profile="dev", verify=False, serve="key", **KEY)
        await bench.ask("get", profile="dev")
        await bench.ask("add", profile="other", verify=False, serve="key", **KEY)
        reopened = bench.relocked()
        await reopened.ask("unlock", passphrase=PASSPHRASE)
        assert (
            "2026-11-24T12:00:00Z" == (await reopened.ask("show", profile="dev"))["profile"]["last_used_at"]
        )

    asyncio.run(scenario())


# --- failures


def test_refusals_are_kept_for_status_and_say_who_asked(bench: Bench) -> None:
    """JS hides our error text; `status` is where its user finds it."""

    async def scenario() -> None:
        await bench.opened()
        for _ in range(25):
            await bench.ask("get", profile="nobody")
        refusals = (await bench.ask("status"))["refusals"]
        assert 20 == len(refusals)
        assert {
            "op": "get",
            "profile": "nobody",
            "code": "no-such-profile",
            "who": "pid 1",
        }.items() <= refusals[-1].items()

    asyncio.run(scenario())


def test_an_unexpected_error_tells_its_type_and_not_its_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def explode(_profile: object, _service: object) -> None:
        raise RuntimeError(KEY["secret_access_key"])

    async def scenario() -> None:
        await bench.opened()
        monkeypatch.setattr("vaultd.edge.profile_ops._shown", explode)
        reply = await bench.ask("add", profile="dev", verify=False, **KEY)
        assert "vaultd met an unexpected RuntimeError" == reply["error"]["message"]
        assert KEY["secret_access_key"] not in json.dumps(reply)

    asyncio.run(scenario())
    assert KEY["secret_access_key"] not in capsys.readouterr().err


def test_no_audit_no_credentials(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        await bench.opened()
        await bench.ask("add", profile="dev", verify=False, serve="key", **KEY)
        good = bench.service.audit
        bench.service.audit = Audit(Path("/dev/full"), fsync=False)
        assert "storage-failed" == code(await bench.ask("get", profile="dev"))
        assert "ok" == code(await bench.ask("list"))
        assert any("audit" in warning for warning in (await bench.ask("status"))["warnings"])
        bench.service.audit = good
        assert (await bench.ask("get", profile="dev"))["Version"] == 1
        bench.service.audit = Audit(Path("/dev/full"), fsync=False)
        assert "ok" == code(await bench.ask("lock"))

    asyncio.run(scenario())


def test_a_handler_that_fails_is_still_audited(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.opened()
        await bench.ask("get", profile="nobody")
        await bench.ask("get", profile="no such\nname")
        one, two = bench.audit()[-2:]
        assert ("nobody", "no-such-profile") == (one["profile"], one["verdict"])
        assert (None, "usage") == (two["profile"], two["verdict"])

    asyncio.run(scenario())
