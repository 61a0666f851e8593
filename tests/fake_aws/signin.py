# SPDX-License-Identifier: Apache-2.0
"""The console's federation endpoint: a session for a sign-in token, and the token for the page that was asked for."""

import json
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

from tests.fake_aws.sigv4 import Rejected
from tests.fake_aws.world import IssuedSession, World

PATH = "/federation"
TOKEN_LIVES = timedelta(minutes=15)


def owner(world: World, parameters: Mapping[str, str]) -> IssuedSession | None:
    """The session that a request is about, for the books."""
    try:
        return world.sessions.get(json.loads(parameters.get("Session", ""))["sessionId"])
    except (ValueError, KeyError, TypeError):
        return None


def get_signin_token(world: World, now: datetime, method: str, parameters: Mapping[str, str]) -> str:
    """The JSON that answers. Raises Rejected with 400 for every kind of no, as AWS does."""
    session = owner(world, parameters)
    if session is None or session.kind == "session" or session.expires_at <= now:
        raise _bad()
    told = json.loads(parameters["Session"])
    if (told.get("sessionKey"), told.get("sessionToken")) != (session.secret, session.token):
        raise _bad()
    if method == "POST" and session.principal.partition == "aws-us-gov":
        raise _bad()  # GovCloud takes only GET
    if not _may_last(session, parameters.get("SessionDuration")):
        raise _bad()
    token = secrets.token_urlsafe(400)
    world.signins[token] = session, now
    return json.dumps({"SigninToken": token})


def login(world: World, now: datetime, parameters: Mapping[str, str]) -> str:
    """Where a browser with this token is sent. Raises Rejected."""
    session, made_at = world.signins.get(parameters.get("SigninToken", ""), (None, now))
    if session is None or now - made_at > TOKEN_LIVES or "Destination" not in parameters:
        raise _bad()
    return parameters["Destination"]


def _may_last(session: IssuedSession, seconds: str | None) -> bool:
    """A length of its own only for a role assumed with a long-term key."""
    if seconds is None:
        return True
    within = seconds.isdecimal() and 900 <= int(seconds) <= 43_200
    return within and session.kind == "role" and not session.is_chained


def _bad() -> Rejected:
    return Rejected(400, "BadRequest", "Bad Request")
