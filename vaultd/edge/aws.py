# SPDX-License-Identifier: Apache-2.0
"""AWS itself: the few calls that the daemon makes, each with what it is for.

Every call blocks, so callers run it in a thread. How a request gets there is edge/boto.py's business, what a reply or a
refusal means is core's. Must not know profiles, the vault or the socket.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from vaultd.core import replies, signin
from vaultd.core.partitions import HOME_REGION, partition_of
from vaultd.core.policy import AwsSettings
from vaultd.core.refusals import DENIED, UNKNOWN_KEY
from vaultd.core.replies import Identity, LastUsed
from vaultd.core.sessions import Credentials, Session
from vaultd.edge.boto import ATTEMPTS, CONNECT_TIMEOUT_S, READ_TIMEOUT_S, UNREACHABLE, Boto
from vaultd.edge.iam import Iam
from vaultd.wire.errors import AwsFailed, Usage

__all__ = ["Aws", "AwsSettings", "Identity", "LastUsed"]

_CODE = re.compile(r"[0-9]{6}\Z")

_Value = TypeVar("_Value")

#: A courtesy that many keys have no right to, and that nothing depends on: these refusals mean "unknown".
UNTOLD = DENIED | UNKNOWN_KEY | {"NoSuchEntity"}


class Aws:
    """Blocking and thread-safe. Every failure is an AwsFailed that says what AWS said and what helps."""

    def __init__(
        self,
        settings: AwsSettings,
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        read_timeout_s: float = READ_TIMEOUT_S,
        attempts: int = ATTEMPTS,
    ) -> None:
        self._settings = settings
        self._boto = Boto(
            settings,
            connect_timeout_s=connect_timeout_s,
            read_timeout_s=read_timeout_s,
            attempts=attempts,
        )
        self.iam = Iam(self._boto)

    def warm_up(self) -> None:
        """Pay now for what the first call would wait for; asks nobody."""
        self._boto.warm_up("sts", self._settings.region or HOME_REGION["aws"])

    def clock_error(self, region: str | None) -> tuple[str, timedelta]:
        """The host of STS, and this machine's clock minus its own. Unsigned: no key is needed, nor shown."""
        host, theirs = self._boto.time("sts", region or self._settings.region or HOME_REGION["aws"])
        return host, datetime.now(UTC) - theirs

    def time(self, partition: str, region: str | None) -> datetime:
        """By the clock of what makes sessions, cut to the second."""
        return self._boto.time("sts", self._boto.region(partition, region))[1]

    def identify(self, credentials: Credentials, *, region: str | None) -> tuple[str, Identity]:
        """The partition that knows this key, and whose it is."""
        if region or self._settings.endpoint_url:
            identity = self._identity(credentials, region or self._settings.region or HOME_REGION["aws"])
            return identity.partition, identity
        preferred = partition_of(self._settings.region) if self._settings.region else "aws"
        asked: list[str] = []
        for partition in sorted(HOME_REGION, key=lambda name: name != preferred):
            try:
                return partition, self._identity(credentials, self._boto.region(partition, None))
            except AwsFailed as error:
                code = error.details.get("aws_code")
                # Once one has said no, another that a firewall hides does not make that no go away.
                if code not in UNKNOWN_KEY and not (code == UNREACHABLE and asked):
                    raise
                asked += [partition] if code in UNKNOWN_KEY else []
        raise AwsFailed(
            f"AWS does not know the key {credentials.tail} (asked {', '.join(asked)}): it was deleted or is inactive",
            hint="look at it in the IAM console",
            details={"aws_code": "InvalidClientTokenId"},
        )

    def session_token(
        self,
        credentials: Credentials,
        *,
        partition: str,
        region: str | None,
        duration_s: int,
        mfa_serial: str | None = None,
        code: str | None = None,
    ) -> Session:
        """A fresh session made from the long-term key, with MFA when a device and its code are given.

        Raises MfaRefused when AWS does not take the code; also when a reply was lost, for the retry finds it spent.
        """
        if code is not None and not _CODE.match(code):  # AWS's complaint would quote it
            raise Usage("an MFA code is six digits")
        return self._session(
            "GetSessionToken",
            credentials,
            self._boto.region(partition, region),
            {"DurationSeconds": duration_s, "SerialNumber": mfa_serial, "TokenCode": code},
        )

    def assume_role(  # noqa: PLR0913  STS's own parameters, each by its name
        self,
        credentials: Credentials,
        *,
        partition: str,
        region: str | None,
        role_arn: str,
        session_name: str,
        duration_s: int,
        external_id: str | None = None,
        tags: Sequence[tuple[str, str]] = (),
        transitive_tags: Sequence[str] = (),
        source_identity: str | None = None,
        policy: str | None = None,
        policy_arns: Sequence[str] = (),
    ) -> Session:
        """A session of this role.

        Signed by another session, MFA ones included, it lives an hour at most: AWS counts that as a chain of roles.
        """
        return self._session(
            "AssumeRole",
            credentials,
            self._boto.region(partition, region),
            {
                "RoleArn": role_arn,
                "RoleSessionName": session_name,
                "DurationSeconds": duration_s,
                "ExternalId": external_id,
                "Tags": [{"Key": key, "Value": value} for key, value in tags],
                "TransitiveTagKeys": list(transitive_tags),
                "SourceIdentity": source_identity,
                "Policy": policy,
                "PolicyArns": [{"arn": arn} for arn in policy_arns],
            },
        )

    def federation_token(
        self,
        credentials: Credentials,
        *,
        partition: str,
        region: str | None,
        name: str,
        duration_s: int,
        policy: str | None = None,
        policy_arns: Sequence[str] = (),
    ) -> Session:
        """A session of the key that may do what the key and the policies both allow; not IAM, nor STS but for its name."""
        return self._session(
            "GetFederationToken",
            credentials,
            self._boto.region(partition, region),
            {
                "Name": name,
                "DurationSeconds": duration_s,
                "Policy": policy,
                "PolicyArns": [{"arn": arn} for arn in policy_arns],
            },
        )

    def signin_url(
        self,
        session: Session,
        *,
        partition: str,
        region: str | None,
        destination: str | None = None,
        duration_s: int | None = None,
        issuer: str = "awsvault",
    ) -> str:
        """A URL that signs a browser in to the console: a secret, good for 15 minutes. Raises Usage, AwsFailed.

        Takes the session of a role or of GetFederationToken. `duration_s`: see core/signin.py.
        """
        page = signin.destination(
            destination, partition=partition, region=self._boto.region(partition, region)
        )
        federation = signin.endpoint(partition, self._settings.endpoint_url)
        form = signin.question(session.credentials, duration_s)
        method = signin.method(partition)
        token = self._boto.fetch(method, federation, form, signin.read_token, signin.ACTION)
        return signin.url(federation, token, page, issuer)

    def key_created_at(
        self, credentials: Credentials, *, partition: str, region: str | None, user_name: str | None
    ) -> datetime | None:
        """When IAM made this key; None when IAM does not say."""
        ask = partial(
            self.iam.list_keys, credentials, partition=partition, region=region, user_name=user_name
        )
        key_id = credentials.access_key_id
        return next((key.created_at for key in _if_told(ask) or () if key.access_key_id == key_id), None)

    def last_used(self, credentials: Credentials, *, partition: str, region: str | None) -> LastUsed | None:
        """What this very key was last used for; None when never, or when IAM does not say."""
        place = partial(self.iam.key_last_used, credentials, partition=partition, region=region)
        return _if_told(partial(place, access_key_id=credentials.access_key_id))

    def _session(
        self, action: str, credentials: Credentials, region: str, parameters: dict[str, Any]
    ) -> Session:
        given = {name: value for name, value in parameters.items() if value not in (None, [])}
        return self._boto.call("sts", action, credentials, replies.session, region, **given)

    def _identity(self, credentials: Credentials, region: str) -> Identity:
        return self._boto.call("sts", "GetCallerIdentity", credentials, replies.identity, region)


def _if_told(ask: Callable[[], _Value | None]) -> _Value | None:
    try:
        return ask()
    except AwsFailed as error:
        if error.details.get("aws_code") in UNTOLD:
            return None
        raise
