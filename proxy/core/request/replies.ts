// Answers the agent makes itself. Codes are chosen by what boot clients do with them: 503 is retried by all of them,
// 502 and 504 are fatal to some and never sent. The body gives the caller little; the log gives the operator the reason.

import type { HeaderField } from "./http-message.ts";

/** An answer made by the agent itself. */
export interface LocalReply {
  readonly status: number;
  readonly headers: readonly HeaderField[];
  readonly body: Uint8Array;
  readonly close: boolean;
}

/** Only in our 421, by which the agent recognises that a call of its own came back to it. */
export const MISDIRECTED_MARK: HeaderField = ["Server", "azure-proxy-agent"];

const JSON_TYPE: HeaderField = ["Content-Type", "application/json; charset=utf-8"];

/** Why a request gets an answer of ours. */
export interface Cause {
  /** For programs, in a few words. */
  readonly error: string;
  /** The stable word of the log line. */
  readonly reason: string;
}

/**
 * A refusal or failure as one line of JSON. Credential libraries print `error_description` and nothing else, so it says who answers, why, and
 * how the log line is found. It never says which rule, user or program decided: the request may be another's idea (SSRF).
 */
export function refusal(
  status: number,
  requestId: string,
  { error, reason }: Cause,
  options: { readonly close?: boolean; readonly headers?: readonly HeaderField[] } = {},
): LocalReply {
  const described = { error, error_description: describe(status, requestId, reason), correlation_id: requestId, requestId };
  const body = Buffer.from(`${JSON.stringify(described)}\n`, "utf8");
  return { status, headers: [JSON_TYPE, ...(options.headers ?? [])], body, close: options.close ?? false };
}

/** 503 with `Retry-After`. Seconds are short: the cause is usually over by the next key poll. */
export function unavailable(requestId: string, cause: Cause, retryAfterSeconds: number): LocalReply {
  return refusal(503, requestId, cause, { headers: [["Retry-After", String(retryAfterSeconds)]], close: true });
}

/** Credential libraries take a 403 with the word "unreachable" for "there is no such service": no word of ours may hold it there. */
function describe(status: number, requestId: string, reason: string): string {
  const did = status === 403 ? "denied this request" : status === 503 ? "cannot serve this request now" : "refused this request";
  const explained = `explained by: sudo journalctl -u azure-proxy-agent -g ${requestId}`;
  const counted = status === 403 ? "; what rules deny is listed by: sudo azure-proxy-agent report" : "";
  return `azure-proxy-agent on this machine ${did} (reason ${reason}, request id ${requestId}); ${explained}${counted}`;
}
