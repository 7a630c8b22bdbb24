// Modules that mean harm, run as they would be after metering: each is over when its fuel is, or cannot get what it wants.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { prepareComponent } from "../../proxy/core/wasm/prepare-component.ts";
import { componentFromModuleWat, type ModuleWat } from "../support/module-wat.ts";
import { instantiatePlan, type PlanInstance } from "../support/plan-instance.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const FUEL = 2_000_000n;

async function prepare(parts: ModuleWat) {
  const result = prepareComponent(await componentFromModuleWat(parts), { memoryPages: 16, tableElements: 64 });
  if (!result.ok) throw new Error(result.error.message);
  return result.value.prepared;
}

async function start(parts: ModuleWat): Promise<{ readonly instance: PlanInstance; readonly evaluate: () => unknown }> {
  const component = await prepare(parts);
  const instance = instantiatePlan(component, FUEL);
  instance.fuel.value = FUEL;
  return { instance, evaluate: () => instance.call(component.plan.evaluate.function, 0) };
}

const MIXES: readonly (readonly [name: string, parts: ModuleWat])[] = [
  ["an empty loop", { evaluate: "(loop $l (br $l)) (unreachable)" }],
  ["a loop of two headers", { evaluate: "(loop $a (loop $b (br_if $a (i32.const 1)) (br $b))) (unreachable)" }],
  ["a branch table", { evaluate: "(loop $l (block $a (br_table $l $l $l (i32.const 1)))) (unreachable)" }],
  ["calls", { fields: "(func $f)", evaluate: "(loop $l (call $f) (call $f) (br $l)) (unreachable)" }],
  [
    "calls through a table",
    {
      fields: "(table funcref (elem $f)) (type $t (func)) (func $f)",
      evaluate: "(loop $l (call_indirect (type $t) (i32.const 0)) (br $l)) (unreachable)",
    },
  ],
  ["memory.grow of nothing", { evaluate: "(loop $l (drop (memory.grow (i32.const 0))) (br $l)) (unreachable)" }],
  ["memory.grow that fails", { evaluate: "(loop $l (drop (memory.grow (i32.const 65536))) (br $l)) (unreachable)" }],
  [
    "memory.fill",
    { memory: "16 16", evaluate: "(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 1048576)) (br $l)) (unreachable)" },
  ],
  ["memory.fill of nothing", { evaluate: "(loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 0)) (br $l)) (unreachable)" }],
  [
    "memory.copy",
    { memory: "16 16", evaluate: "(loop $l (memory.copy (i32.const 0) (i32.const 1) (i32.const 1048575)) (br $l)) (unreachable)" },
  ],
  [
    "memory.init",
    {
      fields: `(data $d "${"x".repeat(4000)}")`,
      evaluate: "(loop $l (memory.init $d (i32.const 0) (i32.const 0) (i32.const 4000)) (br $l)) (unreachable)",
    },
  ],
  [
    "table.grow of nothing",
    { fields: "(table 1 funcref)", evaluate: "(loop $l (drop (table.grow (ref.null func) (i32.const 0))) (br $l)) (unreachable)" },
  ],
  [
    "table.fill",
    { fields: "(table 64 funcref)", evaluate: "(loop $l (table.fill (i32.const 0) (ref.null func) (i32.const 64)) (br $l)) (unreachable)" },
  ],
  [
    "table.copy",
    { fields: "(table 64 funcref)", evaluate: "(loop $l (table.copy (i32.const 0) (i32.const 1) (i32.const 63)) (br $l)) (unreachable)" },
  ],
  [
    "table.init",
    {
      fields: `(table 64 funcref) (func $f) (elem $e func ${"$f ".repeat(60)})`,
      evaluate: "(loop $l (table.init $e (i32.const 0) (i32.const 0) (i32.const 60)) (br $l)) (unreachable)",
    },
  ],
  [
    "a tree of calls",
    {
      fields:
        "(func $f (param i32) (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1))) (call $f (i32.sub (local.get 0) (i32.const 1))))))",
      evaluate: "(call $f (i32.const 60)) (i32.const 0)",
    },
  ],
];

describe("endless work", () => {
  test.each(MIXES)("T-107: %s ends with the fuel", async (_, parts) => {
    const { instance, evaluate } = await start(parts);
    expect(evaluate).toThrow(WebAssembly.RuntimeError);
    expect(instance.fuel.value).toBeLessThan(0n);
    // And it stays that way until the host gives more.
    expect(evaluate).toThrow(WebAssembly.RuntimeError);
  });

  test("T-107: a bulk instruction pays before it runs", async () => {
    const { instance, evaluate } = await start({
      memory: "16 16",
      evaluate: "(memory.fill (i32.const 100) (i32.const 7) (i32.const 1000000)) (i32.const 0)",
    });
    instance.fuel.value = 1_000n;
    expect(evaluate).toThrow(WebAssembly.RuntimeError);
    instance.fuel.value = FUEL;
    expect(evaluate()).toBe(0);
  });

  test.each([
    ["a load that waits for a load", { evaluate: "(i32.load (i32.load (i32.load (i32.const 0))))" }, 24],
    ["a store", { evaluate: "(i64.store (i32.const 4093) (i64.const 5)) (i32.const 0)" }, 8],
    ["a conversion that saturates", { evaluate: "(i32.trunc_sat_f64_u (f64.const 1e300))" }, 3],
    [
      "rounding",
      { evaluate: "(f64.reinterpret_i64 (i64.reinterpret_f64 (f64.nearest (f64.floor (f64.const 1.5))))) (drop) (i32.const 0)" },
      6,
    ],
    ["a float conversion", { evaluate: "(i32.trunc_f64_u (f64.const 1))" }, 3],
    // An engine may copy all that is there to make it larger: 8,192 units are the price of copying a page.
    ["growing a memory of 16 pages", { memory: "16 16", evaluate: "(memory.grow (i32.const 1))" }, 16 * 8_192 + 3_000],
  ])("T-107: %s costs what it takes at worst", async (_, parts, atLeast) => {
    const { instance, evaluate } = await start(parts);
    evaluate();
    const spent = Number(FUEL - instance.fuel.value);
    expect(spent).toBeGreaterThanOrEqual(atLeast);
    expect(spent).toBeLessThan(atLeast + 20);
  });

  test("T-107: a start function spends the same fuel", async () => {
    const component = await prepare({ fields: "(func $s (loop $l (br $l))) (start $s)" });
    expect(() => instantiatePlan(component, FUEL)).toThrow(WebAssembly.RuntimeError);
  });

  test.each([["realloc"], ["configure"], ["validateSettings"], ["postEvaluate"]] as const)(
    "T-107: an endless loop in %s ends with the fuel",
    async (where) => {
      const component = await prepare({ [where]: where === "postEvaluate" ? "(loop $l (br $l))" : "(loop $l (br $l)) (unreachable)" });
      const instance = instantiatePlan(component, FUEL);
      const { evaluate, configure, validateSettings } = component.plan;
      const items = {
        realloc: evaluate.realloc,
        configure: configure.function,
        validateSettings: validateSettings.function,
        postEvaluate: evaluate.postReturn,
      };
      const item = items[where];
      if (item === undefined) throw new Error("internal error: no such function");
      expect(() => instance.call(item, 0, 0, 1, 1)).toThrow(WebAssembly.RuntimeError);
      expect(instance.fuel.value).toBeLessThan(0n);
    },
  );
});

describe("recursion", () => {
  const DEEP: ModuleWat = {
    fields: "(func $r (param i64 f64) (result i64) (i64.add (call $r (local.get 0) (local.get 1)) (i64.const 1)))",
    evaluate: "(drop (call $r (i64.const 1) (f64.const 2))) (i32.const 0)",
  };

  test("T-108: ends in an exception at any depth of the host's own stack, and the host goes on", async () => {
    const component = await prepare(DEEP);
    const outcome = (instance: PlanInstance): string => {
      instance.fuel.value = 1_000_000_000n;
      try {
        instance.call(component.plan.evaluate.function, 0);
        return "returned";
      } catch (error) {
        return error instanceof RangeError || error instanceof WebAssembly.RuntimeError ? "ended" : String(error);
      }
    };
    const atDepth = (depth: number): string => (depth === 0 ? outcome(instantiatePlan(component)) : atDepth(depth - 1).concat(""));
    for (const depth of [0, 10, 100, 1_000, 3_000]) expect(atDepth(depth)).toBe("ended");
    // The same instance again, until the optimising compilers have taken over.
    const instance = instantiatePlan(component);
    for (let i = 0; i < 30; i++) expect(outcome(instance)).toBe("ended");
  });

  test("T-108: with frames of many locals it ends too", async () => {
    const locals = "(local i64)".repeat(1500);
    const component = await prepare({ fields: `(func $r ${locals} (call $r))`, evaluate: "(call $r) (i32.const 0)" });
    const instance = instantiatePlan(component);
    for (let i = 0; i < 5; i++) {
      instance.fuel.value = 1_000_000_000n;
      expect(() => instance.call(component.plan.evaluate.function, 0)).toThrow();
    }
  });
});

describe("bombs", () => {
  test("T-109: a memory stops at the cap, whatever maximum it names", async () => {
    for (const memory of ["1", "1 65536", "1 16"]) {
      const component = await prepare({
        memory,
        evaluate: "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (memory.size)",
      });
      const instance = instantiatePlan(component);
      expect(instance.call(component.plan.evaluate.function, 0)).toBe(16);
    }
  });

  test("T-109: a smaller maximum of its own stays", async () => {
    const component = await prepare({
      memory: "1 3",
      evaluate: "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (memory.size)",
    });
    expect(instantiatePlan(component).call(component.plan.evaluate.function, 0)).toBe(3);
  });

  test("T-109: a table stops at the cap", async () => {
    const component = await prepare({
      fields: "(table 1 funcref)",
      evaluate: "(loop $l (br_if $l (i32.ne (table.grow (ref.null func) (i32.const 1)) (i32.const -1)))) (table.size)",
    });
    expect(instantiatePlan(component).call(component.plan.evaluate.function, 0)).toBe(64);
  });
});
