import { describe, expect, test } from "bun:test";
import type { Policy } from "../../core/ports.ts";
import { parseRuleItem } from "../../core/rules/rules.ts";
import { LINE_COLUMNS } from "../../core/text/text-layout.ts";
import { parseCaseFile, runCase } from "./cases.ts";
import { measureCoverage, untried } from "./coverage.ts";
import { fileOutcomeJson, renderFileOutcome, renderTap } from "./render-cases.ts";
import { traceRules } from "./trace-rules.ts";

const CASE = { name: "c", request: "GET /m", caller: "userName=alice", expect: "allow" };
const FILE = { rules: "rules.json", cases: [CASE] };

const RULES = (() => {
  const parsed = parseRuleItem({
    defaultAccess: "deny",
    mode: "enforce",
    id: "x",
    rules: {
      privileges: [
        { name: "m", path: "/m" },
        { name: "n", path: "/n" },
        { name: "o", path: "/o" },
      ],
      roles: [
        { name: "r", privileges: ["m", "n"] },
        { name: "s", privileges: ["o"] },
      ],
      identities: [
        { name: "alice", userName: "alice" },
        { name: "bob", userName: "bob" },
      ],
      roleAssignments: [
        { role: "r", identities: ["alice", "bob"] },
        { role: "s", identities: ["bob"] },
      ],
    },
  });
  if (!parsed.ok) throw new Error(parsed.error.pointer);
  return parsed.value;
})();

/** Decides as the rules say; the compiled policy is compared with that elsewhere. */
const POLICY: Policy = {
  policyId: "p",
  evaluate: (request, claims) => {
    const { kind, reason, rules } = traceRules(RULES, request, claims).decision;
    return { kind, reason, rule: rules[0] ?? "" };
  },
};

function run(cases: readonly object[], mode: "enforce" | "audit" = "enforce", policy = POLICY) {
  const file = parseCaseFile({ rules: "x", cases });
  if (!file.ok) throw new Error(file.error.message);
  return file.value.cases.map((each) => runCase(RULES, "imds", mode, policy, each));
}

describe("parseCaseFile", () => {
  test("reads a file with a path and one with the rules in it", () => {
    expect(parseCaseFile({ ...FILE, endpoint: "imds", mode: "audit", comment: "why" })).toMatchObject({
      ok: true,
      value: { rules: { kind: "path", path: "rules.json" }, endpoint: "imds", mode: "audit" },
    });
    expect(parseCaseFile({ ...FILE, rules: {} })).toMatchObject({ ok: true, value: { rules: { kind: "inline" } } });
    const object = parseCaseFile({ ...FILE, cases: [{ ...CASE, caller: { userName: "bob" } }] });
    expect(object.ok && object.value.cases[0]?.claims.userName).toBe("bob");
  });

  test.each<[string, unknown, string, string]>([
    ["null", null, "", "want an object"],
    ["a list", [FILE], "", "want an object"],
    ["no rules", { cases: [CASE] }, "", '"rules"'],
    ["no cases", { rules: "x" }, "", '"cases"'],
    ["cases that are no list", { rules: "x", cases: CASE }, "/cases", '"cases"'],
    ["an empty list, which would test nothing", { rules: "x", cases: [] }, "/cases", "1 to"],
    ["an unknown member", { ...FILE, case: [] }, "", "unknown member"],
    ["an unknown endpoint", { ...FILE, endpoint: "moon" }, "/endpoint", "one of"],
    ["an unknown mode", { ...FILE, mode: "Audit " }, "/mode", "one of"],
    ["a misspelt member of a case", { ...FILE, cases: [{ ...CASE, expects: "deny" }] }, "/cases/0", "unknown member"],
    ["no expectation", { ...FILE, cases: [{ ...CASE, expect: undefined }] }, "/cases/0", '"expect"'],
    ["an unknown expectation", { ...FILE, cases: [CASE, { ...CASE, expect: "Allow" }] }, "/cases/1/expect", '"expect"'],
    ["no name", { ...FILE, cases: [{ ...CASE, name: "" }] }, "/cases/0", '"name"'],
    ["no caller", { ...FILE, cases: [{ ...CASE, caller: undefined }] }, "/cases/0", "caller"],
    ["an unknown fact about the caller", { ...FILE, cases: [{ ...CASE, caller: "user=alice" }] }, "/cases/0/caller", "unknown member"],
    ["a request that is none", { ...FILE, cases: [{ ...CASE, request: "metadata" }] }, "/cases/0/request", "METHOD"],
    ["a reason that is no text", { ...FILE, cases: [{ ...CASE, reason: 1 }] }, "/cases/0/reason", "want a text"],
    ["a rule that is no text", { ...FILE, cases: [{ ...CASE, rule: null }] }, "/cases/0/rule", "want a text"],
  ])("refuses %s", (_, json, pointer, words) => {
    const file = parseCaseFile(json);
    expect(file.ok ? "read" : file.error.pointer).toBe(pointer);
    expect(file.ok ? "read" : file.error.message).toContain(words);
  });
});

describe("runCase", () => {
  test.each<[string, object, "enforce" | "audit", boolean]>([
    ["an allow that is one", CASE, "enforce", true],
    ["an allow that is a deny", { ...CASE, request: "GET /o" }, "enforce", false],
    ["a deny", { ...CASE, request: "GET /o", expect: "deny" }, "enforce", true],
    ["a deny that audit forwards", { ...CASE, request: "GET /o", expect: "audit" }, "audit", true],
    ["a deny expected where audit forwards", { ...CASE, request: "GET /o", expect: "deny" }, "audit", false],
    ["the reason", { ...CASE, reason: "granted", rule: "m/alice" }, "enforce", true],
    ["another reason", { ...CASE, reason: "default-allow" }, "enforce", false],
    ["another rule", { ...CASE, rule: "m/bob" }, "enforce", false],
    ["a refusal for the form, in audit too", { ...CASE, request: "GET /a%2", expect: "deny", reason: "ambiguous-target" }, "audit", true],
    ["a method that is let nowhere", { ...CASE, request: "TRACE /m", expect: "deny", reason: "method-not-allowed" }, "enforce", true],
  ])("compares %s", (_, each, mode, passed) => {
    expect(run([each], mode).map((outcome) => outcome.passed)).toEqual([passed]);
  });

  test("fails a case when component and explanation differ, whatever was expected", () => {
    const liar: Policy = { policyId: "p", evaluate: () => ({ kind: "allow", reason: "granted", rule: "m/bob" }) };
    expect(run([CASE], "enforce", liar)).toMatchObject([{ passed: false, mismatch: true, answer: "allow" }]);
  });
});

describe("measureCoverage", () => {
  const cases = [
    CASE,
    { ...CASE, caller: "userName=eve", expect: "deny" },
    { ...CASE, request: "GET /n", caller: "userName=bob" },
    { ...CASE, request: "/o", expect: "deny" },
  ];
  const coverage = measureCoverage(RULES, run(cases));

  test("counts what granted and what denied", () => {
    expect(coverage.privileges).toEqual([
      { name: "m", granted: 1, denied: 1 },
      { name: "n", granted: 1, denied: 0 },
      { name: "o", granted: 0, denied: 1 },
    ]);
    expect(coverage.assignments).toEqual([
      { name: "r/alice", granted: 1, denied: 1 },
      { name: "r/bob", granted: 1, denied: 1 },
      { name: "s/bob", granted: 0, denied: 1 },
    ]);
  });

  test("names what was never tried", () => {
    expect(untried(coverage.privileges, "denied")).toEqual(["n"]);
    expect(untried(coverage.assignments, "granted")).toEqual(["s/bob"]);
  });
});

describe("rendering", () => {
  const cases = [CASE, { ...CASE, name: "wrong # \u001b[2J\nnot ok", request: "GET /o", reason: "granted" }];
  const outcomes = run(cases);
  const file = { path: "dir/cases.json", outcomes, coverage: measureCoverage(RULES, outcomes) };

  test("tells failures with request, caller, wanted and found, and no line too wide", () => {
    const lines = renderFileOutcome(file);
    expect(lines[0]).toBe("dir/cases.json: 2 cases, 1 failed");
    expect(lines.join("\n")).toContain('wanted  allow, reason "granted"');
    expect(lines.join("\n")).toContain('found   deny, reason "not-granted", rule "o"');
    expect(lines.every((line) => line.length <= LINE_COLUMNS && /^[ -~]*$/.test(line))).toBe(true);
  });

  test("writes TAP that a case's name cannot break", () => {
    const lines = renderTap([file]);
    expect(lines.slice(0, 3)).toEqual(["TAP version 14", "1..2", "ok 1 - dir/cases.json: c"]);
    expect(lines.filter((line) => /^(?:not )?ok /.test(line))).toHaveLength(2);
    expect(lines[3]).toBe("not ok 2 - dir/cases.json: wrong \\# \\u001b[2J\\nnot ok");
  });

  test("has all of it as JSON", () => {
    expect(fileOutcomeJson(file)).toMatchObject({
      path: "dir/cases.json",
      passed: 1,
      failed: 1,
      cases: [{ passed: true }, { passed: false, answer: "deny" }],
    });
  });
});
