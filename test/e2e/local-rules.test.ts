// Local rule files through the built agent: merged when the platform asks for them, and closed when they cannot be trusted.

import { afterEach, describe, expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { curl, IMDS_INSTANCE, World } from "../support/world.ts";

const NOBODY = { uid: 65534, gid: 65534 };
const WANTED = Buffer.from('{"id": "sig-1", "useLocalFileRules": true}').toString("base64");
const PLATFORM = { id: WANTED, defaultAccess: "deny" };

/** Lets one user read instance metadata. */
function rulesFor(userName: string): string {
  return JSON.stringify({
    id: `for-${userName}`,
    rules: {
      privileges: [{ name: "instance", path: "/metadata/instance" }],
      roles: [{ name: "reader", privileges: ["instance"] }],
      identities: [{ name: "one", userName }],
      roleAssignments: [{ role: "reader", identities: ["one"] }],
    },
  });
}

let world: World | undefined;

afterEach(async () => {
  await world?.[Symbol.asyncDispose]();
  world = undefined;
});

async function start(mode: "enforce" | "audit" = "enforce"): Promise<{ readonly world: World; readonly file: string }> {
  world = await World.start({ host: { imds: mode, rules: { imds: PLATFORM } } });
  return { world, file: join(world.folder, "rules", "IMDS_Rules.json") };
}

/** Waits for the endpoint's newest line about its rules to say this. */
async function untilRules(
  one: World,
  matches: (fields: Readonly<Record<string, unknown>>) => boolean,
): Promise<Readonly<Record<string, unknown>>> {
  for (let tries = 0; tries < 100; tries++) {
    const last = one.agent.lines.findLast(({ event, fields }) => event.startsWith("rules-") && fields.endpoint === "imds");
    if (last !== undefined && matches(last.fields)) return last.fields;
    await Bun.sleep(50);
  }
  throw new Error(`the rules did not change as expected:\n${one.agent.describe()}`);
}

const answers = async () => [(await curl(IMDS_INSTANCE)).status, (await curl(IMDS_INSTANCE, { as: NOBODY })).status];

describe("local rule files", () => {
  test("a file is merged, an edit that keeps its time is seen, and its removal gives the platform's rules back", async () => {
    const { world: one, file } = await start();
    expect(statSync(join(one.folder, "rules")).mode & 0o777).toBe(0o700);
    expect(await answers()).toEqual([403, 403]);
    writeFileSync(file, rulesFor("nobody"), { mode: 0o600 });
    await untilRules(one, ({ ruleSetId }) => ruleSetId === "sig-1-useLocalFileRules-true_for-nobody");
    expect(await answers()).toEqual([403, 200]);
    const { atime, mtime } = statSync(file);
    writeFileSync(file, rulesFor("root"));
    utimesSync(file, atime, mtime);
    await untilRules(one, ({ ruleSetId }) => ruleSetId === "sig-1-useLocalFileRules-true_for-root");
    expect(await answers()).toEqual([200, 403]);
    rmSync(file);
    await untilRules(one, ({ localFileState }) => localFileState === "missing");
    expect(await answers()).toEqual([403, 403]);
  });

  test.each([
    ["T-72: a file of somebody else", (file: string) => chownSync(file, 65534, 65534), "owner is uid 65534, want root"],
    ["T-72: a file that others may write to", (file: string) => chmodSync(file, 0o666), "mode is 0666"],
    ["T-72: a link", (file: string) => [renameSync(file, `${file}.real`), symlinkSync(`${file}.real`, file)], "found a link"],
    ["T-71: a file that is not JSON", (file: string) => writeFileSync(file, '{\n "id": }'), "line 2, column 8"],
    [
      "T-71: half a file",
      (file: string) => writeFileSync(file, '{"rules": {"roles": [{"name": "r", "privileges": ["p"]}]}}'),
      "undefined-privilege",
    ],
    ["T-71: a file that is too long", (file: string) => writeFileSync(file, " ".repeat(1_048_577)), "want at most 1048576"],
    ["T-71: a folder in its place", (file: string) => [rmSync(file), mkdirSync(file)], "want a regular file"],
  ] as const)("%s is refused with its reason, and the last good rules stay", async (_what, spoil, reason) => {
    const { world: one, file } = await start();
    writeFileSync(file, rulesFor("nobody"), { mode: 0o600 });
    await untilRules(one, ({ localFileState }) => localFileState === "applied");
    spoil(file);
    const line = await untilRules(one, ({ localFileState }) => localFileState === "refused");
    expect(String(line.message)).toContain(reason);
    expect(await answers()).toEqual([403, 200]);
    await Bun.sleep(200);
    expect(JSON.stringify(one.status())).toContain(reason.replaceAll('"', '\\"'));
  });

  test("T-71: a wanted file that was never good closes the endpoint in audit too", async () => {
    const { world: one, file } = await start("audit");
    expect(await answers()).toEqual([200, 200]);
    await one.agent.stop();
    writeFileSync(file, "nonsense", { mode: 0o600 });
    await one.restartAgent();
    expect(await answers()).toEqual([403, 403]);
  });

  test("a file counts only while the platform asks for it", async () => {
    const { world: one, file } = await start();
    writeFileSync(file, rulesFor("nobody"), { mode: 0o600 });
    await untilRules(one, ({ localFileState }) => localFileState === "applied");
    await one.host.configure({ rules: { imds: { id: "plain", defaultAccess: "deny" } } });
    await untilRules(one, ({ ruleSetId }) => ruleSetId === "plain");
    expect(await answers()).toEqual([403, 403]);
  });
});
