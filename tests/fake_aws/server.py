# SPDX-License-Identifier: Apache-2.0
"""The server: who signed this, what strikes on the way, and the books."""

import ssl
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from tests.fake_aws import sigv4
from tests.fake_aws.actions import TABLE, Ask, error_reply, invalid_token, perform, reply
from tests.fake_aws.books import Call, Clock
from tests.fake_aws.faults import Fault, Queue
from tests.fake_aws.listener import Listener
from tests.fake_aws.sigv4 import Claim, Rejected, Request
from tests.fake_aws.world import ACCOUNT, AccessKey, IssuedSession, LastUse, User, World

#: IAM is one place a partition, and only signatures for that place count.
IAM_REGION = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}


def partition_of(region: str) -> str:
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


@dataclass(slots=True)
class _Seen:
    """What is known so far of the request being answered, for the books."""

    action: str
    service: str = "sts"
    claim: Claim | None = None
    user: User | None = None
    outcome: str = "ok"


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

    def set_last_use(self, key: AccessKey, service: str, region: str, at: datetime) -> None:
        with self._lock:
            key.last_use = LastUse(service, region, at)

    def deny(self, user: User, *actions: str) -> None:
        with self._lock:
            user.denied |= set(actions)

    def fault(self, fault: Fault, *, action: str | None = None, times: int = 1) -> None:
        """Strike the next `times` calls, of this action only when it is named."""
        self._faults.put(fault, action, times)

    def open_gates(self) -> None:
        """Let go of every call that a fault holds, now and later."""
        self._faults.open_gates()

    def calls(self, action: str | None = None) -> list[Call]:
        """The books so far, oldest first."""
        with self._lock:
            return [call for call in self._calls if action in (None, call.action)]

    def _answer(self, request: Request) -> tuple[int, str, Fault | None]:
        """Status, body and the fault that is to strike on the way back. Runs in the HTTP threads."""
        parameters = sigv4.parameters(request)
        seen = _Seen(parameters.get("Action", "?"))
        fault = self._faults.take(seen.action)
        self._wait(fault)
        request_id = str(uuid.uuid4())
        with self._lock:
            try:
                body = reply(seen.action, self._act(request, parameters, seen, fault), request_id)
                status = 200
            except Rejected as error:
                seen.outcome = error.code
                status, body = error.status, error_reply(seen.service, error, request_id)
            self._enter(request, seen, fault)
        return status, body, fault

    def _wait(self, fault: Fault | None) -> None:
        if fault and fault.gate:
            fault.gate.wait()
        if fault and fault.delay_s:
            self._stopping.wait(fault.delay_s)

    def _act(self, request: Request, parameters: Mapping[str, str], seen: _Seen, fault: Fault | None) -> str:
        seen.claim = sigv4.read_claim(request)
        if fault and fault.way in ("refuse", "reset"):
            raise Rejected(fault.status, fault.code, fault.message)
        if seen.action not in TABLE:
            raise Rejected(400, "InvalidAction", f"Could not find operation {seen.action[:60]}")
        seen.service = TABLE[seen.action][0]
        signer = self._authenticate(request, seen.claim, seen.service)
        seen.user = signer.user
        return perform(Ask(self.world, self.clock.now(), seen.action, signer.user, signer, parameters))

    def _authenticate(self, request: Request, claim: Claim, service: str) -> AccessKey | IssuedSession:
        """Whose request this is, after everything that AWS checks before it looks at rights."""
        signer = self._signer(request, claim)
        sigv4.check(request, claim, signer.secret, None if self.tolerates_skew else self.clock.now())
        if claim.service != service:
            raise Rejected(
                403, "SignatureDoesNotMatch", f"Credential should be scoped to correct service: '{service}'."
            )
        if service == "iam" and claim.region != IAM_REGION[signer.user.partition]:
            raise Rejected(403, "SignatureDoesNotMatch", "Credential should be scoped to a valid region.")
        if claim.region in self.disabled_regions:
            raise Rejected(
                403, "RegionDisabledException", "STS is not activated in this region for this account."
            )
        if isinstance(signer, IssuedSession) and signer.expires_at <= self.clock.now():
            raise Rejected(403, "ExpiredToken", "The security token included in the request is expired")
        return signer

    def _signer(self, request: Request, claim: Claim) -> AccessKey | IssuedSession:
        token = request.header("x-amz-security-token")
        signer = (
            self.world.sessions.get(claim.access_key_id)
            if token
            else self.world.keys.get(claim.access_key_id)
        )
        if signer is None or signer.user.partition != partition_of(claim.region):
            raise invalid_token()
        if isinstance(signer, IssuedSession) and signer.token != token:
            raise invalid_token()
        if isinstance(signer, AccessKey) and signer.status != "Active":
            raise invalid_token()
        return signer

    def _enter(self, request: Request, seen: _Seen, fault: Fault | None) -> None:
        struck = fault.name if fault and fault.way not in ("delay", "hold") else None
        claim = seen.claim
        self._calls.append(
            Call(
                at=self.clock.now(),
                action=seen.action,
                access_key_id=claim.access_key_id if claim else None,
                user=seen.user.arn if seen.user else None,
                region=claim.region if claim else None,
                user_agent=request.header("user-agent"),
                outcome=struck or seen.outcome,
            )
        )
