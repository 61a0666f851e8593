# SPDX-License-Identifier: Apache-2.0
"""What STS may be asked: who am I, and the three ways to a session."""

from datetime import timedelta
from typing import NoReturn

from tests.fake_aws import trust
from tests.fake_aws.query import Ask, Handler, element, stamp, tags, xml
from tests.fake_aws.sigv4 import Rejected
from tests.fake_aws.terms import check_text, packed_percent, seconds, transitive_tags
from tests.fake_aws.world import AccessKey, IssuedSession

DAY_AND_A_HALF = 129_600
HALF_A_DAY = 43_200
HOUR = 3_600


def get_caller_identity(ask: Ask) -> str:
    who = ask.signed_by
    return xml("Arn", who.arn) + xml("UserId", who.user_id) + xml("Account", who.principal.account)


def get_session_token(ask: Ask) -> str:
    key = _own_key(ask)
    length = _of_a_key(ask, key)
    mfa = trust.has_mfa(ask)
    return element("Credentials", _credentials(ask.world.add_session(key, ask.now, length=length, mfa=mfa)))


def get_federation_token(ask: Ask) -> str:
    key = _own_key(ask)
    name = check_text(ask.parameters, "Name", r"[\w+=,.@-]{2,32}", 2, 32)
    length = _of_a_key(ask, key)
    packed = packed_percent(ask)
    made = ask.world.add_session(key, ask.now, length=length, mfa=False)
    made.kind, made.name, made.tags = "federated", name, dict(tags(ask.parameters))
    user = element("FederatedUser", xml("Arn", made.arn) + xml("FederatedUserId", made.user_id))
    return element("Credentials", _credentials(made)) + user + xml("PackedPolicySize", str(packed))


def assume_role(ask: Ask) -> str:
    signer = ask.signed_by
    name = check_text(ask.parameters, "RoleSessionName", r"[\w+=,.@-]{2,64}", 2, 64)
    length_s = seconds(ask.parameters, HOUR, 900, HALF_A_DAY)
    role = trust.check(ask, name)
    is_chained = isinstance(signer, IssuedSession)
    if is_chained and length_s > HOUR:
        _too_long("the 1 hour session limit for roles assumed by role chaining")
    if length_s > role.max_session_s:
        _too_long("the MaxSessionDuration set for this role.")
    packed = packed_percent(ask)
    transitive = transitive_tags(ask)
    made = ask.world.add_session(signer, ask.now, length=timedelta(seconds=length_s), mfa=False)
    made.kind, made.role, made.name, made.is_chained = "role", role, name, is_chained
    made.source_identity = trust.source_identity(ask)
    made.tags, made.transitive_tags = (
        {**trust.inherited_tags(signer), **dict(tags(ask.parameters))},
        transitive,
    )
    user = element("AssumedRoleUser", xml("AssumedRoleId", made.user_id) + xml("Arn", made.arn))
    identity = xml("SourceIdentity", made.source_identity) if made.source_identity else ""
    return element("Credentials", _credentials(made)) + user + xml("PackedPolicySize", str(packed)) + identity


def _own_key(ask: Ask) -> AccessKey:
    if not isinstance(ask.signed_by, AccessKey):
        raise Rejected(403, "AccessDenied", f"Cannot call {ask.action} with session credentials")
    return ask.signed_by


def _of_a_key(ask: Ask, key: AccessKey) -> timedelta:
    """How long a session of the key itself lives; the root user's an hour, whatever was asked."""
    length_s = seconds(ask.parameters, HALF_A_DAY, 900, DAY_AND_A_HALF)
    return timedelta(seconds=min(length_s, HOUR) if key.user.name is None else length_s)


def _too_long(limit: str) -> NoReturn:
    raise Rejected(400, "ValidationError", f"The requested DurationSeconds exceeds {limit}")


def _credentials(made: IssuedSession) -> str:
    return (
        xml("AccessKeyId", made.access_key_id)
        + xml("SecretAccessKey", made.secret)
        + xml("SessionToken", made.token)
        + xml("Expiration", stamp(made.expires_at))
    )


ACTIONS: dict[str, Handler] = {
    "GetCallerIdentity": get_caller_identity,
    "GetSessionToken": get_session_token,
    "GetFederationToken": get_federation_token,
    "AssumeRole": assume_role,
}
