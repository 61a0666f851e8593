# SPDX-License-Identifier: Apache-2.0
"""A profile becomes the calls that make its credentials; what cannot work is refused by name, before any call."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.vaults import key_profile
from vaultd.core import chain
from vaultd.core.chain import Durations, FederationStep, KeyStep, RoleStep, SessionStep
from vaultd.core.records import Body, KeyProfile
from vaultd.core.roles import RoleProfile
from vaultd.wire.errors import NoSuchProfile, Usage

DURATIONS = Durations(key=14_400, role=3_600, mfa=43_200)
NOW = datetime(2026, 11, 24, tzinfo=UTC)
MFA = "arn:aws:iam::123456789012:mfa/alice"


def key(name: str = "alice", **changes: Any) -> KeyProfile:
    return replace(
        key_profile(name), arn="arn:aws:iam::123456789012:user/team/alice", region="eu-west-1", **changes
    )


def role(name: str, source: str, **facts: Any) -> RoleProfile:
    arn = facts.pop("role_arn", f"arn:aws:iam::123456789012:role/{name}")
    return RoleProfile(name, source, arn, NOW, **facts)


def body(*profiles: KeyProfile | RoleProfile) -> Body:
    found = Body()
    for profile in profiles:
        found = found.with_profile(profile)
    return found


def step_of(found: Body, name: str) -> chain.Step:
    return chain.session_of(found, found.profile(name), DURATIONS)


def test_a_key_gives_a_session_and_its_device_decides_which() -> None:
    base = chain.KeyStep("alice", key().key.access_key_id, "aws", "eu-west-1")
    assert SessionStep(base, 14_400) == step_of(body(key()), "alice")
    assert SessionStep(base, 43_200, MFA) == step_of(body(key(mfa_serial=MFA)), "alice")


def test_a_narrowed_key_is_federated_under_its_users_name() -> None:
    step = step_of(body(key(policy="{}", policy_arns=("arn:aws:iam::aws:policy/ReadOnlyAccess",))), "alice")
    assert isinstance(step, FederationStep)
    assert ("alice", "{}", 14_400) == (step.name, step.policy, step.duration_s)


def test_a_role_is_signed_by_the_key_or_by_its_mfa_session() -> None:
    plain = step_of(body(key(), role("admin", "alice")), "admin")
    assert isinstance(plain, RoleStep)
    assert isinstance(plain.source, KeyStep)
    assert ("alice", "eu-west-1", 3_600) == (plain.session_name, plain.region, plain.duration_s)
    guarded = step_of(body(key(mfa_serial=MFA), role("admin", "alice")), "admin")
    assert isinstance(guarded, RoleStep)
    assert step_of(body(key(mfa_serial=MFA)), "alice") == guarded.source == chain.mfa_of(guarded)


def test_roles_of_one_key_share_the_session_under_them() -> None:
    found = body(key(mfa_serial=MFA), role("a", "alice"), role("b", "alice"), role("c", "a"))
    assert 1 == len({chain.mfa_of(step_of(found, name)) for name in "abc"})
    deep = step_of(found, "c")
    assert isinstance(deep, RoleStep)
    assert step_of(found, "a") == deep.source


@pytest.mark.parametrize(("asked", "given"), [(None, 3_600), (1_800, 1_800), (7_200, 3_600), (43_200, 3_600)])
def test_a_chained_role_is_capped_to_an_hour(asked: int | None, given: int) -> None:
    found = body(key(), role("a", "alice", duration_s=7_200), role("b", "a", duration_s=asked))
    first, second = step_of(found, "a"), step_of(found, "b")
    assert isinstance(first, RoleStep)
    assert isinstance(second, RoleStep)
    assert (7_200, given) == (first.duration_s, second.duration_s)
    assert (False, True) == (chain.is_chained(first), chain.is_chained(second))
    assert isinstance(second.source, RoleStep)


def test_a_role_through_an_mfa_session_is_capped_too() -> None:
    """STS calls it role chaining although there is one role (aws-vault issue 263)."""
    step = step_of(body(key(mfa_serial=MFA), role("a", "alice", duration_s=7_200)), "a")
    assert isinstance(step, RoleStep)
    assert (3_600, True) == (step.duration_s, chain.is_chained(step))


def test_everything_that_shapes_the_call_is_in_its_name() -> None:
    """Or a changed external id would go on being served from the session made with the old one."""
    plain = role("admin", "alice")
    changed = [
        replace(plain, external_id="xy"),
        replace(plain, session_name="me"),
        replace(plain, duration_s=1_800),
        replace(plain, tags=(("a", "b"),)),
        replace(plain, tags=(("a", "b"),), transitive_tags=("a",)),
        replace(plain, source_identity="me"),
        replace(plain, policy="{}"),
        replace(plain, policy_arns=("arn:aws:iam::aws:policy/ReadOnlyAccess",)),
        replace(plain, region="us-east-1"),
        replace(plain, role_arn="arn:aws:iam::123456789012:role/other"),
    ]
    steps = {step_of(body(key(), profile), "admin") for profile in (plain, *changed)}
    assert len(changed) + 1 == len(steps)


def test_a_circle_is_named() -> None:
    found = body(role("a", "c"), role("b", "a"), role("c", "b"))
    with pytest.raises(Usage, match=r"^the roles go round in a circle: a -> c -> b -> a$"):
        step_of(found, "a")
    with pytest.raises(Usage, match=r"circle: a -> a$"):
        step_of(body(role("a", "a")), "a")


@pytest.mark.parametrize(
    ("profiles", "error", "message"),
    [
        ([role("a", "gone")], NoSuchProfile, '"a" is assumed from "gone", which does not exist'),
        ([key(policy="{}"), role("a", "alice")], Usage, 'cannot be assumed from "alice", which is narrowed'),
        (
            [key(), role("a", "alice", role_arn="arn:aws-cn:iam::123456789012:role/a")],
            Usage,
            "is in aws-cn, but its source",
        ),
    ],
)
def test_what_cannot_work_is_refused_by_name(
    profiles: list[Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        step_of(body(*profiles), "a")


def test_a_change_is_checked_for_every_role_that_passes_through_it() -> None:
    found = body(key(), role("a", "alice"), role("b", "a"), key("other"), role("z", "nowhere"))
    chain.check_all(found, DURATIONS, "alice")
    chain.check_all(found.with_profile(key("other", policy="{}")), DURATIONS, "other")
    with pytest.raises(Usage, match="narrowed"):
        chain.check_all(found.with_profile(key(policy="{}")), DURATIONS, "alice")


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        ("arn:aws:iam::123456789012:user/alice", "alice"),
        ("arn:aws:iam::123456789012:user/team/eu/alice", "alice"),
        ("arn:aws:iam::123456789012:root", None),
        (None, None),
    ],
)
def test_the_session_name_is_the_users(arn: str | None, name: str | None) -> None:
    assert name == chain.user_name(replace(key(), arn=arn))
    step = step_of(body(replace(key(), arn=arn), role("admin", "alice")), "admin")
    assert isinstance(step, RoleStep)
    assert (name or "admin") == step.session_name
