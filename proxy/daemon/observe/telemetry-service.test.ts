import { describe, expect, test } from "bun:test";
import { makeFakeLog } from "../../../test/fakes/log.ts";
import { type LogOutput, makeLog } from "../../adapters/log/lines.ts";
import { type Config, parseConfig } from "../../core/config.ts";
import { err } from "../../core/result.ts";
import { makeTelemetryService, type TelemetryServicePorts } from "./telemetry-service.ts";

function configWith(more: Readonly<Record<string, unknown>>): Config {
  const known = { logFolder: "", eventFolder: "", latchKeyFolder: "/k", ebpfProgramName: "x.o" };
  const seconds = { monitorIntervalInSeconds: 60, pollKeyStatusIntervalInSeconds: 15 };
  const parsed = parseConfig(JSON.stringify({ ...known, ...seconds, ...more }), {});
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.error));
  return parsed.value.config;
}

function makeService(more: Readonly<Record<string, unknown>>) {
  const outputs: LogOutput[] = [];
  const telemetry = makeTelemetryService(configWith(more), {
    send: async () => err({ kind: "unreachable", detail: "" }),
    hostDate: () => "",
    addLogOutput: (output) => outputs.push(output),
    ...{ log: makeFakeLog().log, version: "1", key: () => undefined, ready: () => false, monotonicMs: () => 0 },
    status: () => ({}) as ReturnType<TelemetryServicePorts["status"]>,
  });
  return { telemetry, log: makeLog(outputs, () => new Date(0)), waiting: () => telemetry?.part.report().details?.waiting };
}

describe("makeTelemetryService", () => {
  test("takes lines of the agent at the level that the config names", () => {
    const { log, waiting } = makeService({ fileLogLevelForEvents: "Warn" });
    log.info("rules-applied", {});
    log.warn("key-dropped", {});
    log.error("rules-refused", {});
    expect(waiting()).toBe(2);
  });

  test("takes none when it names no level", () => {
    const { log, waiting } = makeService({});
    log.error("rules-refused", {});
    expect(waiting()).toBe(0);
  });

  test("T-92: lines that callers cause stay on this machine", () => {
    const { log, waiting } = makeService({ fileLogLevelForEvents: "Trace" });
    for (const event of ["request-forwarded", "request-denied", "request-failed", "connection-refused"]) {
      log.warn(event, { url: "/private", userName: "alice" });
    }
    expect(waiting()).toBe(0);
  });

  test("is not there when it is switched off", () => {
    expect(makeService({ telemetry: "off", fileLogLevelForEvents: "Info" }).telemetry).toBeUndefined();
  });
});
