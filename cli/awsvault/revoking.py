# SPDX-License-Identifier: Apache-2.0
"""What `revoke` and `panic` print: what became of each key, which sessions live on, and what would end them."""

from collections.abc import Iterator
from typing import Any

from awsvault import output
from vaultd.wire.protocol import Frame

_BECAME = {
    "inactive": "is inactive",
    "deleted": "is deleted",
    "gone": "was gone already: AWS has no such key",
    "unusable": "was out of use already: AWS does not accept it (inactive or deleted)",
    None: "is NOT revoked",
}
_POLICY = "awsvault-deny-older-sessions"


def answer(reply: Frame, *, as_json: bool) -> None:
    """The report, on stdout; what is of no use to a program on stderr."""
    if as_json:
        output.answer_json({name: value for name, value in reply.items() if name != "ok"})
        return
    for line in _lines(reply):
        output.answer(line)
    for note in reply["notes"]:
        output.say(str(note))


def _lines(reply: Frame) -> Iterator[str]:
    for profile in reply["profiles"]:
        yield from _profile(profile)
    if reply["sessions"]:
        yield "These sessions live on:"
    for session in reply["sessions"]:
        what = session["role_arn"] or {"mfa": "MFA session", "federated": "federated session"}.get(
            session["kind"], "session"
        )
        yield f"  {session['profile']}: {what}, until {session['expires_at']}; to end it: {session['ended_by']}"


def _profile(profile: dict[str, Any]) -> Iterator[str]:
    name = profile["profile"]
    for key in profile["keys"]:
        yield f"{name}: the key {output.short_key(key['access_key_id'])} {_BECAME.get(key['became'], key['became'])}."
    if profile["sessions"] == "denied":
        who = profile["user"] or "its user"
        yield f"{name}: older sessions of {who} are denied everything (inline policy {_POLICY})."
    if profile["sessions"] == "denied before":
        yield (
            f"{name}: sessions from before an earlier revocation are denied everything. If the key was active since, "
            f"newer ones are not: awsvault revoke {name} --sessions --via PROFILE"
        )
    if profile["sessions"] == "no policy":
        yield f"{name}: sessions of a root user cannot be denied; they end by themselves."
    if profile["missing"]:
        yield f"{name}: NOT done: {profile['missing']}."
