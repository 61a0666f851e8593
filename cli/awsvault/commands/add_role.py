# SPDX-License-Identifier: Apache-2.0
"""`awsvault add-role PROFILE`: a role that vaultd assumes, from a profile that it has."""

from typing import Annotated

import typer

from awsvault import adopting, completion, hook, output, rolesettings
from awsvault.commands import home_of, new_app, unlock
from vaultd.core import adopt
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
    role_arn: rolesettings.RoleArn = None,
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
    from_config: Annotated[
        _Text,
        typer.Option(
            "--from-config", metavar="NAME", help="Take over the role profile of this name in ~/.aws/config."
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Don't ask before its key gets the MFA device that it names.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put this role in the place of what has the name now.")
    ] = False,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Don't try whether AWS lets the source assume it.")
    ] = False,
    no_config: Annotated[bool, typer.Option("--no-config", help="Leave ~/.aws/config as it is.")] = False,
) -> None:
    """Add a role. Its sessions are made in vaultd, so they work in every SDK, with or without MFA.

    --from-config takes a role profile over as it stands in ~/.aws/config, aws-vault's settings included, and puts the
    line that asks awsvault in its place.
    """
    home = home_of(ctx)
    given: Frame = {
        "source": source,
        "role_arn": role_arn,
        "external_id": external_id,
        "session_name": session_name,
        "duration_s": rolesettings.seconds(duration),
        "tags": rolesettings.pairs(tag) or None,
        "transitive_tags": transitive_tag or None,
        "source_identity": source_identity,
        "policy": rolesettings.policy_text(policy),
        "region": region,
    }
    config = hook.read_config() if from_config else None
    found = adopt.role_in(config, from_config) if config and from_config else None
    if found:
        given = adopting.settings(found, given)
    if not (given["role_arn"] and (given["source"] or found)):
        raise Usage("a role needs --source PROFILE and --role-arn ARN", hint="run: awsvault add-role --help")
    partition = [*str(given["role_arn"]).split(":"), "aws"][1]
    arns = rolesettings.policy_arns(policy_arn, read_only=read_only, partition=partition)
    plan = None if no_config else hook.plan(profile, home, given["region"], from_config)
    unlock.make_ready(home)
    if config and found and not given["source"]:
        given["source"] = adopting.source(home, config, str(from_config), found)
    device = adopting.Device(home, found.mfa_serial, given["source"]) if found and found.mfa_serial else None
    fields = {**given, "policy_arns": arns or None, "verify": not no_verify, "replace": replace}
    _report(adopting.add(home, profile, fields, device, yes=yes))
    if plan:
        plan.write_last("the role")


def _report(reply: Frame) -> None:
    for note in reply["notes"]:
        output.say(str(note))
    shown = reply["profile"]
    output.say(f"{shown['profile']} is added: {shown['role_arn']}, assumed from {shown['source']}.")
