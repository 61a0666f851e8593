# SPDX-License-Identifier: Apache-2.0
"""Role profiles: a role, the profile that it is assumed from, and everything that shapes the session.

A record checks itself when it is made, as those in records.py. The patterns and lengths are those of the AssumeRole
page of the STS API reference, so that a mistake is found while a person is there, not by the next program's `get`.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime

from vaultd.core.fields import check_name, check_optional, check_region, check_times
from vaultd.wire.errors import Usage

MIN_DURATION_S = (
    1_800  # a client never sees less than 20 minutes, and AWS's minimum of 15 would be renewed for ever
)
MAX_DURATION_S = 43_200
CHAINED_DURATION_S = 3_600  # what STS gives at most when a role assumes a role
MAX_POLICY = 2_048  # characters; AWS packs it and may say no to less
MAX_POLICY_ARNS = 10
MAX_TAGS = 50

_ROLE_ARN = re.compile(r"arn:(aws|aws-cn|aws-us-gov):iam::([0-9]{12}):role/([\w+=,.@/-]{1,512})\Z", re.ASCII)
_POLICY_ARN = re.compile(
    r"arn:(aws|aws-cn|aws-us-gov):iam::([0-9]{12}|aws):policy/[\w+=,.@/-]{1,512}\Z", re.ASCII
)
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}\Z", re.ASCII)
_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}\Z", re.ASCII)
_TAG_KEY = re.compile(r"[\w .:/=+@-]{1,128}\Z")
_TAG_VALUE = re.compile(r"[\w .:/=+@-]{0,256}\Z")
_UNFIT = re.compile(r"[^\w+=,.@-]", re.ASCII)


@dataclass(frozen=True, slots=True)
class RoleProfile:
    """A named entry of the vault that owns no key: `source` is the profile whose credentials assume the role."""

    name: str
    source: str
    role_arn: str
    added_at: datetime
    external_id: str | None = None
    session_name: str | None = None  # None: the IAM user's name
    duration_s: int | None = None  # None: [session] duration, at most what STS allows
    tags: tuple[tuple[str, str], ...] = ()
    transitive_tags: tuple[str, ...] = ()
    source_identity: str | None = None
    policy: str | None = None
    policy_arns: tuple[str, ...] = ()
    region: str | None = None
    verified_at: datetime | None = None
    last_used_at: datetime | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        check_name(self.source)
        check_optional(_ROLE_ARN, self.role_arn, "the role's ARN")
        check_optional(_EXTERNAL_ID, self.external_id, "the external id")
        check_optional(_SESSION_NAME, self.session_name, "the session name")
        check_optional(_SESSION_NAME, self.source_identity, "the source identity")
        check_duration(self.duration_s)
        check_region(self.region)
        _check_tags(self.tags, self.transitive_tags)
        check_policies(self.policy, self.policy_arns)
        check_times(self.added_at, self.verified_at, self.last_used_at)

    @property
    def partition(self) -> str:
        return self.role_arn.split(":")[1]

    @property
    def account(self) -> str:
        return self.role_arn.split(":")[4]


def check_duration(seconds: int | None) -> None:
    """Raises Usage unless AWS and we can work with it."""
    if seconds is not None and not MIN_DURATION_S <= seconds <= MAX_DURATION_S:
        raise Usage("the duration must be between 30 min and 12 h")


def check_policies(policy: str | None, policy_arns: tuple[str, ...]) -> None:
    """Raises Usage, without quoting the policy."""
    if policy is not None:
        if len(policy) > MAX_POLICY:
            raise Usage(
                f"the session policy is longer than {MAX_POLICY} characters", hint="use a managed policy"
            )
        try:
            is_object = isinstance(json.loads(policy), dict)
        except (ValueError, RecursionError):
            is_object = False
        if not is_object:
            raise Usage("the session policy is not a JSON object")
    if len(policy_arns) > MAX_POLICY_ARNS:
        raise Usage(f"AWS takes at most {MAX_POLICY_ARNS} policy ARNs")
    for arn in policy_arns:
        check_optional(_POLICY_ARN, arn, "a policy ARN")


def _check_tags(tags: tuple[tuple[str, str], ...], transitive: tuple[str, ...]) -> None:
    if len(tags) > MAX_TAGS:
        raise Usage(f"AWS takes at most {MAX_TAGS} session tags")
    for key, value in tags:
        if not _TAG_KEY.match(key) or key.lower().startswith("aws:") or not _TAG_VALUE.match(value):
            raise Usage("a session tag has a form that AWS does not take")
    if len({key.lower() for key, _ in tags}) != len(tags):
        raise Usage("a session tag stands twice; AWS does not tell upper from lower case")
    if not set(transitive) <= {key for key, _ in tags}:
        raise Usage("a transitive tag is not among the session tags")


def fit_session_name(text: str) -> str:
    """`text` as a role session name: trust policies that compare with ${aws:username} want the user's name itself."""
    fitted = _UNFIT.sub("-", text)[:64]
    return fitted if len(fitted) > 1 else f"{fitted}-awsvault"[:64]
