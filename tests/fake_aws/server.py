# SPDX-License-Identifier: Apache-2.0
"""The server: who signed this, what strikes on the way, and the books."""

import ssl
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self
from urllib.parse import urlsplit

from tests.fake_aws import signin, sigv4, terms
from tests.fake_aws.actions import TABLE, error_reply, invalid_token, perform, reply
from tests.fake_aws.books import Call, Clock, Terms
from tests.fake_aws.devices import Device, new_seed, read_seed
from tests.fake_aws.faults import Fault, Queue
from tests.fake_aws.listener import Listener, Reply
from tests.fake_aws.query import Ask
from tests.fake_aws.sigv4 import Claim, Rejected, Request
from tests.fake_aws.world import ACCOUNT, AccessKey, IssuedSession, LastUse, Role, Signer, User, World, new_id

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
    signer: Signer | None = None
    terms: Terms = field(default_factory=Terms)
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

    def add_mfa(self, user: User, *, seed: str | None = None, name: str | None = None) -> Device:
        """A virtual device; `seed` is base32. Raises ValueError for what is not."""
        with self._lock:
            found = new_seed() if seed is None else read_seed(seed)
            return self.world.add_device(user, name or user.name or "root-account-mfa-device", found)

    def add_role(  # one parameter a condition of trust policies
        self,
        name: str,
        *trusts: User | Role | str,
        account: str = ACCOUNT,
        partition: str = "aws",
        path: str = "/",
        external_id: str | None = None,
        needs_mfa: bool = False,
        named_after_user: bool = False,
        allows_tags: bool = False,
        allows_source_identity: bool = False,
        max_session_s: int = 3600,
    ) -> Role:
        """A role that these may assume; text is an ARN, an account's root standing for everybody in it."""
        arns = {principal if isinstance(principal, str) else principal.arn for principal in trusts}
        role = Role(
            name,
            account,
            partition,
            path,
            new_id("AROA"),
            arns,
            external_id,
            needs_mfa,
            named_after_user,
            allows_tags,
            allows_source_identity,
            max_session_s,
        )
        with self._lock:
            self.world.roles[role.arn] = role
        return role

    def set_last_use(self, key: AccessKey, service: str, region: str, at: datetime) -> None:
        with self._lock:
            key.last_use = LastUse(service, region, at)

    def deny(self, principal: User | Role, *actions: str) -> None:
        with self._lock:
            principal.denied |= set(actions)

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

    def _answer(self, request: Request) -> Reply:
        """Runs in the HTTP threads."""
        parameters = sigv4.parameters(request)
        seen = _Seen(parameters.get("Action", "?"), terms=terms.read(parameters))
        fault = self._faults.take(seen.action)
        self._wait(fault)
        answer = self._sign_in if urlsplit(request.target).path == signin.PATH else self._query
        with self._lock:
            answered = answer(request, parameters, seen, fault)
            self._enter(request, seen, fault)
        return replace(answered, fault=fault)

    def _query(
        self, request: Request, parameters: Mapping[str, str], seen: _Seen, fault: Fault | None
    ) -> Reply:
        request_id = str(uuid.uuid4())
        try:
            return Reply(200, reply(seen.action, self._act(request, parameters, seen, fault), request_id))
        except Rejected as error:
            seen.outcome = error.code
            return Reply(error.status, error_reply(seen.service, error, request_id))

    def _sign_in(
        self, request: Request, parameters: Mapping[str, str], seen: _Seen, fault: Fault | None
    ) -> Reply:
        """The sign-in endpoint: unsigned, the secrets are in the form; JSON, or a redirect."""
        seen.signer, now = signin.owner(self.world, parameters), self.clock.now()
        try:
            _refuse(fault)
            if seen.action == "login":
                return Reply(302, "", headers={"Location": signin.login(self.world, now, parameters)})
            token = signin.get_signin_token(self.world, now, request.method, parameters)
            return Reply(200, token, headers={"Content-Type": "application/json"})
        except Rejected as error:
            seen.outcome = error.code
            return Reply(error.status, error.message, headers={"Content-Type": "text/plain"})

    def _wait(self, fault: Fault | None) -> None:
        if fault and fault.gate:
            fault.gate.wait()
        if fault and fault.delay_s:
            self._stopping.wait(fault.delay_s)

    def _act(self, request: Request, parameters: Mapping[str, str], seen: _Seen, fault: Fault | None) -> str:
        seen.claim = sigv4.read_claim(request)
        _refuse(fault)
        if seen.action not in TABLE:
            raise Rejected(400, "InvalidAction", f"Could not find operation {seen.action[:60]}")
        seen.service = TABLE[seen.action][0]
        signer = self._authenticate(request, seen.claim, seen.service)
        seen.signer = signer
        return perform(Ask(self.world, self.clock.now(), seen.action, signer, parameters))

    def _authenticate(self, request: Request, claim: Claim, service: str) -> Signer:
        """Whose request this is, after everything that AWS checks before it looks at rights."""
        signer = self._signer(request, claim)
        sigv4.check(request, claim, signer.secret, None if self.tolerates_skew else self.clock.now())
        if claim.service != service:
            raise Rejected(
                403, "SignatureDoesNotMatch", f"Credential should be scoped to correct service: '{service}'."
            )
        if service == "iam" and claim.region != IAM_REGION[signer.principal.partition]:
            raise Rejected(403, "SignatureDoesNotMatch", "Credential should be scoped to a valid region.")
        if claim.region in self.disabled_regions:
            raise Rejected(
                403, "RegionDisabledException", "STS is not activated in this region for this account."
            )
        if isinstance(signer, IssuedSession) and signer.expires_at <= self.clock.now():
            raise Rejected(403, "ExpiredToken", "The security token included in the request is expired")
        return signer

    def _signer(self, request: Request, claim: Claim) -> Signer:
        token = request.header("x-amz-security-token")
        signer = (
            self.world.sessions.get(claim.access_key_id)
            if token
            else self.world.keys.get(claim.access_key_id)
        )
        if signer is None or signer.principal.partition != partition_of(claim.region):
            raise invalid_token()
        if isinstance(signer, IssuedSession) and signer.token != token:
            raise invalid_token()
        if isinstance(signer, AccessKey) and signer.status != "Active":
            raise invalid_token()
        return signer

    def _enter(self, request: Request, seen: _Seen, fault: Fault | None) -> None:
        struck = fault.name if fault and fault.way not in ("delay", "hold") else None
        claim, signer = seen.claim, seen.signer
        who = claim or signer
        self._calls.append(
            Call(
                at=self.clock.now(),
                action=seen.action,
                access_key_id=who.access_key_id if who else None,
                user=signer.arn if signer else None,
                region=claim.region if claim else None,
                user_agent=request.header("user-agent"),
                outcome=struck or seen.outcome,
                method=request.method,
                parameters=tuple(sorted(sigv4.parameters(request))),
                terms=seen.terms,
            )
        )


def _refuse(fault: Fault | None) -> None:
    if fault and fault.way in ("refuse", "reset"):
        raise Rejected(fault.status, fault.code, fault.message)
