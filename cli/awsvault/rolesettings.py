# SPDX-License-Identifier: Apache-2.0
"""The options that shape a session, as `add-role` and `edit` take them: from what is typed to what the wire carries."""

import json
import os
from typing import Annotated

import typer

from vaultd.wire import durations
from vaultd.wire.errors import Usage

POLICY_LIMIT = 64 * 1024  # bytes of a file; AWS takes 2048 characters

RoleArn = Annotated[str | None, typer.Option("--role-arn", metavar="ARN", help="The role that is assumed.")]
ExternalId = Annotated[
    str | None, typer.Option("--external-id", metavar="ID", help="What the role's owner asks for.")
]
SessionName = Annotated[
    str | None,
    typer.Option(
        "--session-name", metavar="NAME", help="Default: the IAM user's name, as trust policies want."
    ),
]
Duration = Annotated[
    str | None, typer.Option("--duration", metavar="TIME", help="How long its sessions live, like 1h.")
]
Tag = Annotated[
    list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="A session tag; may be repeated.")
]
TransitiveTag = Annotated[
    list[str] | None, typer.Option("--transitive-tag", metavar="KEY", help="A tag that chained roles keep.")
]
SourceIdentity = Annotated[
    str | None,
    typer.Option(
        "--source-identity", metavar="NAME", help="Needs sts:SetSourceIdentity in the trust policy."
    ),
]
Policy = Annotated[
    str | None, typer.Option("--policy", metavar="FILE|JSON", help="A session policy that narrows it.")
]
PolicyArn = Annotated[
    list[str] | None,
    typer.Option("--policy-arn", metavar="ARN", help="A managed policy that narrows it; may be repeated."),
]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="Narrow it to AWS's ReadOnlyAccess.")]


def seconds(text: str | None) -> int | None:
    """A `--duration`. Raises Usage."""
    if text is None:
        return None
    try:
        return durations.parse(text)
    except Usage as error:
        raise Usage(f"--duration {error.message}") from None


def pairs(tags: list[str] | None) -> dict[str, str]:
    """`KEY=VALUE` as a mapping. Raises Usage."""
    found: dict[str, str] = {}
    for tag in tags or ():
        key, equals, value = tag.partition("=")
        if not (key and equals) or key in found:
            raise Usage("a --tag is written KEY=VALUE, each key once")
        found[key] = value
    return found


def policy_text(policy: str | None) -> str | None:
    """The policy, in as few characters as it takes: AWS counts them. Raises Usage."""
    if policy is None:
        return None
    text = policy if policy.lstrip().startswith("{") else _read(policy)
    try:
        return json.dumps(json.loads(text), separators=(",", ":"))
    except (ValueError, RecursionError):
        raise Usage("the session policy is not JSON") from None


def _read(path: str) -> str:
    try:
        if os.path.getsize(path) > POLICY_LIMIT:
            raise Usage("the policy file is too large for a session policy")
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        raise Usage("the policy file cannot be read") from None


def policy_arns(arns: list[str] | None, *, read_only: bool, partition: str) -> list[str]:
    """The managed policies, the partition's ReadOnlyAccess among them when it was asked for."""
    return [*(arns or ()), *([f"arn:{partition}:iam::aws:policy/ReadOnlyAccess"] if read_only else [])]
