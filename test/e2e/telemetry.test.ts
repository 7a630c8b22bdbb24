// Telemetry through the built agent to the simulated host, which reads the documents with code of its own.

import { afterEach, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SIMULATED } from "../../host-simulator/simulated-vm.ts";
import type { ReceivedEvent } from "../../host-simulator/telemetry-check.ts";
import { until } from "../support/until.ts";
import { curl, IMDS_INSTANCE, World } from "../support/world.ts";

let world: World | undefined;

afterEach(async () => {
  await world?.[Symbol.asyncDispose]();
  world = undefined;
});

async function start(config: Readonly<Record<string, unknown>>, folder = "/nonexistent"): Promise<World> {
  world = await World.start({ config: { telemetry: "on", eventFolder: folder, ...config } });
  return world;
}

async function untilEvents(one: World, least: number): Promise<readonly ReceivedEvent[]> {
  let documents = await one.host.telemetry();
  const events = () => documents.flatMap((document) => document.events);
  await until("telemetry arrives", async () => {
    documents = await one.host.telemetry();
    return documents.some(({ problem }) => problem !== null) || events().length >= least;
  });
  expect(documents.map(({ problem }) => problem)).toEqual(documents.map(() => null));
  return events();
}

/** The status is written shortly after a change, not with it. */
async function expectTelemetryStatus(one: World, status: string): Promise<void> {
  const wanted = { proxyAgentStatus: { telemetryLoggerStatus: { status } } };
  expect(await one.untilStatus(wanted)).toMatchObject(wanted);
}

const paramsOf = (event: ReceivedEvent | undefined) => Object.fromEntries(event?.params ?? []);

describe("telemetry", () => {
  test("a document arrives that names this machine and tells how the agent does; metadata is asked signed, the document unsigned", async () => {
    const one = await start({ fileLogLevelForEvents: "Info", eventFolder: "" });
    const events = await untilEvents(one, 2);
    const heartbeat = events.map(paramsOf).find(({ Operation }) => Operation === "report_proxy_agent_status");
    expect(heartbeat).toMatchObject({
      ...{ TenantName: SIMULATED.tenantName, RoleName: SIMULATED.roleName, RoleInstanceName: SIMULATED.roleInstance },
      ...{ ContainerId: SIMULATED.containerId, SubscriptionId: SIMULATED.subscriptionId, VMId: SIMULATED.vmId, ImageOrigin: "1" },
      ...{ Name: "azure-proxy-agent", TaskName: "loop_status", EventPid: String(one.agent.pid) },
    });
    expect(JSON.parse(heartbeat?.Message ?? "{}").proxyListenerStatus.status).toBe("RUNNING");
    expect(
      events.map(paramsOf).some(({ Context1 = "" }) => Context1.startsWith("listener-ready ") || Context1.startsWith("redirect ")),
    ).toBe(true);
    const wire = await one.received("wireserver");
    expect(wire.map(({ method, signature, status }) => [method, signature.kind, status])).toEqual([
      ["GET", "valid", 200],
      ["GET", "valid", 200],
      ["POST", "unsigned", 200],
    ]);
    expect((await one.received("imds")).map(({ signature }) => signature.kind)).toEqual(["valid"]);
    await expectTelemetryStatus(one, "RUNNING");
  });

  test("events of extensions are passed on, bad files are removed and told", async () => {
    const folder = mkdtempSync("/run/apa-events-");
    chmodSync(folder, 0o750);
    const extension = {
      extension: { name: "ProxyAgentExt", version: "1", is_internal: true, extension_type: "t" },
      operation_status: { operation_success: true, operation: "o", task_name: "k", message: "from ext", duration: 5 },
      ...{ event_pid: "1", event_tid: "2", time_stamp: "2026-01-02T03:04:05Z" },
    };
    writeFileSync(join(folder, "extension_1.json"), JSON.stringify(extension), { mode: 0o600 });
    writeFileSync(join(folder, "extension_2.json"), "{", { mode: 0o600 });
    try {
      const one = await start({}, folder);
      const events = await untilEvents(one, 2);
      expect(events.map(paramsOf).find(({ Name }) => Name === "ProxyAgentExt")).toMatchObject({ Message: "from ext", Duration: "5" });
      expect(await one.agent.line("event-file-refused")).toMatchObject({ name: "extension_2.json" });
      expect([existsSync(join(folder, "extension_1.json")), existsSync(join(folder, "extension_2.json"))]).toEqual([false, false]);
    } finally {
      Bun.spawnSync(["rm", "-rf", folder]);
    }
  });

  test("switched off, nothing is asked and nothing is sent", async () => {
    const one = await start({ telemetry: "off" });
    await curl(IMDS_INSTANCE);
    await Bun.sleep(1_500);
    expect(await one.received("wireserver")).toEqual([]);
    await expectTelemetryStatus(one, "UNKNOWN");
  });
});
