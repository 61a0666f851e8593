# SPDX-License-Identifier: Apache-2.0
"""What is in the vaults of the vectors. The credentials are the examples of AWS's own documentation."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from vaultd.core.keys import Key
from vaultd.core.records import Body, KeyProfile, MfaSession
from vaultd.core.revocation import Revocation
from vaultd.core.roles import RoleProfile
from vaultd.core.rotation import Rotation
from vaultd.core.secret import Secret
from vaultd.core.undo import Undo

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)

DEV = KeyProfile(
    name="dev",
    key=Key(
        "AKIAIOSFODNN7EXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), NOW - timedelta(80), NOW
    ),
    serve="session",
    partition="aws",
    account="123456789012",
    arn="arn:aws:iam::123456789012:user/dev",
    region="eu-central-1",
    mfa_serial=None,
    verified_at=NOW,
    last_used_at=None,
)
PROD = KeyProfile(
    name="Prod_2",
    key=Key("AKIAI44QH8DHBEXAMPLE", Secret('je7MtGbClwBF/2Zp9Utk/h3yCo8nvb"\\AMPLEKEY'), None, NOW),
    serve="key",
    partition="aws-us-gov",
    account="111122223333",
    arn="arn:aws-us-gov:iam::111122223333:user/ops/prod",
    region=None,
    mfa_serial="arn:aws-us-gov:iam::111122223333:mfa/prod",
    verified_at=None,
    last_used_at=NOW + timedelta(hours=1),
)

_SERIAL = "arn:aws:iam::123456789012:mfa/dev"
_POLICY = '{"Version":"2012-10-17","Statement":[]}'
_HOST = "laptop.example:0123abcd"

_NARROW = replace(
    DEV,
    name="narrow",
    key=Key("AKIANARROW0000000KEY", Secret("narrow/secret+of+forty+characters/EXAMP0"), None, NOW),
    policy=_POLICY,
    policy_arns=("arn:aws:iam::aws:policy/ReadOnlyAccess",),
    auto_rotate=_HOST,
)
_WIDE = replace(
    DEV,
    name="wide",
    key=Key("AKIAWIDE000000000KEY", Secret("wide/secret+of+forty+characters/EXAMPLE0"), NOW, NOW),
    mfa_serial=_SERIAL,
    totp=Secret(bytes(range(20))),
    totp_last_step=59850720,
    mfa_process=("ykman", "oath", "accounts", "code", "-s", "aws dev"),
)
_ROLE = RoleProfile(
    name="admin",
    added_at=NOW,
    source="dev",
    role_arn="arn:aws:iam::123456789012:role/ops/admin",
    external_id="acme-1234",
    session_name="alice@laptop",
    duration_s=7200,
    tags=(("team", "blue"), ("cost center", "12")),
    transitive_tags=("team",),
    source_identity="alice",
    policy=_POLICY,
    policy_arns=("arn:aws:iam::aws:policy/ReadOnlyAccess",),
    region="us-east-1",
    verified_at=NOW,
    last_used_at=NOW + timedelta(minutes=5),
)
_PLAIN_ROLE = RoleProfile(
    name="audit", added_at=NOW, source="admin", role_arn="arn:aws:iam::210987654321:role/audit"
)
_NEW = Key("AKIANEWKEY0000000001", Secret("new/secret/of/forty/characters/+EXAMPLE0"), NOW, NOW)
_OTHER = Key("AKIAOTHERKEY00000001", Secret("other/secret+of/forty+characters+EXAMPL0"), None, NOW)
_IN_GRACE = Rotation(
    run="0123456789abcdef",
    state="grace",
    since=NOW,
    started_at=NOW - timedelta(seconds=12),
    host=_HOST,
    old=DEV.key,
    new=_NEW,
    known=("AKIAIOSFODNN7EXAMPLE",),
    promoted_at=NOW,
    back=True,
    hurry=False,
    force=True,
    waits="the old key was used on 2026-11-25 at 11:00 UTC by s3 in eu-central-1",
)
_INTENT = Rotation(
    run="fedcba9876543210", state="intent", since=NOW, started_at=NOW, host=_HOST, old=PROD.key
)

#: A row of every kind, and a member of every name.
EVERY_ROW = Body(
    {
        profile.name: profile
        for profile in (
            replace(DEV, key=_NEW),
            PROD,
            _NARROW,
            _WIDE,
            replace(DEV, name="gone", key=_OTHER),
            _ROLE,
            _PLAIN_ROLE,
        )
    },
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    mfa_sessions={
        ("AKIAWIDE000000000KEY", _SERIAL): MfaSession(
            "ASIAIOSFODNN7EXAMPLE",
            Secret("session/secret/of/forty/characters+EXAMP"),
            Secret("IQoJb3JpZ2luX2VjEXAMPLETOKEN=="),
            NOW + timedelta(hours=12),
        )
    },
    rotations={"dev": _IN_GRACE, "Prod_2": _INTENT},
    snoozed={"wide": NOW + timedelta(days=7)},
    forgotten={"AKIAFORGOTTEN0000001": "00112233445566ff"},
    revocations={
        "gone": Revocation(
            ("AKIAOTHERKEY00000001",),
            "deleted",
            True,
            NOW,
            ("sessions",),
            "iam:DeleteAccessKey is not allowed",
        )
    },
    undo=Undo(
        NOW,
        True,
        ("dev", "wide"),
        ("wide",),
        (Secret('["r","/home/alice/.aws/credentials",[[0,"","[wide]\\n","",""]]]\n'),),
    ),
)
