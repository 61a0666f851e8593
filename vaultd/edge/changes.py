# SPDX-License-Identifier: Apache-2.0
"""What a request wants of a profile's fields: from JSON as it came over the socket to the values of a record."""

from collections.abc import Callable
from typing import Any

from vaultd.core import totp
from vaultd.core.partitions import check_in, partition_of
from vaultd.core.records import KeyProfile, Profile, Serve
from vaultd.core.roles import RoleProfile
from vaultd.core.secret import Secret
from vaultd.wire.errors import Usage

Convert = Callable[[Any], Any]


def checked_serve(text: object) -> Serve | None:
    if text not in (None, "session", "key"):
        raise Usage("serve is session or key")
    return text


def _text(value: Any) -> str | None:
    if not isinstance(value, str | None):
        raise Usage("a change has the wrong type")
    return value


def _seconds(value: Any) -> int | None:
    if value is not None and type(value) is not int:
        raise Usage("a change has the wrong type")
    return value


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | None) or not all(isinstance(word, str) for word in value or ()):
        raise Usage("a change has the wrong type")
    return tuple(value or ())


def _pairs(value: Any) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict | None) or not all(
        isinstance(text, str) for text in (value or {}).values()
    ):
        raise Usage("a change has the wrong type")
    return tuple((value or {}).items())


def _flag(value: Any) -> bool:
    if not isinstance(value, bool | None):
        raise Usage("a change has the wrong type")
    return bool(value)


def _seed(value: Any) -> Secret | None:
    text = _text(value)
    return totp.read_seed(Secret(text)) if text is not None else None


def _chosen_serve(value: Any) -> Serve:
    serve = checked_serve(value)
    if serve is None:
        raise Usage("serve is session or key")
    return serve


_OF_KEYS: dict[str, Convert] = {
    "serve": _chosen_serve,
    "region": _text,
    "mfa_serial": _text,
    "policy": _text,
    "policy_arns": _words,
    "totp": _seed,
    "mfa_process": _words,
    "auto_rotate": _flag,
}
_OF_ROLES: dict[str, Convert] = {
    "source": _text,
    "role_arn": _text,
    "external_id": _text,
    "session_name": _text,
    "duration_s": _seconds,
    "tags": _pairs,
    "transitive_tags": _words,
    "source_identity": _text,
    "policy": _text,
    "policy_arns": _words,
    "region": _text,
}


def role_fields(given: dict[str, Any] | None = None) -> dict[str, Any]:
    """The fields of a role that a request may set, with `given`'s values converted."""
    if given is None:
        return dict.fromkeys(_OF_ROLES)
    return {name: _OF_ROLES[name](value) for name, value in given.items()}


def converted(profile: Profile, changes: dict[str, Any], host: str) -> dict[str, Any]:
    """`changes` as values of this kind of profile; `host` is this daemon's. Raises Usage, showing none of them."""
    known = _OF_ROLES if isinstance(profile, RoleProfile) else _OF_KEYS
    if not changes:
        raise Usage("there is nothing to change", hint="run: awsvault edit --help")
    unknown = changes.keys() - known.keys()
    if unknown:
        kind = "role" if isinstance(profile, RoleProfile) else "key"
        raise Usage(f"a {kind} has none of these settings", hint=f"a {kind} has {', '.join(known)}")
    values = {name: known[name](value) for name, value in changes.items()}
    if "auto_rotate" in values:
        values["auto_rotate"] = host if values["auto_rotate"] else None
    if isinstance(profile, KeyProfile):
        _drop_what_follows(profile, values)
        if profile.arn is None and values.get("region"):  # nobody asked AWS where the key lives
            values["partition"] = partition_of(values["region"])
        else:
            check_in(values.get("region"), profile.partition)
    return values


def _drop_what_follows(profile: KeyProfile, values: dict[str, Any]) -> None:
    """Without its device, or with another, the seed and the command for codes are of no use."""
    if "mfa_serial" in values and values["mfa_serial"] != profile.mfa_serial:
        values.setdefault("totp", None)
        values.setdefault("mfa_process", ())
    if "totp" in values:
        values["totp_last_step"] = None
