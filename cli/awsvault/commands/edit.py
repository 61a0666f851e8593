# SPDX-License-Identifier: Apache-2.0
"""`awsvault edit PROFILE`: change how a profile is served without entering its key again."""

import shlex
import sys
from typing import Annotated, Any

import typer

from awsvault import completion, output, prompts, rolesettings
from awsvault.commands import home_of, new_app
from vaultd.wire import client, durations
from vaultd.wire.errors import Usage, VaultError

app = new_app()

_Text = str | None
CLEARABLE = (
    "region mfa-serial external-id session-name duration tags transitive-tags source-identity policy policy-arns totp mfa-process"
).split()


@app.command("edit", epilog="Example: awsvault edit dev --serve key")
def command(  # noqa: PLR0913 - one parameter for each flag
    ctx: typer.Context,
    profile: completion.Profile,
    *,
    serve: Annotated[
        _Text, typer.Option("--serve", metavar="session|key", help="What `get` hands out.")
    ] = None,
    region: Annotated[
        _Text, typer.Option("--region", metavar="REGION", help="The region of its calls; '' for none.")
    ] = None,
    mfa_serial: Annotated[
        _Text, typer.Option("--mfa-serial", metavar="ARN", help="Its MFA device; '' for none.")
    ] = None,
    totp_stdin: Annotated[
        bool,
        typer.Option(
            "--totp-stdin",
            help="Keep the device's seed (base32): asked for, or from a pipe. Weaker: see help totp.",
        ),
    ] = False,
    mfa_process: Annotated[
        _Text,
        typer.Option(
            "--mfa-process", metavar="'CMD ARGS'", help="A command that prints a code; run by awsvault mfa."
        ),
    ] = None,
    auto_rotate: Annotated[
        bool | None,
        typer.Option(
            "--auto-rotate/--no-auto-rotate", help="Let vaultd on this machine rotate the key when it is due."
        ),
    ] = None,
    source: Annotated[
        _Text, typer.Option("--source", metavar="PROFILE", help="Of a role: what assumes it.")
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
    clear: Annotated[
        list[str] | None,
        typer.Option("--clear", metavar="SETTING", help=f"Set back one of {', '.join(CLEARABLE)}."),
    ] = None,
) -> None:
    """Change a profile: how it is served, its MFA, what narrows it."""
    given: dict[str, Any] = {
        "serve": serve,
        "region": region,
        "mfa_serial": mfa_serial,
        "mfa_process": _argv(mfa_process),
        "source": source,
        "role_arn": role_arn,
        "external_id": external_id,
        "session_name": session_name,
        "duration_s": rolesettings.seconds(duration),
        "tags": rolesettings.pairs(tag) or None,
        "transitive_tags": transitive_tag or None,
        "source_identity": source_identity,
        "policy": rolesettings.policy_text(policy),
        "policy_arns": policy_arn or None,
    }
    changes = {name: value or None for name, value in given.items() if value is not None} | _cleared(clear)
    if auto_rotate is not None:
        changes["auto_rotate"] = auto_rotate
    if not (changes or totp_stdin or read_only):
        raise Usage("there is nothing to change", hint="run: awsvault edit --help")
    home = home_of(ctx)
    before = client.call("show", home=home, profile=profile)["profile"]
    if read_only:
        changes["policy_arns"] = rolesettings.policy_arns(
            policy_arn, read_only=True, partition=before["partition"]
        )
    shown = {name: value or "none" for name, value in changes.items()}
    if auto_rotate is not None:
        shown["auto_rotate"] = "on" if auto_rotate else "off"
    if totp_stdin:
        changes["totp"], shown["totp"] = _seed(), "kept"
        output.say(
            "With its seed beside the key the device is no second factor any more: who opens the vault has both."
        )
    client.call("edit", home=home, profile=profile, changes=changes)
    if "region" in changes:
        _follow(profile, home, before["region"], changes["region"])
    said = (
        f"{name.removesuffix('_s').replace('_', '-')} {_words(name, value)}" for name, value in shown.items()
    )
    output.say(f"{profile} is changed: {', '.join(said)}")


def _argv(text: str | None) -> list[str] | None:
    """A command as words. No shell will read it, so what only a shell understands is not in it."""
    if text is None:
        return None
    try:
        return shlex.split(text)
    except ValueError:
        raise Usage("--mfa-process has a quote that does not end") from None


def _cleared(names: list[str] | None) -> dict[str, None]:
    """Each setting by the name of its option, as the wire calls it. Raises Usage."""
    if not set(names or ()) <= set(CLEARABLE):
        raise Usage("--clear takes the name of a setting", hint=f"choose from {', '.join(CLEARABLE)}")
    return {{"duration": "duration_s"}.get(name, name.replace("-", "_")): None for name in names or ()}


def _seed() -> str:
    if sys.stdin and not sys.stdin.isatty():
        return sys.stdin.readline(1024).strip()
    if not prompts.available():
        raise Usage("no terminal to ask for the seed on", hint="pipe it into --totp-stdin")
    return prompts.ask_secret("Seed of the MFA device (base32): ")


def _words(name: str, value: Any) -> str:
    if name == "duration_s" and isinstance(value, int):
        return durations.show(value)
    if isinstance(value, dict):
        return " ".join(f"{key}={text}" for key, text in value.items())
    return " ".join(value) if isinstance(value, list) else str(value)


def _follow(profile: str, home: str | None, old: str | None, new: str | None) -> None:
    """The region line that `add` wrote beside the hook says the same."""
    from awsvault import hook

    try:
        hook.change_region(profile, home, old, new)
    except VaultError as error:
        output.say(f"the region in {hook.config_path()} stays: {error.line}")
