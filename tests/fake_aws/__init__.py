# SPDX-License-Identifier: Apache-2.0
"""A small STS and IAM on 127.0.0.1 that says no as AWS does: what moto cannot show (design section 16).

It checks signatures, key status, expiry and rights, shares no code with a client, and keeps books of every call.
The knowledge is in layers: `sigv4` (the specification), `world` and `devices` (who exists), `sts`, `iam` and `signin`
(what they answer), `trust` and `terms` (to whom, and on what terms), `actions` (what may be asked by whose
credentials), `faults` (what can go wrong on the way), `listener` (HTTP), `server` (all of it, and the books).
"""

from tests.fake_aws.books import Call, Clock, Terms
from tests.fake_aws.devices import Device
from tests.fake_aws.faults import Fault, Gate
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
    "Role",
    "Terms",
    "User",
]
