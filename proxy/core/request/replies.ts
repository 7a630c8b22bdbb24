// Answers the agent makes itself. Codes are chosen by what boot clients do with them: 503 is retried by all of them,
// 502 and 504 are fatal to some and never sent. The text tells the caller little; the log tells the operator why.

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

/** A refusal or failure as short JSON with the request id, by which the log line is found. */
export function refusal(
  status: number,
  requestId: string,
  error: string,
  options: { readonly close?: boolean; readonly headers?: readonly HeaderField[] } = {},
): LocalReply {
  const body = Buffer.from(`${JSON.stringify({ error, requestId })}\n`, "utf8");
  return { status, headers: [JSON_TYPE, ...(options.headers ?? [])], body, close: options.close ?? false };
}

/** 503 that tells the client when to come back. Seconds are short: the cause is usually over by the next key poll. */
export function unavailable(requestId: string, error: string, retryAfterSeconds: number): LocalReply {
  return refusal(503, requestId, error, { headers: [["Retry-After", String(retryAfterSeconds)]], close: true });
}
