# SPDX-License-Identifier: Apache-2.0
"""Which call to AWS makes the session of a step, and what signs it. Knows nothing of caches or callers."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from vaultd.core.chain import FederationStep, KeyStep, RoleStep, SessionStep, Step
from vaultd.core.refusals import UNKNOWN_KEY
from vaultd.core.sessions import Credentials, Session
from vaultd.edge.aws import Aws
from vaultd.edge.successor import threads
from vaultd.wire.errors import AwsFailed

#: Calls to AWS, in threads of their own: AWS hanging must not take those that derive keys and save.
AT_ONCE = 8

_S = TypeVar("_S", SessionStep, FederationStep, RoleStep)
SessionOf = Callable[[Step], Awaitable[Session]]


class Issuer:
    """`key_of` gives the credentials of a key, `key_before` those of the one that it replaces while both are active,
    `mfa_session` the session that a code made. All on the loop's thread.
    """

    def __init__(
        self,
        aws: Aws,
        key_of: Callable[[KeyStep], Credentials],
        mfa_session: Callable[[SessionStep], Awaitable[Session]],
        key_before: Callable[[KeyStep], Credentials | None] = lambda _step: None,
    ) -> None:
        self._aws = aws
        self._key_of = key_of
        self._key_before = key_before
        self._mfa_session = mfa_session
        self._threads = threads(AT_ONCE, "aws")

    async def issue(self, step: Step, session_of: SessionOf) -> Session:
        """Make the session of `step`; `session_of` gives that of its source. Raises AwsFailed, Locked."""
        match step:
            case KeyStep():
                raise ValueError("a key is no session")
            case SessionStep():
                if step.mfa_serial:
                    return await self._mfa_session(step)
                return await self._by_key(self._get_session_token, step.key, step)
            case FederationStep():
                return await self._by_key(self._get_federation_token, step.key, step)
            case RoleStep():
                if isinstance(step.source, KeyStep):
                    return await self._by_key(self._assume_role, step.source, step)
                signer = (await session_of(step.source)).credentials
                return await self._call(self._assume_role, signer, step)

    async def _by_key(self, ask: Callable[[Credentials, _S], Session], key: KeyStep, step: _S) -> Session:
        """Signed by the key; where AWS does not know a new one yet, by the one that it replaces."""
        try:
            return await self._call(ask, self._key_of(key), step)
        except AwsFailed as error:
            before = self._key_before(key) if error.details.get("aws_code") in UNKNOWN_KEY else None
            if before is None:
                raise
            return await self._call(ask, before, step)

    async def _call(
        self, ask: Callable[[Credentials, _S], Session], signer: Credentials, step: _S
    ) -> Session:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(ask, signer, step))

    def _get_session_token(self, signer: Credentials, step: SessionStep) -> Session:
        key = step.key
        return self._aws.session_token(
            signer, partition=key.partition, region=key.region, duration_s=step.duration_s
        )

    def _get_federation_token(self, signer: Credentials, step: FederationStep) -> Session:
        key = step.key
        return self._aws.federation_token(
            signer,
            partition=key.partition,
            region=key.region,
            name=step.name,
            duration_s=step.duration_s,
            policy=step.policy,
            policy_arns=step.policy_arns,
        )

    def _assume_role(self, signer: Credentials, step: RoleStep) -> Session:
        return self._aws.assume_role(
            signer,
            partition=step.role_arn.split(":")[1],
            region=step.region,
            role_arn=step.role_arn,
            session_name=step.session_name,
            duration_s=step.duration_s,
            external_id=step.external_id,
            tags=step.tags,
            transitive_tags=step.transitive_tags,
            source_identity=step.source_identity,
            policy=step.policy,
            policy_arns=step.policy_arns,
        )
