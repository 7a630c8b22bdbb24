// Components put together from several core modules by a plan, metered as the meter does it: fuel is an imported global.

import { describe, expect, test } from "bun:test";
import { parse } from "@bytecodealliance/jco";
import { claimsOf } from "../../../test/support/claims.ts";
import { outcomeWat } from "../../../test/support/wat-policy.ts";
import type { PolicyQuestion } from "../../core/modules/policy-question.ts";
import type { ComponentPlan, CoreItem, LiftedFunction } from "../../core/wasm/component-plan.ts";
import { type CompiledComponent, type ComponentInstance, compileComponent, startComponent } from "./component-instance.ts";

const BUDGETS = { fuel: 100, memoryBytes: 2 * 65_536, reasonBytes: 20 };
const FUEL = { module: "azure-proxy-agent", name: "fuel" };
const QUESTION: PolicyQuestion = {
  request: { endpoint: "imds", method: "GET", segments: ["metadata"], trailingSlash: false, query: [] },
  claims: claimsOf({ userName: "alice" }),
  headers: [],
  uptimeSeconds: 1,
  unixSeconds: 2,
  soFar: undefined,
};

/** Spends so many units or traps, as metered code does at its checkpoints. */
const spend = (units: number) =>
  `(global.set $fuel (i64.sub (global.get $fuel) (i64.const ${units}))) (if (i64.lt_s (global.get $fuel) (i64.const 0)) (then unreachable))`;
const FUEL_IMPORT = `(import "${FUEL.module}" "${FUEL.name}" (global $fuel (mut i64)))`;

/** A memory and an allocator of its own; names that are something else in JavaScript. */
const MEMORY_MODULE = `(module ${FUEL_IMPORT} (memory (export "__proto__") 1 4) (data (i32.const 1024) "fine")
  (global $top (mut i32) (i32.const 8192))
  (func (export "constructor") (param i32 i32 i32 i32) (result i32)
    (global.set $top (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.get $top) (global.set $top (i32.add (global.get $top) (local.get 3)))))`;

const logicModule = (evaluate: string, start = "") => `(module ${FUEL_IMPORT} (import "toString" "__proto__" (memory 1)) ${start}
  (func (export "hasOwnProperty") (param i32 i32) (result i32) (i32.const 256))
  (func (export "evaluate") (param i32) (result i32) ${evaluate})
  (func (export "post") (param i32) (i32.store8 (i32.const 600) (i32.const 1))))`;

const item = (sort: CoreItem["sort"], instance: number, name: string): CoreItem => ({ sort, instance, name });

function planOf(change: Partial<Record<"function" | "memory" | "realloc", CoreItem>> = {}): ComponentPlan {
  const lifted = (name: string): LiftedFunction => ({
    function: item("func", 2, name),
    memory: item("memory", 0, "__proto__"),
    realloc: item("func", 1, "valueOf"),
    postReturn: name === "evaluate" ? item("func", 2, "post") : undefined,
    encoding: "utf8",
  });
  return {
    worldVersion: "1.0.0",
    moduleCount: 2,
    instances: [
      { kind: "module", module: 0, imports: [] },
      {
        kind: "bundle",
        exports: [
          { name: "__proto__", item: item("memory", 0, "__proto__") },
          { name: "valueOf", item: item("func", 0, "constructor") },
        ],
      },
      { kind: "module", module: 1, imports: [{ name: "toString", instance: 1 }] },
    ],
    validateSettings: lifted("hasOwnProperty"),
    configure: lifted("hasOwnProperty"),
    evaluate: { ...lifted("evaluate"), ...change },
  };
}

async function compiled(plan: ComponentPlan, ...modules: readonly string[]): Promise<CompiledComponent> {
  const bytes = await Promise.all(modules.map((wat) => parse(wat)));
  const component = await compileComponent({ preparation: 1, plan, modules: bytes, fuelImport: FUEL });
  if (!component.ok) throw new Error(component.error.message);
  return component.value;
}

async function started(evaluate: string): Promise<ComponentInstance> {
  const instance = startComponent(await compiled(planOf(), MEMORY_MODULE, logicModule(evaluate)), BUDGETS);
  if (!instance.ok) throw new Error(instance.error.message);
  return instance.value;
}

describe("a component of several core modules", () => {
  test("runs as its plan says; names are only names", async () => {
    const instance = await started(`${spend(40)} ${outcomeWat(2, [1024, 4])}`);
    expect(instance.configure(new Uint8Array(3))).toEqual({ ok: true, value: undefined });
    for (let call = 0; call < 3; call++) {
      expect(instance.evaluate(QUESTION)).toEqual({ ok: true, value: { kind: "abstain", reason: "fine", rule: "", labels: [] } });
      expect(instance.fuelSpent()).toBe(40);
    }
    expect(instance.memoryBytes()).toBe(65_536);
  });

  test("T-135: the budget is one for all that a call does, and each call has its own", async () => {
    const instance = await started(
      `(local $i i32) ${spend(60)} (if (i32.load8_u (i32.const 600)) (then ${spend(60)})) ${outcomeWat(0, [1024, 4])}`,
    );
    expect(instance.evaluate(QUESTION).ok).toBe(true);
    expect(instance.evaluate(QUESTION)).toEqual({
      ok: false,
      error: { kind: "out-of-fuel", message: "its budget of 100 units of fuel is used up" },
    });
  });

  test.each<[string, string, string]>([
    ["a trap", "unreachable", "trapped"],
    ["endless recursion", "(call 1 (local.get 0))", "trapped"],
    ["an endless loop", `(loop $l ${spend(1)} (br $l)) unreachable`, "out-of-fuel"],
    ["memory beyond the budget", `(drop (memory.grow (i32.const 2))) ${outcomeWat(0, [1024, 4])}`, "over-memory"],
    ["a reason beyond the budget", outcomeWat(0, [1024, 21]), "nonsense"],
    ["an answer outside of memory", "(i32.const -4)", "nonsense"],
  ])("T-135: %s is a fault and no exception", async (_, evaluate, kind) => {
    expect((await started(evaluate)).evaluate(QUESTION)).toMatchObject({ ok: false, error: { kind } });
  });

  test("T-135: a start function runs under the budget as well", async () => {
    const start = `(func $go (loop $l ${spend(1)} (br $l))) (start $go)`;
    const component = await compiled(planOf(), MEMORY_MODULE, logicModule("(i32.const 512)", start));
    expect(startComponent(component, BUDGETS)).toMatchObject({ ok: false, error: { kind: "out-of-fuel" } });
  });

  test.each<[string, ComponentPlan]>([
    ["a function that is a memory", planOf({ function: item("memory", 0, "__proto__") })],
    ["a memory that is a function", planOf({ memory: item("func", 0, "constructor") })],
    ["a name that only objects have", planOf({ realloc: item("func", 1, "toString") })],
    ["an instance that is not there", planOf({ realloc: item("func", 7, "x") })],
    ["an import that nobody gives", { ...planOf(), instances: [{ kind: "module", module: 1, imports: [] }] }],
    ["a module that is not there", { ...planOf(), instances: [{ kind: "module", module: 9, imports: [] }] }],
  ])("a plan that names %s is unusable", async (_, plan) => {
    const component = await compiled(plan, MEMORY_MODULE, logicModule("(i32.const 512)"));
    const result = startComponent(component, BUDGETS);
    expect(result.ok ? "started" : ["unusable", "cannot-start"].includes(result.error.kind)).toBe(true);
  });

  test("bytes that are no module are unusable", async () => {
    const component = { preparation: 1, plan: planOf(), modules: [Uint8Array.of(1, 2, 3)], fuelImport: FUEL };
    expect(await compileComponent(component)).toMatchObject({ ok: false, error: { kind: "unusable" } });
  });
});
