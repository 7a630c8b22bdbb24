// A component of many core modules runs by its plan, with no generated code and no WASI behind its stubs.

import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { type ComponentInstance, compileComponent, startComponent } from "../../proxy/adapters/policy/component-instance.ts";
import { budgetsFor, DEFAULT_BUDGETS, DEFAULT_FUEL } from "../../proxy/core/modules/module-budgets.ts";
import type { PolicyQuestion } from "../../proxy/core/modules/policy-question.ts";
import { canonicalise } from "../../proxy/core/request/canonical-request.ts";
import { type Preparation, prepareComponent } from "../../proxy/core/wasm/prepare-component.ts";
import { claimsOf } from "../support/claims.ts";
import { buildJavaScriptModule } from "../support/javascript-module.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const SOURCE = `export const authorizer = {
  validateSettings() {},
  configure() {},
  evaluate(request, caller) {
    const last = request.segments.at(-1);
    if (last === "loop") for (;;) {}
    if (last === "deep") { const f = (n) => f(n + 1) + 1; f(0); }
    if (last === "large") { const all = []; for (;;) all.push(new Uint8Array(65536)); }
    if (last === "clock") return { kind: "allow", reason: String(Date.now()), rule: "", labels: [] };
    if (last === "console") console.log("hello");
    return { kind: "deny", reason: request.method, rule: caller.userName ?? "", labels: [["segments", request.segments.join("/")]] };
  },
};`;

let made: Preparation;

beforeAll(() => {
  const result = prepareComponent(buildJavaScriptModule(SOURCE));
  if (!result.ok) throw new Error(result.error.message);
  made = result.value;
}, 240_000);

async function start(): Promise<ComponentInstance> {
  const compiled = await compileComponent(made.prepared);
  if (!compiled.ok) throw new Error(compiled.error.message);
  const started = startComponent(compiled.value, budgetsFor(DEFAULT_BUDGETS, 12));
  if (!started.ok) throw new Error(started.error.message);
  return started.value;
}

function about(path: string): PolicyQuestion {
  const request = canonicalise("imds", "GET", path);
  if (!request.ok) throw new Error(request.error);
  const claims = claimsOf({ userId: 1001, userName: "alice" });
  return { request: request.value, claims, headers: [], uptimeSeconds: 0, unixSeconds: 0, soFar: undefined };
}

describe("a module in JavaScript", () => {
  test("is many core modules, one of them of walls, and imports nothing", () => {
    expect(made.facts.modules.length).toBeGreaterThan(5);
    expect(made.facts.nestedComponents).toBeGreaterThan(5);
    expect(made.facts.imports).toEqual(["azure:proxy-agent-policy/types@1.0.0"]);
    expect(made.prepared.plan.moduleCount).toBe(made.facts.modules.length + 1);
    expect(made.prepared.modules.length).toBe(made.prepared.plan.moduleCount);
  });

  test("answers", async () => {
    const instance = await start();
    expect(instance.configure(new Uint8Array())).toEqual({ ok: true, value: undefined });
    const answer = { kind: "deny" as const, reason: "get", rule: "alice", labels: [["segments", "metadata/instance"] as const] };
    for (let i = 0; i < 3; i++) expect(instance.evaluate(about("/metadata/instance?a=b"))).toEqual({ ok: true, value: answer });
    expect(instance.fuelSpent()).toBeLessThan(DEFAULT_FUEL.severalCoreModules / 2);
  });

  test.each([
    ["T-107: an endless loop", "/loop"],
    ["T-108: endless recursion", "/deep"],
    ["T-109: endless allocation", "/large"],
    ["T-104: a look at the clock", "/clock"],
    ["T-104: a line on the console", "/console"],
  ])("%s is a failure", async (_, path) => {
    const instance = await start();
    expect(instance.configure(new Uint8Array()).ok).toBe(true);
    const answer = instance.evaluate(about(path));
    expect(answer.ok).toBe(false);
  });
});
