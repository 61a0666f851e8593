# SPDX-License-Identifier: Apache-2.0
"""Whose request this is, after everything that AWS checks before it looks at rights."""

from collections.abc import Container
from datetime import datetime

from tests.fake_aws import sigv4
from tests.fake_aws.rights import invalid_token
from tests.fake_aws.sigv4 import Claim, Rejected, Request
from tests.fake_aws.world import AccessKey, IssuedSession, Signer, World

#: IAM is one place a partition, and only signatures for that place count. CloudTrail has its events there.
IAM_REGION = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}


def partition_of(region: str) -> str:
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def authenticate(
    world: World,
    request: Request,
    claim: Claim,
    service: str,
    now: datetime,
    *,
    tolerates_skew: bool,
    disabled_regions: Container[str],
) -> Signer:
    """Raises Rejected."""
    signer = _signer(world, request, claim, now)
    sigv4.check(request, claim, signer.secret, None if tolerates_skew else now)
    if claim.service != service:
        raise Rejected(
            403, "SignatureDoesNotMatch", f"Credential should be scoped to correct service: '{service}'."
        )
    if service == "iam" and claim.region != IAM_REGION[signer.principal.partition]:
        raise Rejected(403, "SignatureDoesNotMatch", "Credential should be scoped to a valid region.")
    if claim.region in disabled_regions:
        raise Rejected(
            403, "RegionDisabledException", "STS is not activated in this region for this account."
        )
    if isinstance(signer, IssuedSession) and signer.expires_at <= now:
        raise Rejected(403, "ExpiredToken", "The security token included in the request is expired")
    return signer


def _signer(world: World, request: Request, claim: Claim, now: datetime) -> Signer:
    token = request.header("x-amz-security-token")
    signer = world.sessions.get(claim.access_key_id) if token else world.keys.get(claim.access_key_id)
    if signer is None or signer.principal.partition != partition_of(claim.region):
        raise invalid_token()
    if isinstance(signer, IssuedSession) and signer.token != token:
        raise invalid_token()
    if isinstance(signer, AccessKey) and (signer.status != "Active" or now < (signer.works_at or now)):
        raise invalid_token()
    return signer
