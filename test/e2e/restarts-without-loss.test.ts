// A restart is not noticed by anybody: connections wait in the socket that the service manager holds, the redirect stays in the kernel,
// and whoever connected meanwhile is served by the next agent, as who they are. RESTARTS sets how often (default 40).

import { afterEach, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { attachedPrograms, programsLeft } from "../support/attached-programs.ts";
import { requireSandbox } from "../support/sandbox.ts";
import { NotifySocket, ServiceManager } from "../support/service-manager.ts";
import { countInQueue } from "../support/tcp-counters.ts";
import { until } from "../support/until.ts";
import { AgentProcess, ALICE, curl, type Ids, IMDS_INSTANCE, runProgram, World } from "../support/world.ts";

const RESTARTS = Number(process.env.RESTARTS ?? 40);
/** As text: the checkout may lie where only root may look. */
const CALLERS = readFileSync(join(import.meta.dir, "../support/steady-callers.py"), "utf8");
const AGENT = join(import.meta.dir, "../../dist/azure-proxy-agent");
const { cgroupPath } = requireSandbox();

interface Tally {
  readonly counts: Readonly<Record<string, number>>;
  readonly lost: readonly unknown[];
  readonly lostCount: number;
  readonly longestMs: number;
}

/** Callers of one user that go on until asked for their tally. */
function steadyCallers(name: string, statuses: readonly [imds: number, wireserver: number], as?: Ids) {
  const prefix = as === undefined ? [] : ["setpriv", `--reuid=${as.uid}`, `--regid=${as.gid}`, "--clear-groups", "--"];
  const running = Bun.spawn([...prefix, "/usr/bin/python3", "-c", CALLERS, name, ...statuses.map(String)], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
    cwd: "/",
  });
  return async (): Promise<Tally> => {
    running.stdin.end();
    return JSON.parse(await new Response(running.stdout).text()) as Tally;
  };
}

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one[Symbol.asyncDispose]();
});

async function openWorld(manager?: ServiceManager, environment: Readonly<Record<string, string>> = {}): Promise<World> {
  const world = await World.start(manager === undefined ? {} : { startAgent: (configPath) => manager.start(configPath, environment) });
  open.push(world);
  return world;
}

function keepSocket(): ServiceManager {
  const manager = new ServiceManager();
  open.push({ [Symbol.asyncDispose]: async () => manager[Symbol.dispose]() });
  return manager;
}

const pinsOf = (world: World) => `/sys/fs/bpf/${basename(world.folder)}`;

/** Nothing on the cgroup, nothing in bpffs. */
function expectNothingLeft(world: World): void {
  expect(programsLeft(cgroupPath)).toEqual([]);
  expect(existsSync(pinsOf(world))).toBe(false);
}

/** Every request at the host carries the claims of the caller that its query names, and a signature. */
async function expectTrueClaims(world: World, afterId = 0): Promise<number> {
  const records = (await world.received("imds")).filter(({ id }) => id > afterId);
  const wrong = records.filter(({ target, claims, signature }) => {
    const isRoot = target.includes("caller=root") ? "true" : "false";
    return signature.kind !== "valid" || claims !== `{ "isRoot": "${isRoot}"}`;
  });
  expect(wrong).toEqual([]);
  return records.at(-1)?.id ?? afterId;
}

async function serving(agent: AgentProcess): Promise<void> {
  await agent.line("agent-ready");
}

describe("with a socket that the service manager keeps", () => {
  test(
    `T-80: ${RESTARTS} restarts under load: nothing refused, unsigned or taken for somebody else's`,
    async () => {
      const manager = keepSocket();
      const world = await openWorld(manager);
      const tallies = [steadyCallers("root", [200, 200]), steadyCallers("alice", [200, 403], ALICE)];
      await Bun.sleep(500);
      let seen = 0;
      for (let round = 0; round < RESTARTS; round += 1) {
        expect(await world.agent.stop()).toBe(0);
        world.agent = manager.start(world.configPath);
        await serving(world.agent);
        expect(await world.agent.line("redirector-ready")).toMatchObject({ takeover: "same-layout" });
        await Bun.sleep(50);
        seen = await expectTrueClaims(world, seen);
      }
      const [root, alice] = await Promise.all(tallies.map((tally) => tally()));
      console.log(`${RESTARTS} restarts:`, JSON.stringify({ root, alice }));
      for (const tally of [root, alice]) {
        expect(tally?.lost).toEqual([]);
        expect(tally?.counts.new ?? 0).toBeGreaterThan(RESTARTS);
      }
      expect(await world.unsignedLeft()).toEqual([]);
      await expectTrueClaims(world, seen);
    },
    120_000 + RESTARTS * 4_000,
  );

  test("T-81: killed under load, the next one serves who waits; nothing leaves unsigned in between", async () => {
    const manager = keepSocket();
    const world = await openWorld(manager);
    for (let round = 0; round < 3; round += 1) {
      world.agent.process.kill("SIGKILL");
      await world.agent.process.exited;
      const waiting = [curl(`${IMDS_INSTANCE}&caller=root`), curl(`${IMDS_INSTANCE}&caller=alice`, { as: ALICE })];
      await until("both wait in the socket", async () => (await countInQueue(3080)) >= waiting.length);
      world.agent = manager.start(world.configPath);
      expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200]);
    }
    expect(await world.unsignedLeft()).toEqual([]);
    await expectTrueClaims(world);
  });

  test("T-81: killed with no successor, connects wait and then fail; none goes round", async () => {
    const manager = keepSocket();
    const world = await openWorld(manager);
    world.agent.process.kill("SIGKILL");
    await world.agent.process.exited;
    const before = (await world.received("imds")).length;
    expect((await curl(IMDS_INSTANCE, { args: ["--max-time", "1"] })).status).toBe(0);
    expect((await world.received("imds")).length).toBe(before);
    expect(attachedPrograms(cgroupPath)).toHaveLength(5);
  });

  test("T-81: another mode of the pin folder hides nothing from the next one, and no program stays behind twice", async () => {
    const manager = keepSocket();
    const world = await openWorld(manager);
    world.agent.process.kill("SIGKILL");
    await world.agent.process.exited;
    chmodSync(pinsOf(world), 0o755);
    world.agent = manager.start(world.configPath);
    expect(await world.agent.line("redirector-ready")).toMatchObject({ takeover: "same-layout" });
    expect((await curl(IMDS_INSTANCE)).status).toBe(200);
    expect(attachedPrograms(cgroupPath)).toHaveLength(5);
    expect(statSync(pinsOf(world)).mode & 0o777).toBe(0o700);
  });

  test("what is waited for after a takeover is the host's word, and not for long", async () => {
    const manager = keepSocket();
    const world = await openWorld(manager);
    expect(await world.agent.stop()).toBe(0);
    await world.host.addFaults({ kind: "hang", endpoint: "wireserver", pathPrefix: "/secure-channel/status" });
    const waiting = curl(IMDS_INSTANCE);
    const began = performance.now();
    world.agent = manager.start(world.configPath);
    expect(await waiting).toMatchObject({ status: 503 });
    expect(performance.now() - began).toBeGreaterThan(2_500);
  });
});

describe("without one", () => {
  test("T-17: SIGTERM takes the redirect off before anything else, and nothing stays pinned", async () => {
    const world = await openWorld();
    expect(readdirSync(pinsOf(world))).toEqual(["layout-2-2"]);
    expect(await world.agent.stop()).toBe(0);
    expect(programsLeft(cgroupPath)).toEqual([]);
    expect(readdirSync(pinsOf(world))).toEqual([]);
    expect((await curl(IMDS_INSTANCE)).status).toBe(401);
  });

  test("T-81: killed, connects are refused rather than unsigned, until the next one is there", async () => {
    const world = await openWorld();
    world.agent.process.kill("SIGKILL");
    await world.agent.process.exited;
    expect((await curl(IMDS_INSTANCE)).status).toBe(0);
    // One that cannot start says that the redirect is there without an agent; the next one that can takes it over.
    const taken = Bun.listen({ hostname: "127.0.0.1", port: 3080, socket: { data() {} } });
    const failing = new AgentProcess(world.configPath);
    expect(await failing.process.exited).toBe(75);
    await failing.stop();
    expect(await failing.line("redirect-without-agent")).toMatchObject({ pinFolder: pinsOf(world) });
    taken.stop(true);
    await world.restartAgent();
    expect((await curl(IMDS_INSTANCE)).status).toBe(200);
    expect(await world.unsignedLeft()).toEqual([]);
  });
});

describe("azure-proxy-agent release", () => {
  test("takes off what a killed agent left, and does nothing the second time", async () => {
    const world = await openWorld();
    world.agent.process.kill("SIGKILL");
    await world.agent.process.exited;
    const release = () => runProgram([AGENT, "release", "--config", world.configPath]);
    expect(await release()).toMatchObject({ code: 0, stderr: "azure-proxy-agent: the redirect is off\n" });
    expectNothingLeft(world);
    expect((await curl(IMDS_INSTANCE)).status).toBe(401);
    expect(await release()).toMatchObject({ code: 0, stderr: "azure-proxy-agent: there was nothing to take off\n" });
  });

  test("a config that is not there is told: what was released may not be what was meant", async () => {
    const { code, stderr } = await runProgram([AGENT, "release", "--config", "/nonexistent.json"]);
    expect(code).toBe(0);
    expect(stderr).toMatch(/cannot read config "\/nonexistent\.json": no such file; taking the default pin folder "\/sys\/fs\/bpf\//);
  });

  test("refuses while an agent runs, and says which", async () => {
    const world = await openWorld();
    const released = await runProgram([AGENT, "release", "--config", world.configPath]);
    expect(released.code).toBe(75);
    expect(released.stderr).toContain(`another azure-proxy-agent runs as process ${world.agent.pid}`);
    expect((await curl(IMDS_INSTANCE)).status).toBe(200);
  });
});

describe("the service manager is told", () => {
  test.each(["a path", "an abstract name"])("on %s: ready when serving, alive while it answers, stopping", async (kind) => {
    using notify = new NotifySocket(kind === "a path" ? undefined : `@apa-notify-${process.pid}`);
    const manager = keepSocket();
    const world = await openWorld(manager, { NOTIFY_SOCKET: notify.path, WATCHDOG_USEC: "400000" });
    await notify.hear("READY=1");
    expect((await curl(IMDS_INSTANCE)).status).toBe(200);
    await notify.hear("WATCHDOG=1");
    const { pid } = world.agent;
    process.kill(pid, "SIGSTOP");
    await until("the agent is stopped", () => readFileSync(`/proc/${pid}/stat`, "utf8").includes(") T "));
    const before = notify.lines().length;
    // Two of the watchdog's intervals: silence is what is tried here.
    await Bun.sleep(800);
    expect(notify.lines().length).toBe(before);
    world.agent.process.kill("SIGCONT");
    expect(await world.agent.stop()).toBe(0);
    await notify.hear("STOPPING=1");
  });
});

describe("a second agent", () => {
  test("T-84: refuses to start and names the first, with the same socket or a port of its own", async () => {
    const manager = keepSocket();
    const world = await openWorld(manager);
    const tags = ["status.tag", "provisioned.tag"].map((name) => join(world.folder, "keys", name));
    await world.agent.line("provisioned");
    const second = manager.start(world.configPath);
    expect(await second.process.exited).toBe(75);
    // Boot tools read them: they speak of the agent that runs.
    expect(tags.map((path) => existsSync(path))).toEqual([true, true]);
    expect(second.stderr).toContain(`another azure-proxy-agent runs as process ${world.agent.pid}`);
    expect((await curl(IMDS_INSTANCE)).status).toBe(200);
  });
});
