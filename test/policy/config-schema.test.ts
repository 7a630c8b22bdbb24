// The JSON Schema of the config against the parser that decides: what the parser takes without an unknown key, the schema must take, and
// what it refuses or reports as unknown, the schema must refuse. That one number depends on another is the parser's alone.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import Ajv2020 from "ajv/dist/2020.js";
import shipped from "../../debian/proxy-agent.json" with { type: "json" };
import schema from "../../debian/proxy-agent.schema.json" with { type: "json" };
import { type ConfigError, type ParsedConfig, parseConfig } from "../../proxy/core/config.ts";
import { BUDGET_LIMITS } from "../../proxy/core/modules/module-budgets.ts";
import type { Result } from "../../proxy/core/result.ts";
import { seededRandom } from "../support/random.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const SEED = 20_261_201;
const MUTATIONS = 30_000;
/** As the reference ships it. */
const REFERENCE = {
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

const validate = new Ajv2020({ strict: true, strictTypes: false }).compile(schema);

function parse(json: unknown): Result<ParsedConfig, ConfigError> {
  // A variable may stand for the beginning of a path; whether it does is the environment's matter.
  return parseConfig(JSON.stringify(json), { HOME: "/home" });
}

/** Takes it and has nothing to report. */
function isClean(parsed: Result<ParsedConfig, ConfigError>): boolean {
  return parsed.ok && parsed.value.unknownKeys.length === 0;
}

/** What no schema can say. */
function dependsOnAnother(parsed: Result<ParsedConfig, ConfigError>): boolean {
  return !parsed.ok && parsed.error.kind === "bad-value" && parsed.error.want.startsWith("at least twice");
}

const KEYS = Object.keys(schema.properties);
const VALUES: readonly unknown[] = [
  ...["", "/", "/a", "/a/", "a", "a/b", "..", "%HOME%", "%HOME%/x", "/x/%A%", "%", "%%", "%/x", "/a\0", "\0", "x.o", "é", "/é"],
  ...["info", "INFO", "Info ", "Loud", "refuse", "PASS", "on", "Off", "true", "toString", "__proto__"],
  ...[null, true, false, 0, 1, 2, 3, 4, 15, 16, 64, 65, 1.5, -1, 1000, 1001, 86_400, 86_401, 65_536, 65_537, 1e30],
  ...[
    [],
    ["/a"],
    {},
    { fuel: 10_000 },
    { fuel: 9_999 },
    { fuel: null },
    { memoryBytes: 65_536 },
    { memoryBytes: 65_537 },
    { reasonBytes: 257 },
  ],
  ...[{ reasonBytes: 1, fuel: 20_000, memoryBytes: 131_072 }, { Fuel: 20_000 }],
];

describe("the schema of the config", () => {
  test.each<[string, object]>([
    ["the shipped config", shipped],
    ["that of the reference", REFERENCE],
    ["one that names its schema", { $schema: "./proxy-agent.schema.json", ...REFERENCE }],
  ])("takes %s, as the parser does", (_, config) => {
    expect([isClean(parse(config)), validate(config)]).toEqual([true, true]);
  });

  test("knows every key that the parser knows, and no other", () => {
    for (const key of KEYS) {
      const parsed = parse({ ...REFERENCE, [key]: Object(REFERENCE)[key] ?? null });
      expect([key, parsed.ok ? parsed.value.unknownKeys : []]).toEqual([key, []]);
    }
    const suggested = parse({ ...REFERENCE, ...Object.fromEntries(KEYS.map((key) => [`${key}X`, 1])) });
    const nearest = suggested.ok ? suggested.value.unknownKeys.map((each) => each.nearest) : [];
    expect(nearest.length).toBe(KEYS.length);
    const found = nearest.filter((key) => key !== undefined);
    // Keys without effect are suggested to nobody.
    expect(new Set(found).size).toBe(KEYS.length - 4);
    for (const key of found) expect(KEYS).toContain(key);
  });

  test("agrees with the parser on every key with every odd value, and without it", () => {
    let refused = 0;
    let taken = 0;
    for (const key of [...KEYS, "colour", "LogFolder", "logfolder"]) {
      const { [key]: _, ...without } = Object(REFERENCE);
      for (const config of [without, ...VALUES.map((value) => ({ ...REFERENCE, [key]: value }))]) {
        const parsed = parse(config);
        if (dependsOnAnother(parsed)) continue;
        if (isClean(parsed)) taken++;
        else refused++;
        expect([JSON.stringify(config), validate(config)]).toEqual([JSON.stringify(config), isClean(parsed)]);
      }
    }
    expect(Math.min(refused, taken)).toBeGreaterThan(200);
  });

  test("agrees with the parser on configs with several odd values", () => {
    const random = seededRandom(SEED);
    const seen = { taken: 0, refused: 0, other: 0 };
    for (let i = 0; i < MUTATIONS; i++) {
      const config: Record<string, unknown> = { ...REFERENCE };
      for (let changes = random.below(3); changes >= 0; changes--) {
        const key = KEYS[random.below(KEYS.length)] ?? "";
        if (random.oneIn(20)) delete config[key];
        else config[key] = VALUES[random.below(VALUES.length)];
      }
      const parsed = parse(config);
      if (dependsOnAnother(parsed)) seen.other++;
      else {
        if (isClean(parsed)) seen.taken++;
        else seen.refused++;
        if (validate(config) !== isClean(parsed)) throw new Error(`schema and parser differ on ${JSON.stringify(config)}`);
      }
    }
    expect(Math.min(seen.taken, seen.refused)).toBeGreaterThan(1_000);
    expect(seen.other).toBeGreaterThan(5);
  });

  test.each([[null], [[]], ["config"], [1]])("is not met by %p", (json: unknown) => {
    expect([validate(json), parse(json).ok]).toEqual([false, false]);
  });

  test("has the limits of budgets that the code has", () => {
    const { fuel, memoryBytes, reasonBytes } = schema.properties.moduleBudgets.properties;
    for (const [found, wanted] of [
      [fuel, BUDGET_LIMITS.fuel],
      [memoryBytes, BUDGET_LIMITS.memoryBytes],
      [reasonBytes, BUDGET_LIMITS.reasonBytes],
    ] as const)
      expect([found.minimum, found.maximum]).toEqual([wanted.least, wanted.most]);
    expect(memoryBytes.multipleOf).toBe(BUDGET_LIMITS.memoryBytes.multipleOf);
  });
});
