// Modules that mean harm, prepared by guard and meter and run as the daemon runs them. Each failure is one deny for who asked; the module
// goes on with a fresh instance, and so does everybody else.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { compileComponent } from "../../proxy/adapters/policy/component-instance.ts";
import { type ModuleFailure, type ModulePolicy, startModulePolicy } from "../../proxy/adapters/policy/module-policy.ts";
import { DEFAULT_BUDGETS, DEFAULT_FUEL, MEMORY_PAGE_BYTES } from "../../proxy/core/modules/module-budgets.ts";
import type { ModuleEntry } from "../../proxy/core/modules/module-entry.ts";
import { FAILED_ANSWER, type ModuleReply } from "../../proxy/core/modules/policy-chain.ts";
import type { PolicyQuestion } from "../../proxy/core/modules/policy-question.ts";
import type { Result } from "../../proxy/core/result.ts";
import { prepareComponent } from "../../proxy/core/wasm/prepare-component.ts";
import { claimsOf } from "../support/claims.ts";
import { ENDLESS, LEAKING, NEVER_STARTING, NONSENSE, turningModule } from "../support/hostile-modules.ts";
import { componentFromModuleWat, type ModuleWat } from "../support/module-wat.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const HASH = "ab".repeat(32);
const BUDGETS = { ...DEFAULT_BUDGETS, fuel: DEFAULT_FUEL.severalCoreModules, memoryBytes: 128 * MEMORY_PAGE_BYTES };
const DENIED: ModuleReply = { answer: FAILED_ANSWER, failed: true };
const ENTRY: ModuleEntry = {
  name: "hostile",
  enabled: true,
  audit: false,
  endpoints: ["imds"],
  headers: [],
  budgets: BUDGETS,
  componentSha256: HASH,
  preparedSha256: HASH,
  settingsSha256: HASH,
  worldVersion: "1.0.0",
  signedBy: undefined,
  signatureSha256: undefined,
  pinned: false,
};

function question(userId: number): PolicyQuestion {
  const request = { endpoint: "imds", method: "GET", segments: ["metadata", "instance"], trailingSlash: false, query: [] } as const;
  return { request, claims: claimsOf({ userId, userName: "alice" }), headers: [], uptimeSeconds: 1, unixSeconds: 2, soFar: undefined };
}

async function compile(parts: ModuleWat) {
  const limits = { memoryPages: BUDGETS.memoryBytes / MEMORY_PAGE_BYTES, tableElements: 1_000 };
  const prepared = prepareComponent(await componentFromModuleWat(parts), limits);
  if (!prepared.ok) throw new Error(prepared.error.message);
  const compiled = await compileComponent(prepared.value.prepared);
  if (!compiled.ok) throw new Error(compiled.error.message);
  return compiled.value;
}

async function load(parts: ModuleWat, nowMs = () => 0): Promise<{ policy: Result<ModulePolicy, string>; failures: ModuleFailure[] }> {
  const failures: ModuleFailure[] = [];
  const ports = { monotonicMs: nowMs, cpuMs: nowMs, failed: (failure: ModuleFailure) => failures.push(failure) };
  return { policy: startModulePolicy(ENTRY, await compile(parts), new Uint8Array(), ports), failures };
}

async function loadGood(parts: ModuleWat, nowMs?: () => number) {
  const { policy, failures } = await load(parts, nowMs);
  if (!policy.ok) throw new Error(policy.error);
  return { policy: policy.value, failures };
}

describe("a module that", () => {
  test.each([...ENDLESS, ...NONSENSE].map((each) => [each.name, each] as const))(
    "T-132: %s is a deny, each time and told with its cause",
    async (_, { parts, causes }) => {
      const { policy, failures } = await loadGood(parts);
      for (let call = 0; call < 3; call++) expect(policy.ask(question(1000))).toEqual(DENIED);
      expect(failures).toHaveLength(3);
      for (const { kind } of failures) expect(causes).toContain(kind);
    },
  );

  test("T-132: behaves for a while and then turns is a deny at its turn; a fresh instance takes over", async () => {
    const { policy, failures } = await loadGood(turningModule(5));
    const kinds = Array.from({ length: 14 }, () => policy.ask(question(1000)).answer.kind);
    const round = [...Array<"abstain">(5).fill("abstain"), "deny"] as const;
    expect(kinds).toEqual([...round, ...round, "abstain", "abstain"]);
    expect(failures.map(({ kind }) => kind)).toEqual(["out-of-fuel", "out-of-fuel"]);
  });

  test("T-109: leaks is a deny when its memory is full, with that as the cause, and then begins anew", async () => {
    const { policy, failures } = await loadGood(LEAKING);
    const pages = BUDGETS.memoryBytes / MEMORY_PAGE_BYTES;
    const kinds = Array.from({ length: 2 * pages }, () => policy.ask(question(1000)).answer.kind);
    expect(kinds.flatMap((kind, call) => (kind === "deny" ? [call] : []))).toEqual([pages - 1, 2 * pages - 1]);
    expect(failures[0]?.message).toContain("its memory is at the limit");
    expect(policy.memoryBytes()).toBe(0);
    policy.ask(question(1000));
    expect(policy.memoryBytes()).toBe(2 * MEMORY_PAGE_BYTES);
  });

  test("T-139: needs nearly its whole budget for every call answers a user until the allowance is used up, and others meanwhile", async () => {
    let nowMs = 0;
    const turns = 500_000;
    const burning = `(local $n i32) (local.set $n (i32.const ${turns}))
      (loop $more (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (i32.store8 (i32.const 512) (i32.const 2)) (i32.store (i32.const 516) (i32.const 1024)) (i32.store (i32.const 520) (i32.const 4))
      (i32.const 512)`;
    // Each call takes three milliseconds by this clock, which is looked at before and after it.
    const { policy, failures } = await loadGood({ evaluate: burning }, () => (nowMs += 3));
    let answered = 0;
    for (let call = 0; call < 300; call++) {
      const before = failures.length;
      policy.ask(question(1000));
      if (failures.length === before) answered++;
    }
    expect(answered).toBeGreaterThan(3);
    expect(answered).toBeLessThan(60);
    expect(new Set(failures.map(({ kind }) => kind))).toEqual(new Set(["not-asked"]));
    expect(policy.ask(question(1001)).answer.kind).toBe("abstain");
    nowMs += 60_000;
    expect(policy.ask(question(1000)).answer.kind).toBe("abstain");
  });

  test("T-132: cannot be started again is a deny each time, and the starts are charged to who asks", async () => {
    let nowMs = 0;
    const good = await compile({ evaluate: "unreachable" });
    const failing = await compile({ fields: "(func $s unreachable) (start $s)" });
    const modules = [...good.modules];
    const failures: ModuleFailure[] = [];
    const clock = () => (nowMs += 1);
    const ports = { monotonicMs: clock, cpuMs: clock, failed: (failure: ModuleFailure) => failures.push(failure) };
    const policy = startModulePolicy(ENTRY, { ...good, modules }, new Uint8Array(), ports);
    if (!policy.ok) throw new Error(policy.error);
    modules.splice(0, 1, ...failing.modules);
    for (let call = 0; call < 400; call++) expect(policy.value.ask(question(1000))).toEqual(DENIED);
    expect(failures[0]?.kind).toBe("trapped");
    const starts = failures.filter(({ kind }) => kind === "cannot-start");
    expect(starts.length).toBeGreaterThan(1);
    expect(starts.length).toBeLessThan(25);
    expect(failures).toHaveLength(400);
  });
});

describe("a module is not loaded when it", () => {
  test.each(Object.entries(NEVER_STARTING))("T-107: %s", async (_, parts) => {
    const { policy } = await load(parts);
    expect(policy.ok).toBe(false);
    if (!policy.ok) expect(policy.error).not.toBe("");
  });
});
