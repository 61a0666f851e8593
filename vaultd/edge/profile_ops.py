# SPDX-License-Identifier: Apache-2.0
"""The operations on profiles that are there: names, region, list, show, edit, remove."""

from dataclasses import replace

from vaultd.core import chain
from vaultd.core.fields import check_name
from vaultd.core.records import Body, KeyProfile
from vaultd.edge.calls import Call
from vaultd.edge.changes import converted
from vaultd.edge.service import Service
from vaultd.edge.shown import shown
from vaultd.wire.errors import Usage
from vaultd.wire.protocol import Frame


async def names(service: Service, _call: Call) -> Frame:
    return {"names": sorted(service.keeper.body.profiles)}


async def region(service: Service, call: Call) -> Frame:
    """What `exec` and `env` set beside the credentials; asked by programs, so it says no more and extends nothing."""
    return {"region": service.keeper.body.profile(check_name(call["profile"])).region}


async def list_profiles(service: Service, _call: Call) -> Frame:
    profiles = service.keeper.body.profiles
    return {"profiles": [shown(service, profiles[name]) for name in sorted(profiles)]}


async def show(service: Service, call: Call) -> Frame:
    return {"profile": shown(service, service.keeper.body.profile(check_name(call["profile"])))}


async def edit(service: Service, call: Call) -> Frame:
    """Change what can be changed without a new key; null clears. Nothing that would break a role is saved."""
    name = check_name(call["profile"])
    values = converted(service.keeper.body.profile(name), call["changes"], service.rotator.start.host)

    def change(body: Body) -> Body:
        changed = body.with_profile(replace(body.profile(name), **values))
        chain.check_all(changed, service.durations, name)
        return changed

    await service.save(change)
    service.broker.forget(name)
    call.audit["changed"] = sorted(call["changes"])
    return {"profile": shown(service, service.keeper.body.profile(name))}


async def remove(service: Service, call: Call) -> Frame:
    """Forget a profile here. Its key still lives in AWS, and the caller says so."""
    name = check_name(call["profile"])

    def change(body: Body) -> Body:
        roles = body.roles_from(name)
        if roles:
            listed = ", ".join(sorted(role.name for role in roles))
            raise Usage(
                f'"{name}" is what these roles are assumed from: {listed}', hint="remove or edit them first"
            )
        return body.without(name)

    profile, run = service.keeper.body.profile(name), service.keeper.body.rotations.get(name)
    await service.save(change)
    service.broker.forget(name)
    service.last_used.pop(name, None)
    key_id = profile.key.access_key_id if isinstance(profile, KeyProfile) else None
    others = [other for other in run.key_ids if other != key_id] if run else []
    if key_id:
        call.audit["key"] = key_id
    return {"access_key_id": key_id, "account": profile.account, "other_keys": others}
