# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.fake_aws --seed FILE`: the stand-in as a process. It prints its URL and ends on SIGTERM.

The seed is a file or standard input ("-"), never an argument: those can be read by everybody on the machine. Its lines:

    USER ACCESS_KEY_ID SECRET         the user `root` is the account's root user
    mfa: USER BASE32                  a virtual device, arn:aws:iam::ACCOUNT:mfa/USER; the seed as AWS shows it
    role: NAME USER [CONDITION ...]   a role that this user may assume; the conditions are mfa, username, tags,
                                      source-identity, external-id=TEXT and max=SECONDS
"""

import argparse
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.fake_aws import FakeAws
from tests.fake_aws.world import ACCOUNT, User


def main() -> int:
    options = _options()
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)  # before the threads, which inherit it
    with FakeAws(port=options.port) as aws:
        text = sys.stdin.read() if options.seed == "-" else Path(options.seed).read_text(encoding="utf-8")
        try:
            seed(aws, text, account=options.account, partition=options.partition)
        except ValueError as error:
            sys.stderr.write(f"fake_aws: {error}\n")
            return 2
        sys.stdout.write(f"{aws.url}\n")
        sys.stdout.flush()
        signal.sigwait(stop)
        if options.books:
            lines = [json.dumps(asdict(call), default=str) + "\n" for call in aws.calls()]
            Path(options.books).write_text("".join(lines), encoding="utf-8")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fake_aws",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", required=True, metavar="FILE", help="who exists; - is standard input")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--account", default=ACCOUNT)
    parser.add_argument("--partition", default="aws")
    parser.add_argument(
        "--books", metavar="FILE", help="where the calls are written at the end, one JSON object a line"
    )
    return parser.parse_args()


FORMS = {
    "key": "USER ACCESS_KEY_ID SECRET",
    "mfa:": "mfa: USER BASE32",
    "role:": "role: NAME USER [mfa] [username] [tags] [source-identity] [external-id=TEXT] [max=SECONDS]",
}
FLAGS = {
    "mfa": "needs_mfa",
    "username": "named_after_user",
    "tags": "allows_tags",
    "source-identity": "allows_source_identity",
}


def seed(aws: FakeAws, text: str, *, account: str, partition: str) -> None:
    """Add what these lines say. Raises ValueError naming the line, never its content."""
    place: dict[str, Any] = {"account": account, "partition": partition}
    users: dict[str, User] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        kind = words[0] if words[0] in FORMS else "key"
        try:
            _add(aws, users, words, place)
        except (ValueError, LookupError):
            raise ValueError(f"line {number} of the seed is not: {FORMS[kind]}") from None


def _add(aws: FakeAws, users: dict[str, User], words: list[str], place: dict[str, Any]) -> None:
    if words[0] == "mfa:":
        _, name, base32 = words
        aws.add_mfa(users[name], seed=base32)
        return
    if words[0] == "role:":
        _, name, trusted, *conditions = words
        aws.add_role(name, users[trusted], **place, **_conditions(conditions))
        return
    name, access_key_id, secret = words
    if name not in users:
        users[name] = aws.add_root(**place) if name == "root" else aws.add_user(name, **place)
    aws.add_key(users[name], access_key_id=access_key_id, secret=secret)


def _conditions(words: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words:
        name, _, value = word.partition("=")
        if value and name == "max":
            found["max_session_s"] = int(value)
        elif value and name == "external-id":
            found["external_id"] = value
        else:
            found[FLAGS[word]] = True
    return found


if __name__ == "__main__":
    sys.exit(main())
