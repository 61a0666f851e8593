# SPDX-License-Identifier: Apache-2.0
"""Whom a role trusts, and what proves MFA. Everything that is missing gets AWS's one answer: not authorized."""

from collections.abc import Mapping

from tests.fake_aws.query import Ask, denial, tags
from tests.fake_aws.sigv4 import Rejected
from tests.fake_aws.world import IssuedSession, Role, Signer, User


def check(ask: Ask, session_name: str) -> Role:
    """The role that RoleArn names, for whom it trusts. Raises Rejected, also for one that does not exist."""
    principal = ask.signed_by.principal
    if isinstance(principal, User) and principal.name is None:
        raise Rejected(403, "AccessDenied", "Roles may not be assumed by root accounts.")
    arn = ask.parameters.get("RoleArn", "")
    role = ask.world.roles.get(arn)
    if role is None or not _is_trusted(ask, role, principal, session_name):
        raise denial(ask, "sts:AssumeRole", arn)
    if tags(ask.parameters) and not role.allows_tags:
        raise denial(ask, "sts:TagSession", arn)
    if source_identity(ask) and not role.allows_source_identity:
        raise denial(ask, "sts:SetSourceIdentity", arn)
    return role


def _is_trusted(ask: Ask, role: Role, principal: User | Role, session_name: str) -> bool:
    everybody = f"arn:{principal.partition}:iam::{principal.account}:root"
    if not role.trusts & {principal.arn, everybody}:
        return False
    if role.external_id not in (None, ask.parameters.get("ExternalId")):
        return False
    if role.named_after_user and not (isinstance(principal, User) and principal.name == session_name):
        return False
    return has_mfa(ask) or not role.needs_mfa


def has_mfa(ask: Ask) -> bool:
    """By a code that comes with the call, which is spent then, or by the session that signs it; roles pass none on."""
    serial, code = ask.parameters.get("SerialNumber"), ask.parameters.get("TokenCode")
    if serial is None and code is None:
        return isinstance(ask.signed_by, IssuedSession) and ask.signed_by.mfa
    if serial is None or code is None:
        raise _failed(", must provide both MFA serial number and one time pass code.")
    device, owner = ask.world.devices.get(serial, (None, None))
    if device is None or owner is not ask.signed_by.principal:
        hint = "Please verify your MFA serial number is valid and associated with this user."
        raise _failed(f", unable to validate MFA code.  {hint}")
    if not device.takes(code, ask.now):
        raise _failed(" with invalid MFA one time pass code. ")
    return True


def source_identity(ask: Ask) -> str | None:
    """What is asked for, else the one that sticks to the caller; once set it can't be changed."""
    asked = ask.parameters.get("SourceIdentity")
    kept = ask.signed_by.source_identity if isinstance(ask.signed_by, IssuedSession) else None
    if asked and kept and asked != kept:
        raise denial(ask, "sts:SetSourceIdentity", ask.parameters.get("RoleArn", ""))
    return asked or kept


def inherited_tags(signer: Signer) -> Mapping[str, str]:
    if not isinstance(signer, IssuedSession):
        return {}
    return {key: value for key, value in signer.tags.items() if key in signer.transitive_tags}


def _failed(how: str) -> Rejected:
    return Rejected(403, "AccessDenied", f"MultiFactorAuthentication failed{how}")
