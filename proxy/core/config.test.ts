import { describe, expect, test } from "bun:test";
import { type ConfigError, type ParsedConfig, parseConfig, renderConfigError, renderUnknownKey } from "./config.ts";
import { DEFAULT_BUDGETS } from "./modules/module-budgets.ts";
import type { Result } from "./result.ts";

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

/** The key that was refused. */
function keyOf(found: Result<ParsedConfig, ConfigError>): string {
  if (found.ok) return "taken";
  return found.error.kind === "bad-value" ? found.error.key : "not JSON";
}

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
    expect(keyOf(found)).toBe(named);
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
    expect(found.ok && found.value.unknownKeys).toEqual([
      { key: "pollKeyStatusInterval", nearest: "pollKeyStatusIntervalInSeconds", position: { line: 1, column: expect.any(Number) } },
    ]);
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
    expect(keyOf(found)).toBe(key);
    expect(found.ok ? "" : renderConfigError("/c.json", found.error)).toMatch(
      new RegExp(`^cannot use config "/c.json": line 1, column [0-9]+: key "${key}": found `),
    );
  });

  test.each(["", "{", "[]", "null", '"x"', "{'a':1}"])("refuses the text %p", (text) => {
    expect(parseConfig(text, {}).ok).toBe(false);
  });

  test.each<[string, string]>([
    ['{\n  "logFolder": "",\n  "logFolder": "/x"\n}', 'line 3, column 3: found member "logFolder" again'],
    ['{\n  "logFolder": "",\n}', "line 3, column 1: "],
    ["{\n  // no comments\n}", 'line 2, column 3: found "/", want a member name'],
    ["", "line 1, column 1: found the end of the text"],
    ["[1]", "line 1, column 1: found an array, want a JSON object"],
    [`{\n  "logFolder": "",\n  "eventFolder": 7\n}`, 'line 3, column 18: key "eventFolder": found 7, want an absolute folder path'],
    [
      `${JSON.stringify({ ...SHIPPED }).slice(0, -1)},\n"moduleBudgets": {\n"fuel": 1}}`,
      'line 3, column 9: key "moduleBudgets.fuel": found 1, want',
    ],
  ])("says where %j is wrong", (text, words) => {
    const found = parseConfig(text, {});
    expect(found.ok ? "taken" : renderConfigError("/c.json", found.error)).toStartWith(`cannot use config "/c.json": ${words}`);
  });

  test("names the nearest key in one line", () => {
    const found = parseConfig(JSON.stringify({ ...SHIPPED, "audit\nFoldr": 1, colour: 2 }, undefined, 1), {});
    const lines = found.ok ? found.value.unknownKeys.map((key) => renderUnknownKey("/c.json", key)) : [];
    expect(lines).toEqual([
      'config "/c.json": line 14, column 18: unknown key "audit\\nFoldr" has no effect; did you mean "auditFolder"?',
      'config "/c.json": line 15, column 12: unknown key "colour" has no effect',
    ]);
  });

  test("takes a byte order mark and the key that names a schema for editors", () => {
    const found = parseConfig(Buffer.from(`\ufeff${JSON.stringify({ $schema: "./proxy-agent.schema.json", ...SHIPPED })}`), {});
    expect(found.ok && found.value.unknownKeys).toEqual([]);
  });
});
