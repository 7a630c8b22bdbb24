// Counts requests by caller, target and outcome, for the status: all requests, and those that failed to authenticate.
// Bounded by core/tally/connection-tally.ts.

import { ENDPOINT_FACTS } from "../../core/request/endpoint.ts";
import { reasonPhrase } from "../../core/request/http-status.ts";
import type { ConnectionSummary } from "../../core/status/status.ts";
import { type ConnectionTally, type CountedRequest, makeConnectionTally } from "../../core/tally/connection-tally.ts";
import type { RequestEnd } from "../request/handle-request.ts";

export interface ConnectionSummaries {
  count(end: RequestEnd): void;
  all(): readonly ConnectionSummary[];
  failed(): readonly ConnectionSummary[];
}

/** @param nowMs - wall clock */
export function makeConnectionSummaries(nowMs: () => number): ConnectionSummaries {
  const all: ConnectionTally = makeConnectionTally(nowMs);
  const failed: ConnectionTally = makeConnectionTally(nowMs);
  return {
    count(end) {
      const request = summarise(end);
      all.count(request);
      if (isFailedAuthentication(end)) failed.count(request);
    },
    all: all.entries,
    failed: failed.entries,
  };
}

function summarise(end: RequestEnd): CountedRequest {
  const { caller, status } = end;
  const facts = caller === undefined ? undefined : ENDPOINT_FACTS[caller.endpoint];
  const claims = caller?.claims;
  const phrase = reasonPhrase(status);
  return {
    user: claims === undefined ? "" : String(claims.userId),
    userName: claims?.userName ?? "undefined",
    userGroups: claims?.userGroups ?? [],
    processFullPath: claims?.processFullPath ?? "",
    processCmdLine: claims?.processCmdLine ?? "empty",
    ip: facts?.address ?? "",
    port: facts?.port ?? 0,
    responseStatus: phrase === undefined ? String(status) : `${status} ${phrase}`,
  };
}

/** Refused because of the caller, or forwarded only because the endpoint is in audit mode. */
export function isFailedAuthentication(end: RequestEnd): boolean {
  return end.auditDeny || (end.event === "request-denied" && (end.status === 403 || end.status === 421));
}
