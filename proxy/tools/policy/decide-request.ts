// What the agent does with a request, by the same steps and functions in the same order as proxy/daemon/request/handle-request.ts, without
// key, body and network: form, built-in refusals, policy, mode. A test holds the two together.

import type { Policy, PolicyDecision } from "../../core/ports.ts";
import { judgeBuiltIn } from "../../core/request/built-in.ts";
import type { Claims } from "../../core/request/caller.ts";
import { type CanonicalErrorCode, type CanonicalRequest, type ReadRequest, readRequest } from "../../core/request/canonical-request.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";
import { type Mode, permitFor } from "../../core/request/verdict.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { quote } from "../../core/text/text-layout.ts";

/** A method and a target as they stand in the first line of a request. */
export interface RequestText {
  readonly method: string;
  readonly target: string;
}

/** `allow`: forwarded. `audit`: the rules deny, and the mode forwards and records it. `deny`: answered with `status`. */
export type Answer = "allow" | "audit" | "deny";

export interface Decided {
  readonly answer: Answer;
  /** What the caller sees when the agent answers itself; undefined when the host does. */
  readonly status: number | undefined;
  readonly kind: "allow" | "deny";
  readonly reason: string;
  readonly rule: string;
  /** Which step came to the decision. */
  readonly step: "form" | "built-in" | "rules";
  readonly canonical: Result<CanonicalRequest, CanonicalErrorCode>;
  /** The component's own answer; undefined when it was not called. */
  readonly component: PolicyDecision | undefined;
}

/** What a request line can hold: no blank, control, `#` or byte beyond ASCII in the target. The HTTP engine refuses all else. */
const METHOD_WORD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}$/;
const TARGET_WORD = /^[\x21\x22\x24-\x7e]+$/;

/** Reads `GET /path?query`; a target alone means GET. */
export function parseRequestText(text: string): Result<RequestText, string> {
  const match = /^([A-Za-z]+) +(.*)$/s.exec(text);
  const method = match?.[1] ?? "GET";
  const target = (match?.[2] ?? text).replace(/ HTTP\/1\.[01]$/, "");
  if (/^(?:\/|[A-Za-z][A-Za-z0-9+.-]*:\/\/)/.test(target)) return ok({ method, target });
  return err(`found ${quote(text)} as request, want "METHOD /path?query"`);
}

/** How a request is decided before any policy. */
export type Screened =
  | { readonly kind: "refused"; readonly status: number; readonly step: "form" | "built-in"; readonly reason: string }
  /** An upload that is forwarded without a decision of the rules. */
  | { readonly kind: "exempt" }
  | { readonly kind: "asked"; readonly read: ReadRequest };

export function screenRequest(
  endpoint: Endpoint,
  { method, target }: RequestText,
  read: Result<ReadRequest, CanonicalErrorCode>,
  claims: Claims,
): Screened {
  if (!METHOD_WORD.test(method) || !TARGET_WORD.test(target))
    return { kind: "refused", status: 400, step: "form", reason: "malformed-head" };
  if (!read.ok && read.error === "CANON_METHOD") return { kind: "refused", status: 405, step: "form", reason: "method-not-allowed" };
  if (!read.ok) return { kind: "refused", status: 400, step: "form", reason: "ambiguous-target" };
  const builtIn = judgeBuiltIn(endpoint, claims.runAsElevated, method, target);
  if (builtIn.kind === "refused") return { kind: "refused", status: 403, step: "built-in", reason: builtIn.reason };
  return builtIn.kind === "exempt" ? { kind: "exempt" } : { kind: "asked", read: read.value };
}

export function decideRequest(endpoint: Endpoint, mode: Mode, policy: Policy, request: RequestText, claims: Claims): Decided {
  const read = readRequest(endpoint, request.method, request.target);
  const canonical = read.ok ? ok(read.value.canonical) : read;
  const screened = screenRequest(endpoint, request, read, claims);
  const unasked = { rule: "", canonical, component: undefined };
  if (screened.kind === "refused") {
    const { status, step, reason } = screened;
    return { answer: "deny", status, kind: "deny", reason, step, ...unasked };
  }
  if (screened.kind === "exempt")
    return { answer: "allow", status: undefined, kind: "allow", reason: "exempt-upload", step: "built-in", ...unasked };
  const component = policy.evaluate(screened.read.canonical, claims);
  const kind = component.kind === "allow" ? "allow" : "deny";
  const { reason, rule } = component;
  const permit = permitFor(screened.read.line, { kind, reason, rule, ruleSetId: "", policyId: policy.policyId }, mode);
  const answer = permit === undefined ? "deny" : permit.softened ? "audit" : "allow";
  return { answer, status: permit === undefined ? 403 : undefined, kind, reason, rule, step: "rules", canonical, component };
}
