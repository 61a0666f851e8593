# SPDX-License-Identifier: Apache-2.0
"""Who may do what: everybody everything, but for what a test took away and for what the user's policies deny."""

from tests.fake_aws import policies
from tests.fake_aws.query import Ask, denial
from tests.fake_aws.sigv4 import Rejected
from tests.fake_aws.world import IssuedSession, User


def check(ask: Ask, service: str) -> None:
    """Raises Rejected for what this caller may not do."""
    if isinstance(ask.signed_by, IssuedSession):
        _check_session(service, ask, ask.signed_by)
    if ask.action == "GetCallerIdentity":  # no policy can deny it
        return
    permission, principal = f"{service}:{ask.action}", ask.signed_by.principal
    if permission in principal.denied:
        reason = f"because no identity-based policy allows the {permission} action"
        raise denial(ask, permission, _resource(service, ask), reason)
    if isinstance(principal, User) and any(
        policies.denies(document, permission, ask.signed_by) for document in _documents(principal)
    ):
        reason = "with an explicit deny in an identity-based policy"
        raise denial(ask, permission, _resource(service, ask), reason)


def invalid_token() -> Rejected:
    return Rejected(403, "InvalidClientTokenId", "The security token included in the request is invalid.")


def _documents(user: User) -> list[str]:
    return [*user.policies.values(), *map(policies.managed, user.attached)]


def _check_session(service: str, ask: Ask, session: IssuedSession) -> None:
    """What is closed to a session whatever its rights: IAM without MFA, and most of STS. A role's may ask anything."""
    if session.kind == "role":
        return
    if service == "iam":
        if not session.mfa:
            raise invalid_token()
    elif session.kind == "federated" and service == "sts" and ask.action != "GetCallerIdentity":
        raise denial(ask, f"sts:{ask.action}", _resource(service, ask))


def _resource(service: str, ask: Ask) -> str:
    if service == "iam":
        return f"user {ask.signed_by.user.name}"
    if service == "cloudtrail":
        return "*"
    return ask.parameters.get("RoleArn", ask.signed_by.arn)
