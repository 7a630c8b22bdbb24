// What happens when a compiled rule set was damaged on disk or in memory: it is refused, or it denies, or its call fails. With a
// plain flip the checksum must catch it; with the checksum made right again, only the engine's bounds stand between the damage
// and the host, and they must hold: no exception, no endless loop, no answer that is not one.

import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { parseRuleItem } from "../../proxy/core/rules/rules.ts";
import { planRules } from "../../proxy/core/rules/tables/rule-plan.ts";
import { sealTables, writeTables } from "../../proxy/core/rules/tables/rule-tables.ts";
import { HEADER, NONE, ROW_WORDS, SECTION_NAMES, type SectionName } from "../../proxy/core/rules/tables/table-layout.ts";
import { claimsOf } from "../support/claims.ts";
import { assemble, loadPolicy } from "../support/policy-build.ts";
import { seededRandom } from "../support/random.ts";
import { randomCaller, randomItem, randomRequest } from "../support/rule-cases.ts";
import type { PlainItem } from "../support/rule-evaluator.ts";
import { BUSY_MACHINE_MS } from "../support/timeouts.ts";

setDefaultTimeout(BUSY_MACHINE_MS);

const SEED = 20_260_201;
const FLIPS = 2000;
/** Far more than it takes: instantiating thousands of modules is slow on a busy machine. */
const PATIENCE_MS = 240_000;

function tablesOf(item: PlainItem): Uint8Array<ArrayBuffer> {
  const rules = parseRuleItem(item);
  if (!rules.ok) throw new Error(rules.error.kind);
  const plan = planRules(rules.value);
  if (!plan.ok) throw new Error(plan.error.kind);
  const tables = writeTables(plan.value, rules.value.defaultAccess, "imds");
  if (!tables.ok) throw new Error(tables.error.kind);
  return tables.value;
}

type RowSection = Exclude<SectionName, "text">;

function sectionOf(words: Uint32Array, name: SectionName): { readonly firstWord: number; readonly rows: number } {
  const at = HEADER.sections + 2 * SECTION_NAMES.indexOf(name);
  return { firstWord: (words[at] ?? 0) / 4, rows: words[at + 1] ?? 0 };
}

/** Replaces a word in every used row of a section, and makes the checksum right again. */
function withWord(tables: Uint8Array<ArrayBuffer>, name: RowSection, word: number, replace: (found: number) => number): Uint8Array {
  const words = new Uint32Array(tables.slice().buffer);
  const { firstWord, rows } = sectionOf(words, name);
  for (let row = 0; row < rows; row++) {
    const at = firstWord + row * ROW_WORDS[name] + word;
    words[at] = replace(words[at] ?? 0);
  }
  sealTables(words);
  return new Uint8Array(words.buffer);
}

describe(`damaged tables (seed ${SEED})`, () => {
  test(
    "T-65: are refused at load after any single flipped byte",
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
    "T-65: never get out of the engine, even with a right checksum",
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

  describe("that name a row one past the last fail the call", () => {
    const tables = tablesOf({
      defaultAccess: "allow",
      mode: "enforce",
      id: "one",
      rules: {
        privileges: [
          { name: "plain", path: "/a" },
          { name: "constrained", path: "/b", queryParameters: { k: "v", m: "w" } },
          { name: "by method", path: "/d", method: ["GET"] },
        ],
        roles: [{ name: "r", privileges: ["plain", "constrained", "by method"] }],
        identities: [{ name: "alice", userName: "alice" }],
        roleAssignments: [{ role: "r", identities: ["alice"] }],
      },
    });
    const words = new Uint32Array(tables.buffer);
    const past = (name: SectionName) => sectionOf(words, name).rows;
    const query = [
      { name: "k", value: "v" },
      { name: "m", value: "w" },
    ];
    const ask = (bytes: Uint8Array, segment: string, userName = "alice") => {
      const policy = loadPolicy(assemble(bytes, new Uint8Array()));
      if (!policy.ok) throw new Error(policy.error.kind);
      const request = { endpoint: "imds", method: "GET", segments: [segment], trailingSlash: false, query } as const;
      return policy.value.evaluate(request, claimsOf({ userName })).reason;
    };

    test("not so when nothing is changed", () => {
      const same = withWord(tables, "nodes", 0, (found) => found);
      expect(["a", "b", "c", "d"].map((segment) => ask(same, segment))).toEqual(["granted", "granted", "default-allow", "granted"]);
    });

    test.each<[string, string, RowSection, number, (found: number) => number]>([
      ["a node's pattern", "a", "nodes", 0, (found) => (found === NONE ? NONE : past("patterns"))],
      ["a pattern's constraints", "b", "patterns", 1, () => past("constraints")],
      ["a constraint's parameter", "b", "constraints", 0, () => past("parameters")],
      ["a parameter's query name", "b", "parameters", 0, () => past("strings")],
      ["a method's name", "d", "parameters", 0, () => past("strings")],
      ["a listed pattern", "b", "patternLists", 0, () => past("patterns")],
      ["a selector's list", "a", "selectors", 0, () => past("identityLists")],
      ["a selector's list size", "a", "selectors", 1, () => past("identityLists") + 1],
      ["a listed identity", "a", "identityLists", 0, () => past("identities")],
      ["an identity's selector", "a", "identities", 0, () => past("selectors") + 1],
      ["an identity's names", "a", "identities", 8, () => past("identityNames")],
      ["the number of an identity's names", "a", "identities", 9, () => 0],
      ["an identity's name", "a", "identityNames", 0, () => past("strings")],
      ["an indexed text", "a", "textIndex", 2, () => past("strings")],
      ["an indexed value", "a", "textIndex", 3, (found) => (found === 0 ? 0 : past("strings") + past("nodes"))],
      ["a text's place", "a", "strings", 0, () => past("text") + 1],
    ])("%s", (_, segment, section, word, replace) => {
      expect(ask(withWord(tables, section, word, replace), segment)).toBe("policy-failed");
    });

    test("a pattern's name, which only a refused caller gets to see", () => {
      const bytes = withWord(tables, "patterns", 0, () => past("strings"));
      expect([ask(bytes, "a", "bob"), ask(bytes, "a")]).toEqual(["policy-failed", "granted"]);
    });

    test("a method's parameter, already at load", () => {
      const one = tablesOf({
        defaultAccess: "allow",
        mode: "enforce",
        id: "one",
        rules: { privileges: [{ name: "p", path: "/a", method: ["get"] }], roles: [], identities: [], roleAssignments: [] },
      });
      for (const value of [sectionOf(new Uint32Array(one.buffer), "parameters").rows, NONE - 1]) {
        const damaged = new Uint32Array(one.slice().buffer);
        damaged[HEADER.methods] = value;
        sealTables(damaged);
        const loaded = loadPolicy(assemble(new Uint8Array(damaged.buffer), new Uint8Array()));
        expect(loaded).toMatchObject({ ok: false, error: { kind: "refused-to-start", cause: "the rule tables are damaged" } });
      }
    });

    test("a text's length, which then fits nothing or fails", () => {
      expect(["policy-failed", "default-allow"]).toContain(
        ask(
          withWord(tables, "strings", 1, () => past("text") + 1),
          "a",
        ),
      );
    });
  });
});
