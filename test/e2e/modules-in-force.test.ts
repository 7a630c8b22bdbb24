// Policy modules through the built agent: what they deny is denied, changes take effect between two requests, and a list that cannot
// be used never opens anything.

import { afterEach, describe, expect, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  ABSTAIN,
  ALLOW,
  answerWat,
  DENY,
  guestComponent,
  type InstalledModule,
  installModules,
  SEGMENT_COUNT_AT,
  settingOf,
  USER_ID_AT,
  whenSettingIs,
} from "../support/module-store.ts";
import { until } from "../support/until.ts";
import { ALICE, curl, GOAL_STATE, IMDS_INSTANCE, type LogLine, python, World } from "../support/world.ts";

let world: World | undefined;

afterEach(async () => {
  await world?.[Symbol.asyncDispose]();
  world = undefined;
});

const BOB = { uid: 4002, gid: 4002 };

async function start(config: Readonly<Record<string, unknown>> = {}): Promise<World> {
  // The clock alone would notice a change after an hour: what is seen at once was seen by watching.
  world = await World.start({ host: { imds: "enforce" }, config: { pollKeyStatusIntervalInSeconds: 3600, ...config } });
  return world;
}

const folderOf = (one: World) => join(one.folder, "modules");

/** Installs, and waits until the agent says that this list is in force. */
async function install(one: World, modules: readonly InstalledModule[]): Promise<void> {
  const told = one.agent.lines.length;
  installModules(folderOf(one), modules);
  await untilLine(one, "modules-applied", told);
}

async function untilLine(one: World, event: string, from: number): Promise<LogLine["fields"]> {
  const find = () => one.agent.lines.slice(from).find((line) => line.event === event);
  await until(`a "${event}" line; the agent logged:\n${one.agent.describe()}`, () => find() !== undefined);
  return find()?.fields ?? {};
}

/** The line of the last request says that; returns it. */
async function expectLastRequest(one: World, wanted: object): Promise<LogLine["fields"]> {
  const found = await one.untilLastRequest(wanted);
  expect(found).toMatchObject(wanted);
  return found;
}

const goalState = async () => (await curl(GOAL_STATE, { args: ["-H", "x-ms-version: 2012-11-30"] })).status;
const imds = async (as?: typeof ALICE) => (await curl(IMDS_INSTANCE, as === undefined ? {} : { as })).status;

async function expectStatus(one: World, wanted: object): Promise<void> {
  expect(await one.untilStatus(wanted)).toMatchObject(wanted);
}

describe("modules", () => {
  test("T-130: deny, allow and abstain, in order, on their endpoints only; changes need no restart", async () => {
    const one = await start();
    expect(await imds()).toBe(200);
    const [allow, deny, abstain] = await Promise.all([ALLOW, DENY, ABSTAIN].map((kind) => guestComponent(answerWat(kind))));
    if (allow === undefined || deny === undefined || abstain === undefined) throw new Error("internal error: no guests");
    await install(one, [
      { name: "first", component: abstain },
      { name: "second", component: allow },
    ]);
    expect(await imds()).toBe(200);
    await install(one, [
      { name: "first", component: allow },
      { name: "second", component: deny },
    ]);
    expect(await imds()).toBe(403);
    await expectLastRequest(one, {
      reason: "module-denied",
      module: "second",
      moduleReason: "fine",
      detail: "second: fine",
    });
    expect(await goalState()).toBe(200);
    await install(one, [{ name: "second", component: deny, enabled: false }]);
    expect(await imds()).toBe(200);
    await install(one, [{ name: "second", component: deny, audit: true }]);
    expect(await imds()).toBe(200);
    await expectLastRequest(one, { moduleWouldDeny: ["second: fine"] });
    expect(one.agent.lines.some(({ event }) => event === "module-audited")).toBe(true);
    await install(one, []);
    expect(await imds()).toBe(200);
  });

  test("settings decide, and other settings decide at once", async () => {
    const one = await start();
    const component = await guestComponent(whenSettingIs(USER_ID_AT, answerWat(DENY), answerWat(ABSTAIN)));
    await install(one, [{ name: "users", component, settings: settingOf(ALICE.uid) }]);
    expect([await imds(ALICE), await imds(BOB)]).toEqual([403, 200]);
    await install(one, [{ name: "users", component, settings: settingOf(BOB.uid) }]);
    expect([await imds(ALICE), await imds(BOB)]).toEqual([200, 403]);
    await expectStatus(one, {
      agentDetails: { modules: { refusal: "", installed: [{ name: "users", state: "in-force", failures: 0 }] } },
    });
  });

  test("T-137: modules come and go under load: no connection breaks, and each answer is one of the two", async () => {
    const one = await start();
    const deny = await guestComponent(whenSettingIs(USER_ID_AT, answerWat(DENY), answerWat(ABSTAIN)));
    const client = `
import http.client
seen = {}
connection = http.client.HTTPConnection("169.254.169.254", timeout=10)
for _ in range(1500):
    connection.request("GET", "/metadata/instance?api-version=2021-02-01", headers={"Metadata": "true"})
    answer = connection.getresponse(); answer.read()
    seen[answer.status] = seen.get(answer.status, 0) + 1
print(sorted(seen))`;
    let running = true;
    const clients = Promise.all([ALICE, BOB].map((who) => python(client, who))).finally(() => {
      running = false;
    });
    let changes = 0;
    while (running) {
      await install(one, changes++ % 2 === 0 ? [{ name: "alice", component: deny, settings: settingOf(ALICE.uid) }] : []);
      await Bun.sleep(20);
    }
    expect(await clients).toEqual(["[200, 403]", "[200]"]);
    expect(changes).toBeGreaterThan(4);
    expect(await one.unsignedLeft()).toEqual([]);
  });

  test("T-132: a module that fails denies those requests, is told loudly, and the others are answered as before", async () => {
    const one = await start();
    const loop = `(loop $l (br $l)) unreachable`;
    const component = await guestComponent(whenSettingIs(SEGMENT_COUNT_AT, loop, answerWat(ABSTAIN)));
    await install(one, [{ name: "fragile", component, settings: settingOf(3) }]);
    const deep = "http://169.254.169.254/metadata/instance/compute?api-version=2021-02-01";
    for (let i = 0; i < 4; i++) expect((await curl(deep, { as: ALICE })).status).toBe(403);
    await expectLastRequest(one, { reason: "policy-failed", module: "fragile" });
    expect(await imds(BOB)).toBe(200);
    const told = one.agent.lines.filter(({ event }) => event === "module-failed").map(({ fields }) => fields);
    expect(told).toHaveLength(1);
    expect(told[0]).toMatchObject({ module: "fragile", cause: "out-of-fuel" });
    await install(one, [
      { name: "fragile", component, settings: settingOf(3) },
      { name: "second", component, settings: settingOf(9) },
    ]);
    await expectStatus(one, {
      proxyAgentStatus: { status: "ERROR" },
      agentDetails: {
        modules: {
          installed: [
            { name: "fragile", state: "failing", failures: 4 },
            { name: "second", state: "in-force" },
          ],
        },
      },
    });
  });
});

describe("T-136: a list that cannot be used", () => {
  test("leaves the modules in force, loudly, until it is repaired", async () => {
    const one = await start();
    const component = await guestComponent(answerWat(DENY));
    await install(one, [{ name: "guard", component }]);
    const told = one.agent.lines.length;
    const objects = join(folderOf(one), "objects");
    for (const name of readdirSync(objects)) writeFileSync(join(objects, name), "damaged");
    const index = join(folderOf(one), "index.json");
    const text = await Bun.file(index).text();
    writeFileSync(`${index}.new`, text.replace('"audit": false', '"audit": true'), { mode: 0o600 });
    await Bun.$`mv ${index}.new ${index}`;
    expect(await untilLine(one, "modules-refused", told)).toMatchObject({ message: expect.stringContaining("cannot load module") });
    expect(await imds()).toBe(403);
    await expectStatus(one, {
      proxyAgentStatus: { status: "ERROR" },
      agentDetails: { modules: { installed: [{ name: "guard", audit: false }] } },
    });
    installModules(`${one.folder}/again`, [{ name: "guard", component, audit: true }]);
    await Bun.$`cp -a ${one.folder}/again/objects/. ${objects}/`;
    await Bun.$`cp -a ${one.folder}/again/index.json ${index}.new`;
    await Bun.$`mv ${index}.new ${index}`;
    await untilLine(one, "modules-applied", told);
    expect(await imds()).toBe(200);
  });

  test("closes all endpoints when there never was a good one, and opens them when it is repaired", async () => {
    const one = await start();
    const component = await guestComponent(answerWat(ABSTAIN));
    await install(one, [{ name: "guard", component }]);
    await one.agent.stop();
    const index = join(folderOf(one), "index.json");
    const good = await Bun.file(index).text();
    writeFileSync(index, "{}", { mode: 0o600 });
    await one.restartAgent();
    expect([await imds(), await goalState()]).toEqual([403, 403]);
    await expectLastRequest(one, { reason: "policy-failed" });
    const told = one.agent.lines.length;
    writeFileSync(`${index}.new`, good, { mode: 0o600 });
    await Bun.$`mv ${index}.new ${index}`;
    await untilLine(one, "modules-applied", told);
    expect([await imds(), await goalState()]).toEqual([200, 200]);
  });

  test("denies only where its broken module would be asked, when the rest of it is good", async () => {
    const one = await start({ requireSignedModules: true });
    const component = await guestComponent(answerWat(ABSTAIN));
    await one.agent.stop();
    installModules(folderOf(one), [{ name: "unsigned", component, endpoints: ["hostga"] }]);
    await one.restartAgent();
    expect(await imds()).toBe(200);
    expect((await curl("http://168.63.129.16:32526/vmSettings")).status).toBe(403);
    const refused = one.agent.lines.find(({ event }) => event === "modules-refused");
    expect(refused?.fields.message).toContain('cannot load module "unsigned": it is not signed');
  });
});
