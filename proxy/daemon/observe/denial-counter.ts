// Counts the requests that rules denied, and those that audit mode forwarded although they deny them: what an operator must know
// before a switch to enforce. Bounded by core/tally/denial-tally.ts; the status shows at most a part of it.

import type { DenialStatus } from "../../core/status/status.ts";
import { type DenialTally, makeDenialTally, renderDenials } from "../../core/tally/denial-tally.ts";
import type { RequestEnd } from "../request/handle-request.ts";

/** In the status, which others read over small channels. */
const MAX_SHOWN_ENTRIES = 64;

export interface DenialCounter {
  count(end: RequestEnd): void;
  /** Let pass by audit mode, since start. */
  wouldDeny(): DenialStatus;
  /** Refused, since start. */
  denied(): DenialStatus;
}

/** @param now - wall clock, for "last seen" */
export function makeDenialCounter(now: () => Date): DenialCounter {
  const wouldDeny = makeDenialTally();
  const denied = makeDenialTally();
  const since = now();

  return {
    count(end) {
      if (end.caller === undefined) return;
      if (end.auditDeny) countIn(wouldDeny, end, end.verdict?.reason ?? end.reason);
      else if (end.event === "request-denied") countIn(denied, end, end.reason);
    },
    wouldDeny: () => renderDenials(wouldDeny, since, MAX_SHOWN_ENTRIES),
    denied: () => renderDenials(denied, since, MAX_SHOWN_ENTRIES),
  };

  function countIn(tally: DenialTally, { caller, verdict, request, method, target }: RequestEnd, reason: string): void {
    if (caller === undefined) return;
    const { endpoint, claims } = caller;
    tally.count({
      endpoint,
      ruleSetId: verdict?.ruleSetId ?? "",
      reason,
      rule: verdict?.rule ?? "",
      userName: claims.userName,
      exePath: claims.processFullPath,
      segments: request?.segments ?? [],
      method,
      target,
      processId: claims.processId,
      atMs: now().getTime(),
    });
  }
}
