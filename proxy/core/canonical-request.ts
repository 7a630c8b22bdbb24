// One reading of a request that rules and policies decide on. What is forwarded stays the original target;
// a target that has no single clear reading is refused instead of guessed.

import type { Endpoint } from "./endpoint.ts";

export const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"] as const;
export type Method = (typeof METHODS)[number];

/** Name and value decoded once, ASCII lower-cased. */
export interface QueryParameter {
  readonly name: string;
  readonly value: string;
}

export interface CanonicalRequest {
  readonly endpoint: Endpoint;
  readonly method: Method;
  /** Decoded once, ASCII lower-cased, dots resolved, matrix parameters dropped; no empty segment. */
  readonly segments: readonly string[];
  readonly trailingSlash: boolean;
  /** In the order received; names may repeat. */
  readonly query: readonly QueryParameter[];
}
