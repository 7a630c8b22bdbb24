import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { claimsOf } from "../../../test/support/claims.ts";
import { compilePolicy, loadPolicy, policyIdOf } from "../../../test/support/policy-build.ts";
import { BUSY_MACHINE_MS } from "../../../test/support/timeouts.ts";
import { componentFromWat, outcomeWat, type WatParts } from "../../../test/support/wat-policy.ts";
import type { CanonicalRequest } from "../../core/request/canonical-request.ts";
import { parseRuleItem } from "../../core/rules/rules.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const request: CanonicalRequest = { endpoint: "imds", method: "GET", segments: ["metadata"], trailingSlash: false, query: [] };
const failed = { kind: "deny", reason: "policy-failed", rule: "" } as const;

async function policyFromWat(parts: WatParts) {
  const policy = loadPolicy(await componentFromWat(parts));
  if (!policy.ok) throw new Error(policy.error.kind);
  return policy.value;
}

describe("loadPolicy refuses", () => {
  test.each<[string, Uint8Array, string]>([
    ["an empty file", new Uint8Array(), "not-wasm"],
    ["text", new TextEncoder().encode("(component)"), "not-wasm"],
    ["a bare core module", Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0), "not-wasm"],
    ["an empty component", Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0), "core-module-count"],
    ["a section that overruns", Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0, 1, 9, 0), "truncated"],
    ["a core module that is none", Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0, 1, 2, 0, 0), "invalid-module"],
  ])("%s", (_, bytes, kind) => {
    expect(loadPolicy(bytes)).toMatchObject({ ok: false, error: { kind } });
  });

  test.each<[string, WatParts, string]>([
    ["an import", { fields: '(import "env" "now" (func))' }, "has-imports"],
    ["no memory", { without: "memory" }, "missing-export"],
    ["no realloc", { without: "cabi_realloc" }, "missing-export"],
    ["no evaluate", { without: "azure:proxy-agent-policy/authorizer@1.0.0#evaluate" }, "missing-export"],
    ["a start function that traps", { fields: "(func $boom unreachable) (start $boom)" }, "refused-to-start"],
    ["a configure that traps", { configure: "unreachable" }, "refused-to-start"],
    ["a configure that answers nonsense", { configure: "(i32.const 1024)", fields: '(data (i32.const 1024) "\\09")' }, "refused-to-start"],
    ["more memory at once than a wasm memory may have", { fields: '(data (i32.const 900000) "x")' }, "refused-to-start"],
  ])("%s", async (_, parts, kind) => {
    expect(loadPolicy(await componentFromWat(parts))).toMatchObject({ ok: false, error: { kind } });
  });

  test("a configure that says why", async () => {
    const answer =
      "(i32.store8 (i32.const 256) (i32.const 1)) (i32.store (i32.const 260) (i32.const 1024)) (i32.store (i32.const 264) (i32.const 4)) (i32.const 256)";
    expect(loadPolicy(await componentFromWat({ configure: answer }))).toMatchObject({
      ok: false,
      error: { kind: "refused-to-start", cause: "fine" },
    });
  });
});

describe("a component's answer", () => {
  test("is passed on when it makes sense", async () => {
    for (const [number, kind] of (["allow", "deny", "abstain"] as const).entries()) {
      const policy = await policyFromWat({ evaluate: outcomeWat(number, [1024, 4], [1025, 3]) });
      expect(policy.evaluate(request, claimsOf({}))).toEqual({ kind, reason: "fine", rule: "ine" });
      expect(policy.failures).toBe(0);
    }
  });

  test.each<[string, WatParts]>([
    ["traps", { evaluate: "unreachable" }],
    ["divides by zero", { evaluate: "(i32.div_u (i32.const 1) (i32.const 0))" }],
    ["exhausts the stack", { fields: "(func $deep (call $deep) (call $deep))", evaluate: "(call $deep) (i32.const 512)" }],
    ["reads outside its memory", { evaluate: "(i32.load (i32.const -4))" }],
    ["answers outside its memory", { evaluate: "(i32.const -64)" }],
    ["answers an unknown kind", { evaluate: outcomeWat(3, [1024, 4]) }],
    ["gives no reason", { evaluate: outcomeWat(0, [1024, 0]) }],
    ["gives a reason of 257 bytes", { evaluate: outcomeWat(0, [1024, 257]), fields: `(data (i32.const 1024) "${"r".repeat(300)}")` }],
    ["gives a reason as large as its memory", { evaluate: outcomeWat(0, [0, 65536]) }],
    ["gives a reason outside its memory", { evaluate: outcomeWat(0, [65530, 100]) }],
    ["gives a reason with a line break", { evaluate: outcomeWat(0, [1024, 3]), fields: '(data (i32.const 1024) "a\\0ab")' }],
    ["gives a reason that is not UTF-8", { evaluate: outcomeWat(0, [1024, 2]), fields: '(data (i32.const 1024) "\\ff\\fe")' }],
    [
      "gives a rule of 4097 bytes",
      {
        evaluate: outcomeWat(0, [1024, 4], [8192, 4097]),
        fields: `(data (i32.const 1024) "fine") (data (i32.const 8192) "${"r".repeat(4097)}")`,
      },
    ],
    [
      "gives 17 labels",
      {
        evaluate: `${outcomeWat(0, [1024, 4])} drop (i32.store (i32.const 532) (i32.const 8192)) (i32.store (i32.const 536) (i32.const 17)) (i32.const 512)`,
      },
    ],
    [
      "gives labels outside its memory",
      { evaluate: `${outcomeWat(0, [1024, 4])} drop (i32.store (i32.const 536) (i32.const -1)) (i32.const 512)` },
    ],
    ["allocates outside its memory", { realloc: "(i32.const -8)" }],
    ["allocates nothing", { realloc: "unreachable" }],
  ])("T-64: that %s is a deny, and never an exception", async (_, parts) => {
    const component = await componentFromWat(parts);
    const policy = loadPolicy(component);
    if (!policy.ok) {
      // Some cannot even be configured; that is refused at load, which is just as good.
      expect(policy.error.kind).toBe("refused-to-start");
      return;
    }
    expect(policy.value.evaluate(request, claimsOf({ userName: "alice" }))).toEqual(failed);
    expect(policy.value.evaluate(request, claimsOf({ userName: "alice" }))).toEqual(failed);
    expect(policy.value.failures).toBe(2);
  });

  test("T-64: after a failure comes from a fresh instance", async () => {
    // Counts its calls and traps at every second one: only a new instance starts to count again.
    const evaluate = `(global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (if (i32.eq (global.get $calls) (i32.const 2)) (then unreachable)) ${outcomeWat(0, [1024, 4])}`;
    const policy = await policyFromWat({ evaluate, fields: '(global $calls (mut i32) (i32.const 0)) (data (i32.const 1024) "fine")' });
    const reasons = Array.from({ length: 6 }, () => policy.evaluate(request, claimsOf({})).reason);
    expect(reasons).toEqual(["fine", "policy-failed", "fine", "policy-failed", "fine", "policy-failed"]);
    expect(policy.failures).toBe(3);
  });

  test("to values that cannot be passed is a deny as well", async () => {
    const policy = await policyFromWat({});
    const odd = { ...request, method: "TRACE" } as unknown as CanonicalRequest;
    expect(policy.evaluate(odd, claimsOf({}))).toEqual(failed);
    expect(policy.evaluate(request, claimsOf({})).reason).toBe("fine");
  });
});

describe("a rules component", () => {
  const rules = parseRuleItem({ defaultAccess: "allow", mode: "enforce", id: "r1" });
  const component = rules.ok ? compilePolicy(rules.value, "imds") : rules;
  if (!component.ok) throw new Error(component.error.kind);
  const policy = loadPolicy(component.value);
  if (!policy.ok) throw new Error(policy.error.kind);

  test("is named by the hash of its file", () => {
    expect(policy.value.policyId).toBe(new Bun.CryptoHasher("sha256").update(component.value).digest("hex"));
    expect(policyIdOf(component.value)).toBe(policy.value.policyId);
  });

  test("decides only for its own endpoint", () => {
    expect(policy.value.evaluate(request, claimsOf({}))).toEqual({ kind: "allow", reason: "default-allow", rule: "" });
    expect(policy.value.evaluate({ ...request, endpoint: "hostga" }, claimsOf({}))).toEqual({
      kind: "deny",
      reason: "wrong-endpoint",
      rule: "",
    });
  });

  test("stays within its memory over many large requests", () => {
    const query = Array.from({ length: 2000 }, (_, i) => ({ name: `name${i}`, value: "v".repeat(20) }));
    // Together well over the 64 MiB that the engine may have at most.
    for (let i = 0; i < 1200; i++) expect(policy.value.evaluate({ ...request, query }, claimsOf({})).reason).toBe("default-allow");
    expect(policy.value.failures).toBe(0);
  });
});
