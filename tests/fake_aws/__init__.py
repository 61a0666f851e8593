# SPDX-License-Identifier: Apache-2.0
"""A small STS and IAM on 127.0.0.1 that says no as AWS does: what moto cannot show (design section 16).

It checks signatures, key status, expiry and rights, shares no code with a client, and keeps books of every call.
The knowledge is in layers: `sigv4` (the specification), `world` and `devices` (who exists), `pace` (how late AWS's
parts learn of it), `sts`, `iam`, `users`, `trail` and `signin` (what they answer), `trust` and `terms` (to whom, and on
what terms), `signers`, `policies` and `rights` (who may ask), `actions` (what may be asked), `faults` (what can go wrong
on the way), `listener`, `query` and `rpc` (HTTP and the protocols), `clerk` (what is written
down), `server` (all of it).
"""

from tests.fake_aws.books import Call, Clock, Terms
from tests.fake_aws.devices import Device
from tests.fake_aws.faults import Fault, Gate
from tests.fake_aws.pace import Pace
from tests.fake_aws.server import FakeAws
from tests.fake_aws.world import AccessKey, IssuedSession, LastUse, Role, User

__all__ = [
    "AccessKey",
    "Call",
    "Clock",
    "Device",
    "FakeAws",
    "Fault",
    "Gate",
    "IssuedSession",
    "LastUse",
    "Pace",
    "Role",
    "Terms",
    "User",
]
