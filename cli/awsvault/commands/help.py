# SPDX-License-Identifier: Apache-2.0
"""`awsvault help TOPIC`: the few things that error messages point to."""

from typing import Annotated

import typer

from awsvault import output
from awsvault.commands import new_app
from vaultd.wire.errors import Usage

app = new_app()

TOPICS = {
    "session": """\
InvalidClientTokenId (or AccessDenied) from IAM, though the key is good?

A profile that serves sessions hands out temporary credentials, so that the key itself never leaves vaultd. Without
MFA, AWS lets such a session call neither IAM nor STS beyond AssumeRole and GetCallerIdentity. CloudFormation and
Terraform that make IAM resources meet the same wall.

    awsvault edit PROFILE --serve key      hands out the key itself, with an end date that clients obey
    awsvault edit PROFILE --serve session  back again
""",
    "totp": """\
Keeping the seed of an MFA device (awsvault edit PROFILE --totp-stdin) lets vaultd make the codes itself: no prompts.

It is weaker. MFA is worth something because the code comes from another thing than the key; with both in one vault,
whoever opens the vault has both. It still helps against a key that leaked by itself, and satisfies policies that ask
for MFA. Otherwise: awsvault mfa PROFILE, once every twelve hours.
""",
    "rotate": """\
Rotating a key by hand, until awsvault does it by itself. Nothing stops working if you keep to the order:

    1. Make a second key for the same user in the IAM console, and download its .csv.
    2. awsvault add PROFILE --csv FILE --delete-csv --replace
       Programs get the new key at their next refresh; what they hold already lives up to its end date (4 hours).
    3. After a day: look in the console when the old key was last used. When nothing uses it, deactivate it there.
    4. After a week: delete it there.

awsvault snooze PROFILE puts the reminder off.
""",
    "revoke": """\
Taking a key out of use by hand: deactivate it in the IAM console (which can be undone), look whether anything breaks,
then delete it there and run: awsvault remove PROFILE

A key that leaked: deactivate it at once. Sessions that were made from it live on, for up to 36 hours; attach an inline
policy to the user that denies everything where aws:TokenIssueTime is before now. A root key: delete it, AWS advises to
have none.
""",
    "damaged": """\
The vault file is not what was written, or its header was changed. It was not touched.

vaultd keeps earlier generations in `backups` beside the vault (`awsvault status` shows where it is): the ten newest,
and one a day for 30 days. To go back to one:

    awsvault daemon stop
    cp -p BACKUP VAULT
    awsvault unlock --accept-older-vault

A disk that does this once may do it again: look at it.
""",
    "exit": """\
0 done   1 failed   2 usage   3 locked, or no vault yet   4 no such profile   5 vaultd cannot be reached
6 refused by policy   7 AWS refused or cannot be reached   8 vault damaged or rolled back   9 something was found
130 interrupted
""",
}


@app.command("help", epilog="Example: awsvault help session")
def command(
    topic: Annotated[str | None, typer.Argument(show_default=False, help=", ".join(TOPICS))] = None,
) -> None:
    """Explain a topic that an error message names."""
    if topic is None:
        output.answer(f"Topics: {', '.join(TOPICS)}. Commands: awsvault --help")
        return
    if topic not in TOPICS:
        raise Usage("there is no such topic", hint=f"choose from {', '.join(TOPICS)}")
    output.answer(TOPICS[topic].rstrip("\n"))
