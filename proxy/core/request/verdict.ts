// The policy's answer, and the proof made from it that a request may be forwarded.

import type { RequestLine } from "./canonical-request.ts";

export const MODES = ["disabled", "audit", "enforce"] as const;
export type Mode = (typeof MODES)[number];

/** Letter case is ignored, blanks are not. A word we do not know is no mode: the caller must not take the open choice for it. */
export function parseMode(text: string): Mode | undefined {
  return MODES.find((known) => known === text.toLowerCase());
}

export interface Verdict {
  readonly kind: "allow" | "deny";
  /** Stable word, e.g. `granted`, `default-deny`, `not-root`, `policy-failed`. Listed in docs/operations.md. */
  readonly reason: string;
  /** The privilege (and identity) that decided, empty when none did. */
  readonly rule: string;
  /** Id of the rule set as the host named it. */
  readonly ruleSetId: string;
  /** Hash of the policy component that decided; empty when a built-in refusal or no policy decided. */
  readonly policyId: string;
  /** The policy module that denied, and its own word for why; undefined when rules or the agent itself decided. */
  readonly module?: { readonly name: string; readonly reason: string };
}

declare const proven: unique symbol;
/** Proof that this request may leave the VM, with the line that was judged: nothing else can be signed. Only {@link permitFor} makes one. */
export type Permit = { readonly [proven]: true; readonly verdict: Verdict; readonly softened: boolean; readonly line: RequestLine };

/** The one place where audit mode softens a deny. Built-in refusals (not root, exempt checks) happen earlier and stay firm. */
export function permitFor(line: RequestLine, verdict: Verdict, mode: Mode): Permit | undefined {
  const softened = verdict.kind === "deny" && mode !== "enforce";
  return verdict.kind === "allow" || softened ? ({ verdict, softened, line } as unknown as Permit) : undefined;
}
