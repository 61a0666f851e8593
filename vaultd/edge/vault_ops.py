# SPDX-License-Identifier: Apache-2.0
"""The operations on the vault as a whole: status, init, unlock, lock, passwd, recover."""

import asyncio
import os
import time

from vaultd import __version__
from vaultd.core import policy
from vaultd.core import vault as core
from vaultd.core.envelope import KdfCost
from vaultd.core.secret import Secret
from vaultd.core.vault import Sealed, Vault
from vaultd.edge import kdf, log
from vaultd.edge.calls import Call
from vaultd.edge.harden import tracer_pid
from vaultd.edge.keeper import Opener
from vaultd.edge.service import Service
from vaultd.wire import durations, protocol
from vaultd.wire.errors import Locked, NoVault, Refused, SettingsChanged, WrongPassphrase
from vaultd.wire.protocol import Frame


async def status(service: Service, _call: Call) -> Frame:
    keeper = service.keeper
    is_open = keeper.is_unlocked
    unlocked = service.unlocked if is_open else None
    return {
        "state": "locked" if service.draining else keeper.state(),
        "instance": service.instance,
        "pid": os.getpid(),
        "version": __version__,
        "protocol": protocol.PROTOCOL,
        "uptime_s": round(service.clock.boottime() - service.started),
        "generation": keeper.vault.envelope.generation if is_open else None,
        "profiles": len(keeper.body.profiles) if is_open else None,
        "locks_in_s": _whole(service.locks_in_s() if is_open else None),
        "locks_at_latest_in_s": _whole(_latest_s(service, unlocked)),
        "refusals": list(service.refusals),
        "warnings": [*service.warnings.values(), *_audit_warning(service)],
        "socket": str(service.places.socket),
        "vault": str(service.places.vault),
    }


def _whole(seconds: float | None) -> int | None:
    return None if seconds is None else max(0, round(seconds))


def _latest_s(service: Service, unlocked: policy.Unlocked | None) -> float | None:
    """Until the lock that no use puts off."""
    if unlocked is None:
        return None
    limit = unlocked.only_for or service.settings.lock.max
    return unlocked.since + limit - service.clock.boottime() if limit else None


def _audit_warning(service: Service) -> list[str]:
    return (
        [f"the audit cannot be written ({service.audit.failure}); no credentials until it can"]
        if service.audit.failure
        else []
    )


async def init(service: Service, call: Call) -> Frame:
    _check_untraced()
    passphrase = core.normalize_passphrase(call["passphrase"], allow_weak=call["allow_weak"])
    cost = service.cost or await _calibrated(call)
    begun = time.monotonic()
    code = await service.keeper.create(passphrase, cost=cost, with_recovery=call["recovery"])
    service.opened()
    seconds = round(time.monotonic() - begun, 2)
    return {
        "recovery_code": code.reveal() if code else None,
        "kdf": {"memory_mib": cost.memory_kib // 1024, "passes": cost.passes, "seconds": seconds},
    }


async def _calibrated(call: Call) -> KdfCost:
    await call.progress("measuring how much work this machine can put into the passphrase")
    return await asyncio.to_thread(kdf.calibrated)


async def unlock(service: Service, call: Call) -> Frame:
    if service.keeper.is_unlocked:
        return {"already": True, "notes": []}
    if service.keeper.state() == "no-vault":
        raise NoVault
    _check_untraced()
    settings = service.read_settings()
    if call["for_s"] is not None:
        policy.check_only_for(call["for_s"], settings.lock)
    # As it was typed: whether it is long enough was decided when it was chosen.
    passphrase = core.normalize_passphrase(call["passphrase"], allow_weak=True)
    opened = await _guess(service, call, lambda data: core.unlock(data, passphrase, service.keeper.bounds))
    if not opened:
        return {"already": True, "notes": []}
    notes = await _after_opening(service, call, settings, accept_settings=call["accept_settings"])
    service.opened(call["for_s"])
    return {"already": False, "notes": notes}


async def _guess(service: Service, call: Call, opener: Opener) -> bool:
    """Try to open the vault, as slowly as earlier failures demand; a failure ends this image: its memory holds the guess."""
    await _wait_for_turn(service, call)
    try:
        return await service.keeper.open(opener, accept_older=call.fields.get("accept_older_vault", False))
    except WrongPassphrase:
        service.guesses.wrong(service.clock.boottime())
        raise
    finally:
        if not service.keeper.is_unlocked:
            service.lock("failed unlock")


async def _prove(service: Service, call: Call, opener: Opener) -> None:
    """The same for a vault that is open already: being unlocked is not being its owner."""
    await _wait_for_turn(service, call)
    try:
        await service.keeper.check(opener)
    except WrongPassphrase:
        service.guesses.wrong(service.clock.boottime())
        raise
    service.guesses.right()


async def _wait_for_turn(service: Service, call: Call) -> None:
    wait = service.guesses.wait_s(service.clock.boottime())
    if wait > 0:
        await call.progress(
            f"waiting {durations.show(max(wait, 1))} after {service.guesses.failures} wrong passphrases"
        )
        await asyncio.sleep(wait)
    if service.draining:
        raise Locked("vault was locked meanwhile")


async def _after_opening(
    service: Service, call: Call, settings: policy.Settings, *, accept_settings: bool
) -> list[str]:
    """The settings that decide where secrets go must be those that were confirmed; on doubt the vault closes again."""
    sealed, current = service.keeper.body.settings_hash, settings.guarded_hash()
    if sealed not in (None, current) and not accept_settings:
        service.lock("settings changed")
        raise SettingsChanged(
            "config.toml changed since it was last confirmed", details={"changes": settings.guarded_lines()}
        )
    service.use_settings(settings)
    notes = []
    if sealed != current:
        await service.save(lambda body: body.with_settings_hash(current))
        if sealed is not None:
            notes.append("the changed settings are confirmed")
            call.audit["settings"] = settings.guarded_lines()
    if call.fields.get("accept_older_vault"):
        notes.append("the older vault is now the one that this machine expects")
        call.audit["accepted_older"] = True
    return notes


async def recover(service: Service, call: Call) -> Frame:
    """Open by the recovery code and set a new passphrase; the code is used up and re-issued."""
    _check_untraced()
    passphrase = core.normalize_passphrase(call["passphrase"], allow_weak=call["allow_weak"])
    if service.keeper.state() == "no-vault":
        raise NoVault
    code = Secret(call["code"])

    def opener(data: bytes) -> Vault:
        return core.recover(data, code, service.keeper.bounds)

    settings = service.read_settings()
    if service.keeper.is_unlocked:
        await _prove(service, call, opener)
    else:
        await _guess(service, call, opener)
        await _after_opening(service, call, settings, accept_settings=call["accept_settings"])
    fresh: list[Secret] = []
    cost = service.cost or await _calibrated(call)

    def seal(vault: Vault) -> Sealed:
        reslotted = core.with_passphrase(
            vault, passphrase, cost=cost, now=service.clock.now(), random=os.urandom
        )
        sealed, new_code = core.with_new_recovery(reslotted.vault, now=service.clock.now(), random=os.urandom)
        fresh.append(new_code)
        return sealed

    await service.keeper.reseal(seal)
    service.opened()
    return {"recovery_code": fresh[0].reveal(), "notes": await _reslotted(service)}


async def passwd(service: Service, call: Call) -> Frame:
    """A new passphrase for those who know the old one; being unlocked is not enough."""
    old = core.normalize_passphrase(call["old"], allow_weak=True)
    new = core.normalize_passphrase(call["new"], allow_weak=call["allow_weak"])
    await _prove(service, call, lambda data: core.unlock(data, old, service.keeper.bounds))
    cost = service.cost or await _calibrated(call)

    def seal(vault: Vault) -> Sealed:
        return core.with_passphrase(vault, new, cost=cost, now=service.clock.now(), random=os.urandom)

    await service.keeper.reseal(seal)
    return {"notes": await _reslotted(service)}


async def _reslotted(service: Service) -> list[str]:
    done, left = await service.keeper.reslot_backups()
    notes = [f"backups here that open with the new passphrase now: {done}"] if done else []
    if left:
        notes.append(f"backups that could not be changed: {left}; look into {service.places.backups}")
    return [*notes, "copies of the vault elsewhere still open with the old passphrase"]


async def lock(service: Service, _call: Call) -> Frame:
    """Answer first; the image is replaced as soon as that answer is out, locked already or not."""
    service.lock("asked")
    making = service.rotator.start.creating > 0
    return {
        "locking": True,
        "notes": ["AWS is making a new key: it is put into the vault first"] if making else [],
    }


def _check_untraced() -> None:
    pid = tracer_pid()
    if pid:
        log.say(f"process {pid} traces this one")
        raise Refused(
            f"process {pid} is watching vaultd's memory", hint="end it, then run: awsvault daemon restart"
        )
