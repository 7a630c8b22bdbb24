import { describe, expect, test } from "bun:test";
import type { Policy, PolicyDecision } from "../../core/ports.ts";
import { type RecordedDecision, readRecordedLine, replayRecorded } from "./replay-line.ts";

const FIELDS = {
  method: "GET",
  url: "/metadata/instance",
  endpoint: "imds",
  responseStatus: 200,
  reason: "granted",
  ruleId: "p/i",
  ruleSetId: "x",
  policyId: "0123456789abcdef",
  userName: "alice",
  userGroups: ["dev"],
  processFullPath: "/usr/bin/curl",
  processName: "curl",
  runAsElevated: false,
};
const line = (fields: object = {}, head = "<6>request-forwarded ") => `${head}${JSON.stringify({ ...FIELDS, ...fields })}`;
const PLAIN = { request: "GET /x", caller: { userName: "alice" }, decision: "allow" };

function recorded(text: string): RecordedDecision {
  const read = readRecordedLine(text);
  if (!read.ok) throw new Error(read.error);
  return read.value;
}

function policyThat(decision: PolicyDecision): Policy {
  return { policyId: "0123456789abcdef".repeat(4), evaluate: () => decision };
}

describe("readRecordedLine", () => {
  test.each<[string, string, string, string]>([
    ["a forwarded request", line(), "allow", "granted"],
    ["one with time and level", line({}, "2026-01-01T00:00:00.000Z [INFO] request-forwarded "), "allow", "granted"],
    ["fields alone", line({}, ""), "allow", "granted"],
    ["a denied request", line({ reason: "not-granted" }, "request-denied "), "deny", "not-granted"],
    ["what audit let pass", line({ reason: "default-deny", wouldDeny: "default-deny" }), "audit", "default-deny"],
    [
      "a request that failed after audit let it pass",
      line({ reason: "host-silent", wouldDeny: "default-deny" }, "request-failed "),
      "audit",
      "default-deny",
    ],
    ["a refusal for its form", line({ reason: "ambiguous-target", url: "/a%2" }, "request-denied "), "deny", "ambiguous-target"],
    ["a journal entry", JSON.stringify({ MESSAGE: line() }), "allow", "granted"],
    ["a plain record", JSON.stringify({ ...PLAIN, reason: "granted" }), "allow", "granted"],
    ["a plain record of an audit", JSON.stringify({ ...PLAIN, decision: "audit", reason: "x" }), "audit", "x"],
  ])("reads %s", (_, text, answer, reason) => {
    const read = recorded(text);
    expect([read.answer, read.reason]).toEqual([answer as RecordedDecision["answer"], reason]);
    expect(read.caller.claims.userName).toBe("alice");
  });

  test.each<[string, string, string]>([
    ["", "other-event", "a blank line"],
    ["agent-ready", "other-event", "a line without JSON"],
    ['agent-ready {"version":"1"}', "other-event", "another event"],
    ['request-denied {"reason":"malformed-head","responseStatus":400}', "other-event", "a head that was no request"],
    [line({ reason: "not-redirected" }), "no-decision", "a request nobody knows the caller of"],
    [line({ reason: "no-key" }, "request-failed "), "no-decision", "a request without a key"],
    [line({ reason: "no-rules" }), "no-decision", "a request without rules"],
    [line({ reason: "no-usable-rules" }), "no-decision", "a request under refused rules"],
    [line().slice(0, -5), "unreadable", "a line that was cut"],
    ["{]", "unreadable", "broken JSON"],
    ["[{}]", "unreadable", "a list"],
    [line({ userGroups: "dev" }), "unreadable", "a caller that cannot be"],
    [JSON.stringify({ ...PLAIN, decision: "none", reason: "client-gone" }), "no-decision", "an exported record without a verdict"],
    [
      JSON.stringify({ ...PLAIN, outcome: "request-denied", reason: "too-late" }),
      "no-decision",
      "an exported record that a module decided",
    ],
    [JSON.stringify({ ...PLAIN, outcome: "request-denied", reason: "granted", shortened: true }), "incomplete", "a shortened record"],
    [JSON.stringify({ ...PLAIN, decision: "maybe" }), "unreadable", "a decision that is none"],
    [JSON.stringify({ ...PLAIN, caller: { who: "alice" } }), "unreadable", "an unknown fact"],
    [JSON.stringify({ ...PLAIN, request: "x" }), "unreadable", "a request that is none"],
    [line({ url: "/x?token=[REDACTED]" }), "incomplete", "a target that hides a secret"],
    [line({ url: `/${"x".repeat(8_191)}…` }), "incomplete", "a target that was cut"],
  ])("passes over %#: %s", (text, reason) => {
    const read = readRecordedLine(text);
    expect(read.ok ? "read" : read.error).toBe(reason as never);
  });
});

describe("replayRecorded", () => {
  const grant: PolicyDecision = { kind: "allow", reason: "granted", rule: "p/i" };
  test.each<[string, string, PolicyDecision, boolean]>([
    ["the same", line(), grant, true],
    ["another rule of the same policy", line(), { ...grant, rule: "q/i" }, false],
    ["another rule of another policy", line({ policyId: "ffff" }), { ...grant, rule: "q/i" }, true],
    ["another reason", line(), { kind: "allow", reason: "default-allow", rule: "" }, false],
    ["a deny", line(), { kind: "deny", reason: "not-granted", rule: "p" }, false],
    [
      "an audit line that the rules still deny",
      line({ reason: "not-granted", wouldDeny: "not-granted", ruleId: "p" }),
      { kind: "deny", reason: "not-granted", rule: "p" },
      true,
    ],
    ["an audit line that the rules now allow", line({ reason: "not-granted", wouldDeny: "not-granted" }), grant, false],
    ["a record without a reason", JSON.stringify(PLAIN), { kind: "allow", reason: "default-allow", rule: "" }, true],
  ])("compares %s", (_, text, decision, same) => {
    expect(replayRecorded("imds", "enforce", policyThat(decision), recorded(text)).same).toBe(same);
  });
});
