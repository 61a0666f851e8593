# SPDX-License-Identifier: Apache-2.0
"""What every client's test does before and after the client: the key into the vault, and whose its sessions were."""

from tests.fake_aws import AccessKey
from tests.fake_aws.books import Call
from tests.scenarios.diary import Diary
from tests.scenarios.vault_at_aws import REGION

ALICE = "arn:aws:iam::123456789012:user/alice"
LOCKED = "awsvault: vault is locked; run: awsvault unlock"


def add(diary: Diary) -> AccessKey:
    """alice's key as `dev`, and the hook in ~/.aws/config."""
    key = diary.keys["alice"]
    lines = f"{key.access_key_id}\n{key.secret}\n".encode()
    done = diary.stage.daemon.awsvault("add", "dev", "--stdin", "--region", REGION, stdin=lines)
    assert 0 == done.returncode, done.stderr
    return key


def requests(diary: Diary) -> list[Call]:
    """Who asked AWS who he is, and was not vaultd."""
    calls = diary.stage.aws.calls("GetCallerIdentity")
    return [call for call in calls if "awsvault/" not in call.user_agent]


def made_with(diary: Diary, session_id: str) -> str:
    """The access key id that a session comes from."""
    return diary.stage.aws.world.sessions[session_id].made_with
