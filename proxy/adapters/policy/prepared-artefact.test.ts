import { describe, expect, test } from "bun:test";
import { encode } from "cbor-x/index-no-eval";
import { seededRandom } from "../../../test/support/random.ts";
import type { CoreItem, LiftedFunction, PreparedComponent } from "../../core/wasm/component-plan.ts";
import { decodePrepared, encodePrepared } from "./prepared-artefact.ts";

function item(name: string, instance = 1): CoreItem {
  return { sort: name === "memory" ? "memory" : "func", instance, name };
}

function lifted(name: string, postReturn: CoreItem | undefined): LiftedFunction {
  return { function: item(name), memory: item("memory"), realloc: item("cabi_realloc"), postReturn, encoding: "utf8" };
}

const PREPARED: PreparedComponent = {
  preparation: 1,
  plan: {
    worldVersion: "1.0.0",
    moduleCount: 2,
    instances: [
      { kind: "module", module: 0, imports: [] },
      { kind: "module", module: 1, imports: [{ name: "it's", instance: 0 }] },
      { kind: "bundle", exports: [{ name: "x", item: item("y", 0) }] },
    ],
    validateSettings: lifted("validate", undefined),
    configure: lifted("configure", item("post")),
    evaluate: lifted("evaluate", item("post")),
  },
  modules: [Uint8Array.of(1, 2, 3), new Uint8Array(0)],
  fuelImport: { module: "azure-proxy-agent", name: "fuel" },
  compilerBytes: 1234,
  memories: 1,
};

function damaged(edit: (value: Record<string, never> & typeof PREPARED) => void): string {
  const value = structuredClone(PREPARED) as Record<string, never> & typeof PREPARED;
  edit(value);
  const decoded = decodePrepared(encodePrepared(value));
  return decoded.ok ? "taken" : decoded.error;
}

/** The value without its `readonly`. */
function open(value: object): Record<string, unknown> {
  return value as Record<string, unknown>;
}

describe("prepared artefact", () => {
  test("decoding undoes encoding, and one artefact has one spelling", () => {
    expect(decodePrepared(encodePrepared(PREPARED))).toEqual({ ok: true, value: PREPARED });
    const other: PreparedComponent = {
      fuelImport: PREPARED.fuelImport,
      memories: PREPARED.memories,
      compilerBytes: PREPARED.compilerBytes,
      modules: PREPARED.modules,
      plan: { ...PREPARED.plan },
      preparation: 1,
    };
    expect(encodePrepared(other)).toEqual(encodePrepared(PREPARED));
  });

  test("T-121: an instance can only name earlier ones, a module only one that is there", () => {
    expect(damaged(({ plan }) => Object.assign(open(plan.instances[1] ?? {}), { module: 2 }))).toContain("instances/1/module");
    expect(damaged(({ plan }) => Object.assign(open(plan.instances[1] ?? {}), { imports: [{ name: "x", instance: 1 }] }))).toContain(
      "instances/1/imports",
    );
    expect(damaged(({ plan }) => Object.assign(open(plan.instances[2] ?? {}), { exports: [{ name: "x", item: item("y", 2) }] }))).toContain(
      "instances/2/exports",
    );
    expect(damaged(({ plan }) => Object.assign(open(plan.evaluate), { memory: item("memory", 3) }))).toContain("evaluate/memory");
    expect(damaged((value) => Object.assign(open(value), { modules: [] }))).toContain("found 0 modules, want 2");
  });

  test("T-121: unknown words, missing and further members are refused", () => {
    expect(damaged(({ plan }) => Object.assign(open(plan.configure), { encoding: "latin1" }))).toContain("utf8 or utf16");
    expect(damaged(({ plan }) => Object.assign(open(plan.configure.memory), { sort: "tag" }))).toContain("want one of");
    expect(damaged((value) => Object.assign(open(value), { preparation: -1 }))).toContain("preparation");
    expect(damaged((value) => Object.assign(open(value), { fuelImport: 7 }))).toContain("fuelImport");
    for (const value of [null, [], 7, {}, { ...PREPARED, more: 1 }, { preparation: 1, plan: {}, modules: [], fuelImport: {} }])
      expect(decodePrepared(encode(value)).ok).toBe(false);
    expect(decodePrepared(new Uint8Array(0)).ok).toBe(false);
  });

  test("no bytes make it throw", () => {
    const random = seededRandom(9);
    const good = encodePrepared(PREPARED);
    for (let round = 0; round < 3_000; round++) {
      const bytes = Uint8Array.from(good);
      for (let n = 1 + random.below(3); n > 0; n--) bytes[random.below(bytes.length)] = random.below(256);
      decodePrepared(random.oneIn(4) ? bytes.subarray(0, random.below(bytes.length)) : bytes);
    }
  });
});
