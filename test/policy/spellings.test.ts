// T-60: one hundred spellings of each privilege. Whoever is granted it may spell it in any clear way; whoever is not gets it in
// no spelling, even where everything that no privilege covers is allowed; what is unclear passes for nobody.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Policy } from "../../proxy/core/ports.ts";
import { canonicalise, type Method, renderCanonical } from "../../proxy/core/request/canonical-request.ts";
import { parseRuleItem, renderRuleError } from "../../proxy/core/rules/rules.ts";
import { claimsOf } from "../support/claims.ts";
import { compilePolicy, loadPolicy } from "../support/policy-build.ts";
import { type Random, seededRandom } from "../support/random.ts";
import { type PlainTarget, type Spelling, spellings } from "../support/spellings.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const SEED = 20_260_301;
const PRIVILEGES = 100;
const SPELLINGS = 100;
const SEGMENTS = ["metadata", "identity", "oauth2", "token", "instance", "v1.2", "a-b", "k"] as const;
const QUERY = [
  ["resource", "https://vault.example/"],
  ["api-version", "2018-02-01"],
  ["a b", "c+d e"],
  ["empty", ""],
  ["mi_res_id", "/subscriptions/é/x&y=z"],
] as const;

interface Case {
  readonly plain: PlainTarget;
  readonly method: Method;
  readonly privilege: unknown;
}

function randomCase(random: Random): Case {
  const [first, ...rest] = random.list(1, 4, () => random.pick(SEGMENTS));
  const query = random.shuffled(QUERY).slice(0, random.below(4));
  const plain: PlainTarget = { segments: [first ?? "metadata", ...rest], query };
  const method = random.pick(["GET", "PUT", "HEAD"] as const);
  // In rules `+` is a blank too, and values are decoded once.
  const queryParameters = Object.fromEntries(query.map(([name, value]) => [encodeURIComponent(name), encodeURIComponent(value)]));
  const privilege = {
    name: "p",
    path: `/${plain.segments.join("/")}`,
    queryParameters,
    ...(random.oneIn(3) ? { method: [method] } : {}),
  };
  return { plain, method, privilege };
}

function policyOf(privilege: unknown, defaultAccess: "allow" | "deny"): Policy {
  const rules = {
    privileges: [privilege],
    roles: [{ name: "r", privileges: ["p"] }],
    identities: [{ name: "alice", userName: "alice" }],
    roleAssignments: [{ role: "r", identities: ["alice"] }],
  };
  const parsed = parseRuleItem({ defaultAccess, mode: "enforce", id: "r1", rules });
  if (!parsed.ok) throw new Error(renderRuleError(parsed.error));
  const component = compilePolicy(parsed.value, "imds");
  const policy = component.ok ? loadPolicy(component.value) : component;
  if (!policy.ok) throw new Error(policy.error.kind);
  return policy.value;
}

/** What the agent comes to: the reason of the refusal before rules, or the component's. */
function decide(policy: Policy, method: Method, target: string, userName: string): string {
  const request = canonicalise("imds", method, target);
  if (!request.ok) return `deny ${request.error}`;
  const { kind, reason } = policy.evaluate(request.value, claimsOf({ userName }));
  return `${kind} ${reason}`;
}

describe(`spellings of a privilege (seed ${SEED})`, () => {
  const random = seededRandom(SEED);
  const seen = new Map<string, number>();
  const told = (meaning: Spelling["meaning"], answer: string) => {
    const key = `${meaning}: ${answer}`;
    seen.set(key, (seen.get(key) ?? 0) + 1);
  };

  test(`T-60: ${PRIVILEGES} privileges in ${SPELLINGS} spellings each`, () => {
    for (let i = 0; i < PRIVILEGES; i++) {
      const { plain, method, privilege } = randomCase(random);
      const open = policyOf(privilege, "allow");
      const closed = policyOf(privilege, "deny");
      for (const { target, meaning, tricks } of spellings(random, plain, SPELLINGS)) {
        const rightful = decide(closed, method, target, "alice");
        const stranger = decide(open, method, target, "mallory");
        const where = JSON.stringify({ privilege, method, target, tricks });
        told(meaning, rightful);
        if (meaning === "same") {
          expect([where, rightful]).toEqual([where, "allow granted"]);
          expect([where, stranger]).toEqual([where, "deny not-granted"]);
        } else if (meaning === "other") {
          expect([where, rightful]).toEqual([where, "deny default-deny"]);
        } else {
          expect([where, rightful.slice(0, 5)]).toEqual([where, "deny "]);
          expect([where, stranger]).toEqual([where, rightful]);
          expect(rightful).not.toBe("deny default-deny");
        }
      }
    }
    const unclear = [...seen.keys()].filter((key) => key.startsWith("unclear")).length;
    // Every kind of refusal was met, or the generator no longer makes what it says.
    expect(seen.get("same: allow granted")).toBe((PRIVILEGES * SPELLINGS) / 2);
    expect(unclear).toBeGreaterThanOrEqual(11);
    expect([...seen.keys()]).toContain("unclear: deny ambiguous-query");
  });

  test("canonicalising twice changes nothing", () => {
    let read = 0;
    for (let i = 0; i < 100; i++) {
      for (const { target } of spellings(random, randomCase(random).plain, 50)) {
        const once = canonicalise("imds", "GET", target);
        if (!once.ok) continue;
        read++;
        const rendered = renderCanonical(once.value);
        const twice = canonicalise("imds", "GET", rendered);
        if (!twice.ok) throw new Error(`cannot read "${rendered}" again: ${twice.error}`);
        expect(twice.value).toMatchObject({ segments: once.value.segments, trailingSlash: once.value.trailingSlash });
        expect(renderCanonical(twice.value)).toBe(rendered);
      }
    }
    expect(read).toBeGreaterThan(3000);
  });
});
