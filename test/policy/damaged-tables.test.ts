// What happens when a compiled rule set was damaged on disk or in memory: it is refused, or it denies, or its call fails. With a
// plain flip the checksum must catch it; with the checksum made right again, only the engine's bounds stand between the damage
// and the host, and they must hold: no exception, no endless loop, no answer that is not one.

import { describe, expect, test } from "bun:test";
import { planRules } from "../../proxy/adapters/policy/rule-plan.ts";
import { sealTables, writeTables } from "../../proxy/adapters/policy/rule-tables.ts";
import { parseRuleItem } from "../../proxy/core/rules.ts";
import { claimsOf } from "../support/claims.ts";
import { assemble, loadPolicy } from "../support/policy-build.ts";
import { seededRandom } from "../support/random.ts";
import { randomCaller, randomItem, randomRequest } from "../support/rule-cases.ts";
import type { PlainItem } from "../support/rule-evaluator.ts";

const SEED = 20_260_201;
const FLIPS = 2000;
/** Far more than it takes: instantiating thousands of modules is slow on a busy machine. */
const PATIENCE_MS = 120_000;

function tablesOf(item: PlainItem): Uint8Array<ArrayBuffer> {
  const rules = parseRuleItem(item);
  if (!rules.ok) throw new Error(rules.error.kind);
  const plan = planRules(rules.value);
  if (!plan.ok) throw new Error(plan.error.kind);
  const tables = writeTables(plan.value, rules.value.defaultAccess, "imds");
  if (!tables.ok) throw new Error(tables.error.kind);
  return tables.value;
}

describe(`damaged tables (seed ${SEED})`, () => {
  test(
    "are refused at load after any single flipped byte",
    () => {
      const random = seededRandom(SEED);
      for (let set = 0; set < 10; set++) {
        const tables = tablesOf(randomItem(random, { untidy: true }));
        for (let flip = 0; flip < 50; flip++) {
          const damaged = tables.slice();
          const at = random.below(damaged.length);
          damaged[at] = (damaged[at] ?? 0) ^ (1 + random.below(255));
          const policy = loadPolicy(assemble(damaged, new Uint8Array()));
          expect(policy).toMatchObject({ ok: false, error: { kind: "refused-to-start" } });
        }
      }
    },
    PATIENCE_MS,
  );

  test(
    "never get out of the engine, even with a right checksum",
    () => {
      const random = seededRandom(SEED + 1);
      const outcomes = { refused: 0, failed: 0, answered: 0 };
      for (let set = 0; set < FLIPS / 50; set++) {
        const tables = tablesOf({ ...randomItem(random, { untidy: true }), defaultAccess: "deny" });
        for (let flip = 0; flip < 50; flip++) {
          const damaged = tables.slice();
          for (let bytes = 1 + random.below(3); bytes > 0; bytes--) damaged[random.below(damaged.length)] = random.below(256);
          sealTables(new Uint32Array(damaged.buffer));
          const policy = loadPolicy(assemble(damaged, new Uint8Array()));
          if (!policy.ok) {
            outcomes.refused++;
            expect(policy.error.kind).toBe("refused-to-start");
            continue;
          }
          for (let k = 0; k < 3; k++) {
            const decision = policy.value.evaluate(randomRequest(random).canonical, claimsOf(randomCaller(random)));
            expect(["allow", "deny"]).toContain(decision.kind);
            if (decision.reason === "policy-failed") {
              outcomes.failed++;
              expect(decision).toEqual({ kind: "deny", reason: "policy-failed", rule: "" });
            } else outcomes.answered++;
          }
        }
      }
      // All three ways out are really taken.
      expect(Math.min(outcomes.refused, outcomes.failed, outcomes.answered)).toBeGreaterThan(20);
    },
    PATIENCE_MS,
  );

  test("are refused when cut short or empty", () => {
    const tables = tablesOf(randomItem(seededRandom(SEED + 2), { untidy: false }));
    for (const length of [4, 64, tables.length >> 1]) {
      expect(loadPolicy(assemble(tables.slice(0, length), new Uint8Array()))).toMatchObject({
        ok: false,
        error: { kind: "refused-to-start" },
      });
    }
    expect(loadPolicy(assemble(new Uint8Array(), new Uint8Array()))).toMatchObject({
      ok: false,
      error: { kind: "refused-to-start", cause: "this component holds no rules" },
    });
  });
});
