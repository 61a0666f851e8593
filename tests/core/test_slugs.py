# SPDX-License-Identifier: Apache-2.0
"""Every key gets a name that the vault can have: its own where it can, never one twice."""

from hypothesis import given
from hypothesis import strategies as st

from vaultd.core import slugs
from vaultd.core.fields import NAME
from vaultd.core.plaintext import Found, Place
from vaultd.core.secret import Secret

KEY = "AKIAIOSFODNN7EXAMPLE"


def found(profile: str, *, key_id: str = KEY, shadowed: bool = False, role: bool = False) -> Found:
    return Found(profile, (Place("f", 1),), key_id, Secret("s" * 40), shadowed=shadowed, role=role)


def test_an_own_name_stays_and_a_made_one_gives_way() -> None:
    given_ = [found("a.b"), found("a-b"), found("a/b")]
    assert ["a-b-2", "a-b", "a-b-3"] == slugs.names(given_, {}, {})


def test_a_role_and_a_shadowed_key_say_what_they_are() -> None:
    assert ["dev-key", "dev-config"] == slugs.names(
        [found("dev", role=True), found("dev", shadowed=True)], {}, {}
    )


def test_whom_the_profile_asks_already_is_its_name() -> None:
    assert ["corp"] == slugs.names([found("acme.x")], {"acme.x": "corp"}, {})


def test_a_name_that_is_taken_by_another_key_is_kept_only_when_it_is_the_profiles_own() -> None:
    held = {"dev": {"AKIAOTHER"}, "a-b": {"AKIAOTHER"}}
    assert ["dev", "a-b-2"] == slugs.names([found("dev"), found("a.b")], {}, held)


def test_what_an_import_before_this_one_named_is_found_again() -> None:
    assert ["a-b"] == slugs.names([found("a.b")], {}, {"a-b": {KEY}})


PROFILES = st.lists(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=70), unique=True
)


@given(PROFILES | st.lists(st.text("a.-/1", min_size=1, max_size=4), unique=True, max_size=30))
def test_any_profiles_get_names_that_differ(profiles: list[str]) -> None:
    names = slugs.names([found(profile) for profile in profiles], {}, {})
    assert len(names) == len(set(names))
    assert all(NAME.match(name) for name in names)
    assert all(name == profile for name, profile in zip(names, profiles, strict=True) if NAME.match(profile))
