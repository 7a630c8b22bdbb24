// Refusals that no rule and no mode can override. They come before the policy, so audit mode never forwards them.

import { ENDPOINT_FACTS, type Endpoint, isExemptFromSignature } from "./endpoint.ts";

export type BuiltInVerdict =
  /** The caller is not root and the endpoint serves only root. */
  | { readonly kind: "refused"; readonly reason: "not-root" }
  /** An upload the host takes unsigned, from root: no rules, streamed. */
  | { readonly kind: "exempt" }
  | { readonly kind: "ask-policy" };

/**
 * @param elevated - real and effective user id are both 0
 * @param target - as received: exemption is by the exact target, never by a canonical form
 */
export function judgeBuiltIn(endpoint: Endpoint, elevated: boolean, method: string, target: string): BuiltInVerdict {
  // On WireServer and HostGAPlugin the redirect replaces the packet filter that keeps other users out: forwarding for them,
  // even in audit, would make the VM weaker than without us.
  if (ENDPOINT_FACTS[endpoint].rootOnly && !elevated) return { kind: "refused", reason: "not-root" };
  return elevated && isExemptFromSignature(endpoint, method, target) ? { kind: "exempt" } : { kind: "ask-policy" };
}
