# SPDX-License-Identifier: Apache-2.0
"""`awsvault add-role PROFILE`: a role that vaultd assumes, from a profile that it has."""

from typing import Annotated

import typer

from awsvault import completion, hook, output, rolesettings
from awsvault.commands import home_of, new_app, unlock
from vaultd.wire import client, durations
from vaultd.wire.errors import Usage
from vaultd.wire.protocol import Frame

app = new_app()

_Text = str | None


@app.command(
    "add-role",
    epilog="Example: awsvault add-role admin --source dev --role-arn arn:aws:iam::123456789012:role/admin",
)
def command(  # noqa: PLR0913 - one parameter for each flag
    ctx: typer.Context,
    profile: completion.Profile,
    *,
    source: Annotated[
        _Text, typer.Option("--source", metavar="PROFILE", help="The profile that assumes it.")
    ] = None,
    role_arn: Annotated[_Text, typer.Option("--role-arn", metavar="ARN")] = None,
    external_id: rolesettings.ExternalId = None,
    session_name: rolesettings.SessionName = None,
    duration: rolesettings.Duration = None,
    tag: rolesettings.Tag = None,
    transitive_tag: rolesettings.TransitiveTag = None,
    source_identity: rolesettings.SourceIdentity = None,
    policy: rolesettings.Policy = None,
    policy_arn: rolesettings.PolicyArn = None,
    read_only: rolesettings.ReadOnly = False,
    region: Annotated[
        _Text, typer.Option("--region", metavar="REGION", help="Also written to ~/.aws/config.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put this role in the place of what has the name now.")
    ] = False,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Don't try whether AWS lets the source assume it.")
    ] = False,
    no_config: Annotated[bool, typer.Option("--no-config", help="Leave ~/.aws/config as it is.")] = False,
) -> None:
    """Add a role. Its sessions are made in vaultd, so they work in every SDK, with or without MFA."""
    home = home_of(ctx)
    given: Frame = {
        "source": source,
        "role_arn": role_arn,
        "external_id": external_id,
        "session_name": session_name,
        "duration_s": durations.parse(duration) if duration else None,
        "tags": rolesettings.pairs(tag) or None,
        "transitive_tags": transitive_tag or None,
        "source_identity": source_identity,
        "policy": rolesettings.policy_text(policy),
        "region": region,
    }
    if not (given["source"] and given["role_arn"]):
        raise Usage("a role needs --source PROFILE and --role-arn ARN", hint="run: awsvault add-role --help")
    partition = [*str(given["role_arn"]).split(":"), "aws"][1]
    given["policy_arns"] = (
        rolesettings.policy_arns(policy_arn, read_only=read_only, partition=partition) or None
    )
    plan = None if no_config else hook.plan(profile, home, region)
    unlock.make_ready(home)
    reply = client.call(
        "add_role",
        home=home,
        on_progress=output.progress,
        profile=profile,
        verify=not no_verify,
        replace=replace,
        **given,
    )
    _report(reply)
    if plan:
        plan.write()
        output.say(f"{hook.config_path()} asks for it. Try: aws sts get-caller-identity --profile {profile}")


def _report(reply: Frame) -> None:
    for note in reply["notes"]:
        output.say(str(note))
    shown = reply["profile"]
    output.say(f"{shown['profile']} is added: {shown['role_arn']}, assumed from {shown['source']}.")
