// Local rule files through the built agent: merged when the platform asks for them, and closed when they cannot be trusted.

import { afterEach, describe, expect, test } from "bun:test";
import { chmodSync, chownSync, linkSync, mkdirSync, renameSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { until } from "../support/until.ts";
import { curl, GOAL_STATE, IMDS_INSTANCE, World } from "../support/world.ts";

const NOBODY = { uid: 65534, gid: 65534 };
const WANTED = Buffer.from('{"id": "sig-1", "useLocalFileRules": true}').toString("base64");
const WANTED_NEXT = Buffer.from('{"id": "sig-2", "useLocalFileRules": true}').toString("base64");
const PLATFORM = { id: WANTED, defaultAccess: "deny" };
const NO_RULES = { privileges: [], roles: [], identities: [], roleAssignments: [] };
const VM_SETTINGS = "http://168.63.129.16:32526/vmSettings";

/** Lets one user read instance metadata, or something else. */
function rulesFor(userName: string, path = "/metadata/instance"): string {
  return JSON.stringify({
    id: `for-${userName}`,
    rules: {
      privileges: [{ name: "instance", path }],
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
  const last = () => one.agent.lines.findLast(({ event, fields }) => event.startsWith("rules-") && fields.endpoint === "imds")?.fields;
  await until("the rules change as expected", () => {
    const fields = last();
    return fields !== undefined && matches(fields);
  });
  return last() ?? {};
}

/** The status is written shortly after a change, not with it. */
async function untilStatus(one: World, reason: string): Promise<string> {
  await until(`the status says: ${reason}`, () => JSON.stringify(one.status()).includes(reason.replaceAll('"', '\\"')));
  return "status names the reason";
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
    ["T-72: a folder that others may write to", (file: string) => chmodSync(dirname(file), 0o777), "the folder's mode is 0777"],
    ["T-72: a second name for the file", (file: string) => linkSync(file, `${file}.too`), "found 2 links to the file"],
    ["T-71: a folder in its place", (file: string) => [rmSync(file), mkdirSync(file)], "want a regular file"],
  ] as const)("%s is refused with its reason, and the last good rules stay", async (_what, spoil, reason) => {
    const { world: one, file } = await start();
    writeFileSync(file, rulesFor("nobody"), { mode: 0o600 });
    await untilRules(one, ({ localFileState }) => localFileState === "applied");
    spoil(file);
    const line = await untilRules(one, ({ localFileState }) => localFileState === "refused");
    expect(String(line.message)).toContain(reason);
    expect(await answers()).toEqual([403, 200]);
    expect(await untilStatus(one, reason)).toBe("status names the reason");
  });

  test("T-71: while a file is bad the platform's newest rules still count", async () => {
    const { world: one, file } = await start();
    writeFileSync(file, rulesFor("nobody"), { mode: 0o600 });
    await untilRules(one, ({ localFileState }) => localFileState === "applied");
    writeFileSync(file, '{"id": "a", "id": "b"}');
    const refused = await one.agent.line("local-rules-refused");
    expect(refused).toMatchObject({ endpoint: "imds", path: file });
    expect(String(refused.message)).toContain('found member "id" again');
    await one.host.configure({ rules: { imds: { id: WANTED_NEXT, defaultAccess: "deny", rules: NO_RULES } } });
    await untilRules(one, ({ ruleSetId }) => ruleSetId === "sig-2-useLocalFileRules-true_for-nobody");
    expect(await answers()).toEqual([403, 200]);
  });

  test("T-71: a wanted file that was never good closes the endpoint in audit too", async () => {
    const { world: one, file } = await start("audit");
    expect(await answers()).toEqual([200, 200]);
    await one.agent.stop();
    writeFileSync(file, "nonsense", { mode: 0o600 });
    await one.restartAgent();
    expect(await answers()).toEqual([403, 403]);
    writeFileSync(file, rulesFor("nobody"));
    await untilRules(one, ({ localFileState, mode }) => localFileState === "applied" && mode === "audit");
    expect(await answers()).toEqual([200, 200]);
  });

  test("T-71: rules from while there was no file are no stand-in for a bad one", async () => {
    const { world: one, file } = await start("audit");
    await one.agent.line("local-rules-missing", ({ endpoint }) => endpoint === "imds");
    expect(await answers()).toEqual([200, 200]);
    writeFileSync(file, "nonsense", { mode: 0o600 });
    await untilRules(one, ({ localFileState }) => localFileState === "refused");
    expect(await answers()).toEqual([403, 403]);
    rmSync(file);
    await untilRules(one, ({ localFileState }) => localFileState === "missing");
    expect(await answers()).toEqual([200, 200]);
  });

  test("a file counts only while the platform asks for it, and is forgotten then", async () => {
    const { world: one, file } = await start();
    writeFileSync(file, rulesFor("nobody"), { mode: 0o600 });
    await untilRules(one, ({ localFileState }) => localFileState === "applied");
    await one.host.configure({ rules: { imds: { id: "plain", defaultAccess: "deny" } } });
    await untilRules(one, ({ ruleSetId }) => ruleSetId === "plain");
    expect(await answers()).toEqual([403, 403]);
    writeFileSync(file, "nonsense");
    await one.host.configure({ rules: { imds: { ...PLATFORM, defaultAccess: "allow" } } });
    await untilRules(one, ({ localFileState }) => localFileState === "refused");
    expect(await answers()).toEqual([403, 403]);
  });

  test("WireServer's file counts for HostGAPlugin too, as long as that has no rules of its own", async () => {
    world = await World.start({ host: { rules: { wireserver: PLATFORM } } });
    const one = world;
    const version = { args: ["-H", "x-ms-version: 2012-11-30"] };
    const rootAsks = async () => [(await curl(GOAL_STATE, version)).status, (await curl(VM_SETTINGS)).status];
    expect(await rootAsks()).toEqual([403, 403]);
    writeFileSync(join(one.folder, "rules", "WireServer_Rules.json"), rulesFor("root", "/"), { mode: 0o600 });
    for (const name of ["wireserver", "hostga"]) await one.agent.line("local-rules-applied", ({ endpoint }) => endpoint === name);
    expect(await rootAsks()).toEqual([200, 200]);
    await one.host.configure({ rules: { wireserver: PLATFORM, hostga: PLATFORM } });
    await one.agent.line("local-rules-not-wanted", ({ endpoint }) => endpoint === "hostga");
    expect(await rootAsks()).toEqual([200, 403]);
  });
});
