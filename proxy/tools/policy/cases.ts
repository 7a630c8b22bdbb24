// Policies tested by data: a file names a rule set and what must come of requests. Reads such files and judges their cases; a case
// that cannot be read is an error of the file, never a case that passes.

import type { Policy } from "../../core/ports.ts";
import type { Claims } from "../../core/request/caller.ts";
import { ENDPOINTS, type Endpoint, parseEndpoint } from "../../core/request/endpoint.ts";
import { MODES, type Mode, parseMode } from "../../core/request/verdict.ts";
import { err, ok, type Result } from "../../core/result.ts";
import type { RuleSet } from "../../core/rules/rules.ts";
import { quote } from "../../core/text/text-layout.ts";
import { parseCallerJson, parseInlineCaller } from "./caller-input.ts";
import { type Answer, decideRequest, parseRequestText, type RequestText } from "./decide-request.ts";
import { agrees, type RuleTrace, traceRules } from "./trace-rules.ts";

export interface PolicyCase {
  readonly name: string;
  readonly request: RequestText;
  readonly claims: Claims;
  readonly expect: Answer;
  /** Compared when given. */
  readonly reason: string | undefined;
  readonly rule: string | undefined;
}

export interface CaseFile {
  /** A path relative to the case file, or the rule set itself. */
  readonly rules: { readonly kind: "path"; readonly path: string } | { readonly kind: "inline"; readonly json: unknown };
  readonly endpoint: Endpoint | undefined;
  /** In place of the mode in the rules. */
  readonly mode: Mode | undefined;
  readonly cases: readonly PolicyCase[];
}

/** Where in the file something is wrong, and what. */
export interface CaseError {
  readonly pointer: string;
  readonly message: string;
}

export interface CaseOutcome {
  readonly case: PolicyCase;
  readonly passed: boolean;
  readonly answer: Answer;
  readonly reason: string;
  readonly rule: string;
  /** Undefined when the rules were not evaluated. */
  readonly trace: RuleTrace | undefined;
  /** Component and explanation differ: our own defect, and the case fails. */
  readonly mismatch: boolean;
}

const ANSWERS = ["allow", "deny", "audit"] as const satisfies readonly Answer[];
const MAX_CASES = 100_000;

export function parseCaseFile(json: unknown): Result<CaseFile, CaseError> {
  const file = membersOf(json, ["rules", "endpoint", "mode", "cases", "comment"]);
  if (!file.ok) return err({ pointer: "", message: file.error });
  const { rules, endpoint: endpointText, mode: modeText, cases } = file.value;
  if (rules === undefined) return err({ pointer: "", message: 'found no "rules", want the path of a rule file, or a rule set' });
  const endpoint = typeof endpointText === "string" ? parseEndpoint(endpointText) : undefined;
  if (endpointText !== undefined && endpoint === undefined)
    return err({ pointer: "/endpoint", message: `want one of ${ENDPOINTS.join(", ")}` });
  const mode = typeof modeText === "string" ? parseMode(modeText) : undefined;
  if (modeText !== undefined && mode === undefined) return err({ pointer: "/mode", message: `want one of ${MODES.join(", ")}` });
  if (!Array.isArray(cases)) return err({ pointer: cases === undefined ? "" : "/cases", message: 'want a list "cases"' });
  if (cases.length === 0 || cases.length > MAX_CASES) return err({ pointer: "/cases", message: `want 1 to ${MAX_CASES} cases` });
  const read: PolicyCase[] = [];
  for (const [i, each] of cases.entries()) {
    const parsed = parseCase(each);
    if (!parsed.ok) return err({ pointer: `/cases/${i}${parsed.error.pointer}`, message: parsed.error.message });
    read.push(parsed.value);
  }
  return ok({
    rules: typeof rules === "string" ? { kind: "path", path: rules } : { kind: "inline", json: rules },
    endpoint,
    mode,
    cases: read,
  });
}

function parseCase(json: unknown): Result<PolicyCase, CaseError> {
  const members = membersOf(json, ["name", "request", "caller", "expect", "reason", "rule", "comment"]);
  if (!members.ok) return err({ pointer: "", message: members.error });
  const { name, request: requestText, caller: callerJson, expect: expectText, reason, rule } = members.value;
  if (typeof name !== "string" || name === "") return err({ pointer: "", message: 'want a text "name"' });
  if (typeof requestText !== "string") return err({ pointer: "", message: 'want a text "request", such as "GET /metadata/instance"' });
  const request = parseRequestText(requestText);
  if (!request.ok) return err({ pointer: "/request", message: request.error });
  const caller = typeof callerJson === "string" ? parseInlineCaller(callerJson) : parseCallerJson(callerJson);
  if (!caller.ok) return err({ pointer: callerJson === undefined ? "" : "/caller", message: `caller: ${caller.error}` });
  const expect = ANSWERS.find((known) => known === expectText);
  if (expect === undefined)
    return err({ pointer: expectText === undefined ? "" : "/expect", message: `want "expect", one of ${ANSWERS.join(", ")}` });
  if (!isOptionalText(reason)) return err({ pointer: "/reason", message: "want a text" });
  if (!isOptionalText(rule)) return err({ pointer: "/rule", message: "want a text" });
  return ok({ name, request: request.value, claims: caller.value.claims, expect, reason, rule });
}

/** Runs a case through the compiled policy; the explanation must agree, as coverage is taken from it. */
export function runCase(rules: RuleSet, endpoint: Endpoint, mode: Mode, policy: Policy, each: PolicyCase): CaseOutcome {
  const { answer, reason, rule, canonical, component } = decideRequest(endpoint, mode, policy, each.request, each.claims);
  const trace = canonical.ok && component !== undefined ? traceRules(rules, canonical.value, each.claims) : undefined;
  const mismatch = trace !== undefined && component !== undefined && !agrees(trace.decision, component);
  const asExpected = answer === each.expect && (each.reason ?? reason) === reason && (each.rule ?? rule) === rule;
  return { case: each, passed: asExpected && !mismatch, answer, reason, rule, trace, mismatch };
}

/** Unknown members are refused: a misspelt `expect` would make a case that tests nothing. */
function membersOf(json: unknown, known: readonly string[]): Result<Readonly<Record<string, unknown>>, string> {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return err("want an object");
  const members = new Map(Object.entries(json));
  const unknown = [...members.keys()].find((name) => !known.includes(name));
  return unknown === undefined ? ok(Object.fromEntries(members)) : err(`found unknown member ${quote(unknown)}, want ${known.join(", ")}`);
}

function isOptionalText(value: unknown): value is string | undefined {
  return value === undefined || typeof value === "string";
}
