// Modules that mean harm in the built agent, installed by its own command: what they do to a request is a deny, counted and told
// everywhere; other endpoints, other requests and other users do not notice.

import { afterEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { burningComponent } from "../support/burning-module.ts";
import { ENDLESS, type HostileModule, LEAKING, NEVER_STARTING, NONSENSE, turningModule } from "../support/hostile-modules.ts";
import { componentFromModuleWat, type ModuleWat } from "../support/module-wat.ts";
import { until } from "../support/until.ts";
import { AGENT, ALICE, curl, GOAL_STATE, type Ids, IMDS_INSTANCE, type LogLine, python, runProgram, World } from "../support/world.ts";

const BOB: Ids = { uid: 4002, gid: 4002 };
const LIMIT_MS = 60_000;

let world: World | undefined;
let own = "";
afterEach(async () => {
  await world?.[Symbol.asyncDispose]();
  world = undefined;
  rmSync(own, { recursive: true, force: true });
});

async function start(): Promise<World> {
  own = mkdtempSync(join(tmpdir(), "hostile-modules-"));
  chmodSync(own, 0o755);
  world = await World.start({ host: { imds: "enforce" }, config: { metricsSocket: join(own, "run/metrics.sock") } });
  return world;
}

/** `module add`, in the place of the one before. */
async function add(one: World, component: Uint8Array, ...more: readonly string[]) {
  const file = join(one.folder, "hostile.wasm");
  writeFileSync(file, component);
  return runProgram([AGENT, "module", "add", file, "--name", "hostile", "--replace", ...more, "--config", one.configPath]);
}

async function install(one: World, parts: ModuleWat, ...more: readonly string[]): Promise<void> {
  expect(await add(one, await componentFromModuleWat(parts), ...more)).toMatchObject({ code: 0 });
}

async function failuresCounted(): Promise<number> {
  const text = await (await fetch("http://agent/metrics", { unix: join(own, "run/metrics.sock") })).text();
  const line = /^azure_proxy_agent_module_outcomes_total\{module="hostile",outcome="failed"\} ([0-9]+)$/m.exec(text);
  return Number(line?.[1] ?? 0);
}

/** The line of the last request says that; returns it. */
async function expectLastRequest(one: World, wanted: object): Promise<LogLine["fields"]> {
  const found = await one.untilLastRequest(wanted);
  expect(found).toMatchObject(wanted);
  return found;
}

async function untilStatus(one: World, wanted: object): Promise<void> {
  expect(await one.untilStatus(wanted)).toMatchObject(wanted);
}

const imds = async (as?: Ids) => (await curl(IMDS_INSTANCE, as === undefined ? {} : { as })).status;
const goalState = async () => (await curl(GOAL_STATE, { args: ["-H", "x-ms-version: 2012-11-30"] })).status;

/** The simplest of each kind; the tests of the runtime have them all. */
const TRIED: readonly HostileModule[] = [...ENDLESS, ...NONSENSE.filter((_, index) => index % 4 === 0)];

describe("a hostile module", () => {
  test(
    "T-132: in whatever way it fails, it is a deny that status, log and metrics count, and no other endpoint notices",
    async () => {
      const one = await start();
      for (const { name, parts, causes } of TRIED) {
        await install(one, parts);
        const [told, counted] = [one.agent.lines.length, await failuresCounted()];
        expect([name, await imds(ALICE), await goalState()]).toEqual([name, 403, 200]);
        const find = () => one.agent.lines.slice(told).find(({ event }) => event === "module-failed");
        await until(`${name}: the failure is told`, () => find() !== undefined);
        expect(find()?.fields).toMatchObject({ module: "hostile", failures: 1 });
        expect([name, causes]).toEqual([name, expect.arrayContaining([find()?.fields.cause])]);
        expect([name, (await failuresCounted()) - counted]).toEqual([name, 1]);
        await untilStatus(one, { agentDetails: { modules: { installed: [{ name: "hostile", failures: 1 }] } } });
      }
      // Later ones are equal to it, and told together.
      const denied = one.agent.lines.find(({ event }) => event === "request-denied");
      expect(denied?.fields).toMatchObject({ reason: "policy-failed", module: "hostile", responseStatus: 403 });
      expect(await one.unsignedLeft()).toEqual([]);
      expect(one.agent.process.exitCode).toBe(null);
    },
    LIMIT_MS,
  );

  test(
    "T-107: that cannot be started is not installed, and the one before stays in force",
    async () => {
      const one = await start();
      await install(one, turningModule(1_000));
      for (const [name, parts] of Object.entries(NEVER_STARTING)) {
        const { code } = await add(one, await componentFromModuleWat(parts));
        expect([name, code, await imds()]).toEqual([name, 1, 200]);
      }
      await untilStatus(one, {
        agentDetails: { modules: { refusal: "", installed: [{ name: "hostile", state: "in-force", failures: 0 }] } },
      });
    },
    LIMIT_MS,
  );

  test(
    "T-132: that turns after some calls, or leaks, is a deny at its turn and goes on afresh",
    async () => {
      const one = await start();
      await install(one, turningModule(3, "unreachable"));
      const statuses: number[] = [];
      for (let call = 0; call < 8; call++) statuses.push(await imds());
      expect(statuses).toEqual([200, 200, 200, 403, 200, 200, 200, 403]);
      await install(one, LEAKING, "--memory", "256k");
      const leaking: number[] = [];
      for (let call = 0; call < 8; call++) leaking.push(await imds());
      expect(leaking).toEqual([200, 200, 200, 403, 200, 200, 200, 403]);
      await one.agent.line("module-failed", ({ message }) => String(message).includes("its memory is at the limit"));
    },
    LIMIT_MS,
  );

  test(
    "T-131: in audit denies nothing, and all of its failures are told as loudly",
    async () => {
      const one = await start();
      await install(one, { evaluate: "(loop $ever (br $ever)) (unreachable)" }, "--audit");
      for (let call = 0; call < 3; call++) expect(await imds()).toBe(200);
      await expectLastRequest(one, { moduleWouldDeny: ["hostile: policy-failed"] });
      expect(await failuresCounted()).toBe(3);
      await untilStatus(one, {
        proxyAgentStatus: { status: "ERROR" },
        agentDetails: { modules: { installed: [{ name: "hostile", state: "failing", audit: true, failures: 3 }] } },
      });
    },
    LIMIT_MS,
  );

  test(
    "T-139: one user who has it loop without pause is denied; another user and root are answered on the same endpoint, and on others",
    async () => {
      const one = await start();
      expect(await add(one, await burningComponent())).toMatchObject({ code: 0 });
      let running = true;
      const attack = Promise.all(["PUT", "OPTIONS"].map((method) => python(HAMMER.replace("METHOD", method), ALICE))).finally(() => {
        running = false;
      });
      const statuses = new Set<number>();
      while (running) for (const status of [await imds(BOB), await imds(), await goalState()]) statuses.add(status);
      expect([...statuses]).toEqual([200]);
      const seen = (await attack).map((text) => new Set<number>(JSON.parse(text)));
      expect(seen.map((all) => all.has(403))).toEqual([true, true]);
      await one.agent.line("module-failed", ({ module }) => module === "hostile");
      expect(await failuresCounted()).toBeGreaterThan(500);
    },
    LIMIT_MS,
  );
});

const HAMMER = `
import http.client, json
seen = set()
connection = http.client.HTTPConnection("169.254.169.254", timeout=20)
for _ in range(1500):
    connection.request("METHOD", "/metadata/instance?api-version=2021-02-01", headers={"Metadata": "true"})
    answer = connection.getresponse(); answer.read()
    seen.add(answer.status)
print(json.dumps(sorted(seen)))`;
