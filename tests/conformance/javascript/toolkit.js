// SPDX-License-Identifier: Apache-2.0
// The way of the AWS Toolkit for VS Code from a profile's name to credentials, written after its
// packages/core/src/auth (providers/sharedCredentialsProvider.ts, credentials/{sharedCredentials,store,utils}.ts,
// deprecated/loginManager.ts): its own reader of both files, which setting of a profile wins, `fromProcess` for a hook,
// what it got kept until it expires, and the words of its message when it fails.
//
// For each line of stdin, a profile's name, it prints one line of JSON: what the Toolkit is then, or what it shows.

const { readFileSync } = require("fs");
const { createInterface } = require("readline");
const { GetCallerIdentityCommand, STSClient } = require("@aws-sdk/client-sts");
const { fromProcess } = require("@aws-sdk/credential-provider-process");
const { chain } = require("@smithy/property-provider");

// The clock of the SDK, put forward under its feet.
const True = Date;
const now = () => True.now() + 1000 * Number(readFileSync(process.env.SHIFT, "ascii"));
globalThis.Date = class extends True {
  constructor(...given) { if (given.length) { super(...given); } else { super(now()); } }
  static now() { return now(); }
};

function textOf(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Both files, the second word of a heading as the name; what `credentials` says of a profile comes last and wins. */
function profiles() {
  const found = new Map();
  for (const path of [process.env.AWS_CONFIG_FILE, process.env.AWS_SHARED_CREDENTIALS_FILE]) {
    let section = {};
    for (const line of textOf(path).split(/\r?\n/)) {
      const heading = /^\s*\[([^[\]]+)\]\s*$/.exec(line);
      const setting = /^\s*(.+?)\s*=\s*(.+?)\s*$/.exec(line);
      if (heading) {
        const words = heading[1].split(" ");
        const name = words[1] ?? words[0];
        if (!found.has(name)) found.set(name, {});
        section = found.get(name);
      } else if (setting) {
        section[setting[1].toLowerCase()] = setting[2];
      }
    }
  }
  return found;
}

/** The first of these that a profile has decides what it is. */
const KINDS = ["credential_source", "role_arn", "credential_process", "aws_access_key_id", "sso_session", "sso_start_url"];

function provider(name, profile) {
  const kind = KINDS.find((key) => key in profile);
  if (kind !== "credential_process") throw new Error(`Profile ${name} goes by ${kind}`);
  return chain(fromProcess({ profile: name }));
}

const kept = {};

async function credentials(name) {
  const profile = profiles().get(name);
  if (!profile) throw new Error(`Could not find Credentials Provider for profile:${name}`);
  const hash = JSON.stringify(profile);
  const known = kept[name];
  const good = known && known.hash === hash && !(known.credentials.expiration < new Date());
  if (!good) kept[name] = { credentials: await provider(name, profile)(), hash };
  return { region: profile.region ?? "us-east-1", credentials: kept[name].credentials };
}

async function connect(name) {
  try {
    const found = await credentials(name);
    const client = new STSClient({ ...found, endpoint: process.env.AWS });
    const { Arn } = await client.send(new GetCallerIdentityCommand({}));
    return { arn: Arn, region: found.region, id: found.credentials.accessKeyId };
  } catch (error) {
    delete kept[name];
    return { shows: `Credentials "profile:${name}" failed to connect: ${error.message}` };
  }
}

(async () => {
  for await (const name of createInterface({ input: process.stdin })) console.log(JSON.stringify(await connect(name)));
})();
