# SPDX-License-Identifier: Apache-2.0
"""One IAM user, asked with one signature: what is done to a user's keys, without the same four words each time.

Blocking; every failure is an AwsFailed. What each call promises stands in edge/iam.py.
"""

from dataclasses import dataclass
from datetime import datetime

from vaultd.core.probes import Right
from vaultd.core.replies import Identity, LastUsed, ListedKey, NewKey
from vaultd.core.sessions import Credentials
from vaultd.edge.iam import Iam


@dataclass(frozen=True, slots=True)
class IamUser:
    """`name` is None for the root user, and for whoever signs when that is not known yet."""

    iam: Iam
    credentials: Credentials
    partition: str
    region: str | None
    name: str | None = None

    def who_signs(self) -> Identity:
        return self.iam.who_am_i(self.credentials, partition=self.partition, region=self.region)

    def keys(self) -> tuple[ListedKey, ...]:
        return self.iam.list_keys(
            self.credentials, partition=self.partition, region=self.region, user_name=self.name
        )

    def create_key(self, nonce: str) -> NewKey:
        return self.iam.create_key(
            self.credentials, partition=self.partition, region=self.region, user_name=self.name, nonce=nonce
        )

    def set_key_active(self, key_id: str, *, active: bool) -> None:
        self.iam.set_key_active(
            self.credentials,
            partition=self.partition,
            region=self.region,
            user_name=self.name,
            access_key_id=key_id,
            active=active,
        )

    def delete_key(self, key_id: str) -> None:
        self.iam.delete_key(
            self.credentials,
            partition=self.partition,
            region=self.region,
            user_name=self.name,
            access_key_id=key_id,
        )

    def last_used(self, key_id: str) -> LastUsed | None:
        return self.iam.key_last_used(
            self.credentials, partition=self.partition, region=self.region, access_key_id=key_id
        )

    def made_with(self, nonce: str, since: datetime) -> tuple[str, ...]:
        return self.iam.created_by(
            self.credentials, partition=self.partition, region=self.region, nonce=nonce, since=since
        )

    def tags(self) -> dict[str, str]:
        return (
            self.iam.user_tags(
                self.credentials, partition=self.partition, region=self.region, user_name=self.name
            )
            if self.name
            else {}
        )

    def tag(self, key: str, value: str) -> None:
        if self.name:
            self.iam.tag_user(
                self.credentials,
                partition=self.partition,
                region=self.region,
                user_name=self.name,
                key=key,
                value=value,
            )

    def attached_policies(self) -> tuple[str, ...]:
        return (
            self.iam.attached_policies(
                self.credentials, partition=self.partition, region=self.region, user_name=self.name
            )
            if self.name
            else ()
        )

    def put_policy(self, name: str, document: str) -> None:
        if self.name:
            self.iam.put_user_policy(
                self.credentials,
                partition=self.partition,
                region=self.region,
                user_name=self.name,
                name=name,
                document=document,
            )

    def right(self, action: str) -> Right:
        """The root user may do everything."""
        if self.name is None:
            return "proven"
        return self.iam.probe_right(
            self.credentials,
            partition=self.partition,
            region=self.region,
            user_name=self.name,
            action=action,
        )
