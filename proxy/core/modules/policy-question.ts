// Input and answer of a policy component of world `policy`, as plain values. The limits are those of
// policy-wasm/wit/policy.wit: an answer beyond them is a failure of the component, never cut to fit.

import type { Claims } from "../request/caller.ts";
import type { CanonicalRequest } from "../request/canonical-request.ts";

/** A request header field as a component sees it: lower-case name, value without outer blanks; both valid Unicode. */
export interface SeenHeader {
  readonly name: string;
  readonly value: string;
}

export interface PolicyAnswer {
  readonly kind: "allow" | "deny" | "abstain";
  /** Printable ASCII, never empty. */
  readonly reason: string;
  /** In the component's own words; empty when it named none. */
  readonly rule: string;
  readonly labels: readonly (readonly [name: string, value: string])[];
}

export interface PolicyQuestion {
  readonly request: CanonicalRequest;
  readonly claims: Claims;
  readonly headers: readonly SeenHeader[];
  /** Whole seconds; 0: not provided. */
  readonly uptimeSeconds: number;
  readonly unixSeconds: number;
  /** Verdict of the policies before this one; undefined for the first. */
  readonly soFar: PolicyAnswer | undefined;
}

export const MAX_REASON_BYTES = 256;
export const MAX_RULE_BYTES = 4096;
export const MAX_LABELS = 16;
export const MAX_LABEL_NAME_BYTES = 64;
export const MAX_LABEL_VALUE_BYTES = 256;
/** Of settings that a component may be given. */
export const MAX_SETTINGS_BYTES = 1024 * 1024;
