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
    "clients": """\
Every AWS SDK and tool takes the profile from AWS_PROFILE in its environment, or by its name:

    aws            aws s3 ls --profile prod
    boto3          boto3.Session(profile_name="prod")
    JavaScript 3   new STSClient({ profile: "prod" })
    Go 2           config.LoadDefaultConfig(ctx, config.WithSharedConfigProfile("prod"))
    Rust           aws_config::from_env().profile_name("prod")
    Java 2         ProfileCredentialsProvider.create("prod"), and the region: it brings credentials only
    Terraform      profile = "prod" in provider "aws", and in backend "s3"
    VS Code        AWS: Connect to AWS, profile:prod
    Docker         awsvault exec prod --server -- docker run --network host ...

It asks once, keeps the session until shortly before its end, and asks again: over a rotation without a new start, and
over a lock with what it has until that ends. After that a locked vault shows like this:

    aws, boto3, Rust, VS Code   the error has our line: vault is locked; run: awsvault unlock
    Go, Terraform               our line is on stderr; the error says "exit status 3"
    Java                        our line is the cause of "Failed to refresh process-based credentials"; the default chain,
                                DefaultCredentialsProvider, drops it
    JavaScript                  "Could not load credentials from any providers"
    C++                         none, and requests go out unsigned

    awsvault status             the last 20 refusals, for those that show none

JavaScript and VS Code read ~/.aws once: what is added later needs a new start, or "Developer: Reload Window".
With most, credentials in AWS_ACCESS_KEY_ID and keys left in ~/.aws/credentials beat the hook: awsvault doctor finds them.
""",
    "totp": """\
Keeping the seed of an MFA device (awsvault edit PROFILE --totp-stdin) lets vaultd make the codes itself: no prompts.

It is weaker. MFA is worth something because the code comes from another thing than the key; with both in one vault,
whoever opens the vault has both. It still helps against a key that leaked by itself, and satisfies policies that ask
for MFA. Otherwise: awsvault mfa PROFILE, once every twelve hours.
""",
    "import": """\
awsvault import moves the keys that lie in plain text into the vault: it finds them, asks AWS about each, keeps them, and
only then rewrites the files. Every tool goes on with the same profile names.

    awsvault import --dry-run                which keys, whose, how old, what would become of them; changes nothing
    awsvault import                          choose, then confirm once; without a terminal: --all (or names) and --yes
    awsvault import --file FILE              look here, too: a .env, a shell's start-up file, a .csv of the IAM console, an
                                             old copy of AWS's files
    awsvault import --from aws-vault NAME    or granted: ask that tool for the key that it holds; it keeps its own
    awsvault import --undo                   the lines come back and the profiles go, until a week is over or one of
                                             the keys is rotated, revoked, exchanged or removed

What changes: the lines with the key go out of ~/.aws/credentials and ~/.aws/config, a credential_process line comes into
the config; in a .env or a start-up file AWS_PROFILE takes the key's place. Roles that are assumed from a key are offered,
since several SDKs cannot assume them from a process; one with an MFA device only with your yes, or --roles, for its key is
served after a code only from then on. A section whose name is none for the vault keeps it: [acme.prod] asks for acme-prod.
Comments, order, other settings, line ends, links and modes stay. --undo refuses, and changes nothing, when a line that it
would put back or take out has changed since.

How a key is served is decided by what AWS says: a session, unless the key last called IAM or AWS gives it none; you are
asked where that points both ways. A key that AWS does not take is kept, marked unverified. AWS is down: --no-verify.

Never written: a secret that moves, in plain text, be it to a backup, a temporary file, a log or an argument. What was taken
out is kept for --undo in the vault, sealed. Killed at any moment, each key is in the vault or still in its file: run it again.

What stays, and why, is said: temporary credentials (they have a session token), half a key, a key beside settings that give
other credentials (sso_session, another credential_process), a root key without --allow-root, and a key whose name in the vault
has another one.

Copies may exist elsewhere: backups, shell histories, repositories. They are worth nothing after awsvault rotate PROFILE.
""",
    "rotate": """\
awsvault rotate PROFILE makes a new key, tries it, serves it, and returns. By itself, while it is unlocked, vaultd then
deactivates the old key after a day and deletes it after a week more ([rotation] grace, soak).

A policy for the key's own user, wherever its path is. The second and third statement only help; without
iam:GetAccessKeyLastUsed it wants --force. In the other partitions write aws-cn or aws-us-gov for aws:

    {"Version": "2012-10-17", "Statement": [
      {"Sid": "RotateOwnKeys", "Effect": "Allow",
       "Action": ["iam:ListAccessKeys", "iam:CreateAccessKey", "iam:UpdateAccessKey", "iam:DeleteAccessKey",
                  "iam:GetAccessKeyLastUsed"],
       "Resource": ["arn:aws:iam::*:user/${aws:username}", "arn:aws:iam::*:user/*/${aws:username}"]},
      {"Sid": "SeeOtherMachinesAndQuarantine", "Effect": "Allow",
       "Action": ["iam:ListUserTags", "iam:TagUser", "iam:ListAttachedUserPolicies"],
       "Resource": ["arn:aws:iam::*:user/${aws:username}", "arn:aws:iam::*:user/*/${aws:username}"]},
      {"Sid": "ProveWhoseKey", "Effect": "Allow", "Action": ["cloudtrail:LookupEvents"], "Resource": "*"}]}

    awsvault rotate PROFILE --dry-run    which of them there are, and what would be done
    awsvault rotate --status             what is open, and what it waits for
    awsvault rotate PROFILE --rollback   back to the old key, until it is deleted
    awsvault rotate PROFILE --force      go on although something still uses the old key
    awsvault rotate PROFILE --now        a key that leaked: delete the old one at once

A user may have two keys, no more. With a second one there: awsvault rotate PROFILE --replace KEYID deletes it, if it is
inactive or was never used. When AWS's reply to the making of a key got lost, vaultd looks in CloudTrail whose the second
key is; what it cannot prove its own it leaves alone, and asks you.

A person without these rights: let an administrator make the second key, then awsvault add PROFILE --csv FILE --replace.
awsvault snooze PROFILE puts the reminder off.
""",
    "revoke": """\
Taking a key out of use:

    awsvault revoke PROFILE             sets it inactive, which can be undone: --undo
    awsvault revoke PROFILE --sessions  for a key that leaked: denies everything to its user's sessions, too
    awsvault revoke PROFILE --delete    for one that nobody needs any more; --undo only until it is deleted
    awsvault panic                      every key of the vault, and locks it

It needs iam:UpdateAccessKey (or iam:DeleteAccessKey), and with --sessions iam:PutUserPolicy, for the key's own user. A key
without them, or one that AWS has quarantined, needs another profile's rights: --via PROFILE. By hand, in the IAM console:
deactivate the key; attach an inline policy to the user that denies everything where aws:TokenIssueTime is before now. Sessions of roles are not reached by that: each role has "Revoke active sessions". They live 12 hours at most, the
user's own up to 36. A root key: delete it, AWS advises to have none.

The policy, awsvault-deny-older-sessions, stays on the user; it harms nothing that is made later.
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
