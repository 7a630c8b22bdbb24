// Compares decisions that were recorded with what a rule set decides now, one line at a time. A line is a request's log line with
// anything before the JSON, or a JSON object with request, caller and decision. What a line does not say is never guessed.

import type { Policy } from "../../core/ports.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";
import type { Mode } from "../../core/request/verdict.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { type DescribedCaller, parseCallerJson } from "./caller-input.ts";
import { type Answer, type Decided, decideRequest, parseRequestText, type RequestText } from "./decide-request.ts";

/** Why a line cannot be replayed. */
export const SKIP_REASONS = {
  "other-event": "no request line",
  "other-endpoint": "for another endpoint",
  "no-decision": "decided by something other than rules, or failed before a decision",
  unreadable: "cannot be read",
  incomplete: "the log cut or hid a part of the request",
} as const;
export type SkipReason = keyof typeof SKIP_REASONS;

export interface RecordedDecision {
  readonly request: RequestText;
  readonly caller: DescribedCaller;
  readonly endpoint: Endpoint | undefined;
  readonly answer: Answer;
  /** Undefined when the line does not say. */
  readonly reason: string | undefined;
  readonly rule: string | undefined;
  /** The first digits, as lines have them. */
  readonly policyId: string | undefined;
}

export interface ReplayedLine {
  readonly recorded: RecordedDecision;
  readonly now: Decided;
  readonly same: boolean;
}

/** Reasons under which the rules, or a refusal that the tools repeat, let a request pass or not. */
const ALLOW_REASONS: ReadonlySet<string> = new Set(["granted", "default-allow", "exempt-upload"]);
const DENY_REASONS: ReadonlySet<string> = new Set([
  "not-granted",
  "default-deny",
  "ambiguous-query",
  "not-root",
  "ambiguous-target",
  "method-not-allowed",
]);
const EVENT = /request-(?:forwarded|denied|failed)/;
const LOG_LIMIT_CHARACTERS = 8 * 1024;

export function readRecordedLine(line: string): Result<RecordedDecision, SkipReason> {
  const brace = line.indexOf("{");
  if (brace < 0) return err("other-event");
  let json: unknown;
  try {
    json = JSON.parse(line.slice(brace));
  } catch {
    return err("unreadable");
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) return err("unreadable");
  const fields: Readonly<Record<string, unknown>> = Object.fromEntries(Object.entries(json));
  if (typeof fields.MESSAGE === "string" && fields.request === undefined) return readRecordedLine(fields.MESSAGE);
  return typeof fields.request === "string" ? readPlainRecord(fields) : readLogRecord(line.slice(0, brace), fields);
}

/** `{"request": "GET /…", "caller": {…}, "decision": "allow", "reason"?, "rule"?, "endpoint"?, "policyId"?}` */
function readPlainRecord(fields: Readonly<Record<string, unknown>>): Result<RecordedDecision, SkipReason> {
  // An exported record of the decision trail includes requests without a decision, or with one that was not the rules'.
  const decidedBy = text(fields.reason);
  const byOther = decidedBy !== undefined && fields.outcome !== undefined && !ALLOW_REASONS.has(decidedBy) && !DENY_REASONS.has(decidedBy);
  if (fields.decision === "none" || byOther) return err("no-decision");
  if (fields.shortened === true) return err("incomplete");
  const request = parseRequestText(String(fields.request));
  const caller = parseCallerJson(fields.caller);
  const { decision } = fields;
  if (!request.ok || !caller.ok || (decision !== "allow" && decision !== "deny" && decision !== "audit")) return err("unreadable");
  const endpoint = endpointOf(fields.endpoint);
  return ok({
    request: request.value,
    caller: caller.value,
    endpoint,
    answer: decision,
    reason: text(fields.reason),
    rule: text(fields.rule),
    policyId: text(fields.policyId),
  });
}

function readLogRecord(head: string, fields: Readonly<Record<string, unknown>>): Result<RecordedDecision, SkipReason> {
  const { method, url } = fields;
  if (typeof method !== "string" || typeof url !== "string" || (head.trim() !== "" && !EVENT.test(head))) return err("other-event");
  const reason = text(fields.wouldDeny) ?? text(fields.reason) ?? "";
  const denied = DENY_REASONS.has(reason);
  if (!denied && !ALLOW_REASONS.has(reason)) return err("no-decision");
  if (url.includes("[REDACTED]") || (url.length >= LOG_LIMIT_CHARACTERS && url.endsWith("…"))) return err("incomplete");
  const caller = parseCallerJson(fields);
  if (!caller.ok) return err("unreadable");
  const answer = !denied ? "allow" : fields.wouldDeny === undefined ? "deny" : "audit";
  const endpoint = endpointOf(fields.endpoint);
  return ok({
    request: { method, target: url },
    caller: caller.value,
    endpoint,
    answer,
    reason,
    rule: text(fields.ruleId),
    policyId: text(fields.policyId),
  });
}

/**
 * Decides again. Rules' answers are compared, and what the mode made of them only under the same mode; which of several
 * grants was named is compared too, as it is stable for one policy.
 */
export function replayRecorded(endpoint: Endpoint, mode: Mode, policy: Policy, recorded: RecordedDecision): ReplayedLine {
  const now = decideRequest(endpoint, mode, policy, recorded.request, recorded.caller.claims);
  const samePolicy = recorded.policyId !== undefined && recorded.policyId !== "" && policy.policyId.startsWith(recorded.policyId);
  const kind = recorded.answer === "allow" ? "allow" : "deny";
  const sameReason = recorded.reason === undefined || recorded.reason === now.reason;
  const sameRule = !samePolicy || recorded.rule === undefined || recorded.rule === now.rule;
  return { recorded, now, same: kind === now.kind && sameReason && sameRule };
}

function endpointOf(value: unknown): Endpoint | undefined {
  return value === "imds" || value === "wireserver" || value === "hostga" ? value : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
