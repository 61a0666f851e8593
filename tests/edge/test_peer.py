# SPDX-License-Identifier: Apache-2.0
"""Who connected is told by the kernel; what is kept of a command line cannot carry a secret."""

import os
import socket
import subprocess

import pytest

from vaultd.edge import peer
from vaultd.edge.peer import OVERFLOW_UID, Peer, Peers, Process, refusal


@pytest.mark.parametrize(
    ("uid", "own", "refused"),
    [
        (1000, 1000, False),
        (0, 0, False),
        (0, 1000, True),
        (1001, 1000, True),
        (OVERFLOW_UID, OVERFLOW_UID, True),
        (OVERFLOW_UID, 0, True),
    ],
)
def test_only_the_owners_uid_may_speak(uid: int, own: int, *, refused: bool) -> None:
    assert refused == bool(refusal(uid, own))


def test_the_caller_is_found_with_its_parents_and_start_time() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        found = Peers().identify(ours)
    assert (os.getuid(), os.getpid()) == (found.uid, found.pid)
    assert found.process
    assert found.process.exe == os.readlink("/proc/self/exe")
    assert os.getppid() in {parent.pid for parent in found.parents} or os.getsid(0) == os.getpid()
    assert all(parent.started <= found.process.started for parent in found.parents)


CANARY = "wJalrXUtnFEMIK7MDENGbPxRfiCYCANARYKEY000"


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["sts", "get-caller-identity", "--profile", "dev"], ["sts", "get-caller-identity"]),
        (["deploy", "--secret", CANARY], ["deploy"]),
        ([f"AWS_SECRET_ACCESS_KEY={CANARY}", "deploy"], []),
        (["login", CANARY], ["login"]),
        (["curl", f"https://user:{CANARY[:10]}@example.com"], ["curl"]),
        (["run", "a b"], ["run"]),
    ],
)
def test_of_a_command_line_only_plain_words_before_the_first_option_are_kept(
    arguments: list[str], kept: list[str]
) -> None:
    with subprocess.Popen(["/bin/sh", "/dev/stdin", *arguments], stdin=subprocess.PIPE) as child:
        while (found := peer._words(child.pid))[0][:1] != ("/dev/stdin",):
            pass  # before its exec the child still has our command line
        words, count = found
        child.communicate(b"")
    assert ("/dev/stdin", *kept) == words
    assert len(arguments) + 1 == count


def test_the_program_that_is_named_is_not_the_shell_between() -> None:
    shell = Process(2, 2, "/bin/dash", (), 2)
    aws = Process(1, 1, "/usr/bin/aws", ("s3", "ls"), 2)
    me = Process(3, 3, "/usr/bin/python3", (), 3)
    assert Peer(0, 3, me, (shell, aws)).program == "aws s3 ls"
    assert Peer(0, 3).program == "pid 3"


def test_a_peer_that_is_gone_is_not_looked_up_by_its_old_pid() -> None:
    """The pid may be another program's by now; SO_PEERCRED goes on naming it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        assert peer._stat(pid) is None
        assert Peers()._ancestry(pid) == (None, ())
