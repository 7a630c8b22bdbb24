// Laws of `policy diff`: every witness really differs, and no request that two rule sets decide differently is left unreported.
// Random small rule sets, random requests by callers as the agent sees them, decided by the compiled policies.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Claims } from "../../proxy/core/request/caller.ts";
import type { CanonicalRequest, QueryParameter } from "../../proxy/core/request/canonical-request.ts";
import { SELECTORS } from "../../proxy/core/rules/rule-parts.ts";
import { parseRuleItem, type RuleSet, renderRuleError } from "../../proxy/core/rules/rules.ts";
import type { RuleChange } from "../../proxy/tools/policy/diff-groups.ts";
import { diffRules } from "../../proxy/tools/policy/diff-rules.ts";
import { callerFacts } from "../../proxy/tools/policy/selector-fit.ts";
import { claimsOf } from "../support/claims.ts";
import { compilePolicy, loadPolicy } from "../support/policy-build.ts";
import { type Random, seededRandom } from "../support/random.ts";
import { randomCaller, randomItem, randomRequest } from "../support/rule-cases.ts";
import type { PlainItem } from "../support/rule-evaluator.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const SEED = 20_260_701;
const PAIRS = 400;
const REQUESTS_PER_PAIR = 50;
const PATIENCE_MS = 240_000;

function load(item: PlainItem) {
  const rules = parseRuleItem(item);
  if (!rules.ok) throw new Error(renderRuleError(rules.error));
  const component = compilePolicy(rules.value, "imds");
  if (!component.ok) throw new Error(component.error.kind);
  const policy = loadPolicy(component.value);
  if (!policy.ok) throw new Error(policy.error.kind);
  return { rules: rules.value, policy: policy.value };
}

/** Two unrelated sets differ in everything; most pairs are one set and what became of it after an edit or two. */
function randomPair(random: Random): readonly [PlainItem, PlainItem] {
  const before = randomItem(random, { untidy: true });
  const other = randomItem(random, { untidy: true });
  if (random.oneIn(3)) return [before, other];
  const { rules } = before;
  const pick = <Value>(list: readonly Value[], from: readonly Value[]) =>
    random.oneIn(3) ? list.filter(() => !random.oneIn(4)) : random.oneIn(2) ? [...list, ...from.slice(0, 1)] : list;
  const edited = {
    privileges: pick(rules.privileges, other.rules.privileges),
    roles: pick(rules.roles, other.rules.roles),
    identities: pick(rules.identities, other.rules.identities),
    roleAssignments: pick(rules.roleAssignments, other.rules.roleAssignments),
  };
  return [before, { ...before, defaultAccess: random.oneIn(6) ? other.defaultAccess : before.defaultAccess, rules: edited }];
}

/** As the agent sees callers: programs by absolute paths without `..`, and the process named after its program. */
function realCaller(random: Random): Claims {
  const { processFullPath, ...caller } = randomCaller(random);
  const path = processFullPath?.includes("..") ? "/opt/curl" : processFullPath;
  return claimsOf({ ...caller, processFullPath: path, processName: path?.slice(path.lastIndexOf("/") + 1) });
}

function isReported(change: RuleChange, rules: readonly RuleSet[], request: CanonicalRequest, claims: Claims): boolean {
  return (
    matchesPath(change, request) && matchesMethod(change, request) && matchesQuery(change, rules, request) && matchesCaller(change, claims)
  );
}

function matchesPath({ paths }: RuleChange, { segments }: CanonicalRequest): boolean {
  const isBelow = (path: readonly string[]) => path.every((segment, i) => segment === segments[i]);
  return paths.some(({ path, except }) => isBelow(path) && !except.some(isBelow));
}

function matchesMethod({ methods }: RuleChange, { method }: CanonicalRequest): boolean {
  return methods.kind === "any" || methods.methods.includes(method) === (methods.kind === "only");
}

function matchesQuery({ query }: RuleChange, rules: readonly RuleSet[], request: CanonicalRequest): boolean {
  const isRepeated = (name: string) => new Set(request.query.filter((pair) => pair.name === name).map(({ value }) => value)).size > 1;
  const onPath = rules.flatMap(({ privileges }) =>
    privileges.filter(
      ({ segments, methods }) =>
        segments.every((segment, i) => segment === request.segments[i]) && (methods?.includes(request.method) ?? true),
    ),
  );
  const repeated = onPath.flatMap(({ query: constraints }) => constraints.map(({ name }) => name)).filter(isRepeated);
  // What a repeated parameter does has its own kind of change.
  if (repeated.length > 0) return query.kind === "repeated" && repeated.includes(query.name);
  if (query.kind !== "exact") return query.kind === "any";
  const holds = (pairs: readonly QueryParameter[]) =>
    pairs.every(({ name, value }) => request.query.some((pair) => pair.name === name && pair.value === value));
  return holds(query.with) && !query.unless.some(holds);
}

function matchesCaller({ who }: RuleChange, claims: Claims): boolean {
  if (who.kind !== "callers") return true;
  const facts = callerFacts(claims);
  return who.selectors.some((selectors) =>
    SELECTORS.every((selector) => {
      const wanted = selectors[selector];
      return wanted === undefined || facts[selector].includes(wanted);
    }),
  );
}

describe(`policy diff (seed ${SEED})`, () => {
  test(
    `reports every change that ${PAIRS * REQUESTS_PER_PAIR} random requests find, and only real ones`,
    () => {
      const random = seededRandom(SEED);
      const seen = { different: 0, same: 0, repeated: 0, everyone: 0, exact: 0, methods: 0 };
      for (let pair = 0; pair < PAIRS; pair++) {
        const [oldItem, newItem] = randomPair(random);
        const [before, after] = [load(oldItem), load(newItem)];
        const rules = { old: before.rules, new: after.rules };
        const diff = diffRules(rules, { old: before.policy, new: after.policy }, "imds");
        expect(diff.omissions).toEqual([]);
        for (const { witness, direction, query, who, methods } of diff.changes) {
          const { request, caller } = witness;
          const answers = [before.policy, after.policy].map((policy) => policy.evaluate(request, caller.claims).kind);
          expect(answers).toEqual(direction === "newly-allowed" ? ["deny", "allow"] : ["allow", "deny"]);
          if (query.kind === "repeated") seen.repeated++;
          if (query.kind === "exact") seen.exact++;
          if (who.kind === "everyone") seen.everyone++;
          if (methods.kind !== "any") seen.methods++;
        }
        for (let k = 0; k < REQUESTS_PER_PAIR; k++) {
          const claims = realCaller(random);
          const request = randomRequest(random).canonical;
          const [was, is] = [before.policy.evaluate(request, claims), after.policy.evaluate(request, claims)];
          if (was.kind === is.kind) {
            seen.same++;
            continue;
          }
          seen.different++;
          const direction = is.kind === "allow" ? "newly-allowed" : "newly-denied";
          const reported = diff.changes.some(
            (change) => change.direction === direction && isReported(change, [before.rules, after.rules], request, claims),
          );
          if (!reported)
            throw new Error(
              `not reported: ${JSON.stringify({ pair, k, request, claims: { ...claims, cgroupId: 0 }, was, is, oldItem, newItem })}`,
            );
        }
      }
      // Generators that no longer reach a branch would make this test empty.
      for (const [what, times] of Object.entries(seen)) expect([what, times > 40]).toEqual([what, true]);
    },
    PATIENCE_MS,
  );

  test("reports nothing between a rule set and itself in another order", () => {
    const random = seededRandom(SEED + 1);
    for (let set = 0; set < 100; set++) {
      const item = randomItem(random, { untidy: false });
      const { privileges, roles, identities, roleAssignments } = item.rules;
      const shuffled = {
        privileges: random.shuffled(privileges),
        roles: random.shuffled(roles),
        identities: random.shuffled(identities),
        roleAssignments: random.shuffled(roleAssignments),
      };
      const [before, after] = [load(item), load({ ...item, rules: shuffled })];
      expect(diffRules({ old: before.rules, new: after.rules }, { old: before.policy, new: after.policy }, "imds").changes).toEqual([]);
    }
  });
});
