// Counts who asked what and how it ended, for the status. Bounded whatever callers do: new combinations beyond the bound are
// counted together in one entry named "other".

import { ENDPOINT_FACTS } from "../core/endpoint.ts";
import type { ConnectionSummary } from "../core/status.ts";
import type { RequestEnd } from "./handle-request.ts";

const MAX_ENTRIES = 256;
const OTHER = "other";

export interface SummaryCounter {
  count(end: RequestEnd): void;
  entries(): readonly ConnectionSummary[];
}

export function makeSummaryCounter(maxEntries = MAX_ENTRIES): SummaryCounter {
  const entries = new Map<string, ConnectionSummary>();

  return {
    count(end) {
      const entry = summarise(end);
      const key = JSON.stringify(entry);
      const known = entries.get(key);
      if (known !== undefined) entries.set(key, { ...known, count: known.count + 1 });
      else if (entries.size < maxEntries) entries.set(key, { ...entry, count: 1 });
      else countOther(end);
    },
    entries: () => [...entries.values()],
  };

  function countOther(end: RequestEnd): void {
    const entry = { ...summarise(end), userName: OTHER, userGroups: [], processCmdLine: OTHER, processFullPath: OTHER };
    // One entry for each endpoint and status at most: those are ours or the host's words, not the caller's.
    const key = `${OTHER} ${entry.ip}:${entry.port} ${entry.responseStatus}`;
    entries.set(key, { ...entry, count: (entries.get(key)?.count ?? 0) + 1 });
  }
}

function summarise(end: RequestEnd): Omit<ConnectionSummary, "count"> {
  const { caller } = end;
  const facts = caller === undefined ? undefined : ENDPOINT_FACTS[caller.endpoint];
  return {
    userName: caller?.claims.userName ?? "undefined",
    ip: facts?.address ?? "",
    port: facts?.port ?? 0,
    processCmdLine: caller?.claims.processCmdLine ?? "empty",
    responseStatus: String(end.status),
    userGroups: caller?.claims.userGroups ?? [],
    processFullPath: caller?.claims.processFullPath ?? "",
  };
}

/** Refused for who asked, or let pass only because the endpoint is in audit mode. */
export function isFailedAuthentication(end: RequestEnd): boolean {
  return end.auditDeny || (end.event === "request-denied" && (end.status === 403 || end.status === 421));
}
