// World `policy` of policy-wasm/wit/policy.wit as TypeScript sees it through the host glue, and the way from our own values to
// it. Checked against the generated glue by every test that runs a component; jco's own declarations lie in build/policy/types.

import type { Claims } from "../../core/caller.ts";
import type { CanonicalRequest, Method } from "../../core/canonical-request.ts";
import type { Endpoint } from "../../core/endpoint.ts";

export interface WitField {
  readonly name: string;
  readonly value: string;
}

export interface WitRequest {
  readonly endpoint: Endpoint;
  readonly method: Lowercase<Method>;
  readonly segments: readonly string[];
  readonly trailingSlash: boolean;
  readonly query: readonly WitField[];
  readonly headers: readonly WitField[];
  readonly uptimeSeconds: bigint;
  readonly unixSeconds: bigint;
}

export interface WitCaller {
  readonly processId: number;
  readonly userId: number;
  readonly elevated: boolean;
  readonly userName: string | undefined;
  readonly userGroups: readonly string[];
  readonly executablePath: string | undefined;
  readonly processName: string | undefined;
  readonly executableSha256: string | undefined;
  readonly cgroupId: bigint;
  readonly cgroupPath: string | undefined;
}

export interface WitOutcome {
  readonly kind: "allow" | "deny" | "abstain";
  readonly reason: string;
  readonly rule: string;
  readonly labels: readonly (readonly [name: string, value: string])[];
}

/** The exported interface. The two settings functions throw what the component answers as an error, with it as `payload`. */
export interface Authorizer {
  validateSettings(settings: Uint8Array): void;
  configure(settings: Uint8Array): void;
  /** The answer is whatever the component wrote: check it before believing it. */
  evaluate(request: WitRequest, caller: WitCaller, soFar: WitOutcome | undefined): WitOutcome;
}

/** Core names that a module must export to be driven by the glue; the posts may be missing. */
const INTERFACE = "azure:proxy-agent-policy/authorizer@1.0.0";
export const CORE_EXPORTS = {
  memory: "memory",
  functions: ["cabi_realloc", `${INTERFACE}#validate-settings`, `${INTERFACE}#configure`, `${INTERFACE}#evaluate`],
  posts: [`cabi_post_${INTERFACE}#validate-settings`, `cabi_post_${INTERFACE}#configure`, `cabi_post_${INTERFACE}#evaluate`],
} as const;

const METHOD_CASES: Readonly<Record<Method, Lowercase<Method>>> = {
  GET: "get",
  HEAD: "head",
  POST: "post",
  PUT: "put",
  DELETE: "delete",
  OPTIONS: "options",
  PATCH: "patch",
};

/** The request without header fields and clock: all that the rules component may see. */
export function toWitRequest({ endpoint, method, segments, trailingSlash, query }: CanonicalRequest): WitRequest {
  return { endpoint, method: METHOD_CASES[method], segments, trailingSlash, query, headers: [], uptimeSeconds: 0n, unixSeconds: 0n };
}

/** What is unknown stays absent. */
export function toWitCaller(claims: Claims): WitCaller {
  return {
    processId: claims.processId,
    userId: claims.userId,
    elevated: claims.runAsElevated,
    userName: claims.userName,
    userGroups: claims.userGroups,
    executablePath: claims.processFullPath,
    processName: claims.processName,
    executableSha256: claims.executableSha256,
    cgroupId: claims.cgroupId,
    cgroupPath: claims.cgroupPath,
  };
}
