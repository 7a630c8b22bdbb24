// Laws of compiled rule sets, on random cases: the component agrees with a plain evaluator that shares no code with it, the
// order of a rule set's parts does not matter, and taking an assignment away never allows more.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Policy } from "../../proxy/core/ports.ts";
import { parseRuleItem, renderRuleError } from "../../proxy/core/rules/rules.ts";
import { planRules } from "../../proxy/core/rules/tables/rule-plan.ts";
import { writeTables } from "../../proxy/core/rules/tables/rule-tables.ts";
import { claimsOf } from "../support/claims.ts";
import { compilePolicy, loadPolicy } from "../support/policy-build.ts";
import { type Random, seededRandom } from "../support/random.ts";
import { randomCaller, randomItem, randomRequest } from "../support/rule-cases.ts";
import { evaluatePlainly, type PlainItem } from "../support/rule-evaluator.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const SEED = 20_260_101;
/** Far more than it takes: compiling hundreds of rule sets is slow on a busy machine. */
const PATIENCE_MS = 240_000;

function policyOf(item: PlainItem): Policy & { readonly failures: number } {
  const component = compilePolicy(parsed(item), "imds");
  if (!component.ok) throw new Error(component.error.kind);
  const policy = loadPolicy(component.value);
  if (!policy.ok) throw new Error(policy.error.kind);
  return policy.value;
}

function parsed(item: PlainItem) {
  const rules = parseRuleItem(item);
  if (!rules.ok) throw new Error(renderRuleError(rules.error));
  return rules.value;
}

function tablesOf(item: PlainItem): Uint8Array {
  const rules = parsed(item);
  const plan = planRules(rules);
  if (!plan.ok) throw new Error(plan.error.kind);
  const tables = writeTables(plan.value, rules.defaultAccess, "imds");
  if (!tables.ok) throw new Error(tables.error.kind);
  return tables.value;
}

function shuffledItem(random: Random, item: PlainItem): PlainItem {
  const { privileges, roles, identities, roleAssignments } = item.rules;
  return {
    ...item,
    rules: {
      privileges: random.shuffled(privileges),
      roles: random.shuffled(roles).map((role) => ({ ...role, privileges: random.shuffled(role.privileges) })),
      identities: random.shuffled(identities),
      roleAssignments: random.shuffled(roleAssignments).map((each) => ({ ...each, identities: random.shuffled(each.identities) })),
    },
  };
}

describe(`compiled rule sets (seed ${SEED})`, () => {
  test.each(Array.from({ length: 10 }, (_, i) => SEED + 100 + i))(
    "agree with the plain evaluator on 10000 cases (seed %d)",
    (seed) => {
      const random = seededRandom(seed);
      const seen = new Map<string, number>();
      for (let set = 0; set < 125; set++) {
        const item = randomItem(random, { untidy: true, plain: set % 5 === 0 });
        const policy = policyOf(item);
        for (let k = 0; k < 80; k++) {
          const caller = randomCaller(random);
          const { plain, canonical } = randomRequest(random);
          const wanted = evaluatePlainly(item, caller, plain);
          const found = policy.evaluate(canonical, claimsOf(caller));
          seen.set(found.reason, (seen.get(found.reason) ?? 0) + 1);
          if (found.kind !== wanted.kind || found.reason !== wanted.reason || !wanted.rules.includes(found.rule)) {
            throw new Error(`disagree: ${JSON.stringify({ set, k, item, caller, plain, wanted, found })}`);
          }
        }
        expect(policy.failures).toBe(0);
      }
      // A generator that no longer reaches a branch would make this test empty.
      for (const reason of ["granted", "not-granted", "default-allow", "default-deny", "ambiguous-query"]) {
        expect([reason, (seen.get(reason) ?? 0) > 150]).toEqual([reason, true]);
      }
    },
    PATIENCE_MS,
  );

  test(
    "do not depend on the order of privileges, roles, identities and assignments",
    () => {
      const random = seededRandom(SEED + 1);
      for (let set = 0; set < 400; set++) {
        const item = randomItem(random, { untidy: false });
        expect(tablesOf(shuffledItem(random, item))).toEqual(tablesOf(item));
      }
    },
    PATIENCE_MS,
  );

  test(
    "T-62: never allow more after an assignment is taken away",
    () => {
      const random = seededRandom(SEED + 2);
      let lost = 0;
      for (let set = 0; set < 300; set++) {
        const item = randomItem(random, { untidy: true });
        const { roleAssignments } = item.rules;
        if (roleAssignments.length === 0) continue;
        const gone = random.below(roleAssignments.length);
        const fewer = { ...item, rules: { ...item.rules, roleAssignments: roleAssignments.filter((_, i) => i !== gone) } };
        const [before, after] = [policyOf(item), policyOf(fewer)];
        for (let k = 0; k < 20; k++) {
          const claims = claimsOf(randomCaller(random));
          const { canonical } = randomRequest(random);
          const [was, is] = [before.evaluate(canonical, claims).kind, after.evaluate(canonical, claims).kind];
          if (was === "deny") expect(is).toBe("deny");
          else if (is === "deny") lost++;
        }
      }
      expect(lost).toBeGreaterThan(20);
    },
    PATIENCE_MS,
  );

  test(
    "T-63: never allow what only an unknown claim could allow",
    () => {
      const random = seededRandom(SEED + 3);
      for (let set = 0; set < 200; set++) {
        const item = { ...randomItem(random, { untidy: true }), defaultAccess: "deny" };
        const policy = policyOf(item);
        for (let k = 0; k < 10; k++) expect(policy.evaluate(randomRequest(random).canonical, claimsOf({})).kind).toBe("deny");
      }
    },
    PATIENCE_MS,
  );
});
