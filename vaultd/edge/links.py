# SPDX-License-Identifier: Apache-2.0
"""What talks to AWS for the profiles of the vault: made when it is first wanted, and anew when the settings change.

Lives on the event loop's thread.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from vaultd.core import chain
from vaultd.core.chain import Durations, KeyStep, SessionStep
from vaultd.core.policy import Settings
from vaultd.core.records import Body, KeyProfile
from vaultd.core.sessions import Credentials, Session, of_key
from vaultd.edge.aws import Aws
from vaultd.edge.broker import Broker
from vaultd.edge.clock import Clock
from vaultd.edge.issuer import Issuer
from vaultd.edge.mfa import Mfa
from vaultd.edge.notify import Notifier
from vaultd.wire.errors import AwsFailed


@dataclass(frozen=True, slots=True)
class _Made:
    aws: Aws
    mfa: Mfa
    broker: Broker


@dataclass(slots=True)
class Links:
    """`body` is the open vault's and raises Locked; `save` keeps MFA sessions in it."""

    make_aws: Callable[[Settings], Aws]
    settings: Callable[[], Settings]
    durations: Callable[[], Durations]
    body: Callable[[], Body]
    save: Callable[[Callable[[Body], Body]], Awaitable[None]]
    clock: Clock
    notifier: Notifier
    _made: _Made | None = None

    def reset(self) -> None:
        """The settings have changed."""
        self._made = None

    @property
    def _links(self) -> _Made:
        if self._made is None:
            aws = self.make_aws(self.settings())
            mfa = Mfa(aws, self.body, self.save, self.clock.now, self.notifier.code_wanted)
            issuer = Issuer(aws, self._key_of, mfa.session, self._key_before)
            self._made = _Made(aws, mfa, Broker(issuer.issue, self.clock.now))
        return self._made

    @property
    def aws(self) -> Aws:
        return self._links.aws

    @property
    def mfa(self) -> Mfa:
        return self._links.mfa

    @property
    def broker(self) -> Broker:
        return self._links.broker

    @property
    def broker_if_used(self) -> Broker | None:
        return self._made.broker if self._made else None

    def forget(self, profile: str) -> None:
        """The sessions of this profile."""
        if self._made:
            self._made.broker.forget(profile)

    async def signer(self, profile: KeyProfile) -> Credentials:
        """What signs calls to IAM for this profile: a session with MFA where there is one, else its key."""
        if profile.mfa_serial:
            step = SessionStep(chain.key_step(profile), self.durations().mfa, profile.mfa_serial)
            session = await self.mfa.signer(step)
            if session:
                return session
        return of_key(profile.key)

    def kept_session(self, profile: KeyProfile) -> Session | None:
        """The MFA session of a key that was paid for with a code already."""
        step = chain.mfa_of(chain.session_of(self.body(), profile, self.durations()))
        return self.mfa.kept(step) if step else None

    def _key_of(self, step: KeyStep) -> Credentials:
        """The key that the step means, if it still is the profile's, or serves out its grace."""
        key = self.body().key_profile(step.profile).key
        if key.access_key_id == step.access_key_id:
            return of_key(key)
        before = self.body().key_before(key.access_key_id)
        if before is None or before.access_key_id != step.access_key_id:
            raise AwsFailed(f'the key of "{step.profile}" was changed meanwhile', hint="try again")
        return of_key(before)

    def _key_before(self, step: KeyStep) -> Credentials | None:
        before = self.body().key_before(step.access_key_id)
        return of_key(before) if before else None
