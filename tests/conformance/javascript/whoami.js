// SPDX-License-Identifier: Apache-2.0
// A program that uses AWS's SDK for JavaScript, version 3, as programs do: for every line of stdin it asks who it is, and
// prints its ARN, or what went wrong. The profile is its argument's, or the environment's.

const { createInterface } = require("readline");
const { GetCallerIdentityCommand, STSClient } = require("@aws-sdk/client-sts");

const profile = process.argv[2];
const client = new STSClient({ profile: profile });

async function whoami() {
  try {
    return (await client.send(new GetCallerIdentityCommand({}))).Arn;
  } catch (error) {
    return `error: ${error.message}`.replaceAll("\n", " ");
  }
}

(async () => {
  for await (const _line of createInterface({ input: process.stdin })) console.log(await whoami());
})();
