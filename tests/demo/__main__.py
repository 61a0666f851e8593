# SPDX-License-Identifier: Apache-2.0
"""The story that `make demo` tells. Ends with status 0 only when every step came out as it says."""

import json
import re
import secrets
import signal
import sys
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from tests.demo.stage import Dialogue, Stage, Unexpected
from tests.fake_aws.devices import Device, read_seed

WHOLE_SHOW_S = 120
PASSPHRASE = "correct horse battery staple"
MFA_SEED = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
NEW_PASSPHRASE: Dialogue = [("New passphrase: ", PASSPHRASE), ("again: ", PASSPHRASE)]
ASK_BOTO3 = (
    "import boto3; print(boto3.Session(profile_name='dev').client('sts').get_caller_identity()['Arn'])"
)
WHO_AM_I = "aws sts get-caller-identity --profile"


def main() -> int:
    signal.signal(signal.SIGALRM, _too_long)
    signal.signal(signal.SIGTERM, _too_long)
    signal.alarm(WHOLE_SHOW_S)
    try:
        with Stage() as stage:
            show(stage)
    except (Unexpected, AssertionError) as error:  # the second: tests.terminal waited in vain
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print("\n# All of it came out as it should, and everything that the demo made is gone again.")
    return 0


def _too_long(_signal: int, _frame: object) -> NoReturn:
    raise Unexpected(f"ended from outside, or not done after {WHOLE_SHOW_S} s")


def show(stage: Stage) -> None:
    stage.say(
        "A throw-away home, and a stand-in for AWS (moto) with an IAM user, whose key lies where `aws configure` puts it."
    )
    stage.set("HOME", str(stage.root / "home"))
    stage.set("AWS_CONFIG_FILE", str(stage.root / "home/.aws/config"))
    _, aws = stage.start("-m", "moto.server", "-H", "127.0.0.1", "-p", "0", ready=r"Running on (http://\S+)")
    alices_secret = plain_text(aws, stage.root / "home/.aws")
    use_vault(stage, stage.root / "vault", aws)

    key_served(stage)
    bobs_secret = session_served(stage)
    locked(stage)
    nowhere_on_disk(stage, alices_secret, bobs_secret)


def use_vault(stage: Stage, home: Path, aws: str) -> None:
    """A directory for one vault whose AWS, like that of the tools here, is the stand-in at `aws`."""
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text(f'[aws]\nendpoint_url = "{aws}"\n')
    stage.set("AWSVAULT_HOME", str(home))
    stage.set("AWS_ENDPOINT_URL", aws)


def plain_text(aws: str, folder: Path) -> str:
    """Make the user alice with a key as an administrator would, and keep the key as nearly everybody does; her secret."""
    iam_call(aws, "CreateUser")
    reply = iam_call(aws, "CreateAccessKey")
    key_id, secret = (
        re.findall(f"<{tag}>(.*?)</{tag}>", reply)[0] for tag in ("AccessKeyId", "SecretAccessKey")
    )
    key = f"aws_access_key_id = {key_id}\naws_secret_access_key = {secret}\n"
    (folder / "credentials").write_text(f"# alice, for the shop's builds\n[dev]\n{key}")
    (folder / "config").write_text("[profile dev]\n# near the shop\nregion = eu-central-1\n")
    return str(secret)


def iam_call(aws: str, action: str) -> str:
    scope = "AWS4-HMAC-SHA256 Credential=admin/20300101/us-east-1/iam/aws4_request"
    body = f"Action={action}&UserName=alice&Version=2010-05-08".encode()
    request = urllib.request.Request(aws, body, {"Authorization": scope})
    with urllib.request.urlopen(request, timeout=10) as reply:
        return str(reply.read().decode())


def key_served(stage: Stage) -> None:
    stage.say("Whatever alice runs can read her key. A vault is made; it tells of keys that lie like that.")
    stage.run("cat ~/.aws/credentials", shows=["aws_secret_access_key"])
    stage.run("awsvault init", dialogue=[*NEW_PASSPHRASE, *written_down()], shows=["Recovery code"])
    stage.run("awsvault lock", shows=["The vault is locked"])
    stage.run(
        "awsvault unlock",
        dialogue=[("Passphrase: ", PASSPHRASE)],
        shows=["a key lies in plain text", "run: awsvault import"],
    )
    stage.say(
        "The key moves into the vault, and only its lines out of the file. --serve key: moto knows no session."
    )
    answers = [
        ("into the vault, and rewrite ~/.aws/config and ~/.aws/credentials? [Y/n] ", "y"),
        ("Rotate dev now", "n"),
    ]
    stage.run("awsvault import --serve key", dialogue=answers, shows=["dev is in the vault", "is rewritten"])
    after = stage.run(
        "cat ~/.aws/credentials ~/.aws/config", shows=["# near the shop", "credential_process = "]
    )
    if "aws_secret_access_key" in after:
        raise Unexpected("the key is still in plain text")
    stage.run("awsvault list", shows=["dev"])

    stage.say("The real aws command and boto3 get alice's key through that line; neither knows of awsvault.")
    stage.run(f"{WHO_AM_I} dev", shows=["user/alice"])
    stage.run(f'python -c "{ASK_BOTO3}"', shows=["user/alice"])


def written_down() -> Dialogue:
    """Two groups of the recovery code are asked back."""

    def group(screen: str) -> str:
        code: str = re.findall(r"^\s+(\w+(?:-\w+)+)\s*$", screen, re.MULTILINE)[0]
        number: str = re.findall(r"group (\d+) of", screen)[-1]
        return code.split("-")[int(number) - 1]

    return [(" of ", group), (" of ", group)]


def session_served(stage: Stage) -> str:
    stage.say(
        "Another vault, which serves sessions: bob's key never leaves the daemon. This stand-in checks signatures."
    )
    key_id, secret = f"AKIA{secrets.token_hex(8).upper()}", secrets.token_hex(20)
    books = stage.root / "books"
    options = ["--seed", "-", "--books", str(books)]
    seed = f"bob {key_id} {secret}\nmfa: bob {MFA_SEED}\nrole: admin bob mfa\n"
    fake, aws = stage.start("-m", "tests.fake_aws", *options, ready=r"(http://\S+)", given=seed)
    before = {name: stage.environment[name] for name in ("AWSVAULT_HOME", "AWS_ENDPOINT_URL")}
    use_vault(stage, stage.root / "vault-2", aws)
    stage.run("awsvault init --no-recovery", dialogue=NEW_PASSPHRASE)
    stage.run(
        "awsvault add ci --serve session --region eu-central-1",
        dialogue=[("Access key ID: ", key_id), ("Secret access key: ", secret)],
        shows=["ci is added"],
    )
    for _ in range(2):
        stage.run(f"{WHO_AM_I} ci", shows=["user/bob"])
    role_with_mfa(stage)
    rotation(stage)
    stage.end(fake)
    check_books(books, key_id)
    for name, value in before.items():
        stage.set(name, value)
    return secret


def role_with_mfa(stage: Stage) -> None:
    stage.say(
        "A role that asks for MFA. Programs are never asked for a code: they are told who can give one."
    )
    stage.run("awsvault edit ci --mfa-serial arn:aws:iam::123456789012:mfa/bob", shows=["ci is changed"])
    add = "awsvault add-role admin --source ci --role-arn arn:aws:iam::123456789012:role/admin --region eu-central-1"
    stage.run(add, shows=["admin is added"])
    stage.run(f"{WHO_AM_I} admin", status=255, shows=["MFA code needed", "run: awsvault mfa admin"])
    stage.run("awsvault mfa admin", dialogue=[("MFA code for ", mfa_code)], shows=["MFA session until"])
    stage.run(f"{WHO_AM_I} admin", shows=["assumed-role/admin/bob"])
    stage.say(
        "A program that cannot use that line, or outlives a session, gets an address for as long as it runs."
    )
    asks = "awsvault exec admin --server -- aws sts get-caller-identity"
    stage.run(asks, shows=["sessions are renewed while the vault is unlocked", "assumed-role/admin/bob"])


def rotation(stage: Stage) -> None:
    stage.say("A new key in place of bob's. It is served only after it has worked for ten seconds.")
    stage.run("awsvault rotate ci --dry-run", shows=["user bob", "make a new key", "after 7 d more: delete"])
    stage.run("awsvault rotate ci", shows=["is served now", "stays active until"])
    stage.run("awsvault rotate --status", shows=["ci", "grace"])
    stage.run(f"{WHO_AM_I} ci", shows=["user/bob"])
    stage.say("As if the old one had leaked: no grace, no week in which it could be activated again.")
    gone = [("without a grace: ", "ci"), ("too? [Y/n] ", "n")]
    stage.run("awsvault rotate ci --now", dialogue=gone, shows=["the rotation is over"])
    stage.run(f"{WHO_AM_I} admin", shows=["assumed-role/admin/bob"])


def mfa_code(_screen: str) -> str:
    """What bob's device shows at this moment."""
    return Device("", read_seed(MFA_SEED)).code(datetime.now(UTC))


def check_books(books: Path, key_id: str) -> None:
    """What the stand-in saw: bob's own key signed what the daemon asked, a session everything that the tools asked."""
    calls = [json.loads(line) for line in books.read_text().splitlines()]
    by_key = {call["action"] for call in calls if call["access_key_id"] == key_id}
    by_tools = [call for call in calls if call["user_agent"].startswith("aws-cli")][:2]  # then comes the role
    signers = {call["access_key_id"] for call in by_tools}
    if len(by_tools) != 2 or len(signers) != 1 or key_id in signers:
        raise Unexpected("the stand-in's books do not show one session that signed both calls of aws")
    print(
        f"  the stand-in's books: bob's key signed only what the daemon asked ({', '.join(sorted(by_key))});"
    )
    print("  one and the same session signed both calls of aws;")
    life = [
        call["action"] for call in calls if call["action"].endswith("AccessKey") and call["outcome"] == "ok"
    ]
    if life != ["CreateAccessKey", "UpdateAccessKey", "DeleteAccessKey"] or len(calls[-1]["keys"]) != 1:
        raise Unexpected(f"the life of bob's keys was {', '.join(life)}")
    print("  a key was made, the old one deactivated, then deleted, and one is left")


def locked(stage: Stage) -> None:
    stage.say("Locked: the same call is refused, and says what to do.")
    stage.run("awsvault lock", shows=["The vault is locked"])
    stage.run(f"{WHO_AM_I} dev", status=255, shows=["vault is locked", "run: awsvault unlock"])


def nowhere_on_disk(stage: Stage, *wanted: str) -> None:
    stage.say(
        "Is one of the two secret access keys, or the passphrase, in any file that all this left behind?"
    )
    for secret in (*wanted, PASSPHRASE):
        found = stage.find(secret)
        if found:
            raise Unexpected(f"a secret is in {found[0]}")
    names = sorted(str(path.relative_to(stage.root)) for path in stage.root.rglob("*") if path.is_file())
    print(f"  no, in none of these {len(names)}: {', '.join(names)}")


if __name__ == "__main__":
    sys.exit(main())
