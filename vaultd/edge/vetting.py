# SPDX-License-Identifier: Apache-2.0
"""What AWS says about a key before it is kept, and how the key should be served.

Sessions without MFA may not call IAM, nor STS beyond two operations; the user would see InvalidClientTokenId. So
`serve` is decided on evidence, and a person is asked only when the evidence points both ways (design section 7).
"""

from dataclasses import dataclass
from datetime import datetime

from vaultd.core.backoff import is_transient
from vaultd.core.records import Serve
from vaultd.core.sessions import Credentials
from vaultd.edge.aws import Aws, Identity
from vaultd.wire.errors import AwsFailed, Refused, Undecided

#: Services whose calls a session without MFA cannot make (CloudFormation creates IAM resources in the caller's name).
_NEEDS_THE_KEY = frozenset({"iam", "cloudformation"})
_PROBE_DURATION_S = 3_600


@dataclass(frozen=True, slots=True)
class Verdict:
    identity: Identity
    partition: str
    created_at: datetime | None
    serve: Serve
    notes: tuple[str, ...]


def vet(
    aws: Aws,
    credentials: Credentials,
    *,
    region: str | None,
    serve: Serve | None,
    mfa_serial: str | None,
    allow_root: bool,
) -> Verdict:
    """Ask STS and IAM. Blocking. Raises AwsFailed, Refused for a root key, Undecided when a person must choose."""
    partition, identity = aws.identify(credentials, region=region)
    if identity.is_root and not allow_root:
        raise Refused(
            f"this is a root key of account {identity.account}; AWS advises to have none",
            hint="delete it and use an IAM user's, or add it with --allow-root",
        )
    created_at = _created_at(aws, credentials, partition, region, identity)
    chosen, notes = _decide(aws, credentials, partition, region, serve, mfa_serial)
    return Verdict(identity, partition, created_at, chosen, notes)


def _created_at(
    aws: Aws, credentials: Credentials, partition: str, region: str | None, identity: Identity
) -> datetime | None:
    """IAM's date of the key. Where IAM cannot be reached (a private STS endpoint), the key is kept without."""
    if not (identity.user_name or identity.is_root):
        return None
    try:
        return aws.key_created_at(
            credentials, partition=partition, region=region, user_name=identity.user_name
        )
    except AwsFailed as error:
        if is_transient(error):
            return None
        raise


def _decide(
    aws: Aws,
    credentials: Credentials,
    partition: str,
    region: str | None,
    serve: Serve | None,
    mfa_serial: str | None,
) -> tuple[Serve, tuple[str, ...]]:
    if serve == "key":
        return "key", ()
    refused = _session_refused(aws, credentials, partition, region)
    if refused and serve == "session":
        raise AwsFailed(f"AWS gives this key no sessions ({refused.message})", hint="use --serve key")
    if refused:
        return "key", ("AWS gives this key no sessions: the key itself is served, with a lease",)
    if serve == "session":
        return "session", ()
    used = aws.last_used(credentials, partition=partition, region=region)
    if used and used.service in _NEEDS_THE_KEY and not mfa_serial:
        raise Undecided(
            f"this key last called {used.service}, which a session without MFA cannot",
            details={
                "last_used_service": used.service,
                "last_used_at": used.at.isoformat(),
                "proposal": "key",
            },
        )
    return "session", ("sessions are served: the key itself never leaves the daemon",)


def _session_refused(
    aws: Aws, credentials: Credentials, partition: str, region: str | None
) -> AwsFailed | None:
    """The refusal when AWS says no; any other failure is no evidence and goes up."""
    try:
        aws.session_token(credentials, partition=partition, region=region, duration_s=_PROBE_DURATION_S)
    except AwsFailed as error:
        if error.details.get("aws_code") in ("AccessDenied", "AccessDeniedException"):
            return error
        raise
    return None
