# SPDX-License-Identifier: Apache-2.0
"""Every request is checked, decided and written down in one place, whatever its handler does."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.edge.desk import KEY, PASSPHRASE, Desk, at_aws, code
from tests.fake_aws import FakeAws, Fault, Gate
from vaultd.edge.audit import Audit
from vaultd.edge.handlers import OPERATIONS


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
def test_a_request_with_anything_wrong_is_refused(desk: Desk, frame: dict[str, Any], expected: str) -> None:
    assert expected == code(asyncio.run(desk.raw(json.dumps(frame).encode())))
    assert not (desk.home / "audit.jsonl").exists()


def test_without_a_vault_everything_says_so(desk: Desk) -> None:
    async def scenario() -> None:
        for name, operation in OPERATIONS.items():
            if not operation.while_locked:
                fields = {
                    key: {dict: {}, list: [], int: 60}.get(entry.type, "dev")
                    for key, entry in operation.fields.items()
                    if entry.default is ...
                }
                assert "no-vault" == code(await desk.ask(name, **fields)), name
        assert "no-vault" == code(await desk.ask("unlock", passphrase=PASSPHRASE))
        assert "no-vault" == code(await desk.ask("recover", code="x", passphrase=PASSPHRASE))

    asyncio.run(scenario())


def test_a_thing_with_a_request_id_is_done_once(desk: Desk) -> None:
    """A client that lost the connection may ask again and gets the first answer."""

    async def scenario() -> None:
        await desk.opened()
        request = "0" * 32
        first = await desk.ask("add", profile="dev", verify=False, request=request, **KEY)
        again = await desk.ask("add", profile="dev", verify=False, request=request, **KEY)
        assert first == again
        assert "conflict" == code(await desk.ask("add", profile="dev", verify=False, request="1" * 32, **KEY))
        assert ["init", "add", "add"] == [line["op"] for line in desk.audit()]

    asyncio.run(scenario())


def test_what_was_begun_is_ended_although_the_client_left(desk: Desk, aws: FakeAws) -> None:
    """Ctrl-C in the middle of `add` leaves the profile whole or absent, never half."""
    desk, gate = at_aws(desk, aws), Gate()
    key = aws.add_key(aws.add_user("alice"))

    async def scenario() -> None:
        await desk.opened()
        aws.fault(Fault.hold(gate), action="GetCallerIdentity")
        asking = asyncio.create_task(
            desk.ask(
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
        await desk.handlers._remembered["2" * 32]
        assert ["dev"] == (await desk.ask("names"))["names"]

    asyncio.run(scenario())


def test_refusals_are_kept_for_status_and_say_who_asked(desk: Desk) -> None:
    """JS hides our error text; `status` is where its user finds it."""

    async def scenario() -> None:
        await desk.opened()
        for _ in range(25):
            await desk.ask("get", profile="nobody")
        refusals = (await desk.ask("status"))["refusals"]
        assert 20 == len(refusals)
        assert {
            "op": "get",
            "profile": "nobody",
            "code": "no-such-profile",
            "who": "pid 1",
        }.items() <= refusals[-1].items()

    asyncio.run(scenario())


def test_an_unexpected_error_tells_its_type_and_not_its_words(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def explode(_profile: object, _service: object) -> None:
        raise RuntimeError(KEY["secret_access_key"])

    async def scenario() -> None:
        await desk.opened()
        monkeypatch.setattr("vaultd.edge.adding.shown", explode)
        reply = await desk.ask("add", profile="dev", verify=False, **KEY)
        assert "vaultd met an unexpected RuntimeError" == reply["error"]["message"]
        assert KEY["secret_access_key"] not in json.dumps(reply)

    asyncio.run(scenario())
    assert KEY["secret_access_key"] not in capsys.readouterr().err


def test_no_audit_no_credentials(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        await desk.opened()
        await desk.ask("add", profile="dev", verify=False, serve="key", **KEY)
        good = desk.service.audit
        desk.service.audit = Audit(Path("/dev/full"), fsync=False)
        assert "storage-failed" == code(await desk.ask("get", profile="dev"))
        assert "ok" == code(await desk.ask("list"))
        assert any("audit" in warning for warning in (await desk.ask("status"))["warnings"])
        desk.service.audit = good
        assert (await desk.ask("get", profile="dev"))["Version"] == 1
        desk.service.audit = Audit(Path("/dev/full"), fsync=False)
        assert "ok" == code(await desk.ask("lock"))

    asyncio.run(scenario())


def test_a_handler_that_fails_is_still_audited(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        await desk.ask("get", profile="nobody")
        await desk.ask("get", profile="no such\nname")
        one, two = desk.audit()[-2:]
        assert ("nobody", "no-such-profile") == (one["profile"], one["verdict"])
        assert (None, "usage") == (two["profile"], two["verdict"])

    asyncio.run(scenario())
