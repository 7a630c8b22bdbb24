// The guest agent's own code: goal state, health, vmSettings, uploads and downloads, IMDS, while the host is well, slow, refusing or away.

import { afterEach, describe, expect, test } from "bun:test";
import { type GuestAgentStep, runGuestAgent } from "../support/real-clients.ts";
import { World, type WorldOptions } from "../support/world.ts";

const MIB = 1024 * 1024;
const VM = "51a1a7ed-0000-4000-8000-000000000001";
const RESULTS: Readonly<Record<GuestAgentStep, unknown>> = {
  "goal-state": { incarnation: "1", source: "Fabric" },
  health: true,
  "vm-settings": { new: true, same: true, again: false },
  "status-upload": expect.any(Number),
  "log-upload": 20 * MIB,
  artifact: 4 * MIB,
  compute: { vm: VM },
};

let world: World | undefined;
afterEach(async () => {
  await world?.[Symbol.asyncDispose]();
  world = undefined;
});

async function start(options: WorldOptions = {}): Promise<World> {
  world = await World.start(options);
  return world;
}

async function expectDone(...steps: readonly GuestAgentStep[]): Promise<void> {
  expect(await runGuestAgent(...steps)).toMatchObject(steps.map((step) => ({ step, result: RESULTS[step] })));
}

describe("waagent", () => {
  test("everything it asks the host for gets through, signed but for the log upload", async () => {
    const at = await start();
    await expectDone("goal-state", "health", "vm-settings", "status-upload", "log-upload", "artifact", "compute");
    const sent = [...(await at.received("wireserver")), ...(await at.received("hostga")), ...(await at.received("imds"))];
    expect(sent.filter(({ signature }) => signature.kind !== "valid").map(({ method, target }) => `${method} ${target}`)).toEqual([
      "PUT /vmAgentLog",
    ]);
    const seen = sent.map(({ method, target, status }) => `${method} ${target.replace(/\?.*/, "")} ${status}`);
    for (const line of ["GET / 200", "POST /machine 200", "GET /vmSettings 200", "GET /vmSettings 304", "GET /extensionArtifact 200"])
      expect(seen).toContain(line);
    expect(seen.filter((line) => line === "PUT /status 200").length).toBeGreaterThanOrEqual(3);
    const largest = Math.max(...sent.filter(({ target }) => target === "/status").map(({ bodyBytes }) => bodyBytes));
    expect(largest).toBeGreaterThan(5 * MIB);
  }, 120_000);

  test("the host is slow: it waits and gets through", async () => {
    const at = await start();
    await at.host.addFaults(
      { kind: "delay", delayMs: 2_000, endpoint: "wireserver" },
      { kind: "delay", delayMs: 2_000, endpoint: "hostga" },
    );
    await expectDone("goal-state", "health", "vm-settings");
  }, 120_000);

  test.each([503, 429, 500])(
    "the host answers %p with Retry-After: it asks again and gets through",
    async (status) => {
      const at = await start();
      await at.host.addFaults(
        { kind: "status", status, retryAfterSeconds: 1, endpoint: "wireserver", pathPrefix: "/machine", count: 2 },
        { kind: "status", status, retryAfterSeconds: 1, endpoint: "hostga", pathPrefix: "/status", count: 1 },
      );
      await expectDone("goal-state", "health", "status-upload");
    },
    120_000,
  );

  test("WireServer is away for a while: our 503 makes it ask again", async () => {
    const at = await start();
    await at.host.addFaults({ kind: "stop-listening", endpoint: "wireserver" });
    const done = expectDone("goal-state", "health");
    await at.agent.line("request-failed", ({ reason }) => reason === "host-unreachable");
    await at.host.clearFaults();
    await done;
    expect(await at.unsignedLeft()).toEqual([]);
  }, 120_000);

  test("the host wants a new key: its 401 has the agent look at once, not with the next poll, and the next try gets through", async () => {
    const at = await start({ config: { pollKeyStatusIntervalInSeconds: 86_400 } });
    await at.host.startIncarnation();
    const [refused] = await runGuestAgent("goal-state");
    expect(refused?.error).toContain("Status Code 401");
    await at.agent.line("key-dropped");
    await expectDone("goal-state", "health", "vm-settings");
  }, 120_000);

  test("the agent restarts under audit while it works: it gets through", async () => {
    const at = await start({ host: { imds: "audit", wireserver: "audit" } });
    await at.host.addFaults({
      kind: "status",
      status: 503,
      retryAfterSeconds: 1,
      endpoint: "wireserver",
      pathPrefix: "/machine",
      count: 3,
    });
    const done = expectDone("goal-state", "health", "vm-settings", "compute");
    await at.agent.line("request-forwarded", ({ responseStatus }) => responseStatus === 503);
    await at.restartAgent();
    await done;
  }, 120_000);

  test("a host that has lost the goal state says so through us: 410 has it refreshed, not retried", async () => {
    const at = await start();
    await at.host.addFaults({ kind: "status", status: 410, endpoint: "hostga", pathPrefix: "/status" });
    const outcomes = await runGuestAgent("goal-state", "status-upload");
    expect(outcomes[1]?.error).toContain("ResourceGoneError");
    expect((await at.received("hostga")).filter(({ target }) => target === "/status")).toHaveLength(1);
  }, 120_000);
});
