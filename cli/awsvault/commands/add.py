# SPDX-License-Identifier: Apache-2.0
"""`awsvault add PROFILE`: take a key in, check it with AWS, and let ~/.aws/config ask for it."""

import sys
from typing import Annotated

import typer

from awsvault import completion, download, hook, keyinput, output, prompts, serving
from awsvault.commands import home_of, new_app, unlock
from awsvault.keyinput import KeyText
from vaultd.wire import client
from vaultd.wire.errors import Conflict, Undecided, Usage
from vaultd.wire.protocol import Frame

app = new_app()


Stdin = Annotated[
    bool, typer.Option("--stdin", help="Read the key from stdin: two lines, or create-access-key's JSON.")
]
Csv = Annotated[
    str | None, typer.Option("--csv", metavar="FILE", help="Read the key from a file of the IAM console.")
]
CsvRow = Annotated[
    int | None, typer.Option("--csv-row", metavar="N", min=1, help="Which row, when there are several.")
]
KeyId = Annotated[
    str | None,
    typer.Option(
        "--access-key-id", metavar="ID", help="Which key, when there are several; its last 4 will do."
    ),
]
DeleteCsv = Annotated[bool, typer.Option("--delete-csv", help="Delete the file once the key is kept.")]
Serve = Annotated[
    str | None,
    typer.Option("--serve", metavar="session|key", help="What `get` hands out. Default: by what AWS says."),
]
Region = Annotated[
    str | None,
    typer.Option("--region", metavar="REGION", help="The profile's region, also written to ~/.aws/config."),
]
MfaSerial = Annotated[str | None, typer.Option("--mfa-serial", metavar="ARN", help="The user's MFA device.")]
Replace = Annotated[
    bool, typer.Option("--replace", help="Put this key in the place of the profile's present one.")
]
NoVerify = Annotated[bool, typer.Option("--no-verify", help="Don't ask AWS whether the key works.")]
AllowRoot = Annotated[bool, typer.Option("--allow-root", help="Take a root user's key.")]
NoConfig = Annotated[bool, typer.Option("--no-config", help="Leave ~/.aws/config as it is.")]


@app.command("add", epilog="Example: awsvault add dev --csv ~/Downloads/alice_accessKeys.csv")
def command(  # noqa: PLR0913 - one parameter for each flag
    ctx: typer.Context,
    profile: completion.Profile,
    *,
    from_stdin: Stdin = False,
    csv: Csv = None,
    csv_row: CsvRow = None,
    access_key_id: KeyId = None,
    delete_csv: DeleteCsv = False,
    serve: Serve = None,
    region: Region = None,
    mfa_serial: MfaSerial = None,
    replace: Replace = False,
    no_verify: NoVerify = False,
    allow_root: AllowRoot = False,
    no_config: NoConfig = False,
) -> None:
    """Add an access key. It is asked for, and never taken from the command line.

    AWS is asked whose key it is; then a line in ~/.aws/config makes every AWS tool ask awsvault for the profile.
    """
    if csv is None and (csv_row or access_key_id or delete_csv):
        raise Usage("--csv-row, --access-key-id and --delete-csv belong to --csv")
    _check_source(from_stdin=from_stdin, csv=csv)
    home = home_of(ctx)
    plan = None if no_config else hook.plan(profile, home, region)
    # What can be wrong without the vault is found before anybody types a passphrase.
    key = (
        keyinput.from_csv(csv, row=csv_row, access_key_id=access_key_id)
        if csv
        else _piped()
        if from_stdin
        else None
    )
    unlock.make_ready(home)
    _check_free(home, profile, replace=replace)
    choices: Frame = {"serve": serve, "region": region, "mfa_serial": mfa_serial, "replace": replace}
    reply = _add(
        home, profile, key or _typed(), {**choices, "verify": not no_verify, "allow_root": allow_root}
    )
    _report(reply)
    if plan:
        plan.write_last("the key")
    if csv:
        download.finish(csv, delete=delete_csv, ask=prompts.available())


def _check_source(*, from_stdin: bool, csv: str | None) -> None:
    if from_stdin and csv:
        raise Usage("use one of --stdin or --csv FILE")
    if not (from_stdin or csv or prompts.available()):
        raise Usage("no terminal to ask for the key on", hint="use --stdin or --csv FILE")


def _check_free(home: str | None, profile: str, *, replace: bool) -> None:
    """Before anybody types a secret for nothing; the daemon checks again."""
    if not replace and profile in client.call("names", home=home)["names"]:
        raise Conflict(
            f"there is a profile {profile} already",
            hint=f"to exchange its key: awsvault add {profile} --replace",
        )


def _typed() -> KeyText:
    return KeyText(prompts.ask("Access key ID: "), prompts.ask_secret("Secret access key: "))


def _piped() -> KeyText:
    if sys.stdin is None or sys.stdin.isatty():
        raise Usage(
            "--stdin reads a pipe or a file, and stdin is a terminal", hint="leave --stdin out to be asked"
        )
    data = sys.stdin.buffer.read(keyinput.SIZE_LIMIT + 1)
    if len(data) > keyinput.SIZE_LIMIT:
        raise Usage("stdin holds more than 1 MiB: no access key")
    try:
        return keyinput.from_text(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Usage("stdin is not text") from None


def _add(home: str | None, profile: str, key: KeyText, choices: Frame) -> Frame:
    fields: Frame = {
        "profile": profile,
        "access_key_id": key.access_key_id,
        "secret_access_key": key.secret_access_key,
        **choices,
    }
    try:
        return client.call("add", home=home, on_progress=output.progress, **fields)
    except Undecided as error:
        if not prompts.available():
            raise
        fields["serve"] = serving.choose(error.message, str(error.details.get("proposal", "key")))
        return client.call("add", home=home, on_progress=output.progress, **fields)


def _report(reply: Frame) -> None:
    for note in reply["notes"]:
        output.say(str(note))
    profile = reply["profile"]
    owner = profile["arn"] or "not checked with AWS"
    output.say(
        f"{profile['profile']} is added: key {output.short_key(profile['access_key_id'])} ({owner}), serves {profile['serve']}."
    )
