import { describe, expect, test } from "bun:test";
import { claimsOf } from "../../../test/support/claims.ts";
import type { Verdict } from "../request/verdict.ts";
import { FAILED_ANSWER, judgeModules, type ModuleInForce } from "./policy-chain.ts";
import type { PolicyAnswer, PolicyQuestion } from "./policy-question.ts";

const ALLOWED: Verdict = { kind: "allow", reason: "granted", rule: "read/root", ruleSetId: "rules-1", policyId: "rules" };
const DENIED: Verdict = { ...ALLOWED, kind: "deny", reason: "not-granted" };

const FACTS = {
  request: { endpoint: "imds", method: "GET", segments: ["metadata"], trailingSlash: false, query: [] },
  claims: claimsOf({}),
  headers: [
    ["Metadata", "True"],
    ["X-Name", "one"],
    ["x-name", "\xc3\xa9"],
    ["X-Name", "\xff"],
  ],
  uptimeSeconds: 5,
  unixSeconds: 6,
} as const;

interface Asked {
  readonly module: ModuleInForce;
  readonly questions: PolicyQuestion[];
}

function module(name: string, kind: PolicyAnswer["kind"], more: Partial<ModuleInForce> & { readonly rule?: string } = {}): Asked {
  const questions: PolicyQuestion[] = [];
  const answer: PolicyAnswer = { kind, reason: `${name}-says-so`, rule: more.rule ?? "", labels: [["who", name]] };
  const ask = (question: PolicyQuestion) => {
    questions.push(question);
    return { answer, failed: false };
  };
  return { questions, module: { name, audit: false, policyId: `hash-${name}`, headers: new Set(), ask, ...more } };
}

function judge(rules: Verdict, asked: readonly Asked[], askAll = false) {
  return judgeModules(
    rules,
    asked.map((each) => each.module),
    FACTS,
    askAll,
  );
}

describe("judgeModules", () => {
  test("without a deny the rules' verdict stays, word for word", () => {
    const chain = [module("a", "allow"), module("b", "abstain")];
    const { verdict, outcomes } = judge(ALLOWED, chain);
    expect(verdict).toBe(ALLOWED);
    expect(outcomes.map(({ name, kind, applied, failed }) => [name, kind, applied, failed])).toEqual([
      ["a", "allow", true, false],
      ["b", "abstain", true, false],
    ]);
  });

  test("T-130: a deny is final: no module after it is asked, and none before or after lifts it", () => {
    const chain = [module("a", "allow"), module("b", "deny"), module("c", "allow")];
    const { verdict, outcomes } = judge(ALLOWED, chain);
    expect(verdict).toEqual({
      kind: "deny",
      reason: "module-denied",
      rule: "b",
      ruleSetId: "rules-1",
      policyId: "hash-b",
      module: { name: "b", reason: "b-says-so" },
    });
    expect(outcomes.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(chain[2]?.questions).toEqual([]);
  });

  test("T-130: an allow lifts no deny of the rules; under enforce nobody is even asked", () => {
    const chain = [module("a", "allow")];
    expect(judge(DENIED, chain)).toEqual({ verdict: DENIED, outcomes: [] });
    const all = judge(DENIED, chain, true);
    expect([all.verdict, all.outcomes.length]).toEqual([DENIED, 1]);
  });

  test("where denies are not applied everybody is heard, and the first deny is the verdict", () => {
    const chain = [module("a", "deny"), module("b", "deny"), module("c", "allow")];
    const { verdict, outcomes } = judge(ALLOWED, chain, true);
    expect(verdict.module?.name).toBe("a");
    expect(outcomes.map(({ name, kind }) => `${name} ${kind}`)).toEqual(["a deny", "b deny", "c allow"]);
    expect(chain[1]?.questions[0]?.soFar).toMatchObject({ kind: "deny", reason: "a-says-so" });
  });

  test("T-131: a deny of a module in audit is recorded and not applied; a failure neither", () => {
    const failing = { ...module("f", "allow").module, audit: true, ask: () => ({ answer: FAILED_ANSWER, failed: true }) };
    const chain = [module("a", "deny", { audit: true }), { module: failing, questions: [] }, module("b", "allow")];
    const { verdict, outcomes } = judge(ALLOWED, chain);
    expect(verdict).toBe(ALLOWED);
    expect(outcomes.map(({ name, kind, applied, failed }) => [name, kind, applied, failed])).toEqual([
      ["a", "deny", false, false],
      ["f", "deny", false, true],
      ["b", "allow", true, false],
    ]);
    expect(chain[2]?.questions[0]?.soFar).toMatchObject({ kind: "allow", reason: "granted" });
  });

  test("T-132: a failure is a deny under its own reason, and names the module", () => {
    const failing = { ...module("f", "allow").module, ask: () => ({ answer: FAILED_ANSWER, failed: true }) };
    const { verdict, outcomes } = judge(ALLOWED, [{ module: failing, questions: [] }]);
    expect(verdict).toMatchObject({
      kind: "deny",
      reason: "policy-failed",
      module: { name: "f", reason: "policy-failed" },
      policyId: "hash-f",
    });
    expect(outcomes[0]).toMatchObject({ failed: true, applied: true });
  });

  test("the first module is told what the rules say, as is the next one when nobody denied", () => {
    const chain = [module("a", "allow"), module("b", "abstain")];
    judge(ALLOWED, chain);
    for (const { questions } of chain)
      expect(questions[0]?.soFar).toEqual({ kind: "allow", reason: "granted", rule: "read/root", labels: [] });
  });

  test("T-133: a module sees the header fields that were named for it and no others; what is not UTF-8 is left out", () => {
    const chain = [module("a", "allow"), module("b", "allow", { headers: new Set(["x-name"]) })];
    judge(ALLOWED, chain);
    expect(chain[0]?.questions[0]).toMatchObject({ headers: [], uptimeSeconds: 5, unixSeconds: 6 });
    expect(chain[1]?.questions[0]?.headers).toEqual([
      { name: "x-name", value: "one" },
      { name: "x-name", value: "é" },
    ]);
  });

  test("the module's rule is told behind its name", () => {
    expect(judge(ALLOWED, [module("a", "deny", { rule: "tokens" })]).verdict.rule).toBe("a/tokens");
  });
});
