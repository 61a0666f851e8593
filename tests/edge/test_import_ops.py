# SPDX-License-Identifier: Apache-2.0
"""What an import changed is kept sealed, told to whoever takes it back, and gone after a week or a change of a key."""

import asyncio
from datetime import timedelta
from typing import Any

from tests.edge.desk import KEY, Desk, code
from vaultd.edge import import_ops

OTHER = {"access_key_id": "AKIAOTHER00000000000", "secret_access_key": "o" * 40}


async def add(desk: Desk, name: str, **more: Any) -> Any:
    return await desk.ask("add", profile=name, **{**KEY, "verify": False, "serve": "key", **more})


async def seal(desk: Desk, *pieces: str, **more: Any) -> Any:
    return await desk.ask(
        "import_seal", **{"names": ["dev"], "made": ["dev"], "pieces": list(pieces), **more}
    )


def test_a_key_can_be_looked_at_without_being_kept(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        reply = await add(desk, "new", keep=False)
        assert ("new", False) == (reply["profile"]["profile"], reply["held"])
        assert "new" not in (await desk.ask("names"))["names"]

    asyncio.run(scenario())


def test_the_same_key_by_its_name_is_no_conflict_and_any_other_is(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        await add(desk, "dev")
        assert (await add(desk, "dev", same=True))["held"]
        assert "conflict" == code(await add(desk, "dev"))
        assert "conflict" == code(await add(desk, "dev", same=True, secret_access_key="x" * 40))
        assert "conflict" == code(await add(desk, "dev", same=True, access_key_id="AKIAOTHER00000000000"))

    asyncio.run(scenario())


def test_pieces_come_back_in_their_order_and_names_once(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        await add(desk, "dev")
        await seal(desk, "one", begin=True)
        await seal(desk, "two", "three")
        await seal(desk, done=True)
        reply = await desk.ask("import_undo")
        assert (["one", "two", "three"], ["dev"], ["dev"]) == (reply["pieces"], reply["names"], reply["made"])
        assert ["dev"] == (await desk.ask("import_undone"))["removed"]
        assert [] == (await desk.ask("names"))["names"]
        assert "refused" == code(await desk.ask("import_undo"))

    asyncio.run(scenario())


def test_the_next_import_drops_the_one_before_unless_that_was_cut_off(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        await add(desk, "dev")
        await seal(desk, "cut off", begin=True)
        await seal(desk, "finished", begin=True, made=[], done=True)
        reply = await desk.ask("import_undo")
        assert (["cut off", "finished"], ["dev"]) == (reply["pieces"], reply["made"])
        await seal(desk, "next", begin=True, made=[], done=True)
        reply = await desk.ask("import_undo")
        assert (["next"], []) == (reply["pieces"], reply["made"])

    asyncio.run(scenario())


def test_a_key_that_changes_in_the_middle_stops_the_import(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        await add(desk, "dev")
        await seal(desk, "one", begin=True)
        await add(desk, "dev", **OTHER, replace=True)
        assert "conflict" == code(await seal(desk, "two"))
        assert "no-such-profile" == code(await seal(desk, "x", names=["gone"], begin=True))
        assert "usage" == code(await seal(desk, "x", pieces=[1], begin=True))
        assert "usage" == code(await seal(desk, "x", names=["no name"], begin=True))

    asyncio.run(scenario())


def test_after_a_week_it_is_gone_from_the_vault(desk: Desk) -> None:
    async def scenario() -> None:
        await desk.opened()
        await add(desk, "dev")
        await seal(desk, "one", begin=True, done=True)
        await import_ops.drop_old(desk.service)
        assert desk.service.keeper.body.undo
        desk.now += timedelta(days=7)
        assert "refused" == code(await desk.ask("import_undo"))
        await import_ops.drop_old(desk.service)
        assert desk.service.keeper.body.undo is None

    asyncio.run(scenario())
