# SPDX-License-Identifier: Apache-2.0
"""The vault in this process: locked or unlocked, and every way in and out of the store.

State changes only on the loop's thread; deriving and disk work run in threads that get values and return values.
`epoch` moves with every unlock and lock: whoever awaited something compares it before handing anything out.
"""

import asyncio
import os
from collections.abc import Callable
from datetime import datetime

from vaultd.core import forgotten
from vaultd.core import vault as core
from vaultd.core.envelope import KdfBounds, KdfCost
from vaultd.core.records import Body
from vaultd.core.secret import Secret
from vaultd.core.vault import Created, Sealed, Vault
from vaultd.edge.store import REVISION_DIGITS, HighWater, LocalStore
from vaultd.wire.errors import Conflict, Locked, NoVault, StorageFailed, VaultError

Opener = Callable[[bytes], Vault]


class Keeper:
    def __init__(
        self,
        store: LocalStore,
        high_water: HighWater,
        *,
        bounds: KdfBounds,
        now: Callable[[], datetime],
        history_exists: Callable[[], bool],
    ) -> None:
        self._store = store
        self._high_water = high_water
        self._now = now
        self._history_exists = history_exists
        self.bounds = bounds
        self._vault: Vault | None = None
        self._revision: str | None = None
        self.epoch = 0
        self.is_closing = False
        self._deriving = asyncio.Lock()
        self._saving = asyncio.Lock()

    @property
    def is_unlocked(self) -> bool:
        return self._vault is not None

    @property
    def vault(self) -> Vault:
        """The open vault. Raises Locked."""
        if self._vault is None:
            raise Locked
        return self._vault

    @property
    def body(self) -> Body:
        return self.vault.body

    def state(self) -> str:
        if self.is_unlocked:
            return "unlocked"
        return "locked" if self._store.exists() else "no-vault"

    def check_epoch(self, epoch: int) -> None:
        """Raise Locked when the vault was locked or opened since `epoch` was read: nothing from before is handed out."""
        if self.epoch != epoch:
            raise Locked

    def close(self) -> None:
        """Hand out nothing more. The memory itself is thrown away by successor.exec_self."""
        self._vault = None
        self.epoch += 1

    def begin_to_close(self) -> None:
        """Hand out nothing more, but take what must still be saved: a new key's secret, which AWS shows once."""
        self.is_closing = True
        self.epoch += 1

    async def reserve(self) -> None:
        """Keep room on the disk for one save; the next save takes it. Raises StorageFailed."""
        await asyncio.to_thread(self._store.reserve)

    async def create(self, passphrase: Secret, *, cost: KdfCost, with_recovery: bool) -> Secret | None:
        """Make the vault and leave it open; returns the recovery code. Raises Conflict when there is one already."""
        async with self._deriving:
            if self.state() != "no-vault":
                raise Conflict("there is already a vault", hint="run: awsvault unlock")

            def derive() -> Created:
                return core.create(
                    passphrase, cost=cost, with_recovery=with_recovery, now=self._now(), random=os.urandom
                )

            created = await asyncio.to_thread(derive)
            # The mark first, unlike in a save: killed in between, a new vault whose mark is missing would be taken for
            # an old copy, but a mark without a vault harms nobody.
            await asyncio.to_thread(self._high_water.save, core.mark(created.vault))
            revision = await asyncio.to_thread(self._store.save, created.data, None, verify=created.verify)
            self._take(created.vault, revision)
            self.epoch += 1
            return created.recovery_code

    async def open(self, opener: Opener, *, accept_older: bool = False) -> bool:
        """Open the stored vault with `opener` (slow: it derives a key); False when it was open already.

        Raises NoVault, WrongPassphrase, VaultDamaged, RolledBack, and Locked when a lock came in between.
        """
        async with self._deriving:
            if self.is_unlocked:
                return False
            epoch = self.epoch
            data, revision = await asyncio.to_thread(self._store.load)
            vault = await asyncio.to_thread(opener, data)
            recorded = await asyncio.to_thread(self._high_water.load)
            if not accept_older:
                core.check_mark(vault, recorded, history_exists=self._history_exists())
            mark = core.mark(vault)
            if recorded != mark:
                await asyncio.to_thread(self._high_water.save, mark)
            if self.epoch != epoch:
                raise Locked("vault was locked meanwhile")
            self._take(vault, revision)
            self.epoch += 1
            return True

    async def check(self, opener: Opener) -> None:
        """Prove that `opener` opens the stored vault, e.g. an old passphrase before it is replaced."""
        async with self._deriving:
            data, _ = await asyncio.to_thread(self._store.load)
            await asyncio.to_thread(opener, data)

    async def save(self, change: Callable[[Body], Body], *, backup: bool = True) -> None:
        """Apply `change` to the body and put it on the disk; on any error the vault is as before."""

        def seal(vault: Vault) -> Sealed:
            body = forgotten.noted(vault.body, change(vault.body), (self._revision or "")[:REVISION_DIGITS])
            return core.seal(vault, body, now=self._now(), random=os.urandom)

        await self.reseal(seal, backup=backup)

    async def reseal(self, seal: Callable[[Vault], Sealed], *, backup: bool = True) -> None:
        """As `save`, for changes of slots too. `seal` runs in a thread: it may derive."""
        async with self._saving:
            epoch = self.epoch
            sealed = await asyncio.to_thread(seal, self.vault)
            if self.epoch != epoch:
                raise Locked("vault was locked meanwhile; nothing was saved")
            try:
                revision = await self._write(sealed, backup=backup)
            except StorageFailed:
                # It may have failed after its rename, and then it is on the disk, if not safely: go on from there.
                stored = await self._revision_if_stored(sealed.data)
                if stored and self.epoch == epoch:
                    self._take(sealed.vault, stored)
                raise
            if self.epoch == epoch:
                self._take(sealed.vault, revision)

    async def replaced_by(self) -> str | None:
        """What lies in the vault's place, if it is not what was saved here; nothing of it is loaded. None when locked, too."""
        async with self._saving:
            vault, revision = self._vault, self._revision
            if vault is None:
                return None
            try:
                data, found = await asyncio.to_thread(self._store.load)
            except NoVault:
                return "the vault file is gone"
            except VaultError as error:
                return error.message
            if found == revision:
                return None
            generation = await asyncio.to_thread(core.generation_of, data, vault)
        if generation is None:
            return "the vault file was replaced by something that is not a save of this vault"
        return f"the vault file was replaced by another save of this vault (number {generation})"

    async def reslot_backups(self) -> tuple[int, int]:
        """Let the earlier saves here open by the slots of today only; how many do now, and how many could not be changed."""
        vault = self.vault
        return await asyncio.to_thread(
            self._store.rewrite_backups, lambda data: core.reslotted(data, vault, os.urandom)
        )

    def _take(self, vault: Vault, revision: str) -> None:
        self._vault, self._revision = vault, revision

    async def _write(self, sealed: Sealed, *, backup: bool) -> str:
        revision = await asyncio.to_thread(
            self._store.save,
            sealed.data,
            self._revision,
            verify=sealed.verify,
            backup=backup,
            needed=frozenset(sealed.vault.body.forgotten.values()),
        )
        await asyncio.to_thread(self._high_water.save, core.mark(sealed.vault))
        return revision

    async def _revision_if_stored(self, data: bytes) -> str | None:
        try:
            stored, revision = await asyncio.to_thread(self._store.load)
        except (StorageFailed, NoVault):
            return None
        return revision if stored == data else None
