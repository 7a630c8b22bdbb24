// Laws of suggested rules, on random logs: every covered request passes the compiled component, near misses do not, and no
// assignment can be taken away without denying something that was observed.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Endpoint } from "../../proxy/core/request/endpoint.ts";
import { parseRuleItem, renderRuleError } from "../../proxy/core/rules/rules.ts";
import type { LoggedRequest } from "../../proxy/tools/log-lines.ts";
import { makeObserver } from "../../proxy/tools/policy/observed-requests.ts";
import { isProven, proveSuggestion } from "../../proxy/tools/policy/prove-suggestion.ts";
import { type SuggestedItem, type Suggestion, suggestRules } from "../../proxy/tools/policy/suggest-rules.ts";
import { compilePolicy, loadPolicy } from "../support/policy-build.ts";
import { type Random, seededRandom } from "../support/random.ts";
import { evaluatePlainly } from "../support/rule-evaluator.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const PATIENCE_MS = 240_000;
const USERS = ["alice", "bob", "root", "Bob", "日本", undefined] as const;
const PROGRAMS = ["/usr/bin/curl", "/usr/bin/wget", "/opt/a b/run", "/usr/bin/python3", "/bin/sh", undefined] as const;
const WORDS = ["metadata", "instance", "compute", "identity", "oauth2", "token", "a%20b", "%2525", "x;y", "7", "."] as const;

function randomRequest(random: Random): LoggedRequest {
  const deep = random.oneIn(4) ? random.list(0, 5, () => random.pick(WORDS)) : ["metadata", ...random.list(0, 3, () => random.pick(WORDS))];
  const query = random.list(0, 3, () => {
    const name = random.pick(["resource", "client_id", "comp", "api-version", "RESOURCE"]);
    return `${name}=${random.oneIn(20) ? `v${random.below(60)}` : random.pick(["a", "B", "x%2By", "%26", ""])}`;
  });
  return {
    outcome: random.oneIn(12) ? "denied" : "forwarded",
    endpoint: "imds",
    method: random.pick(["GET", "POST", "GET"]),
    url: `/${deep.join("/")}${random.oneIn(40) ? `/leaf${random.below(200)}q` : ""}${query.length === 0 ? "" : `?${query.join("&")}`}`,
    status: random.oneIn(5) ? 404 : 200,
    reason: "default-deny",
    wouldDeny: "default-deny",
    rule: "",
    ruleSetId: "",
    userName: random.pick(USERS),
    userGroups: [],
    exePath: random.pick(PROGRAMS),
    elevated: false,
    processId: 1,
    atMs: undefined,
    repeated: 1,
    unlisted: 0,
  };
}

function randomSuggestion(random: Random): Suggestion {
  const observer = makeObserver(["imds"], { includeDenied: random.oneIn(2) });
  for (const request of random.list(1, random.oneIn(10) ? 1500 : 60, () => randomRequest(random))) observer.add(request);
  const defaultAccess = random.oneIn(4) ? "allow" : "deny";
  return suggestRules(observer.result(), { endpoint: "imds", defaultAccess, minCount: 1 + random.below(2) });
}

function policyOf(item: SuggestedItem, endpoint: Endpoint = "imds") {
  const rules = parseRuleItem(item);
  if (!rules.ok) throw new Error(renderRuleError(rules.error));
  expect(rules.value.warnings).toEqual([]);
  const component = compilePolicy(rules.value, endpoint);
  if (!component.ok) throw new Error(component.error.kind);
  const policy = loadPolicy(component.value);
  if (!policy.ok) throw new Error(policy.error.kind);
  return policy.value;
}

const NOTHING_ELSE = { userGroups: [], executableSha256: undefined, cgroupPath: undefined };

/** What of the covered requests an item denies, by an evaluator that shares no code with the component. */
function countDenied(suggestion: Suggestion, item: SuggestedItem): number {
  let denied = 0;
  for (const { caller, shape } of suggestion.covered) {
    const { userName, exePath } = caller;
    const processName = exePath?.slice(exePath.lastIndexOf("/") + 1);
    const who = { ...NOTHING_ELSE, userName, processFullPath: exePath, processName };
    for (const { method, segments, query } of shape.requests) {
      const asked = { method, segments, query: query.map(({ name, value }) => [name, value] as const) };
      if (evaluatePlainly(item, who, asked).kind === "deny") denied++;
    }
  }
  return denied;
}

describe("suggested rules", () => {
  test(
    "allow what they cover and deny near misses, says the compiled component",
    () => {
      let proven = 0;
      for (let seed = 1; seed <= 120; seed++) {
        const suggestion = randomSuggestion(seededRandom(seed));
        const policy = policyOf(suggestion.item);
        const proof = proveSuggestion(suggestion, "imds", (request, claims) => policy.evaluate(request, claims));
        expect(proof.wrong, `seed ${seed}`).toEqual([]);
        expect(isProven(proof), `seed ${seed}`).toBe(true);
        proven += proof.observed + proof.nearMisses;
      }
      expect(proven).toBeGreaterThan(5000);
    },
    PATIENCE_MS,
  );

  test(
    "lose something observed with every identity, role or assignment that is taken away",
    () => {
      let removed = 0;
      for (let seed = 1000; seed < 1150; seed++) {
        const suggestion = randomSuggestion(seededRandom(seed));
        const { item } = suggestion;
        expect(countDenied(suggestion, item), `seed ${seed}`).toBe(0);
        item.rules.roleAssignments.forEach((assignment, at) => {
          for (const identity of assignment.identities) {
            const identities = assignment.identities.filter((name) => name !== identity);
            const roleAssignments = item.rules.roleAssignments.map((each, i) => (i === at ? { ...each, identities } : each));
            const without = { ...item, rules: { ...item.rules, roleAssignments } };
            expect(countDenied(suggestion, without), `seed ${seed}: ${assignment.role} of ${identity}`).toBeGreaterThan(0);
            removed++;
          }
        });
      }
      expect(removed).toBeGreaterThan(300);
    },
    PATIENCE_MS,
  );

  test("a proof sees rules that allow too much, and rules that allow too little", () => {
    const suggestion = randomSuggestion(seededRandom(7));
    const { item } = suggestion;
    const open = policyOf({ ...item, defaultAccess: "allow", rules: { privileges: [], roles: [], identities: [], roleAssignments: [] } });
    const closed = policyOf({ ...item, defaultAccess: "deny", rules: { ...item.rules, roleAssignments: [] } });
    const tooMuch = proveSuggestion(suggestion, "imds", (request, claims) => open.evaluate(request, claims));
    const tooLittle = proveSuggestion(suggestion, "imds", (request, claims) => closed.evaluate(request, claims));
    expect([tooMuch.denied, isProven(tooMuch)]).toEqual([0, false]);
    expect([tooLittle.allowed, isProven(tooLittle)]).toEqual([0, false]);
    expect(tooMuch.wrong.length).toBeGreaterThan(0);
    // A component that fails proves nothing by denying.
    const failed = proveSuggestion(suggestion, "imds", () => ({ kind: "deny", reason: "policy-failed", rule: "" }));
    expect([failed.denied, isProven(failed)]).toEqual([0, false]);
  });
});
