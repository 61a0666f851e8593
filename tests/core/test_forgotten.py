# SPDX-License-Identifier: Apache-2.0
"""Which keys the vault gave up although they live: by what was removed or replaced, and not by what rotation deleted."""

from dataclasses import replace

import pytest

from tests.vaults import NOW, key_profile
from vaultd.core import canonical, forgotten
from vaultd.core.keys import Key
from vaultd.core.records import Body
from vaultd.core.revocation import Revocation, Wanted
from vaultd.core.rotation import PROMOTED, Rotation, State
from vaultd.core.rows import decode, encode
from vaultd.core.secret import Secret
from vaultd.wire.errors import Usage, VaultDamaged

DEV = key_profile("dev")
OLD = DEV.key
NEW = Key("AKIANEW0000000000000", Secret("n" * 40), NOW, NOW)
REVISION = "0123456789abcdef"
BOTH = {OLD.access_key_id, NEW.access_key_id}


def rotating(state: State) -> Body:
    """The new key is served from the promotion on."""
    promoted_at = NOW if state in PROMOTED else None
    run = Rotation(REVISION, state, NOW, NOW, "host:00000000", OLD, NEW, promoted_at=promoted_at)
    return Body({"dev": replace(DEV, key=NEW) if promoted_at else DEV}).with_rotation("dev", run)


def test_a_removed_key_is_found_in_the_save_before() -> None:
    before = Body({"dev": DEV})
    assert {OLD.access_key_id: REVISION} == forgotten.noted(before, before.without("dev"), REVISION).forgotten


def test_a_replaced_key_is_found_too_and_one_that_comes_back_is_not_forgotten_any_more() -> None:
    before, replaced = Body({"dev": DEV}), Body({"dev": replace(DEV, key=NEW)})
    after = forgotten.noted(before, replaced, REVISION)
    assert {OLD.access_key_id: REVISION} == after.forgotten
    back = replace(after, profiles={"dev": DEV})
    assert {NEW.access_key_id: "f" * 16} == forgotten.noted(after, back, "f" * 16).forgotten


@pytest.mark.parametrize("state", ["undoing", "deactivating", "deleting"])
def test_what_a_rotation_deleted_is_not_alive(state: State) -> None:
    before = rotating(state)
    assert {} == forgotten.noted(before, before.with_rotation("dev", None), REVISION).forgotten


@pytest.mark.parametrize("wanted", ["inactive", "deleted"])
def test_what_a_revocation_deleted_is_not_alive(wanted: Wanted) -> None:
    key_id = DEV.key.access_key_id
    revoked = Revocation((key_id,), wanted, deny=False, asked_at=NOW).after((key_id,), "")
    before = Body({"dev": DEV}).with_revocation("dev", revoked)
    gone = forgotten.noted(before, before.without("dev"), REVISION).forgotten
    assert ({} if wanted == "deleted" else {key_id: REVISION}) == gone


@pytest.mark.parametrize("state", ["created", "grace", "deleting"])
def test_who_removes_a_profile_forgets_both_keys_of_its_rotation(state: State) -> None:
    before = rotating(state)
    assert BOTH == forgotten.noted(before, before.without("dev"), REVISION).forgotten.keys()


@pytest.mark.parametrize("state", ["created", "grace", "deleting"])
def test_who_replaces_a_revoked_profile_forgets_both_keys_of_its_rotation(state: State) -> None:
    revoked = Revocation(tuple(sorted(BOTH)), "inactive", deny=False, asked_at=NOW)
    before = rotating(state).with_revocation("dev", revoked)
    other = replace(DEV, key=replace(OLD, access_key_id="AKIAOTHER00000000000"))
    after = before.with_profile(other).with_revocation("dev", None).with_rotation("dev", None)
    assert BOTH == forgotten.noted(before, after, REVISION).forgotten.keys()


def test_nothing_is_forgotten_while_it_is_held_somewhere() -> None:
    twice = Body({"dev": DEV, "prod": replace(DEV, name="prod")})
    assert {} == forgotten.noted(twice, twice.without("dev"), REVISION).forgotten


def test_it_is_kept_and_read_strictly() -> None:
    body = Body({}, forgotten={OLD.access_key_id: REVISION})
    assert body == decode(encode(body))
    assert b"forgotten" not in encode(Body())
    for rows in ([], [["short", REVISION]], [[OLD.access_key_id, "xyz"]], [[OLD.access_key_id]]):
        with pytest.raises(VaultDamaged):
            decode(canonical.encode({"profiles": [], "settings_hash": None, "forgotten": rows}))
    with pytest.raises(Usage):
        Body(forgotten={OLD.access_key_id: "no revision"})
