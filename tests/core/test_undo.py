# SPDX-License-Identifier: Apache-2.0
"""The undo of an import is kept as it was written, and no longer than its keys stay what they were."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.vaults import NOW, key_profile
from vaultd.core import canonical, undo
from vaultd.core.keys import Key
from vaultd.core.records import Body
from vaultd.core.revocation import Revocation
from vaultd.core.roles import RoleProfile
from vaultd.core.rotation import Rotation
from vaultd.core.rows import decode, encode
from vaultd.core.secret import Secret
from vaultd.core.undo import Undo
from vaultd.wire.errors import FormatTooNew, Usage, VaultDamaged

DEV, PROD, OTHER = key_profile("dev"), key_profile("prod", 1), key_profile("other", 2)
ADMIN = RoleProfile(name="admin", source="dev", role_arn="arn:aws:iam::123456789012:role/admin", added_at=NOW)
UNDO = Undo(NOW, True, ("dev", "prod"), ("prod", "admin"), (Secret("lines\n"), Secret("more \u00e9\n")))
REVOKED = Revocation(("AKIAEXAMPLE000000000",), "inactive", False, NOW)
BODY = Body({"admin": ADMIN, "dev": DEV, "other": OTHER, "prod": PROD}, undo=UNDO)


def rotation_of(name: str) -> Rotation:
    return Rotation("0123456789abcdef", "intent", NOW, NOW, "host:00000000", BODY.key_profile(name).key)


def test_it_is_read_as_it_was_written() -> None:
    assert BODY == decode(encode(BODY))
    assert replace(BODY, undo=None) == decode(encode(replace(BODY, undo=None)))


@pytest.mark.parametrize(
    "row",
    [
        [0, True, [], []], [0, 1, [], [], []], ["x", True, [], [], []], [0, True, "dev", [], []],
        [0, True, ["no name"], [], []], [0, True, [], [], [1]], [0, True, None, [], []], [],
    ],
)  # fmt: skip
def test_what_is_no_undo_is_damage(row: list[object]) -> None:
    fields = canonical.decode(encode(Body())) | {"imported": row}
    with pytest.raises(VaultDamaged):
        decode(canonical.encode(fields))


def test_a_longer_one_is_of_a_newer_program() -> None:
    fields = canonical.decode(encode(Body())) | {"imported": [0, True, [], [], [], 1]}
    with pytest.raises(FormatTooNew):
        decode(canonical.encode(fields))


@pytest.mark.parametrize(
    ("changed", "is_kept"),
    [
        (BODY.with_rotation("dev", rotation_of("dev")), False),
        (BODY.with_rotation("other", rotation_of("other")), True),
        (BODY.with_rotation("dev", None), True),
        (BODY.with_revocation("dev", REVOKED), False),
        (BODY.with_revocation("prod", REVOKED), False),
        (BODY.with_revocation("other", REVOKED), True),
        (BODY.with_revocation("dev", None), True),
        (BODY.without("prod"), False),
        (BODY.without("admin"), False),
        (BODY.without("other"), True),
        (BODY.with_profile(replace(DEV, serve="key")), True),
        (BODY.with_profile(replace(DEV, key=OTHER.key)), False),
        (
            BODY.with_profile(replace(OTHER, key=Key("AKIANEW0000000000000", Secret("n" * 40), NOW, NOW))),
            True,
        ),
        (BODY.with_profile(key_profile("fresh", 3)), True),
        (BODY.with_profile(replace(ADMIN, name="dev", source="prod")), False),
    ],
    ids="rotate rotate-other close revoke revoke-made revoke-other unrevoke remove remove-role remove-other edit exchange exchange-other add to-role".split(),
)
def test_it_goes_with_the_keys_that_it_is_about(changed: Body, is_kept: bool) -> None:
    assert is_kept == (changed.undo is not None)


def test_a_profile_that_shares_the_key_counts() -> None:
    twin = replace(OTHER, key=DEV.key)
    body = BODY.with_profile(twin)
    body = replace(body, undo=UNDO)
    assert (
        body.with_rotation(
            "other", Rotation("0123456789abcdef", "intent", NOW, NOW, "h:00000000", DEV.key)
        ).undo
        is None
    )


def test_it_lasts_a_week() -> None:
    assert BODY.without_old_undo(NOW + timedelta(days=7, seconds=-1)) is BODY
    assert BODY.without_old_undo(NOW + timedelta(days=7)).undo is None


def test_undone_takes_out_what_was_made_and_nothing_else() -> None:
    body = BODY.undone()
    assert ({"dev", "other"}, None) == (set(body.profiles), body.undo)


def test_a_role_that_it_did_not_make_holds_its_source() -> None:
    body = BODY.with_profile(replace(ADMIN, name="later", source="prod"))
    with pytest.raises(Usage, match="later"):
        body.undone()


def test_it_has_a_size_that_a_vault_can_bear() -> None:
    with pytest.raises(Usage, match="too much"):
        UNDO.with_account((Secret("x" * undo.MAX_BYTES),), done=False)


def test_its_lines_are_in_no_repr() -> None:
    assert "lines" not in repr(UNDO)
