# SPDX-License-Identifier: Apache-2.0
"""AWS's SDK for JavaScript, version 3, from npm: by the hook, and by the container endpoint of `exec --server`."""

from pathlib import Path

import pytest

from tests.live_clients import live_through_a_rotation
from tests.long_running import Way, live_through_expiries
from tests.scenarios.diary import open_diary

#: Its clock is put forward under the SDK's feet: both the Date that it makes and the one that it compares with.
PROGRAM = """
const { readFileSync } = require("fs");
const True = Date;
const now = () => True.now() + 1000 * Number(readFileSync(process.env.SHIFT, "ascii"));
globalThis.Date = class extends True {
  constructor(...given) { if (given.length) { super(...given); } else { super(now()); } }
  static now() { return now(); }
};
const { STSClient, GetCallerIdentityCommand } = require("@aws-sdk/client-sts");
const client = new STSClient({ endpoint: process.env.AWS });
const ask = async () => {
  const { Arn } = await client.send(new GetCallerIdentityCommand({}));
  const { accessKeyId } = await client.config.credentials();
  console.log(Arn, accessKeyId);
};
(async () => {
  for await (const _line of require("readline").createInterface({ input: process.stdin })) await ask();
})();
"""


@pytest.mark.parametrize("way", ["endpoint", "hook"])
def test_a_program_lives_through_three_expiries(modules: Path, way: Way) -> None:
    live_through_expiries(["node", "-e", PROGRAM], way, {"NODE_PATH": str(modules)})


def test_a_program_lives_through_a_rotation(modules: Path) -> None:
    with open_diary() as diary:
        live_through_a_rotation(diary, ["node", "-e", PROGRAM], {"NODE_PATH": str(modules)})
