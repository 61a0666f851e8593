# SPDX-License-Identifier: Apache-2.0
"""The operations that keep what an import changed, tell it to whoever takes the import back, and forget it.

The files are the command's business: the daemon never writes in ~/.aws.
"""

import contextlib
from dataclasses import replace
from typing import Any

from vaultd.core.fields import check_name
from vaultd.core.records import Body
from vaultd.core.secret import Secret
from vaultd.core.undo import Undo
from vaultd.edge.calls import Call
from vaultd.edge.service import Service
from vaultd.edge.shown import iso
from vaultd.wire.errors import Conflict, Refused, Usage, VaultError
from vaultd.wire.protocol import Frame


async def seal(service: Service, call: Call) -> Frame:
    """Keep what the command is about to change; `begin` drops the import before, or goes on with one that was cut off."""
    names, made = (tuple(check_name(name) for name in call[field]) for field in ("names", "made"))
    pieces = tuple(Secret(piece) for piece in _texts(call["pieces"]))
    now = service.clock.now()

    def change(body: Body) -> Body:
        undo = body.undo
        if call["begin"] and (undo is None or undo.done or undo.is_over(now)):
            undo = Undo(now, False, (), (), ())
        if undo is None:
            raise Conflict("the keys of this import were changed meanwhile", hint="run: awsvault import")
        for name in names:
            body.profile(name)
        return replace(body, undo=undo.going_on(now, names, made).with_account(pieces, done=call["done"]))

    await service.keeper.save(change, backup=False)  # hundreds of keys are many pieces
    return {}


def _texts(values: list[Any]) -> list[str]:
    if not all(isinstance(value, str) for value in values):
        raise Usage("the request's pieces have the wrong type")
    return values


async def look(service: Service, call: Call) -> Frame:
    """What there is to take back, with the lines as they were. Raises Refused when there is nothing."""
    body = service.keeper.body
    undo = body.undo
    if undo is None or undo.is_over(service.clock.now()):
        raise Refused(
            "there is no import to take back: a week is over, or one of its keys was rotated, removed or revoked since",
            hint="",
        )
    body.undone()
    call.audit["profiles"] = list(undo.names)
    pieces = [piece.reveal() for piece in undo.account]
    return {"at": iso(undo.at), "names": list(undo.names), "made": list(undo.made), "pieces": pieces}


async def undone(service: Service, call: Call) -> Frame:
    """The files are as they were: forget the profiles that the import made."""
    made = service.keeper.body.undo.made if service.keeper.body.undo else ()
    removed = [name for name in made if name in service.keeper.body.profiles]
    await service.save(Body.undone)
    for name in removed:
        service.broker.forget(name)
        service.last_used.pop(name, None)
    call.audit["profiles"] = removed
    return {"removed": removed}


async def drop_old(service: Service) -> None:
    """A line that an import took out is not kept for longer than was said."""
    if not service.keeper.is_unlocked:
        return
    body = service.keeper.body
    if body.without_old_undo(service.clock.now()) is not body:
        with contextlib.suppress(VaultError):  # the next save takes it along
            await service.save(lambda body: body)
