import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { claimsOf } from "../../../test/support/claims.ts";
import { compilePolicy, loadPolicy, policyIdOf, readCompiledRules } from "../../../test/support/policy-build.ts";
import { BUSY_MACHINE_MS } from "../../../test/support/timeouts.ts";
import type { CanonicalRequest } from "../../core/request/canonical-request.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";
import { parseRuleItem, type RuleSet, renderRuleError } from "../../core/rules/rules.ts";
import { hashText } from "../../core/rules/tables/hash-index.ts";
import { extractCoreModule } from "../../core/wasm/wasm-binary.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

function rulesOf(json: unknown): RuleSet {
  const rules = parseRuleItem(json);
  if (!rules.ok) throw new Error(renderRuleError(rules.error));
  return rules.value;
}

function compiled(rules: RuleSet, endpoint: Endpoint = "imds"): Uint8Array {
  const component = compilePolicy(rules, endpoint);
  if (!component.ok) throw new Error(component.error.kind);
  return component.value;
}

function numbered<Value>(count: number, make: (i: number) => Value): Value[] {
  return Array.from({ length: count }, (_, i) => make(i));
}

const small = {
  defaultAccess: "deny",
  mode: "enforce",
  id: "r1",
  rules: {
    privileges: [{ name: "token", path: "/metadata/identity", queryParameters: { resource: "https://vault" } }],
    roles: [{ name: "reader", privileges: ["token"] }],
    identities: [{ name: "alice", userName: "alice", exePath: "/usr/bin/curl" }],
    roleAssignments: [{ role: "reader", identities: ["alice"] }],
  },
};

/** One privilege, role and identity each; with `shared`, everybody holds the one role with all privileges. */
function large(count: number, shared: boolean) {
  return {
    ...small,
    rules: {
      privileges: numbered(count, (i) => ({
        name: `p${i}`,
        path: `/metadata/part${i % 50}/item${i}`,
        queryParameters: { api: `${i % 3}` },
      })),
      roles: shared
        ? [{ name: "all", privileges: numbered(count, (i) => `p${i}`) }]
        : numbered(count, (i) => ({ name: `r${i}`, privileges: [`p${i}`] })),
      identities: numbered(count, (i) => ({ name: `i${i}`, userName: `user${i}`, groupName: "users" })),
      roleAssignments: shared
        ? [{ role: "all", identities: numbered(count, (i) => `i${i}`) }]
        : numbered(count, (i) => ({ role: `r${i}`, identities: [`i${i}`] })),
    },
  };
}

function request(segments: readonly string[], query: CanonicalRequest["query"]): CanonicalRequest {
  return { endpoint: "imds", method: "GET", segments, trailingSlash: false, query };
}

describe("compilePolicy", () => {
  test("gives the same bytes for the same rule set", () => {
    expect(policyIdOf(compiled(rulesOf(small)))).toBe(policyIdOf(compiled(rulesOf(structuredClone(small)))));
  });

  test.each<[string, RuleSet, Endpoint]>([
    ["another default", rulesOf({ ...small, defaultAccess: "allow" }), "imds"],
    ["another id", rulesOf({ ...small, id: "r2" }), "imds"],
    ["no rules", rulesOf({ ...small, rules: {} }), "imds"],
    ["another endpoint", rulesOf(small), "hostga"],
  ])("gives other bytes for %s", (_, rules, endpoint) => {
    expect(policyIdOf(compiled(rules, endpoint))).not.toBe(policyIdOf(compiled(rulesOf(small))));
  });

  test("makes a module that imports nothing and has no start function to run", () => {
    const core = extractCoreModule(compiled(rulesOf(small)));
    if (!core.ok) throw new Error(core.error.kind);
    const module = new WebAssembly.Module(Uint8Array.from(core.value));
    expect(WebAssembly.Module.imports(module)).toEqual([]);
  });

  test.each([false, true])("holds 1000 privileges and identities (one shared role: %p)", (shared) => {
    const policy = loadPolicy(compiled(rulesOf(large(1000, shared))));
    if (!policy.ok) throw new Error(policy.error.kind);
    const last = request(["metadata", "part49", "item999", "x"], [{ name: "api", value: "0" }]);
    expect(policy.value.evaluate(last, claimsOf({ userName: "user999", userGroups: ["users"] })).rule).toBe("p999/i999");
    expect(policy.value.evaluate(last, claimsOf({ userName: "user5", userGroups: ["users"] })).kind).toBe(shared ? "allow" : "deny");
    expect(policy.value.evaluate(last, claimsOf({ userName: "nobody", userGroups: ["users"] })).reason).toBe("not-granted");
  });

  test("holds as many parts as a rule set may have", () => {
    const policy = loadPolicy(compiled(rulesOf(large(10_000, false))));
    if (!policy.ok) throw new Error(policy.error.kind);
    const last = request(["metadata", "part49", "item9999"], [{ name: "api", value: "0" }]);
    expect(policy.value.evaluate(last, claimsOf({ userName: "user9999", userGroups: ["users"] })).rule).toBe("p9999/i9999");
  });

  test("names the identity that really holds the grant, also among identities with equal selectors", () => {
    const rules = rulesOf({
      ...small,
      rules: {
        privileges: ["one", "two"].map((name) => ({ name, path: `/${name}` })),
        roles: ["one", "two"].map((name) => ({ name, privileges: [name] })),
        identities: [
          { name: "both", userName: "alice" },
          { name: "first", userName: "bob" },
          { name: "second", userName: "bob" },
        ],
        roleAssignments: [
          { role: "one", identities: ["both", "first"] },
          { role: "two", identities: ["both", "second"] },
        ],
      },
    });
    const policy = loadPolicy(compiled(rules));
    if (!policy.ok) throw new Error(policy.error.kind);
    const ruleFor = (userName: string, path: string) => policy.value.evaluate(request([path], []), claimsOf({ userName })).rule;
    expect([ruleFor("alice", "one"), ruleFor("alice", "two")]).toEqual(["one/both", "two/both"]);
    expect([ruleFor("bob", "one"), ruleFor("bob", "two")]).toEqual(["one/first", "two/second"]);
  });

  test("does not take another path for a rule's because their hashes are equal", () => {
    // Both lie under the root, whose scope is 0; so small a table keeps the first seed, 0.
    const encoder = new TextEncoder();
    const seen = new Map<number, string>();
    const pairs: [string, string][] = [];
    for (let i = 0; i < 300_000; i++) {
      const text = `${i}-${Math.imul(i, 0x9e3779b1) >>> 0}`;
      const hash = hashText(0, 0, encoder.encode(text));
      const other = seen.get(hash);
      if (other !== undefined) pairs.push([other, text]);
      seen.set(hash, text);
    }
    expect(pairs.length).toBeGreaterThan(0);
    for (const [ruled, twin] of pairs) {
      const privileges = [{ name: "token", path: `/${ruled}` }];
      const policy = loadPolicy(compiled(rulesOf({ ...small, defaultAccess: "allow", rules: { ...small.rules, privileges } })));
      if (!policy.ok) throw new Error(policy.error.kind);
      expect(policy.value.evaluate(request([ruled], []), claimsOf({})).reason).toBe("not-granted");
      expect(policy.value.evaluate(request([twin], []), claimsOf({})).reason).toBe("default-allow");
    }
  });

  test("T-66: refuses more text than fits", () => {
    const privileges = numbered(300, (i) => ({ name: `p${i}`, path: `/${i}${"x".repeat(4000)}` }));
    const rules = rulesOf({ ...small, rules: { ...small.rules, privileges } });
    expect(compilePolicy(rules, "imds")).toMatchObject({ ok: false, error: { kind: "too-much-text", limitBytes: 1024 * 1024 } });
  });

  test("T-66: refuses more grants than fit", () => {
    // Everybody has everything, and a role of their own, so that no two can be told to be alike.
    const { rules } = large(1000, true);
    const roles = [...rules.roles, ...numbered(1000, (i) => ({ name: `own${i}`, privileges: [] }))];
    const roleAssignments = [...rules.roleAssignments, ...numbered(1000, (i) => ({ role: `own${i}`, identities: [`i${i}`] }))];
    expect(compilePolicy(rulesOf({ ...small, rules: { ...rules, roles, roleAssignments } }), "imds")).toMatchObject({
      ok: false,
      error: { kind: "too-many-grants" },
    });
  });
});

describe("readCompiledRules", () => {
  test("gives back the rule set that was compiled", () => {
    const rules = rulesOf(small);
    expect(readCompiledRules(compiled(rules, "hostga"))).toEqual({ ok: true, value: { version: 1, endpoint: "hostga", rules } });
  });

  test.each<[string, Uint8Array, string]>([
    ["no component", new Uint8Array(8), "not-wasm"],
    ["a component without rules", Uint8Array.of(0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0), "no-rules-section"],
  ])("refuses %s", (_, bytes, kind) => {
    expect(readCompiledRules(bytes)).toMatchObject({ ok: false, error: { kind } });
  });
});
