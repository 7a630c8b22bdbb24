// What the agent does with a request, by the same steps and functions in the same order as proxy/agent/handle-request.ts, without
// key, body and network: form, built-in refusals, policy, mode. A test holds the two together.

import { judgeBuiltIn } from "../built-in.ts";
import type { Claims } from "../caller.ts";
import { type CanonicalErrorCode, type CanonicalRequest, canonicalise, parseMethod } from "../canonical-request.ts";
import type { Endpoint } from "../endpoint.ts";
import type { Policy, PolicyDecision } from "../ports.ts";
import { err, ok, type Result } from "../result.ts";
import { type Mode, permitFor } from "../verdict.ts";
import { quote } from "./text-layout.ts";

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
  /** The component's own words; undefined when it was not asked. */
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

export function decideRequest(endpoint: Endpoint, mode: Mode, policy: Policy, request: RequestText, claims: Claims): Decided {
  const { method, target } = request;
  const canonical = canonicalise(endpoint, method, target);
  const refused = (status: number, step: Decided["step"], reason: string): Decided => {
    return { answer: "deny", status, kind: "deny", reason, rule: "", step, canonical, component: undefined };
  };
  if (!METHOD_WORD.test(method) || !TARGET_WORD.test(target)) return refused(400, "form", "malformed-head");
  if (parseMethod(method) === undefined) return refused(405, "form", "method-not-allowed");
  if (!canonical.ok) return refused(400, "form", "ambiguous-target");
  const builtIn = judgeBuiltIn(endpoint, claims.runAsElevated, method, target);
  if (builtIn.kind === "refused") return refused(403, "built-in", builtIn.reason);
  if (builtIn.kind === "exempt")
    return {
      answer: "allow",
      status: undefined,
      kind: "allow",
      reason: "exempt-upload",
      rule: "",
      step: "built-in",
      canonical,
      component: undefined,
    };
  const component = policy.evaluate(canonical.value, claims);
  const kind = component.kind === "allow" ? "allow" : "deny";
  const { reason, rule } = component;
  const permit = permitFor({ kind, reason, rule, ruleSetId: "", policyId: policy.policyId }, mode);
  const answer = permit === undefined ? "deny" : permit.softened ? "audit" : "allow";
  return { answer, status: permit === undefined ? 403 : undefined, kind, reason, rule, step: "rules", canonical, component };
}
