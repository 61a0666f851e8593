# SPDX-License-Identifier: Apache-2.0
"""The operations about reminders: `due`, which a locked vault answers from its agenda, and `snooze`."""

from datetime import timedelta

from vaultd.core.fields import check_name
from vaultd.core.reminders import MAX_SNOOZE
from vaultd.edge.calls import Call
from vaultd.edge.service import Service
from vaultd.edge.shown import iso
from vaultd.wire.errors import NoVault, Usage
from vaultd.wire.protocol import Frame


async def due(service: Service, _call: Call) -> Frame:
    """What is due, the most urgent first."""
    if service.keeper.state() == "no-vault":
        raise NoVault
    await service.watcher.look()
    found, _ = await service.reminding.due()
    now = service.clock.now()
    items = [
        {
            "profile": reminder.profile,
            "what": reminder.what,
            "since": iso(reminder.since),
            "by": iso(reminder.by),
            "urgent": reminder.urgent,
            "text": reminder.text(now),
            "command": reminder.command,
        }
        for reminder in found
    ]
    return {"items": items}


async def snooze(service: Service, call: Call) -> Frame:
    """Nothing of this profile is due for a while; 0 s ends that. Without a backup: it would push a key's out."""
    name, wanted = check_name(call["profile"]), call["for_s"]
    longest = int(MAX_SNOOZE.total_seconds())
    if not 0 <= wanted <= longest:
        raise Usage(f"a snooze is at most {longest // 86_400} days long")
    service.keeper.body.key_profile(name)
    now = service.clock.now()
    until = now + timedelta(seconds=wanted)
    await service.keeper.save(lambda body: body.with_snooze(name, until, now), backup=False)
    call.audit["until"] = iso(until)
    return {"profile": name, "until": iso(until) if wanted else None}
