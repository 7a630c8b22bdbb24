// Counts the requests that rules denied, and those that audit mode let pass although they deny them: what an operator must know
// before a switch to enforce. Bounded by core/denial-tally.ts; what the status shows of it is bounded once more here.

import { canonicalise } from "../core/canonical-request.ts";
import { type DenialTally, makeDenialTally } from "../core/denial-tally.ts";
import { cutText, type DenialStatus } from "../core/status.ts";
import type { RequestEnd } from "./handle-request.ts";

/** Entries and characters per text in the status: others read it over small channels. */
const MAX_SHOWN_ENTRIES = 64;
const MAX_TEXT_CHARACTERS = 256;

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
    wouldDeny: () => renderTally(wouldDeny, since),
    denied: () => renderTally(denied, since),
  };

  function countIn(tally: DenialTally, { caller, verdict, method, target }: RequestEnd, reason: string): void {
    if (caller === undefined) return;
    const { endpoint, claims } = caller;
    const request = canonicalise(endpoint, method, target);
    tally.count({
      endpoint,
      ruleSetId: verdict?.ruleSetId ?? "",
      reason,
      rule: verdict?.rule ?? "",
      userName: claims.userName,
      exePath: claims.processFullPath,
      segments: request.ok ? request.value.segments : [],
      method,
      target,
      processId: claims.processId,
      atMs: now().getTime(),
    });
  }
}

function renderTally(tally: DenialTally, since: Date): DenialStatus {
  const shown = tally.entries().slice(0, MAX_SHOWN_ENTRIES);
  const text = (value: string | undefined) => cutText(value ?? "", MAX_TEXT_CHARACTERS);
  const time = (ms: number | undefined) => (ms === undefined ? "" : new Date(ms).toISOString());
  return {
    since: since.toISOString(),
    total: tally.total(),
    other: tally.total() - shown.reduce((sum, { count }) => sum + count, 0),
    entries: shown.map((entry) => ({
      endpoint: entry.endpoint,
      ruleSetId: text(entry.ruleSetId),
      reason: text(entry.reason),
      rule: text(entry.rule),
      userName: text(entry.userName),
      processFullPath: text(entry.exePath),
      path: text(entry.path),
      count: entry.count,
      missedAtMost: entry.missed,
      firstSeen: time(entry.firstSeenMs),
      lastSeen: time(entry.lastSeenMs),
      exampleMethod: text(entry.example.method),
      exampleUrl: text(entry.example.target),
      exampleProcessId: entry.example.processId,
    })),
  };
}
