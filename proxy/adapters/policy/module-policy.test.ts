import { describe, expect, test } from "bun:test";
import { parse } from "@bytecodealliance/jco";
import { claimsOf } from "../../../test/support/claims.ts";
import { outcomeWat } from "../../../test/support/wat-policy.ts";
import type { ModuleEntry } from "../../core/modules/module-entry.ts";
import type { PolicyQuestion } from "../../core/modules/policy-question.ts";
import type { CoreItem, LiftedFunction } from "../../core/wasm/component-plan.ts";
import { compileComponent } from "./component-instance.ts";
import { type ModuleFailure, startModulePolicy } from "./module-policy.ts";

const FUEL = { module: "azure-proxy-agent", name: "fuel" };
const HASH = "ab".repeat(32);
const ENTRY: ModuleEntry = {
  name: "example",
  enabled: true,
  audit: false,
  endpoints: ["imds"],
  headers: ["x-name"],
  budgets: { fuel: 1000, memoryBytes: 65_536, reasonBytes: 256 },
  componentSha256: HASH,
  preparedSha256: HASH,
  settingsSha256: HASH,
  worldVersion: "1.0.0",
  signedBy: undefined,
  signatureSha256: undefined,
  pinned: false,
};

function question(userId: number, userName = ""): PolicyQuestion {
  const request = { endpoint: "imds", method: "GET", segments: [], trailingSlash: false, query: [] } as const;
  return { request, claims: claimsOf({ userId, userName }), headers: [], uptimeSeconds: 0, unixSeconds: 0, soFar: undefined };
}

/** One module; it counts its calls in a global, and traps for callers whose user id is 13. */
async function load(configure: string, nowMs: () => number, cpuMs = nowMs) {
  const trapsFor13 = "(if (i32.eq (i32.load offset=52 (local.get 0)) (i32.const 13)) (then unreachable))";
  const count = "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))";
  const kind = "(i32.store8 (i32.const 512) (i32.gt_u (global.get $calls) (i32.const 1)))";
  const wat = `(module (import "${FUEL.module}" "${FUEL.name}" (global $fuel (mut i64))) (memory (export "memory") 1 4)
    (global $calls (mut i32) (i32.const 0)) (global $top (mut i32) (i32.const 8192)) (data (i32.const 1024) "fine")
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $top (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
      (global.get $top) (global.set $top (i32.add (global.get $top) (local.get 3))))
    (func (export "validate") (param i32 i32) (result i32) (i32.const 256))
    (func (export "configure") (param i32 i32) (result i32) ${configure} (i32.const 256))
    (func (export "evaluate") (param i32) (result i32) ${trapsFor13} ${count} ${outcomeWat(0, [1024, 4])} ${kind}))`;
  const item = (sort: CoreItem["sort"], name: string): CoreItem => ({ sort, instance: 0, name });
  const lifted = (name: string): LiftedFunction => ({
    function: item("func", name),
    memory: item("memory", "memory"),
    realloc: item("func", "cabi_realloc"),
    postReturn: undefined,
    encoding: "utf8",
  });
  const plan = {
    worldVersion: "1.0.0",
    moduleCount: 1,
    instances: [{ kind: "module", module: 0, imports: [] }],
    validateSettings: lifted("validate"),
    configure: lifted("configure"),
    evaluate: lifted("evaluate"),
  } as const;
  const component = await compileComponent({ preparation: 1, plan, modules: [await parse(wat)], fuelImport: FUEL });
  if (!component.ok) throw new Error(component.error.message);
  const failures: ModuleFailure[] = [];
  const policy = startModulePolicy(ENTRY, component.value, Uint8Array.of(7), {
    monotonicMs: nowMs,
    cpuMs,
    failed: (failure) => failures.push(failure),
  });
  return { policy, failures };
}

describe("startModulePolicy", () => {
  test("knows of its entry what the chain needs", async () => {
    const { policy } = await load("", () => 0);
    if (!policy.ok) throw new Error(policy.error);
    expect(policy.value).toMatchObject({ name: "example", audit: false, policyId: HASH, headers: new Set(["x-name"]) });
    expect(policy.value.memoryBytes()).toBe(65_536);
  });

  test.each<[string, string, string]>([
    [
      "refuses its settings",
      "(i32.store8 (i32.const 256) (i32.const 1)) (i32.store (i32.const 260) (i32.const 1024)) (i32.store (i32.const 264) (i32.const 4))",
      "it refuses its settings: fine",
    ],
    ["traps when it is configured", "unreachable", "Unreachable code should not be executed"],
    ["answers nonsense when it is configured", "(i32.store8 (i32.const 256) (i32.const 9))", "result: found case 9"],
  ])("a module that %s is not loaded", async (_, configure, message) => {
    const { policy } = await load(configure, () => 0);
    expect(policy.ok ? "" : policy.error).toContain(message);
  });

  test("T-132: after a failure the next question gets a fresh instance, and the failure is told with its cause", async () => {
    const { policy, failures } = await load("", () => 0);
    if (!policy.ok) throw new Error(policy.error);
    const kinds = [1000, 1000, 13, 1000, 1000].map((userId) => policy.value.ask(question(userId)).answer.kind);
    // The first call of an instance allows, its second denies.
    expect(kinds).toEqual(["allow", "deny", "deny", "allow", "deny"]);
    expect(policy.value.ask(question(13))).toEqual({
      answer: { kind: "deny", reason: "policy-failed", rule: "", labels: [] },
      failed: true,
    });
    expect(failures.map(({ kind }) => kind)).toEqual(["trapped", "trapped"]);
    // Nothing of our own program is told.
    for (const { message } of failures) expect(message).toBe("Unreachable code should not be executed; its memory is at the limit");
  });

  test("T-134: a user whose failures take too long is denied without asking for a while; others are asked", async () => {
    let nowMs = 0;
    // Each look at the clock takes 20 ms: so does each failing call.
    const { policy, failures } = await load("", () => (nowMs += 20));
    if (!policy.ok) throw new Error(policy.error);
    for (let i = 0; i < 6; i++) policy.value.ask(question(13));
    expect(failures.at(-1)?.kind).toBe("not-asked");
    expect(policy.value.ask(question(1000))).toMatchObject({ failed: false, answer: { kind: "allow" } });
    nowMs += 60_000;
    policy.value.ask(question(13));
    expect(failures.at(-1)?.kind).toBe("trapped");
  });

  test("T-134: nobody pays for the time in which other processes have the processor", async () => {
    let [nowMs, cpuMs] = [0, 0];
    const { policy, failures } = await load(
      "",
      () => (nowMs += 200),
      () => (cpuMs += 0.5),
    );
    if (!policy.ok) throw new Error(policy.error);
    for (let i = 0; i < 20; i++) policy.value.ask(question(13));
    expect(failures.map(({ kind }) => kind)).toEqual(Array(20).fill("trapped"));
  });
});
