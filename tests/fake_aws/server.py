# SPDX-License-Identifier: Apache-2.0
"""The server: what a test sets up, what strikes on the way, and the books so far."""

import ssl
import threading
import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Self, Unpack
from urllib.parse import urlsplit

from tests.fake_aws import clerk, policies, rpc, signers, signin, sigv4
from tests.fake_aws.actions import TABLE, error_reply, perform, reply
from tests.fake_aws.books import Call, Clock
from tests.fake_aws.clerk import Seen
from tests.fake_aws.devices import Device, new_seed, read_seed
from tests.fake_aws.faults import Fault, Queue
from tests.fake_aws.listener import Listener, Reply
from tests.fake_aws.pace import Pace
from tests.fake_aws.query import Ask
from tests.fake_aws.sigv4 import Rejected, Request
from tests.fake_aws.world import (
    ACCOUNT,
    AccessKey,
    Conditions,
    IssuedSession,
    LastUse,
    Role,
    User,
    World,
    new_id,
)

#: The call itself goes as it would without them.
_UNSEEN = ("delay", "hold", "hold-reply", "twice")


class FakeAws:
    """One server for all partitions and regions: which one is meant is read from the signature."""

    def __init__(self, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.clock = Clock()
        #: For tests that move the clock by hours while botocore goes on signing with the real one.
        self.tolerates_skew = False
        self.disabled_regions: set[str] = set()
        self.world = World()
        self._calls: list[Call] = []
        self._faults = Queue()
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._http = Listener(port, self._answer, self.clock)
        self.port = int(self._http.server_address[1])
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        if tls:
            self._http.socket = tls.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), name="fake-aws")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.open_gates()
        self._http.shutdown()
        self._http.hang_up()
        self._http.server_close()
        self._thread.join()

    def start_over(self) -> None:
        """Forget everything, so that tests can share one server."""
        with self._lock:
            self.world = World()
            self._calls.clear()
            self._faults = Queue()
            self.clock.offset = timedelta(0)

    def add_user(self, name: str, *, account: str = ACCOUNT, partition: str = "aws", path: str = "/") -> User:
        with self._lock:
            return self.world.add_user(
                name, self.clock.now(), account=account, partition=partition, path=path
            )

    def add_root(self, *, account: str = ACCOUNT, partition: str = "aws") -> User:
        with self._lock:
            return self.world.add_user(None, self.clock.now(), account=account, partition=partition, path="/")

    def add_key(
        self, user: User, *, access_key_id: str | None = None, secret: str | None = None
    ) -> AccessKey:
        """Past the limit of two that CreateAccessKey has: the test says what is."""
        with self._lock:
            return self.world.add_key(user, self.clock.now(), access_key_id=access_key_id, secret=secret)

    def add_session(
        self, key: AccessKey, *, mfa: bool, length: timedelta = timedelta(hours=1)
    ) -> IssuedSession:
        with self._lock:
            return self.world.add_session(key, self.clock.now(), length=length, mfa=mfa)

    def add_mfa(self, user: User, *, seed: str | None = None, name: str | None = None) -> Device:
        """A virtual device; `seed` is base32. Raises ValueError for what is not."""
        with self._lock:
            found = new_seed() if seed is None else read_seed(seed)
            return self.world.add_device(user, name or user.name or "root-account-mfa-device", found)

    def add_role(
        self,
        name: str,
        *trusts: User | Role | str,
        account: str = ACCOUNT,
        partition: str = "aws",
        path: str = "/",
        **conditions: Unpack[Conditions],
    ) -> Role:
        """A role that these may assume; text is an ARN, an account's root standing for everybody in it."""
        arns = {principal if isinstance(principal, str) else principal.arn for principal in trusts}
        role = Role(name, account, partition, path, new_id("AROA"), arns, **conditions)
        with self._lock:
            self.world.roles[role.arn] = role
        return role

    def set_last_use(self, key: AccessKey, service: str, region: str, at: datetime) -> None:
        """What IAM is to say from now on, whatever the key does."""
        with self._lock:
            key.last_use = LastUse(service, region, at)

    def deny(self, principal: User | Role, *actions: str) -> None:
        with self._lock:
            principal.denied |= set(actions)

    def allow(self, principal: User | Role, *actions: str) -> None:
        """Give back what `deny` took away."""
        with self._lock:
            principal.denied -= set(actions)

    def require_mfa(self, user: User) -> None:
        """An inline policy that denies all but GetSessionToken and GetUser without MFA."""
        with self._lock:
            user.policies["require-mfa"] = policies.NEEDS_MFA

    def quarantine(self, user: User) -> None:
        """What AWS does to the user of a key that it found in public."""
        with self._lock:
            user.attached.add(f"arn:{user.partition}:iam::aws:policy/{policies.QUARANTINE}")

    def remove_key(self, key: AccessKey) -> None:
        """As a person does it in the console; see also `key.status`."""
        with self._lock:
            self.world.delete_key(key, self.clock.now())

    def remove_user(self, user: User) -> None:
        """As a person does it in the console: with all that is the user's."""
        with self._lock:
            self.world.delete_user(user, self.clock.now())

    @property
    def pace(self) -> Pace:
        """How late AWS's parts learn what has happened."""
        return self.world.pace

    def settle(self) -> timedelta:
        """Move the clock to where everything that has happened is known everywhere; by how much."""
        with self._lock:
            now = self.clock.now()
            step = max([*self.world.pending(now), now]) - now
            self.clock.advance(step)
            return step

    def fault(self, fault: Fault, *, action: str | None = None, times: int = 1) -> None:
        """Strike the next `times` calls, of this action only when it is named."""
        self._faults.put(fault, action, times)

    def mend(self) -> None:
        """The faults that did not strike yet do not."""
        self._faults = Queue()

    def open_gates(self) -> None:
        """Let go of every call that a fault holds, now and later."""
        self._faults.open_gates()

    def calls(self, action: str | None = None) -> list[Call]:
        """The books so far, oldest first."""
        with self._lock:
            return [call for call in self._calls if action in (None, call.action)]

    def _answer(self, request: Request) -> Reply:
        """Runs in the HTTP threads."""
        speaks_json = rpc.speaks(request)
        parameters = rpc.parameters(request) if speaks_json else sigv4.parameters(request)
        action = parameters.get("Action", "?")
        fault = self._faults.take(action)
        self._wait(fault)
        answers = [
            self._once(
                request, Seen(action, "cloudtrail" if speaks_json else "sts", parameters=parameters), fault
            )
            for _ in range(2 if fault and fault.way == "twice" else 1)
        ]
        if fault and fault.gate and fault.way == "hold-reply":
            fault.gate.wait()
        return replace(answers[0], fault=fault)

    def _once(self, request: Request, seen: Seen, fault: Fault | None) -> Reply:
        answer = self._sign_in if urlsplit(request.target).path == signin.PATH else self._query
        with self._lock:
            answered = answer(request, seen, fault)
            struck = fault.name if fault and fault.way not in _UNSEEN else None
            self._calls.append(clerk.enter(self.world, self.clock.now(), request, seen, struck))
        return answered

    def _query(self, request: Request, seen: Seen, fault: Fault | None) -> Reply:
        request_id = str(uuid.uuid4())
        headers = rpc.headers(request_id) if rpc.speaks(request) else {"Content-Type": "text/xml"}
        try:
            result = reply(seen.action, self._act(request, seen, fault), request_id)
            return Reply(200, result, headers=headers)
        except Rejected as error:
            seen.outcome = error.code
            return Reply(error.status, error_reply(seen.service, error, request_id), headers=headers)

    def _sign_in(self, request: Request, seen: Seen, fault: Fault | None) -> Reply:
        """The sign-in endpoint: unsigned, the secrets are in the form; JSON, or a redirect."""
        seen.signer, now = signin.owner(self.world, seen.parameters), self.clock.now()
        try:
            _refuse(fault)
            if seen.action == "login":
                return Reply(302, "", headers={"Location": signin.login(self.world, now, seen.parameters)})
            token = signin.get_signin_token(self.world, now, request.method, seen.parameters)
            return Reply(200, token, headers={"Content-Type": "application/json"})
        except Rejected as error:
            seen.outcome = error.code
            return Reply(error.status, error.message, headers={"Content-Type": "text/plain"})

    def _wait(self, fault: Fault | None) -> None:
        if fault and fault.gate and fault.way == "hold":
            fault.gate.wait()
        seconds = self.pace.answer_s + (fault.delay_s if fault else 0)
        if seconds:
            self._stopping.wait(seconds)

    def _act(self, request: Request, seen: Seen, fault: Fault | None) -> str:
        seen.claim = sigv4.read_claim(request)
        _refuse(fault)
        if seen.action not in TABLE or (TABLE[seen.action][0] == "cloudtrail") != rpc.speaks(request):
            raise Rejected(400, "InvalidAction", f"Could not find operation {seen.action[:60]}")
        seen.service, now = TABLE[seen.action][0], self.clock.now()
        seen.signer = signers.authenticate(
            self.world,
            request,
            seen.claim,
            seen.service,
            now,
            tolerates_skew=self.tolerates_skew,
            disabled_regions=self.disabled_regions,
        )
        return perform(
            Ask(self.world, now, seen.action, seen.signer, seen.parameters, seen.claim.region, seen.made)
        )


def _refuse(fault: Fault | None) -> None:
    if fault and fault.way in ("refuse", "reset"):
        raise Rejected(fault.status, fault.code, fault.message)
