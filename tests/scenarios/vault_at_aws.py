# SPDX-License-Identifier: Apache-2.0
"""An unlocked vault whose AWS is the stand-in, with alice's key in it as `dev`: where most of the transcripts begin."""

import contextlib
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests import canary
from tests.daemons import AWSVAULT, Daemon
from tests.fake_aws import AccessKey, FakeAws, User

ACCOUNT = "123456789012"
REGION = "eu-central-1"


@dataclass
class Stage:
    daemon: Daemon
    aws: FakeAws
    alice: User
    key: AccessKey

    def add_key(self, name: str, **fields: Any) -> AccessKey:
        """Another user of this name, and the profile of his key."""
        user = self.aws.add_user(name)
        key = self.aws.add_key(user, access_key_id=canary.access_key_id(name), secret=canary.secret(name))
        self.daemon.add(
            name, access_key_id=key.access_key_id, secret_access_key=key.secret, verify=True, **fields
        )
        return key

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        return self.daemon.environment({"AWSVAULT_HOME": str(self.daemon.home)} | dict(extra or {}))

    def run(
        self,
        *words: str,
        extra: Mapping[str, str] | None = None,
        stdin: str | None = None,
        pass_fds: Sequence[int] = (),
    ) -> "subprocess.CompletedProcess[str]":
        """The command as programs run it; unlike Daemon.awsvault for what may print credentials."""
        return subprocess.run(
            [str(AWSVAULT), *words],
            env=self.environment(extra),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=60,
            pass_fds=pass_fds,
            check=False,
        )

    def refused(self, *words: str, extra: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Exit status and the one line on stderr of what must fail and print nothing."""
        done = self.run(*words, extra=extra)
        assert "" == done.stdout
        (line,) = done.stderr.splitlines()
        return done.returncode, line.removeprefix("awsvault: ")


@contextlib.contextmanager
def open_stage(config: str = "", **options: Any) -> Iterator[Stage]:
    """`options` are the Daemon's."""
    with FakeAws() as aws:
        alice = aws.add_user("alice")
        key = aws.add_key(alice, access_key_id=canary.access_key_id("alice"), secret=canary.secret("alice"))
        settings = f'[aws]\nendpoint_url = "{aws.url}"\n{config}'
        with contextlib.closing(Daemon(config=settings, **options)) as daemon:
            (daemon.home.parent / "shift").write_text("0", "ascii")  # for those that put its clock forward
            daemon.start().init()
            daemon.add(
                "dev",
                access_key_id=key.access_key_id,
                secret_access_key=key.secret,
                verify=True,
                serve="session",
                region=REGION,
            )
            yield Stage(daemon, aws, alice, key)
