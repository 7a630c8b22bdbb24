// The host glue that jco generates for world `policy`: the yardstick for our own, never part of the agent. The types are the world as
// jco's JavaScript sees it; its own declarations lie in build/policy/types.

// @ts-expect-error: made by the build
import { instantiate as instantiateGlue } from "../../build/policy/glue/policy.js";
import type { PolicyQuestion } from "../../proxy/core/modules/policy-question.ts";
import type { Claims } from "../../proxy/core/request/caller.ts";
import type { CanonicalRequest, Method } from "../../proxy/core/request/canonical-request.ts";
import type { Endpoint } from "../../proxy/core/request/endpoint.ts";

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

type Instantiate = (
  getCoreModule: (path: string) => WebAssembly.Module,
  imports: Readonly<Record<string, never>>,
  instantiateCore: (module: WebAssembly.Module) => { readonly exports: Readonly<Record<string, unknown>> },
) => { readonly authorizer: Authorizer };

const instantiate: Instantiate = instantiateGlue;

/**
 * Runs core exports behind jco's glue. Throws what instantiation throws.
 * @param exports - of the world's one core module, under the names that component tools give them
 */
export function instantiateAuthorizer(module: WebAssembly.Module, exports: Readonly<Record<string, unknown>>): Authorizer {
  return instantiate(
    () => module,
    {},
    () => ({ exports }),
  ).authorizer;
}

const METHOD_CASES: Readonly<Record<Method, Lowercase<Method>>> = {
  GET: "get",
  HEAD: "head",
  POST: "post",
  PUT: "put",
  DELETE: "delete",
  OPTIONS: "options",
  PATCH: "patch",
};

/** @param seen - header fields and clock; left out: none, as for the rules component */
export function toWitRequest(request: CanonicalRequest, seen: Partial<PolicyQuestion> = {}): WitRequest {
  const { endpoint, method, segments, trailingSlash, query } = request;
  const { headers = [], uptimeSeconds = 0, unixSeconds = 0 } = seen;
  return {
    endpoint,
    method: METHOD_CASES[method],
    segments,
    trailingSlash,
    query,
    headers,
    uptimeSeconds: BigInt(uptimeSeconds),
    unixSeconds: BigInt(unixSeconds),
  };
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
