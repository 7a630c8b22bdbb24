// cloud-init's own code at boot: it asks the agent's status, fetches metadata and reports to WireServer, while the host is well, slow,
// refusing or away, and while the agent comes late or is not there.

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { runCloudInit } from "../support/real-clients.ts";
import { requireSandbox } from "../support/sandbox.ts";
import { CommandStage, playAgent, provisionReply } from "../support/status-command.ts";
import { failedConnects } from "../support/tcp-counters.ts";
import { until } from "../support/until.ts";
import { AgentProcess, World, type WorldOptions } from "../support/world.ts";

const SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin";

let stage: CommandStage;
let world: World | undefined;
beforeAll(() => {
  requireSandbox();
  stage = new CommandStage();
});
afterAll(() => stage?.[Symbol.dispose]());
afterEach(async () => {
  await world?.[Symbol.asyncDispose]();
  world = undefined;
});

async function start(options: WorldOptions = {}): Promise<World> {
  world = await World.start(options);
  return world;
}

const withAgent = () => `${stage.folder}:${SYSTEM_PATH}`;
const BOOT = ["check-agent", "metadata", "ready"] as const;
const BOOTED = [
  { step: "check-agent", result: [] },
  { step: "metadata", result: ["compute", "network"] },
  { step: "ready", result: true },
];

describe("cloud-init", () => {
  test("a boot: status, metadata, goal state, health, all signed", async () => {
    const at = await start();
    expect(await runCloudInit(BOOT, withAgent())).toEqual(BOOTED);
    expect((await at.received("imds")).map(({ target, signature }) => [target, signature.kind])).toEqual([
      ["/metadata/instance?api-version=2021-08-01&extended=true", "valid"],
    ]);
    expect((await at.received("wireserver")).map(({ method, target, signature }) => [method, target, signature.kind])).toEqual([
      ["GET", "/machine/?comp=goalstate", "valid"],
      ["POST", "/machine?comp=health", "valid"],
    ]);
  });

  test("the agent is started after it: it waits, and boots", async () => {
    const at = await start();
    await at.agent.stop();
    const failed = failedConnects();
    const boot = runCloudInit(BOOT, withAgent());
    await until("the boot has found no agent", () => failedConnects() > failed);
    at.agent = new AgentProcess(at.configPath);
    expect(await boot).toEqual(BOOTED);
    expect(await at.unsignedLeft()).toEqual([]);
  });

  test("the host refuses the key at first: it waits, and boots", async () => {
    const at = await start({
      awaitRedirect: [],
      beforeAgent: async (host) => void (await host.addFaults({ kind: "refuse-attest", count: 3 })),
    });
    expect(await runCloudInit(BOOT, withAgent())).toEqual(BOOTED);
    expect(await at.unsignedLeft()).toEqual([]);
  });

  test("the host is slow: it boots", async () => {
    const at = await start();
    await at.host.addFaults(
      { kind: "delay", delayMs: 3_000, endpoint: "imds" },
      { kind: "dribble", chunkBytes: 64, intervalMs: 20, endpoint: "wireserver" },
    );
    expect(await runCloudInit(BOOT, withAgent())).toEqual(BOOTED);
  });

  test.each([503, 429, 500, 404, 410])("IMDS answers %p first: it asks again, and boots", async (status) => {
    const at = await start();
    await at.host.addFaults({ kind: "status", status, retryAfterSeconds: 1, endpoint: "imds", count: 2 });
    expect(await runCloudInit(["check-agent", "metadata"], withAgent())).toEqual(BOOTED.slice(0, 2));
    expect((await at.received("imds")).map((request) => request.status)).toEqual([status, status, 200]);
  });

  test("IMDS is away for a while: our 503 makes it ask again, and it boots", async () => {
    const at = await start();
    await at.host.addFaults({ kind: "stop-listening", endpoint: "imds" });
    const boot = runCloudInit(["metadata"], withAgent());
    await at.agent.line("request-failed", ({ reason }) => reason === "host-unreachable");
    await at.host.clearFaults();
    expect(await boot).toEqual(BOOTED.slice(1, 2));
  });

  test("the agent restarts under audit while it asks again and again: it boots", async () => {
    const at = await start({ host: { imds: "audit", wireserver: "audit" } });
    await at.host.addFaults({ kind: "status", status: 503, retryAfterSeconds: 1, endpoint: "imds", count: 3 });
    const boot = runCloudInit(BOOT, withAgent());
    await at.agent.line("request-forwarded", ({ responseStatus }) => responseStatus === 503);
    await at.restartAgent();
    expect(await boot).toEqual(BOOTED);
  });

  test("no agent on the machine: the fabric is told so in cloud-init's words", async () => {
    const at = await start();
    const [outcome] = await runCloudInit(["check-agent"], SYSTEM_PATH);
    expect(outcome?.result).toMatchObject([{ sent: true }]);
    const bodies = await healthReports(at);
    expect(bodies).toHaveLength(1);
    expect(JSON.stringify(outcome)).toContain("reason=azure-proxy-agent not found");
  });

  test("an agent that ended with an error: exit code and line fit into the report beside what comes after them", async () => {
    const at = await start({ host: { wireserver: "disabled", imds: "disabled" }, awaitRedirect: [] });
    await at.agent.stop();
    const long = `keyLatchStatus - cannot attest key ${"x".repeat(900)}|y\r\nebpfProgramStatus - z\r\n`;
    await using _agent = await playAgent((socket) => socket.end(provisionReply(true, long)));
    const [outcome] = await runCloudInit(["check-agent"], withAgent());
    const [{ report, sent } = { report: "", sent: false }] = (outcome?.result ?? []) as { report: string; sent: boolean }[];
    expect(sent).toBe(true);
    // The fabric takes 512 characters of it.
    const told = report.slice(0, 512);
    for (const part of [
      "reason=azure-proxy-agent status failure",
      "exit_code=2",
      "stdout=keyLatchStatus - cannot attest key",
      "vm_id=",
      "timestamp=",
    ])
      expect(told).toContain(part);
    expect(await healthReports(at)).toHaveLength(1);
  });
});

async function healthReports(at: World): Promise<readonly unknown[]> {
  return (await at.received("wireserver")).filter(({ method, target }) => method === "POST" && target === "/machine?comp=health");
}
