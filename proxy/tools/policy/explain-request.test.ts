import { describe, expect, test } from "bun:test";
import type { PolicyDecision } from "../../core/ports.ts";
import { parseRuleItem, type RuleSet } from "../../core/rules/rules.ts";
import { LINE_COLUMNS } from "../../core/text/text-layout.ts";
import { parseInlineCaller } from "./caller-input.ts";
import { decideRequest, parseRequestText } from "./decide-request.ts";
import { explainRequest } from "./explain-request.ts";
import { explanationJson, renderDecision, renderExplanation } from "./render-explanation.ts";
import { traceRules } from "./trace-rules.ts";

const RULES = rulesOf({
  privileges: [
    { name: "instance", path: "/metadata/instance" },
    { name: "vault", path: "/metadata/identity", queryParameters: { resource: "https://vault" }, method: ["GET"] },
  ],
  roles: [{ name: "r", privileges: ["instance", "vault"] }],
  identities: [{ name: "backup", userName: "backup", groupName: "ops", exePath: "/usr/bin/restic" }],
  roleAssignments: [{ role: "r", identities: ["backup"] }],
});

function rulesOf(rules: object, header: object = {}): RuleSet {
  const parsed = parseRuleItem({ defaultAccess: "deny", mode: "enforce", id: "x", rules, ...header });
  if (!parsed.ok) throw new Error(parsed.error.pointer);
  return parsed.value;
}

const BACKUP = "userName=backup,userGroups=ops,processFullPath=/usr/bin/restic";

function explain(
  requestText: string,
  callerText = BACKUP,
  rules = RULES,
  answer?: PolicyDecision,
  endpoint: "imds" | "wireserver" = "imds",
) {
  const request = parseRequestText(requestText);
  const caller = parseInlineCaller(callerText);
  if (!request.ok || !caller.ok) throw new Error("bad question");
  const policy = {
    policyId: "0123456789abcdef0123",
    evaluate: (asked: Parameters<typeof traceRules>[1], claims: Parameters<typeof traceRules>[2]): PolicyDecision => {
      const { kind, reason, rules: named } = traceRules(rules, asked, claims).decision;
      return answer ?? { kind, reason, rule: named[0] ?? "" };
    },
  };
  const explanation = explainRequest(rules, endpoint, policy, request.value, caller.value.claims);
  const lines = renderExplanation(explanation, caller.value.claims, policy.policyId, false);
  return {
    explanation,
    lines,
    text: lines.join("\n").replace(/\n +/g, " "),
    json: explanationJson(explanation, caller.value.claims, policy.policyId),
  };
}

describe("parseRequestText", () => {
  test.each([
    ["GET /a", "GET", "/a"],
    ["/a?b", "GET", "/a?b"],
    ["PUT   /a b", "PUT", "/a b"],
    ["GET /a HTTP/1.1", "GET", "/a"],
    ["POST http://169.254.169.254/x", "POST", "http://169.254.169.254/x"],
    ["get /a", "get", "/a"],
  ])("reads %p", (text, method, target) => {
    expect(parseRequestText(text)).toEqual({ ok: true, value: { method, target } });
  });
  test.each(["", "GET", "metadata", "GET metadata", "G-T /a", "*"])("refuses %p", (text) => {
    expect(parseRequestText(text).ok).toBe(false);
  });
});

describe("explainRequest", () => {
  test.each<[string, string, string, readonly string[]]>([
    [
      "a grant",
      "GET /metadata/instance/compute",
      BACKUP,
      ["decision: allow (granted", '+ "instance" on /metadata/instance: covers', '+ "backup" (role "r"): fits', "gives the same answer"],
    ],
    [
      "what in the path was folded",
      "GET /Metadata//./x/../instance;v=1/%63ompute",
      BACKUP,
      [
        '["metadata","instance","compute"]',
        "A-Z folded",
        "matrix parameters dropped",
        "empty segments dropped",
        '"." dropped',
        '".." resolved',
      ],
    ],
    [
      "decoded parameters",
      "GET /metadata/identity?resource=https%3A%2F%2FVAULT&x=a+b&&=y",
      BACKUP,
      ['"resource" = "https://vault"; "x" = "a b"', "has no name and is dropped"],
    ],
    [
      "each selector that fails",
      "GET /metadata/instance",
      "userName=eve,userGroups=a,userGroups=b",
      ['userName is "eve", wanted "backup"', 'groupName is "a" or "b", wanted "ops"', 'exePath is unknown, wanted "/usr/bin/restic"'],
    ],
    [
      "a path that differs",
      "GET /metadata/instances",
      BACKUP,
      ['segment 2 is "instances", not "instance"', "deny with 403 (default-deny, no rule)"],
    ],
    ["a path that is too short", "GET /metadata", BACKUP, ['the path ends before "instance"']],
    ["a parameter that is missing", "GET /metadata/identity", BACKUP, ['parameter "resource" is missing, wanted "https://vault"']],
    ["a parameter that differs", "GET /metadata/identity?resource=x", BACKUP, ['parameter "resource" is "x", not "https://vault"']],
    ["a method that differs", "PUT /metadata/identity?resource=https://vault", BACKUP, ["the method is PUT, not GET"]],
    [
      "a repeated parameter",
      "GET /metadata/identity?resource=https://vault&Resource=b",
      BACKUP,
      ['has several values ("https://vault", "b")', "ambiguous-query"],
    ],
    [
      "a form without one reading",
      "GET /metadata/%2e%2e/%2e%2e/x",
      BACKUP,
      ["CANON_UNDERFLOW", "deny with 400 (ambiguous-target)", "not asked: the request is refused for its form"],
    ],
    ["an unknown method", "TRACE /metadata", BACKUP, ['"TRACE" is not one the agent lets through', "deny with 405"]],
    [
      "another authority",
      "GET http://168.63.129.16/metadata",
      BACKUP,
      ["names WireServer, but the connection is to IMDS", "CANON_DESTINATION"],
    ],
    ["a fragment", "GET /metadata/instance#x", BACKUP, ["deny with 400 (malformed-head)", "no request line can hold this"]],
    ["a blank", "GET /metadata /instance", BACKUP, ["deny with 400 (malformed-head)"]],
    ["a letter that is not ASCII", "GET /metadata/é", BACKUP, ["deny with 400 (malformed-head)"]],
  ])("tells of %s", (_, request, caller, wanted) => {
    const { text, lines } = explain(request, caller);
    for (const words of wanted) expect(text).toContain(words);
    expect(lines.filter((line) => line.length > LINE_COLUMNS)).toEqual([]);
  });

  test("tells of built-in refusals and exemptions", () => {
    expect(explain("GET /machine", "userId=1000", RULES, undefined, "wireserver").text).toContain("serves only root and the caller is not");
    expect(explain("PUT /vmAgentLog", "userId=0", RULES, undefined, "wireserver").text).toContain("passes without rules");
    expect(explain("GET /machine", "userId=0", RULES, undefined, "wireserver").text).toContain("serves only root, and the caller is");
  });

  test.each([
    ["enforce", "deny with 403", "answered 403"],
    ["audit", "deny, but forwarded", "recorded as would-be denied"],
    ["disabled", "deny, but forwarded", "not guarded"],
  ])("tells what mode %s makes of a deny", (mode, decision, effect) => {
    const { text } = explain("GET /x", BACKUP, { ...RULES, mode: mode as RuleSet["mode"] });
    expect(text).toContain(`decision: ${decision}`);
    expect(text).toContain(effect);
  });

  test.each<[string, PolicyDecision]>([
    ["another kind", { kind: "deny", reason: "not-granted", rule: "instance" }],
    ["another reason", { kind: "allow", reason: "default-allow", rule: "" }],
    ["a rule that grants nothing", { kind: "allow", reason: "granted", rule: "vault/backup" }],
    ["a failure", { kind: "deny", reason: "policy-failed", rule: "" }],
  ])("calls it a mismatch when the component gives %s, and keeps the component's decision", (_, answer) => {
    const { explanation, text, json } = explain("GET /metadata/instance", BACKUP, RULES, answer);
    expect(explanation.mismatch).toBeDefined();
    expect(explanation.decided).toMatchObject({ kind: answer.kind, reason: answer.reason });
    expect(text).toContain("INTERNAL MISMATCH");
    expect(json.componentAgrees).toBe(false);
  });

  test("has every privilege in JSON, and in text only some of those on other paths", () => {
    const privileges = Array.from({ length: 40 }, (_, i) => ({ name: `p${i}`, path: `/other/${i}` }));
    const rules = rulesOf({ privileges, roles: [], identities: [], roleAssignments: [] });
    const { text, json } = explain("GET /x", BACKUP, rules);
    expect(json.privileges).toHaveLength(40);
    expect(text).toContain("and 20 privileges on other paths (--all lists them)");
  });

  test("cannot be made to move a terminal by names in rules or requests", () => {
    const odd = "\u001b[2J\u202e\u009b";
    const rules = rulesOf({
      privileges: [{ name: odd, path: "/x" }],
      roles: [{ name: odd, privileges: [odd] }],
      identities: [{ name: odd, userName: odd }],
      roleAssignments: [{ role: odd, identities: [odd] }],
    });
    for (const request of ["GET /x", `GET /x?${odd}=${odd}`]) {
      const { lines } = explain(request, `userName=${odd}`, rules);
      expect(lines.filter((line) => !/^[ -~]*$/.test(line))).toEqual([]);
    }
  });
});

test("renderDecision says what the caller sees", () => {
  const policy = { policyId: "p", evaluate: (): PolicyDecision => ({ kind: "deny", reason: "default-deny", rule: "" }) };
  const caller = parseInlineCaller("userId=1");
  if (!caller.ok) throw new Error(caller.error);
  const decided = decideRequest("imds", "audit", policy, { method: "GET", target: "/x" }, caller.value.claims);
  expect(renderDecision(decided)).toBe("deny, but forwarded (default-deny, no rule)");
});
