# SPDX-License-Identifier: Apache-2.0
"""A role profile that AWS could not take is refused when it is made; whatever can be made can be written and read."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vaults import key_profile
from vaultd.core import canonical
from vaultd.core.records import Body, KeyProfile, MfaSession
from vaultd.core.roles import RoleProfile, fit_session_name
from vaultd.core.rows import decode, encode
from vaultd.core.secret import Secret
from vaultd.wire.errors import FormatTooNew, Usage, VaultDamaged, VaultError

NOW = datetime(2026, 11, 24, tzinfo=UTC)
ARN = "arn:aws:iam::123456789012:role/admin"
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"


def role(**facts: Any) -> RoleProfile:
    return RoleProfile("admin", "alice", **{"role_arn": ARN, "added_at": NOW, **facts})


@pytest.mark.parametrize(
    "facts",
    [
        {"role_arn": "arn:aws:iam::123456789012:user/admin"},
        {"role_arn": "arn:aws:iam::12345:role/admin"},
        {"role_arn": "arn:aws-iso:iam::123456789012:role/admin"},
        {"role_arn": ARN + "\n"},
        {"external_id": "x"},
        {"external_id": "a b"},
        {"external_id": "x" * 1_225},
        {"session_name": "x"},
        {"session_name": "x" * 65},
        {"session_name": "a/b"},
        {"source_identity": "a b"},
        {"duration_s": 1_799},
        {"duration_s": 43_201},
        {"tags": (("aws:x", "y"),)},
        {"tags": (("a" * 129, "y"),)},
        {"tags": (("a", "y" * 257),)},
        {"tags": (("Team", "1"), ("team", "2"))},
        {"tags": tuple((f"k{n}", "v") for n in range(51))},
        {"transitive_tags": ("team",)},
        {"policy": "not json"},
        {"policy": "[]"},
        {"policy": '{"a":"' + "x" * 2_048 + '"}'},
        {"policy": "[" * 2_000},
        {"policy_arns": ("arn:aws:iam::aws:role/x",)},
        {"policy_arns": (READ_ONLY,) * 11},
        {"region": "eu west"},
    ],
    ids=lambda facts: str(next(iter(facts)))[:20],
)
def test_what_aws_could_not_take_is_refused_without_being_quoted(facts: dict[str, Any]) -> None:
    with pytest.raises(Usage) as caught:
        role(**facts)
    shown = str(next(iter(facts.values())))
    assert len(shown) < 6 or shown not in caught.value.line


def test_the_bounds_themselves_are_taken() -> None:
    role(duration_s=1_800, external_id="ab", session_name="ab", policy="{}", policy_arns=(READ_ONLY,) * 10)
    role(duration_s=43_200, external_id="x" * 1_224, session_name="x" * 64, source_identity="x" * 64)
    role(tags=tuple((f"k{n}", "") for n in range(50)), transitive_tags=("k0", "k49"))
    role(role_arn="arn:aws-us-gov:iam::123456789012:role/path/to/admin")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("alice", "alice"),
        ("a", "a-awsvault"),
        ("", "-awsvault"),
        ("alice smith/eu", "alice-smith-eu"),
        ("x" * 80, "x" * 64),
        ("\u00e9t\u00e9", "-t-"),
    ],
)
def test_any_text_is_made_to_fit_a_session_name(text: str, name: str) -> None:
    assert name == fit_session_name(text)
    role(session_name=fit_session_name(text))


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,10}", fullmatch=True)
WORDS = st.from_regex(r"[A-Za-z0-9_=,.@-]{2,20}", fullmatch=True)
TAGS = st.dictionaries(
    st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text("abc -@", max_size=8), max_size=5
)
TIMES = st.integers(0, 4 * 10**9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@st.composite
def roles(draw: st.DrawFn) -> RoleProfile:
    tags = draw(TAGS)
    return RoleProfile(
        draw(NAMES),
        draw(NAMES),
        ARN,
        draw(TIMES),
        draw(st.none() | WORDS),
        draw(st.none() | WORDS),
        draw(st.none() | st.integers(1_800, 43_200)),
        tuple(tags.items()),
        tuple(key for key in tags if draw(st.booleans())),
        draw(st.none() | WORDS),
        draw(
            st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3).map(json.dumps)
        ),
        tuple(draw(st.lists(st.just(READ_ONLY), max_size=2))),
        draw(st.none() | st.just("eu-west-1")),
        draw(st.none() | TIMES),
        draw(st.none() | TIMES),
    )


@given(st.lists(roles(), max_size=5))
def test_roles_are_read_as_they_were_written(made: list[RoleProfile]) -> None:
    body = Body({profile.name: profile for profile in sorted(made, key=lambda profile: profile.name)})
    assert body == decode(encode(body))
    assert encode(body) == encode(decode(encode(body)))


def extended(**extras: Any) -> KeyProfile:
    plain = key_profile("dev")
    facts = {name: getattr(plain, name) for name in plain.__dataclass_fields__}
    return KeyProfile(**{**facts, "mfa_serial": None, **extras})


MFA = "arn:aws:iam::123456789012:mfa/alice"


@pytest.mark.parametrize(
    "extras",
    [
        {"policy": "{}", "serve": "session"},
        {"policy_arns": (READ_ONLY,), "serve": "session"},
        {"mfa_serial": MFA, "totp": Secret(b"12345678901234567890"), "totp_last_step": 58_000_000},
        {"mfa_serial": MFA, "mfa_process": ("ykman", "oath", "code", "-s", "aws")},
        {"auto_rotate": "laptop.example:0123abcd"},
    ],
)
def test_what_a_key_profile_says_beside_its_key_is_kept(extras: dict[str, Any]) -> None:
    body = Body({"dev": extended(**extras)})
    assert body == decode(encode(body))
    assert len(canonical.decode(encode(body))["profiles"][0]) == 20


def test_mfa_sessions_are_kept_and_go_when_they_are_over() -> None:
    def session(hour: int) -> MfaSession:
        return MfaSession("ASIAIOSFODNN7EXAMPLE", Secret("s" * 40), Secret("token"), NOW.replace(hour=hour))

    body = (
        Body()
        .with_mfa_session(("AKIA1", "a"), session(1), NOW)
        .with_mfa_session(("AKIA1", "b"), session(3), NOW)
    )
    assert body == decode(encode(body))
    later = body.with_mfa_session(("AKIA2", "a"), session(5), NOW.replace(hour=2))
    assert {("AKIA1", "b"), ("AKIA2", "a")} == later.mfa_sessions.keys()


@pytest.mark.parametrize(
    ("extras", "message"),
    [
        ({"policy": "{}", "serve": "session", "mfa_serial": MFA}, "GetFederationToken takes no code"),
        ({"policy": "{}", "serve": "key"}, "who has the key is not narrowed"),
        ({"totp": Secret(b"1234567890")}, "only with an MFA device"),
        ({"mfa_process": ("x",)}, "only with an MFA device"),
        ({"mfa_serial": MFA, "mfa_process": ("x\n",)}, "not a command"),
        ({"mfa_serial": MFA, "mfa_process": ("x",) * 33}, "not a command"),
        ({"auto_rotate": "a host"}, "the host"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_with_the_reason(
    extras: dict[str, Any], message: str
) -> None:
    with pytest.raises(Usage, match=message):
        extended(**extras)


def test_a_row_has_one_spelling_and_a_newer_one_is_refused_as_such() -> None:
    document = canonical.decode(encode(Body({"admin": role()})))
    damages: list[tuple[Callable[[Any], None], type[VaultError]]] = [
        (lambda rows: rows[0].append(None), FormatTooNew),
        (lambda rows: rows[0].__setitem__(0, "group"), FormatTooNew),
        (lambda rows: rows[0].__setitem__(7, 5), VaultDamaged),
        (lambda rows: rows[0].__setitem__(8, [["a"]]), VaultDamaged),
        (lambda rows: rows.append([]), VaultDamaged),
    ]
    for damage, error in damages:
        changed = json.loads(json.dumps(document))
        damage(changed["profiles"])
        with pytest.raises(error):
            decode(canonical.encode(changed))
    empty_extras = canonical.decode(encode(Body({"dev": extended()})))
    empty_extras["profiles"][0] += [None, [], None, None, [], None]
    with pytest.raises(VaultDamaged):
        decode(canonical.encode(empty_extras))
    with pytest.raises(VaultDamaged):
        decode(canonical.encode({**document, "mfa_sessions": []}))
    with pytest.raises(FormatTooNew):
        decode(canonical.encode({**document, "groups": []}))
