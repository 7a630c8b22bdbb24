// A received request as the services see it: split target, lower-cased lookups, the check's verdict.
// For routing only; the signature check works on the bytes and never on what is derived here.

import type { HostEndpoint, SignatureVerdict } from "./host-model.ts";
import type { Reply } from "./reply.ts";
import { headerOf, type ReceivedHead } from "./request-head.ts";
import { splitTarget } from "./signature-check.ts";

/** Longest body a service may read; longer ones are counted and hashed only. */
export const MAX_KEPT_BODY_BYTES = 64 * 1024;

export interface HostRequest {
  readonly endpoint: HostEndpoint;
  readonly method: string;
  /** Without query, as received. */
  readonly path: string;
  readonly query: string;
  readonly head: ReceivedHead;
  /** The body, or undefined when it is longer than {@link MAX_KEPT_BODY_BYTES}. */
  readonly body: Buffer | undefined;
  readonly bodyBytes: number;
  readonly verdict: SignatureVerdict;
}

export type HostService = (request: HostRequest) => Reply;

export function hostRequestOf(
  endpoint: HostEndpoint,
  head: ReceivedHead,
  body: Buffer | undefined,
  bodyBytes: number,
  verdict: SignatureVerdict,
): HostRequest {
  const { path, query } = splitTarget(head.target);
  return { endpoint, method: head.method, path, query, head, body, bodyBytes, verdict };
}

export function headerValueOf(request: HostRequest, lowerCaseName: string): string | undefined {
  return headerOf(request.head, lowerCaseName);
}

/** First value of a query parameter, percent-decoded where that is possible; the name's letter case does not count. */
export function queryValueOf(request: HostRequest, name: string): string | undefined {
  if (request.query === "") return undefined;
  for (const part of request.query.split("&")) {
    const equals = part.indexOf("=");
    const key = equals < 0 ? part : part.slice(0, equals);
    if (key.toLowerCase() !== name) continue;
    const value = equals < 0 ? "" : part.slice(equals + 1);
    if (!value.includes("%")) return value;
    try {
      return decodeURIComponent(value);
    } catch {
      return value;
    }
  }
  return undefined;
}

/** `Metadata: true`, any case, outer blanks ignored. */
export function hasMetadataHeader(request: HostRequest): boolean {
  return headerValueOf(request, "metadata")?.toLowerCase() === "true";
}
