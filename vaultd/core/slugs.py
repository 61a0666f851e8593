# SPDX-License-Identifier: Apache-2.0
"""The names that keys get in the vault: the file's own where it is one, else one made of it, never one twice."""

from collections.abc import Callable, Collection, Mapping, Sequence

from vaultd.core.adopt import fit_name
from vaultd.core.fields import NAME
from vaultd.core.plaintext import Found

_LONGEST = 64


def names(
    found: Sequence[Found], hooked: Mapping[str, str], held: Mapping[str, Collection[str]]
) -> list[str]:
    """A name for each, in order. `hooked`: whom profiles ask already. `held`: the vault's names, with their key ids.

    A profile whose own name is one keeps it, even if the vault has another key by that name: that is for a person to
    decide. What is made up gives way.
    """
    own = [_own(it, hooked) for it in found]
    claimed = {name for name in own if name}
    given = []
    for it, name in zip(found, own, strict=True):
        name = name or _free(it, claimed, held)  # noqa: PLW2901 - the one that it has, or one that is made
        claimed.add(name)
        given.append(name)
    return given


def _own(found: Found, hooked: Mapping[str, str]) -> str | None:
    if found.role or found.shadowed:
        return None
    own = hooked.get(found.profile, found.profile)
    return own if NAME.match(own) else None


def _free(found: Found, claimed: Collection[str], held: Mapping[str, Collection[str]]) -> str:
    wanted = _fitted(found.profile, "-key" if found.role else "-config" if found.shadowed else "")
    return made_free(
        wanted,
        lambda name: name not in claimed and found.access_key_id in held.get(name, (found.access_key_id,)),
    )


def made_free(wanted: str, is_free: Callable[[str], bool]) -> str:
    """`wanted`, or the first of wanted-2, wanted-3, ... that is free."""
    name, number = wanted, 1
    while not is_free(name):
        number += 1
        name = _fitted(wanted, f"-{number}")
    return name


def _fitted(profile: str, suffix: str) -> str:
    return fit_name(profile)[: _LONGEST - len(suffix)] + suffix
