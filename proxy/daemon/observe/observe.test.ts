import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeConfig } from "../../../test/fakes/config.ts";
import { makeFakeLog } from "../../../test/fakes/log.ts";
import { perEndpoint } from "../../core/channel/key-status.ts";
import { NO_MODULES } from "../../core/modules/policy-chain.ts";
import { UNKNOWN_GUARDS } from "../policy/guards.ts";
import { makeStopSteps, type StopStep } from "../stop-steps.ts";
import { makeObserve } from "./observe.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "observe-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function set(more: Readonly<Record<string, unknown>> = {}) {
  const { log } = makeFakeLog();
  const stops = makeStopSteps(log);
  const registered: StopStep[] = [];
  const state = { listening: false, requests: 0 };
  const report = { stateText: "Unknown", message: "waiting", healthy: false, keyIncarnationId: undefined, lastContactMs: undefined };
  const observe = makeObserve(makeConfig(folder, more), {
    ...{ version: "1.2.3", log, addLogOutput() {}, logLinesDropped: () => 0, monotonicMs: () => performance.now() },
    stops: {
      ...stops,
      add(step) {
        registered.push(step);
        stops.add(step);
      },
    },
    listenerMessage: "listening",
    isReady: () => false,
    redirect: {
      guarded: () => perEndpoint(() => false),
      counters: () => undefined,
      state: () => ({ running: true, message: "redirecting", pinsExecutable: true }),
    },
    policy: {
      snapshot: () => ({ epoch: 0, guards: UNKNOWN_GUARDS, modules: NO_MODULES, channel: { kind: "unknown" } }),
      report: () => ({ ...report, clockOffsetMs: undefined }),
      hostDate: () => "",
      stalledMs: () => 0,
    },
    serve: { isListening: () => state.listening, requests: () => state.requests, connections: () => 0, evicted: () => 0 },
    parts: [{ name: "kernel", report: () => ({ health: "ok", message: "", details: { pinned: true } }) }],
  });
  return { observe, stops, registered, state };
}

const namesOf = (steps: readonly StopStep[]) => steps.map(({ what }) => what);

describe("makeObserve", () => {
  test("the status is last of what it stops, and telemetry is there only when it is wanted", () => {
    expect(namesOf(set().registered)).toEqual(["status", "telemetry", "request lines", "metrics", "decision trail"]);
    expect(namesOf(set({ telemetry: "off" }).registered)).toEqual(["status", "request lines", "metrics", "decision trail"]);
  });

  test("the decision trail hears of a request before all others, the log after them", () => {
    expect(set().observe.requestEnded.map(([who]) => who)).toEqual([
      "decision trail",
      "connection summaries",
      "denials",
      "metrics",
      "request lines",
    ]);
  });

  test("the status tells what the other parts are at that moment", () => {
    const { observe, state } = set();
    expect(observe.status().proxyAgentStatus).toMatchObject({
      version: "1.2.3",
      proxyListenerStatus: { status: "STOPPED", message: "listening" },
      ebpfProgramStatus: { status: "RUNNING", message: "redirecting" },
      proxyConnectionsCount: 0,
    });
    Object.assign(state, { listening: true, requests: 3 });
    expect(observe.status().proxyAgentStatus).toMatchObject({ proxyListenerStatus: { status: "RUNNING" }, proxyConnectionsCount: 3 });
  });

  test("its own parts of the status stand around those that are given, later ones behind", () => {
    const { observe } = set();
    observe.addStatusPart({ name: "modules", report: () => ({ health: "ok", message: "", details: {} }) });
    expect(Object.keys(observe.status().agentDetails).slice(-4)).toEqual(["kernel", "host", "telemetry", "modules"]);
  });

  test("a stop writes the status once more, also when the agent never served", async () => {
    const { stops } = set();
    await stops.stop();
    expect(JSON.parse(readFileSync(`${folder}/status/status.json`, "utf8"))).toMatchObject({ proxyAgentStatus: { version: "1.2.3" } });
  });
});
