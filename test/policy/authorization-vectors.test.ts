// Every row of test/vectors/authorization.json, at the level of canonicalisation, rule set, component and mode.
// What is decided elsewhere (root only, exemptions, no rule set at all, foreign destinations) is listed row by row, and no row
// may be missing from one of the lists. Where we decide otherwise than the reference's canonical model, DIFFERENT says so.

import { describe, expect, test } from "bun:test";
import type { Claims } from "../../proxy/core/request/caller.ts";
import { canonicalise, parseMethod, readRequest } from "../../proxy/core/request/canonical-request.ts";
import { ENDPOINT_FACTS, type Endpoint, isExemptFromSignature } from "../../proxy/core/request/endpoint.ts";
import { permitFor } from "../../proxy/core/request/verdict.ts";
import { parseRuleItem } from "../../proxy/core/rules/rules.ts";
import { claimsOf } from "../support/claims.ts";
import { compilePolicy, loadPolicy } from "../support/policy-build.ts";
import vectors from "../vectors/authorization.json" with { type: "json" };

type Outcome = "allow" | "audit" | "deny";
type Row = (typeof vectors.vectors)[number];

/** Rows that a built-in refusal or permission decides before any rule is asked. */
const BUILT_IN: Readonly<Record<string, readonly string[]>> = {
  "no rule set yet": ["A01", "A03", "A04", "A05", "F13"],
  "not one of our endpoints": ["A25", "A26"],
  "root only": ["A07", "A11", "A12", "A17", "C21", "F04"],
  "exempt upload by root": ["F01", "F02", "F03", "F12"],
};

/** Rows we decide differently from the reference's canonical model; the reasons are in docs/policy-semantics.md. */
const DIFFERENT: Readonly<Record<string, Outcome>> = {
  // Refused rule sets: nothing is allowed until a good one comes.
  A19: "deny",
  A20: "deny",
  "B-missing-privileges-allow": "deny",
  "B-missing-roles-allow": "deny",
  "B-missing-identities-allow": "deny",
  "B-missing-roleAssignments-allow": "deny",
  C14: "deny",
  C17: "deny",
  D31: "deny",
  D37: "deny",
  E23: "deny",
  // Absolute form must name the very endpoint that was connected to.
  D45: "deny",
  // A constrained parameter with two values.
  E12: "deny",
  // Rule values are decoded one by one, and folded in ASCII only.
  E21: "allow",
  E24: "allow",
  // The exemption is tied to the services that take these uploads.
  F11: "deny",
};

/** Rows whose rule set is refused as a whole. */
const REFUSED_RULES = [
  ...["A19", "A20", "A22", "A23", "A24", "C14", "C15", "C17", "D31", "D37", "E23"],
  ...["privileges", "roles", "identities", "roleAssignments"].flatMap((name) => [`B-missing-${name}-allow`, `B-missing-${name}-deny`]),
];

function isEndpoint(name: string): name is Endpoint {
  return name in ENDPOINT_FACTS;
}

function claimsFor(name: string): Claims {
  const caller = Object.entries(vectors.callers).find(([known]) => known === name)?.[1];
  if (caller === undefined) throw new Error(`no caller "${name}"`);
  return claimsOf({
    userId: caller.userId,
    runAsElevated: caller.runAsElevated,
    // The reference writes "undefined" and the empty text for what it does not know; we leave such claims out.
    userName: caller.userName === "undefined" ? undefined : caller.userName,
    userGroups: caller.userGroups,
    processFullPath: caller.processFullPath || undefined,
    processName: caller.processName || undefined,
  });
}

function itemFor(name: string): unknown {
  return Object.entries(vectors.ruleSets).find(([known]) => known === name)?.[1];
}

/** Which built-in decision takes this row, by the facts of the row alone. */
function builtInGroup(row: Row): string | undefined {
  if (!isEndpoint(row.endpoint)) return row.ruleSet === "none" && row.id !== "A26" ? "no rule set yet" : "not one of our endpoints";
  if (row.ruleSet === "none") return "no rule set yet";
  const claims = claimsFor(row.caller);
  if (ENDPOINT_FACTS[row.endpoint].rootOnly && !claims.runAsElevated) return "root only";
  if (claims.runAsElevated && isExemptFromSignature(row.endpoint, row.method, row.target)) return "exempt upload by root";
  return undefined;
}

function decide(row: Row, endpoint: Endpoint): { readonly outcome: Outcome; readonly reason: string } {
  const request = readRequest(endpoint, row.method, row.target);
  if (!request.ok) return { outcome: "deny", reason: request.error };
  const rules = parseRuleItem(itemFor(row.ruleSet));
  if (!rules.ok) return { outcome: "deny", reason: "rules-refused" };
  const component = compilePolicy(rules.value, endpoint);
  if (!component.ok) throw new Error(component.error.kind);
  const policy = loadPolicy(component.value);
  if (!policy.ok) throw new Error(policy.error.kind);
  const decision = policy.value.evaluate(request.value.canonical, claimsFor(row.caller));
  expect(decision.kind).not.toBe("abstain");
  expect(policy.value.failures).toBe(0);
  const kind = decision.kind === "allow" ? "allow" : "deny";
  const verdict = {
    kind,
    reason: decision.reason,
    rule: decision.rule,
    ruleSetId: rules.value.id,
    policyId: policy.value.policyId,
  } as const;
  const permit = permitFor(request.value.line, verdict, rules.value.mode);
  if (permit === undefined) return { outcome: "deny", reason: decision.reason };
  return { outcome: permit.softened && rules.value.mode === "audit" ? "audit" : "allow", reason: decision.reason };
}

describe("authorization vectors", () => {
  test.each(
    vectors.vectors.filter((row) => builtInGroup(row) === undefined).map((row): [string, Row] => [`${row.id}: ${row.reason}`, row]),
  )("%s", (_, row) => {
    if (!isEndpoint(row.endpoint)) throw new Error(`row ${row.id} is listed nowhere`);
    const { outcome, reason } = decide(row, row.endpoint);
    expect(outcome).toBe(DIFFERENT[row.id] ?? (row.canonicalModel as Outcome));
    expect(reason === "rules-refused").toBe(REFUSED_RULES.includes(row.id));
  });

  test("every row is either decided here or listed as built in", () => {
    const found = Map.groupBy(
      vectors.vectors.filter((row) => builtInGroup(row) !== undefined),
      builtInGroup,
    );
    const listed = Object.fromEntries([...found].map(([group, rows]) => [group, rows.map(({ id }) => id)]));
    expect(listed).toEqual(Object.fromEntries(Object.entries(BUILT_IN)));
    expect(vectors.vectors).toHaveLength(132);
    expect(new Set(vectors.vectors.map(({ id }) => id)).size).toBe(132);
  });

  test("the lists name only rows that exist, and differences only where there is one", () => {
    const byId = new Map(vectors.vectors.map((row) => [row.id, row]));
    for (const id of REFUSED_RULES) expect(byId.has(id)).toBe(true);
    for (const [id, outcome] of Object.entries(DIFFERENT)) expect([id, byId.get(id)?.canonicalModel]).not.toEqual([id, outcome]);
  });

  test("methods outside the allow-list never reach a rule", () => {
    for (const row of vectors.vectors.filter(({ method }) => parseMethod(method) === undefined)) {
      expect(canonicalise("imds", row.method, row.target)).toMatchObject({ ok: false, error: "CANON_METHOD" });
    }
  });
});
