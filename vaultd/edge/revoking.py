# SPDX-License-Identifier: Apache-2.0
"""Revoking one user: the deny and the keys' end, in the order in which whoever signs can still do the rest.

Blocking, so it runs in a thread. Every step is one that may be done twice. Goes on past failures: a policy that cannot
be written must not leave a key active. Must not know the vault, the broker or what is told to whom.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from vaultd.core.backoff import is_transient
from vaultd.core.refusals import BAD_SIGNATURE, DENIED, EXPIRED, UNKNOWN_KEY
from vaultd.core.replies import Identity
from vaultd.core.revocation import DENIED_AHEAD, SESSIONS, Wanted, order
from vaultd.core.sessions import Credentials
from vaultd.core.userpolicy import DENIAL, denial, is_quarantine
from vaultd.edge.boto import UNREACHABLE
from vaultd.edge.iam import NO_SUCH_ENTITY, Iam, is_about_user
from vaultd.edge.iam_user import IamUser
from vaultd.wire.errors import AwsFailed

#: `gone`: IAM has no such key. `unusable`: AWS does not accept it, and no more is known. `no policy`: root has none.
#: `denied before`: by an earlier revocation, so nothing is known of sessions that were made since.
Became = Literal["inactive", "deleted", "gone", "unusable", "denied", "denied before", "no policy"]

ROUNDS: Final = 3  # for throttling and AWS's own failures, beside botocore's retries
PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Signer:
    credentials: Credentials
    own_key: str | None = None  # its id, when it is a long-term key of the user
    ends_itself: bool = False  # a session of the user: the deny ends it
    account: str | None = None  # of somebody else's (--via); None: the user itself signs


@dataclass(frozen=True, slots=True)
class Target:
    """A key of the user."""

    wanted: Wanted
    is_new: bool = False  # AWS may not know it everywhere yet
    credentials: Credentials | None = None  # None: the vault has only its id any more


@dataclass(frozen=True, slots=True)
class Job:
    """What is left to do to one user, and who may sign for it, the best first."""

    names: tuple[str, ...]  # the profiles that it is about
    partition: str
    region: str | None
    user_name: str | None  # None: root, or not known
    is_verified: bool  # AWS has accepted one of the keys, where we ask it
    left: frozenset[str]  # key ids, and SESSIONS
    targets: Mapping[str, Target]  # by key id
    signers: tuple[Signer, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    text: str
    is_transient: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    done: Mapping[str, Became] = field(default_factory=dict)
    failures: Mapping[str, Failure] = field(default_factory=dict)  # of what was not done

    @property
    def missing(self) -> str:
        return "; ".join(dict.fromkeys(failure.text for failure in self.failures.values()))

    @property
    def is_transient(self) -> bool:
        """May another try help by itself?"""
        return any(failure.is_transient for failure in self.failures.values())


def revoke_user(
    iam: Iam,
    job: Job,
    now: Callable[[], datetime],
    *,
    note: Callable[[Mapping[str, Became]], None] = lambda _done: None,
    pause: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Do what can be done; never raises AwsFailed.

    `note` is told what is done before the signer ends itself: after a crash nobody could ask AWS any more.
    """
    work = _Work(iam, job, now, note)
    for rounds_left in range(ROUNDS - 1, -1, -1):
        work.round(is_last=not rounds_left)
        if not work.is_worth_a_pause or not rounds_left:
            break
        pause(PAUSE_S)
    return Outcome(work.done, work.failures)


class _Work:
    def __init__(
        self,
        iam: Iam,
        job: Job,
        now: Callable[[], datetime],
        note: Callable[[Mapping[str, Became]], None],
    ) -> None:
        self._iam = iam
        self._job = job
        self._now = now
        self._note = note
        self._name = job.user_name
        self._quarantined: bool | None = None
        self._is_unreachable = False
        self.done: dict[str, Became] = {}
        self.failures: dict[str, Failure] = {}

    def _user(self, credentials: Credentials, name: str | None) -> IamUser:
        return IamUser(self._iam, credentials, self._job.partition, self._job.region, name)

    @property
    def is_worth_a_pause(self) -> bool:
        return not self._is_unreachable and any(failure.is_transient for failure in self.failures.values())

    @property
    def _left(self) -> frozenset[str]:
        return self._job.left - self.done.keys()

    def round(self, *, is_last: bool) -> None:
        self.failures = {step: found for step, found in self.failures.items() if not found.is_transient}
        for signer in self._job.signers:
            if self._left and not self._is_unreachable:
                self._sign(signer, is_last=is_last)

    def _sign(self, signer: Signer, *, is_last: bool) -> None:
        for step in order(self._left, own_key=signer.own_key, ends_itself=signer.ends_itself):
            ends = step == (SESSIONS if signer.ends_itself else signer.own_key)
            if ends and self._must_wait(step, signer, is_last=is_last):
                continue
            if ends and self.done:
                self._note(dict(self.done))
            try:
                self.done[step] = self._deny(signer) if step == SESSIONS else self._end(signer, step)
            except AwsFailed as error:
                if error.details.get("aws_code") in UNKNOWN_KEY | BAD_SIGNATURE | EXPIRED:
                    self._cannot_sign(signer, error)
                    return
                self._failed(step, signer, error)
            else:
                self.failures.pop(step, None)

    def _must_wait(self, step: str, signer: Signer, *, is_last: bool) -> bool:
        """Would the signer end itself before the rest, which another try may do?

        A key waits for as long as we try: active it is worse than a session. A session waits longer, or a user that needs
        MFA would keep its key: every new session would be denied, too.
        """
        rest = any(found.is_transient for other, found in self.failures.items() if other != step)
        return rest and (signer.ends_itself or not (is_last or self._is_unreachable))

    # --- the steps

    def _deny(self, signer: Signer) -> Became:
        def write(name: str) -> None:
            self._user(signer.credentials, name).put_policy(DENIAL, denial(self._now() + DENIED_AHEAD))

        return "denied" if self._do_to_user(signer, write) else "no policy"

    def _end(self, signer: Signer, key_id: str) -> Became:
        wanted, found = self._job.targets[key_id].wanted, True
        try:
            if signer.account is None:  # the signer's own user, whatever it is called today
                self._end_key(signer, None, key_id, wanted)
            else:
                found = self._do_to_user(signer, lambda name: self._end_key(signer, name, key_id, wanted))
        except AwsFailed as error:
            if error.details.get("aws_code") != NO_SUCH_ENTITY or is_about_user(error):
                raise
            return "gone"
        return wanted if found else "gone"

    def _end_key(self, signer: Signer, name: str | None, key_id: str, wanted: Wanted) -> None:
        user = self._user(signer.credentials, name)
        if wanted == "inactive":
            user.set_key_active(key_id, active=False)
            return
        try:
            user.delete_key(key_id)
        except AwsFailed as error:
            if error.details.get("aws_code") in DENIED:
                with contextlib.suppress(
                    AwsFailed
                ):  # then at least that; what is said is that the key is still there
                    user.set_key_active(key_id, active=False)
            raise

    def _do_to_user(self, signer: Signer, act: Callable[[str], None]) -> bool:
        """`act` on the user by the name that it has today; False when there is no such user, or it is root."""
        name = self._name or self._name_today(signer)
        if name is None:
            return False
        try:
            act(name)
        except AwsFailed as error:
            if not is_about_user(error):
                raise
            today = self._name_today(signer)
            if today == name:
                raise
            if today is None:
                return False
            act(today)
        return True

    def _name_today(self, signer: Signer) -> str | None:
        """By the user's own keys; None for root, and when AWS accepts none of them. Raises AwsFailed."""
        identity = self._identity()
        if identity is None and self._name is None:
            raise AwsFailed("whose key it is is not known, and AWS does not accept it")
        if identity is None or (identity.is_root and signer.account is None):
            return None
        if signer.account not in (None, identity.account):
            raise AwsFailed(f"the key is of another account ({identity.account})")
        if identity.user_name is None:
            raise AwsFailed("a root user's key can be revoked by itself only, or in the console")
        self._name = identity.user_name
        return self._name

    def _identity(self) -> Identity | None:
        own = [target.credentials for target in self._job.targets.values() if target.credentials]
        for credentials in own:
            try:
                return self._user(credentials, None).who_signs()
            except AwsFailed as error:
                if error.details.get("aws_code") not in UNKNOWN_KEY:
                    raise
        return None

    # --- what went wrong

    def _cannot_sign(self, signer: Signer, error: AwsFailed) -> None:
        """AWS does not accept the signer: if that is a key to be revoked, it is out of use already."""
        own = self._job.targets.get(signer.own_key or "")
        is_unknown = error.details.get("aws_code") in UNKNOWN_KEY
        if own and signer.own_key in self._left and is_unknown:
            doubt = self._doubt(own)
            if doubt:
                text = f"AWS does not accept the key {signer.credentials.tail}: {doubt}"
                self.failures.setdefault(signer.own_key, Failure(text, own.is_new))
            else:
                self.done[signer.own_key] = "unusable"
                self.failures.pop(signer.own_key, None)
        for other in self._left - {signer.own_key}:
            self.failures.setdefault(other, Failure(error.message, is_transient=bool(own and own.is_new)))

    def _doubt(self, own: Target) -> str:
        """Why a key that AWS does not accept may not be what is wanted; "" when it is."""
        if own.is_new:
            return "it is too new"
        if own.wanted == "deleted":
            return "whether it is deleted only another key can see"
        if not (self._job.is_verified or self._name):  # it may be of another partition, and active there
            return "it was never verified, so whether it is out of use is not known"
        return ""

    def _failed(self, step: str, signer: Signer, error: AwsFailed) -> None:
        self._is_unreachable |= error.details.get("aws_code") == UNREACHABLE
        self.failures[step] = Failure(self._words(signer, error), is_transient(error))

    def _words(self, signer: Signer, error: AwsFailed) -> str:
        if error.details.get("aws_code") not in DENIED:
            return error.message
        action = error.details.get("aws_action")
        if signer.account is None and self._is_quarantined(signer):
            return f"AWS has quarantined the user, which denies {action} to the key {signer.credentials.tail}"
        return f"the right {action} is missing to the key {signer.credentials.tail}"

    def _is_quarantined(self, signer: Signer) -> bool:
        """A courtesy: it says why. Not known to whoever may not see it."""
        if self._quarantined is None and self._name:
            try:
                attached = self._user(signer.credentials, self._name).attached_policies()
            except AwsFailed:
                attached = ()
            self._quarantined = any(map(is_quarantine, attached))
        return bool(self._quarantined)
