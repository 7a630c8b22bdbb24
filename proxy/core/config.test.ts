import { describe, expect, test } from "bun:test";
import { parseConfig, renderConfigError } from "./config.ts";
import { DEFAULT_BUDGETS } from "./modules/module-budgets.ts";

const SHIPPED = {
  logFolder: "/var/log/azure-proxy-agent",
  eventFolder: "/var/log/azure-proxy-agent/events",
  latchKeyFolder: "/var/lib/azure-proxy-agent/keys",
  monitorIntervalInSeconds: 60,
  pollKeyStatusIntervalInSeconds: 15,
  hostGAPluginSupport: 1,
  ebpfProgramName: "ebpf_cgroup.o",
  cgroupRoot: "/sys/fs/cgroup",
  fileLogLevel: "Trace",
  fileLogLevelForEvents: "Info",
  fileLogLevelForSystemEvents: "Info",
  canonicalRequestMode: "Shadow",
};

describe("parseConfig", () => {
  test("takes the file the reference ships, without a warning", () => {
    const found = parseConfig(JSON.stringify(SHIPPED), {});
    expect(found.ok && found.value.unknownKeys).toEqual([]);
    expect(found.ok && found.value.config).toMatchObject({
      latchKeyFolder: SHIPPED.latchKeyFolder,
      pollKeyStatusIntervalSeconds: 15,
      fileLogLevel: "Trace",
      statusFolder: "/var/log/azure-proxy-agent",
    });
  });

  test("replaces %NAME% in folders from the environment", () => {
    const found = parseConfig(JSON.stringify({ ...SHIPPED, logFolder: "/x/%BASE%/%UNSET%" }), { BASE: "b" });
    expect(found.ok && found.value.config.logFolder).toBe("/x/b/UNSET");
  });

  test("modules: defaults, budgets and folders", () => {
    const plain = parseConfig(JSON.stringify(SHIPPED), {});
    expect(plain.ok && plain.value.config).toMatchObject({
      moduleFolder: undefined,
      trustedKeysFolder: "/etc/azure/proxy-agent.d/trusted-keys",
      requireSignedModules: false,
      moduleBudgets: DEFAULT_BUDGETS,
    });
    const keys = { moduleFolder: "/m", trustedKeysFolder: "/k", requireSignedModules: true, moduleBudgets: { fuel: 20_000_000 } };
    const found = parseConfig(JSON.stringify({ ...SHIPPED, ...keys }), {});
    expect(found.ok && found.value.unknownKeys).toEqual([]);
    expect(found.ok && found.value.config).toMatchObject({ ...keys, moduleBudgets: { ...DEFAULT_BUDGETS, fuel: 20_000_000 } });
  });

  test.each([
    ["requireSignedModules", "true", "requireSignedModules"],
    ["requireSignedModules", 1, "requireSignedModules"],
    ["moduleFolder", "modules", "moduleFolder"],
    ["trustedKeysFolder", ["/k"], "trustedKeysFolder"],
    ["moduleBudgets", 5, "moduleBudgets"],
    ["moduleBudgets", { fuel: 1 }, "moduleBudgets.fuel"],
    ["moduleBudgets", { fuel: 1e12 }, "moduleBudgets.fuel"],
    ["moduleBudgets", { memoryBytes: 1000 }, "moduleBudgets.memoryBytes"],
    ["moduleBudgets", { Fuel: 10_000_000 }, "moduleBudgets.Fuel"],
  ])("T-124: refuses %s %p", (key, value, named) => {
    const found = parseConfig(JSON.stringify({ ...SHIPPED, [key]: value }), {});
    expect(found.ok ? "taken" : found.error.key).toBe(named);
  });

  test("metrics are off unless the file wants them", () => {
    const read = (more: object) => {
      const parsed = parseConfig(JSON.stringify({ ...SHIPPED, ...more }), {});
      return parsed.ok ? [parsed.value.config.metricsSocket, parsed.value.config.metricsTextfile] : [];
    };
    expect(read({})).toEqual(["", ""]);
    expect(read({ metricsSocket: "", metricsTextfile: "/var/lib/metrics/agent.prom" })).toEqual(["", "/var/lib/metrics/agent.prom"]);
  });

  test("tells unknown keys instead of dropping them silently", () => {
    const found = parseConfig(JSON.stringify({ ...SHIPPED, pollKeyStatusInterval: 5 }), {});
    expect(found.ok && found.value.unknownKeys).toEqual(["pollKeyStatusInterval"]);
  });

  test.each([
    ["logFolder", "relative/path"],
    ["logFolder", 7],
    ["eventFolder", null],
    ["latchKeyFolder", ""],
    ["latchKeyFolder", undefined],
    ["latchKeyFolder", "/a\0b"],
    ["statusFolder", "x"],
    ["monitorIntervalInSeconds", 0],
    ["monitorIntervalInSeconds", "60"],
    ["pollKeyStatusIntervalInSeconds", -1],
    ["pollKeyStatusIntervalInSeconds", 1.5],
    ["pollKeyStatusIntervalInSeconds", 86_401],
    ["pollKeyStatusIntervalInSeconds", undefined],
    ["ebpfProgramName", "../x.o"],
    ["ebpfProgramName", ""],
    ["ebpfFileFullPath", "x.o"],
    ["cgroupRoot", 5],
    ["fileLogLevel", "Loud"],
    ["fileLogLevelForSystemEvents", ""],
    ["foreignNamespaces", "allow"],
    ["metricsSocket", "metrics.sock"],
    ["metricsSocket", "/run/agent/"],
    ["metricsTextfile", true],
    ["auditFolder", "audit"],
    ["auditSegmentMiB", 0],
    ["auditSegmentMiB", 2.5],
    ["auditTotalMiB", "32"],
    ["auditTotalMiB", 7],
  ])("refuses %s = %p and names the key", (key, value) => {
    const found = parseConfig(JSON.stringify({ ...SHIPPED, [key]: value }), {});
    expect(found.ok ? "accepted" : found.error.key).toBe(key);
    expect(found.ok ? "" : renderConfigError("/c.json", found.error)).toStartWith(`cannot use config "/c.json": key "${key}": found `);
  });

  test.each(["", "{", "[]", "null", '"x"', "{'a':1}"])("refuses the text %p", (text) => {
    expect(parseConfig(text, {}).ok).toBe(false);
  });
});
