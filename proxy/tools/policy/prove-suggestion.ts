// Puts a suggestion to the test with the component that would decide: every observed request passes, every near miss is denied.
// What it finds wrong is a defect of the suggestion; such rules are not to be used.

import type { PolicyDecision } from "../../core/ports.ts";
import type { Claims } from "../../core/request/caller.ts";
import type { CanonicalRequest } from "../../core/request/canonical-request.ts";
import { ENDPOINT_FACTS, type Endpoint } from "../../core/request/endpoint.ts";
import { describeCaller } from "./callers.ts";
import { makeNearMisses, type NearMissKind } from "./near-misses.ts";
import { describeShape } from "./request-shape.ts";
import type { Suggestion } from "./suggest-rules.ts";

export interface Proof {
  /** Different observed requests and how many of them pass. */
  readonly observed: number;
  readonly allowed: number;
  readonly nearMisses: number;
  readonly denied: number;
  readonly nearMissKinds: Readonly<Partial<Record<NearMissKind, number>>>;
  /** The first few that came out wrong, in words. */
  readonly wrong: readonly string[];
}

/** A loaded component, as {@link Policy.evaluate} is. */
export type Decide = (request: CanonicalRequest, claims: Claims) => PolicyDecision;

const MAX_WRONG = 20;

/** @param decide - the component of one endpoint */
export function proveSuggestion(suggestion: Suggestion, endpoint: Endpoint, decide: Decide): Proof {
  const wrong: string[] = [];
  const kinds: Partial<Record<NearMissKind, number>> = {};
  let observed = 0;
  let allowed = 0;
  for (const { caller, shape } of suggestion.covered) {
    if (shape.endpoint !== endpoint) continue;
    for (const request of shape.requests) {
      observed++;
      const decision = decide(request, claimsOf(endpoint, caller.userName, caller.exePath));
      if (decision.kind === "allow") allowed++;
      else wrong.push(`denied (${decision.reason}): ${describeCaller(caller.userName, caller.exePath)} asking ${describeShape(request)}`);
    }
  }
  const misses = makeNearMisses(suggestion, endpoint);
  let denied = 0;
  for (const { kind, userName, exePath, request } of misses) {
    kinds[kind] = (kinds[kind] ?? 0) + 1;
    const decision = decide(request, claimsOf(endpoint, userName, exePath));
    if (decision.kind === "deny" && decision.reason !== "policy-failed") denied++;
    else wrong.push(`not denied (${kind}, ${decision.reason}): ${describeCaller(userName, exePath)} asking ${describeShape(request)}`);
  }
  return { observed, allowed, nearMisses: misses.length, denied, nearMissKinds: kinds, wrong: wrong.slice(0, MAX_WRONG) };
}

export function isProven(proof: Proof): boolean {
  return proof.allowed === proof.observed && proof.denied === proof.nearMisses;
}

/** Only what identities select by: a caller with no other known fields. */
function claimsOf(endpoint: Endpoint, userName: string | undefined, exePath: string | undefined): Claims {
  const elevated = ENDPOINT_FACTS[endpoint].rootOnly;
  return {
    processId: 1,
    userId: elevated ? 0 : 65_534,
    runAsElevated: elevated,
    userName,
    userGroups: [],
    processFullPath: exePath,
    processName: exePath?.slice(exePath.lastIndexOf("/") + 1),
    processCmdLine: "",
    cgroupId: 0n,
    clientAddress: "127.0.0.1",
    clientPort: 0,
  };
}
