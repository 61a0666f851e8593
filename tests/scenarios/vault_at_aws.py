# SPDX-License-Identifier: Apache-2.0
"""An unlocked vault whose AWS is the stand-in, with alice's key in it as `dev`: where most of the transcripts begin."""

import contextlib
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

from awsvault import app
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
    times: int = 0

    def start_over(self) -> None:
        """As it was at first, but for alice's key: a daemon of its own for each test would take most of the time."""
        self.times += 1
        self.aws.start_over()
        self.alice, self.key = alice_of(self.aws, f"alice-{self.times}")
        names = {str(profile["profile"]): profile for profile in self.daemon.call("list")["profiles"]}
        sources = {profile.get("source") for profile in names.values()}
        while others := [name for name in names if name != "dev"]:
            free = next(name for name in others if name not in sources)
            self.daemon.call("remove", profile=free)
            del names[free]
            sources = {profile.get("source") for profile in names.values()}
        self.add_dev(replace=True)
        shutil.rmtree(self.daemon.home.parent / "u/.aws", ignore_errors=True)

    def add_dev(self, **fields: Any) -> None:
        self.daemon.add(
            "dev",
            access_key_id=self.key.access_key_id,
            secret_access_key=self.key.secret,
            verify=True,
            serve="session",
            region=REGION,
            **fields,
        )

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
        """The command as programs run it, without a terminal; unlike Daemon.awsvault for what may print credentials."""
        if words[0] not in ("get", "exec", "env"):
            return self._run_here(words, self.environment(extra), stdin)
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

    def _run_here(
        self, words: Sequence[str], environment: Mapping[str, str], stdin: str | None
    ) -> "subprocess.CompletedProcess[str]":
        """All of it but the start of an interpreter, which costs a tenth of a second each time."""
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, environment, clear=True),
            mock.patch.multiple(sys, stdin=io.StringIO(stdin or ""), argv=[str(AWSVAULT), *words]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            status = app.run([*words])
        return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())

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
        alice, key = alice_of(aws, "alice")
        settings = f'[aws]\nendpoint_url = "{aws.url}"\n{config}'
        with contextlib.closing(Daemon(config=settings, **options)) as daemon:
            (daemon.home.parent / "shift").write_text("0", "ascii")  # for those that put its clock forward
            daemon.start().init()
            stage = Stage(daemon, aws, alice, key)
            stage.add_dev()
            yield stage


def alice_of(aws: FakeAws, key_name: str) -> tuple[User, AccessKey]:
    alice = aws.add_user("alice")
    secret = canary.secret(key_name)
    return alice, aws.add_key(alice, access_key_id=canary.access_key_id(key_name), secret=secret)
