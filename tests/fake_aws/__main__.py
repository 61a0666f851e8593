# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.fake_aws --seed FILE`: the stand-in as a process. It prints its URL and ends on SIGTERM.

Each line of the seed is `USER ACCESS_KEY_ID SECRET`, the user `root` being the account's root user. It is a
file or standard input ("-"), never an argument: those can be read by everybody on the machine.
"""

import argparse
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

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
    parser = argparse.ArgumentParser(prog="python -m tests.fake_aws", description=__doc__)
    parser.add_argument(
        "--seed", required=True, metavar="FILE", help='lines "USER ACCESS_KEY_ID SECRET"; - is stdin'
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--account", default=ACCOUNT)
    parser.add_argument("--partition", default="aws")
    parser.add_argument(
        "--books", metavar="FILE", help="where the calls are written at the end, one JSON object a line"
    )
    return parser.parse_args()


def seed(aws: FakeAws, text: str, *, account: str, partition: str) -> None:
    """Add the users and keys of these lines. Raises ValueError naming the line, never its content."""
    users: dict[str, User] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 3:
            raise ValueError(f"line {number} of the seed is not: USER ACCESS_KEY_ID SECRET")
        name, access_key_id, secret = words
        if name not in users:
            is_root = name == "root"
            place = {"account": account, "partition": partition}
            users[name] = aws.add_root(**place) if is_root else aws.add_user(name, **place)
        aws.add_key(users[name], access_key_id=access_key_id, secret=secret)


if __name__ == "__main__":
    sys.exit(main())
