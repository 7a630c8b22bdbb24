// The status that the platform's extension and people read: its shape, and that it says what is the case.

import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { findShapeErrors, STATUS_SHAPE } from "../support/status-shape.ts";
import { ALICE, curl, GOAL_STATE, IMDS_INSTANCE, runProgram, World, type WorldOptions } from "../support/world.ts";

const AGGREGATE = "http://168.63.129.16/gpa-aggregated-status";

interface Status {
  readonly proxyAgentStatus: {
    readonly status: string;
    readonly keyLatchStatus: { readonly status: string; readonly message: string; readonly states: Readonly<Record<string, string>> };
    readonly ebpfProgramStatus: { readonly status: string };
    readonly proxyListenerStatus: { readonly status: string };
    readonly proxyConnectionsCount: number;
  };
  readonly agentDetails: {
    readonly health: readonly { readonly part: string; readonly health: string; readonly message: string }[];
    readonly [name: string]: unknown;
  };
}

/** Of waiting for a status, not of the time it takes. */
const LIMIT_MS = 30_000;
let world: World | undefined;
afterEach(async () => {
  await world?.[Symbol.asyncDispose]();
  world = undefined;
});

async function start(options: WorldOptions = {}): Promise<World> {
  world = await World.start(options);
  return world;
}

/** Waits for a status.json of which that is true; shows the last one otherwise. */
async function statusWhere(at: World, isSo: (status: Status) => boolean): Promise<Status> {
  const path = join(at.folder, "status", "status.json");
  const endMs = Date.now() + LIMIT_MS;
  for (;;) {
    const status = existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Status) : undefined;
    if (status !== undefined && isSo(status)) return status;
    if (Date.now() > endMs) throw new Error(`no such status in time: ${JSON.stringify(status, null, 1)}`);
    await Bun.sleep(20);
  }
}

/** Without what is ours. */
function platformPart({ agentDetails, ...rest }: Record<string, unknown>): Record<string, unknown> {
  expect(typeof agentDetails).toBe("object");
  return rest;
}

describe("shape", () => {
  test("status.json and /gpa-aggregated-status: every member the platform's tools know, of its type, and no other but agentDetails", async () => {
    const at = await start({ host: { imds: "audit" } });
    await curl(IMDS_INSTANCE);
    await curl(GOAL_STATE, { as: ALICE });
    const served = await curl(AGGREGATE);
    expect(served.headers["content-type"]).toBe("application/json; charset=utf-8");
    expect(served.body).toBe(JSON.stringify(JSON.parse(served.body)));
    const parsed = JSON.parse(served.body) as { proxyConnectionSummary: unknown[]; failedAuthenticateSummary: unknown[] } & Record<
      string,
      unknown
    >;
    expect(findShapeErrors(platformPart(parsed), STATUS_SHAPE)).toEqual([]);
    expect([parsed.proxyConnectionSummary.length, parsed.failedAuthenticateSummary.length]).toEqual([2, 1]);
    // Exactly so, with two blanks: tools compare the text.
    expect((parsed as unknown as Status).proxyAgentStatus.keyLatchStatus.states.secureChannelState).toBe(
      "WireServer Enforce -  IMDS Audit - HostGA Enforce",
    );
    const path = join(at.folder, "status", "status.json");
    await statusWhere(at, () => true);
    const written = readFileSync(path, "utf8");
    expect(written).toBe(`${JSON.stringify(JSON.parse(written), null, 2)}\n`);
    expect(findShapeErrors(platformPart(JSON.parse(written)), STATUS_SHAPE)).toEqual([]);
    expect(statSync(path).mode & 0o7777).toBe(0o640);
  });

  test("before the first answer of the host: the state is Unknown, and all members are there", async () => {
    const at = await start({
      awaitRedirect: [],
      beforeAgent: async (host) => void (await host.addFaults({ kind: "stop-listening", endpoint: "wireserver" })),
    });
    const status = await statusWhere(at, () => true);
    expect(findShapeErrors(platformPart({ ...status }), STATUS_SHAPE)).toEqual([]);
    expect(status.proxyAgentStatus.keyLatchStatus.states).toEqual({
      secureChannelState: "Unknown",
      wireServerRuleId: "",
      imdsRuleId: "",
      hostGARuleId: "",
    });
  });

  test("T-07: the aggregate status is not for others than root, nor for direct connections", async () => {
    await start();
    expect((await curl(AGGREGATE, { as: ALICE })).status).toBe(403);
    expect((await curl("http://127.0.0.1:3080/gpa-aggregated-status")).status).toBe(403);
    const bare = await runProgram(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", AGGREGATE]);
    expect(bare.stdout).toBe("400");
  });
});

describe("content", () => {
  test("all is well", async () => {
    const { proxyAgentStatus, agentDetails } = await statusWhere(await start(), ({ agentDetails: { health } }) => health.length === 0);
    expect(proxyAgentStatus).toMatchObject({
      status: "SUCCESS",
      keyLatchStatus: { status: "RUNNING" },
      ebpfProgramStatus: { status: "RUNNING" },
      proxyListenerStatus: { status: "RUNNING" },
    });
    expect(agentDetails.health).toEqual([]);
  });

  test("the host does not answer any more: ERROR, the key keeper stopped and why; it answers again: SUCCESS", async () => {
    const at = await start();
    await statusWhere(at, ({ proxyAgentStatus }) => proxyAgentStatus.status === "SUCCESS");
    await at.host.addFaults({ kind: "stop-listening", endpoint: "wireserver" });
    const down = await statusWhere(at, ({ proxyAgentStatus }) => proxyAgentStatus.status === "ERROR");
    expect(down.proxyAgentStatus.keyLatchStatus.status).toBe("STOPPED");
    expect(down.proxyAgentStatus.keyLatchStatus.message).toContain("unreachable");
    expect(down.agentDetails.health.map(({ part, health }) => [part, health])).toEqual([["keyKeeper", "failed"]]);
    await at.host.clearFaults();
    await statusWhere(at, ({ proxyAgentStatus }) => proxyAgentStatus.status === "SUCCESS");
  });

  test("rules that cannot be used: ERROR, though everything runs", async () => {
    const at = await start();
    await statusWhere(at, ({ proxyAgentStatus }) => proxyAgentStatus.status === "SUCCESS");
    const rules = { imds: { id: "broken", defaultAccess: "maybe", rules: {} } };
    await at.host.configure({ rules });
    const { proxyAgentStatus, agentDetails } = await statusWhere(at, (status) => status.proxyAgentStatus.status === "ERROR");
    expect(proxyAgentStatus.keyLatchStatus.status).toBe("RUNNING");
    expect(agentDetails.health.map(({ part, health }) => [part, health])).toEqual([["rules", "failed"]]);
  });

  test("the status cannot be written: it says so when it is asked for", async () => {
    const at = await start({ config: { statusFolder: "/proc/no-such-folder" } });
    await at.agent.line("status-not-written");
    const { monitorStatus } = JSON.parse((await curl(AGGREGATE)).body).proxyAgentStatus;
    expect(monitorStatus.status).toBe("STOPPED");
    expect(monitorStatus.message).toStartWith('cannot write "/proc/no-such-folder/status.json"');
  });
});
