# SPDX-License-Identifier: Apache-2.0
"""From a frame to its answer. The whole surface of the socket is the table below.

Every rule that no handler may forget is applied here, once: protocol version, fields, the lock, the audit before the
answer, what extends the lock, what may be asked twice.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from vaultd.core.fields import NAME
from vaultd.edge import (
    adding,
    import_ops,
    log,
    probing,
    profile_ops,
    reminder_ops,
    revocation_ops,
    rotation_ops,
    serving,
    vault_ops,
)
from vaultd.edge.calls import Call, Field, check_version, read_fields, request_id
from vaultd.edge.peer import Peer
from vaultd.edge.server import Send
from vaultd.edge.service import Service
from vaultd.wire import protocol
from vaultd.wire.errors import Locked, NoVault, StorageFailed, Usage, VaultError
from vaultd.wire.protocol import Frame

ANSWERS_KEPT = 256

Handler = Callable[[Service, Call], Awaitable[Frame | bytes]]

_TEXT = Field(str)
_PROFILE = {"profile": _TEXT}
_MAYBE = Field(str, None)
_NO = Field(bool, False)
_YES = Field(bool, True)


@dataclass(frozen=True, slots=True)
class Operation:
    handler: Handler
    fields: dict[str, Field] = field(default_factory=dict)
    while_locked: bool = False
    extends: str = (
        ""  # the lock is put off by: "" nothing, "person" a person's command, "program" a program's `get`
    )
    audited: bool = True
    idempotent: bool = False


OPERATIONS: dict[str, Operation] = {
    "status": Operation(vault_ops.status, while_locked=True, audited=False, idempotent=True),
    "init": Operation(
        vault_ops.init, {"passphrase": _TEXT, "allow_weak": _NO, "recovery": _YES}, while_locked=True
    ),
    "unlock": Operation(
        vault_ops.unlock,
        {"passphrase": _TEXT, "for_s": Field(int, None), "accept_older_vault": _NO, "accept_settings": _NO},
        while_locked=True,
        idempotent=True,
    ),
    "lock": Operation(vault_ops.lock, while_locked=True, idempotent=True),
    "recover": Operation(
        vault_ops.recover,
        {
            "code": _TEXT,
            "passphrase": _TEXT,
            "allow_weak": _NO,
            "accept_older_vault": _NO,
            "accept_settings": _NO,
        },
        while_locked=True,
    ),
    "passwd": Operation(vault_ops.passwd, {"old": _TEXT, "new": _TEXT, "allow_weak": _NO}, extends="person"),
    "names": Operation(profile_ops.names, audited=False, idempotent=True),
    "region": Operation(profile_ops.region, _PROFILE, audited=False, idempotent=True),
    "list": Operation(profile_ops.list_profiles, extends="person", audited=False, idempotent=True),
    "show": Operation(profile_ops.show, _PROFILE, extends="person", audited=False, idempotent=True),
    "get": Operation(serving.get, {**_PROFILE, "serve": _MAYBE}, extends="program", idempotent=True),
    "mfa": Operation(serving.mfa, {**_PROFILE, "code": _MAYBE}, extends="person"),
    "console": Operation(
        serving.console, {**_PROFILE, "destination": _MAYBE, "duration_s": Field(int, None)}, extends="person"
    ),
    "add": Operation(
        adding.add,
        {
            **_PROFILE,
            "access_key_id": _TEXT,
            "secret_access_key": _TEXT,
            "serve": _MAYBE,
            "region": _MAYBE,
            "mfa_serial": _MAYBE,
            "verify": _YES,
            "allow_root": _NO,
            "replace": _NO,
            "keep": _YES,
            "same": _NO,
        },
        extends="person",
    ),
    "add_role": Operation(
        adding.add_role,
        {
            **_PROFILE,
            "source": _TEXT,
            "role_arn": _TEXT,
            "external_id": _MAYBE,
            "session_name": _MAYBE,
            "duration_s": Field(int, None),
            "tags": Field(dict, None),
            "transitive_tags": Field(list, None),
            "source_identity": _MAYBE,
            "policy": _MAYBE,
            "policy_arns": Field(list, None),
            "region": _MAYBE,
            "verify": _YES,
            "replace": _NO,
        },
        extends="person",
    ),
    "edit": Operation(profile_ops.edit, {**_PROFILE, "changes": Field(dict)}, extends="person"),
    "rotate": Operation(
        rotation_ops.rotate,
        {
            **_PROFILE,
            "dry_run": _NO,
            "now": _NO,
            "sessions": _NO,
            "force": _NO,
            "rollback": _NO,
            "replace": _MAYBE,
        },
        extends="person",
    ),
    "rotation": Operation(rotation_ops.rotation, _PROFILE, audited=False, idempotent=True),
    "remove": Operation(profile_ops.remove, _PROFILE, extends="person"),
    "revoke": Operation(
        revocation_ops.revoke,
        {**_PROFILE, "delete": _NO, "sessions": _NO, "via": _MAYBE},
        extends="person",
    ),
    "unrevoke": Operation(revocation_ops.unrevoke, {**_PROFILE, "via": _MAYBE}, extends="person"),
    "panic": Operation(revocation_ops.panic, {"sessions": _YES}),
    "probe": Operation(probing.probe, {"region": _MAYBE}, audited=False, idempotent=True),
    "import_seal": Operation(
        import_ops.seal,
        {
            "names": Field(list),
            "made": Field(list),
            "pieces": Field(list),
            "begin": _NO,
            "done": _NO,
        },
        extends="person",
    ),
    "import_undo": Operation(import_ops.look, extends="person"),
    "import_undone": Operation(import_ops.undone, extends="person"),
    "due": Operation(reminder_ops.due, while_locked=True, audited=False, idempotent=True),
    "snooze": Operation(reminder_ops.snooze, {**_PROFILE, "for_s": Field(int)}, extends="person"),
}


class Handlers:
    """`answer` is what the server calls for each frame."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._remembered: dict[str, asyncio.Task[bytes]] = {}  # by request id, oldest first

    async def answer(self, line: bytes, peer: Peer, send: Send) -> bytes:
        """The bytes of the reply; never raises but for a peer that is gone."""
        try:
            call, operation = self._read(line, peer, send)
        except VaultError as error:
            return protocol.encode(protocol.error_frame(error))
        if operation.idempotent or call.request is None:
            return await self._work(call, operation)
        task = self._remembered.get(call.request)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._work(call, operation))
            self._remembered[call.request] = task
            if len(self._remembered) > ANSWERS_KEPT:
                del self._remembered[next(iter(self._remembered))]
        # Shielded: what was begun for a client that goes away (Ctrl-C during `add`) is ended, not left half done.
        return await asyncio.shield(task)

    def _read(self, line: bytes, peer: Peer, send: Send) -> tuple[Call, Operation]:
        frame = protocol.decode(line)
        check_version(frame)
        name = frame.get("op")
        operation = OPERATIONS.get(name) if isinstance(name, str) else None
        if operation is None:
            raise Usage("this vaultd does not know that operation", hint="run: awsvault daemon restart")
        fields = read_fields(operation.fields, frame)

        async def progress(text: str) -> None:
            with contextlib.suppress(OSError, TimeoutError):  # nobody watches any more
                await send(protocol.encode({"progress": text}))

        return Call(str(name), fields, peer, progress, request_id(frame)), operation

    async def _work(self, call: Call, operation: Operation) -> bytes:
        try:
            self._check_open(operation)
            result = await operation.handler(self._service, call)
            reply = result if isinstance(result, bytes) else protocol.encode_answer({"ok": True, **result})
            self._extend(operation)
            self._service.reminding.look()
            await self._record(call, operation, "ok")
            return reply
        except VaultError as error:
            return await self._refuse(call, operation, error)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the outermost loop: one bad request must not end the agent
            log.say(f"unexpected {type(error).__name__} in {call.op} at {log.place(error)}")
            failure = VaultError(
                f"vaultd met an unexpected {type(error).__name__}", hint="run: awsvault daemon logs"
            )
            return await self._refuse(call, operation, failure)

    def _check_open(self, operation: Operation) -> None:
        """Locked or not is decided here, before any handler runs."""
        self._service.lock_if_due()
        if self._service.draining and operation.handler is not vault_ops.status:
            raise Locked("vault is being locked")
        if self._service.panicking and operation.handler not in (vault_ops.status, vault_ops.lock):
            raise Locked("keys are being revoked; the vault locks then")
        if operation.while_locked or self._service.keeper.is_unlocked:
            return
        raise NoVault if self._service.keeper.state() == "no-vault" else Locked

    def _extend(self, operation: Operation) -> None:
        by_program = operation.extends == "program" and self._service.settings.lock.extend == "any"
        if operation.extends == "person" or by_program:
            self._service.extend()

    async def _refuse(self, call: Call, operation: Operation, error: VaultError) -> bytes:
        if operation.audited:
            self._service.refusals.append(
                {
                    "at": self._service.clock.stamp(),
                    "op": call.op,
                    "profile": _profile(call),
                    "code": error.code,
                    "line": error.line,
                    "who": call.peer.program,
                }
            )
        with contextlib.suppress(StorageFailed):  # it refuses already; status says that the audit fails
            await self._record(call, operation, error.code)
        return protocol.encode(protocol.error_frame(error))

    async def _record(self, call: Call, operation: Operation, verdict: str) -> None:
        """The audit line, before the answer leaves. Only credentials are withheld for want of it."""
        if not operation.audited:
            return
        record: dict[str, Any] = {
            "at": self._service.clock.stamp(),
            "op": call.op,
            "profile": _profile(call),
            "verdict": verdict,
        }
        try:
            self._service.audit.append({**record, **call.audit, "who": call.peer.record()})
            if call.urgent:
                await self._service.audit.sync()
            else:
                self._service.audit.sync_soon()
        except StorageFailed:
            if call.op == "get":
                raise


def _profile(call: Call) -> str | None:
    """The name, if it is one: raw input never enters a log."""
    name = call.fields.get("profile")
    return name if isinstance(name, str) and NAME.match(name) else None
