// The decision of a rule set, step by step: which privilege covers a request and why the others do not, whom it is granted
// to, and what follows. Written from docs/policy-semantics.md and not from the engine, so that the two can be compared.

import type { PolicyDecision } from "../../core/ports.ts";
import type { Claims } from "../../core/request/caller.ts";
import type { CanonicalRequest, QueryParameter } from "../../core/request/canonical-request.ts";
import type { Privilege, RuleSet } from "../../core/rules/rules.ts";
import { callerFacts, type SelectorTrace, traceIdentity } from "./selector-fit.ts";

/** Why a privilege covers a request, or the first thing that keeps it from doing so. */
export type Coverage =
  | { readonly kind: "covers" }
  /** Segment number `at`, counted from 0; `found` is undefined when the request's path is shorter. */
  | { readonly kind: "path-differs"; readonly at: number; readonly wanted: string; readonly found: string | undefined }
  | { readonly kind: "method-differs"; readonly wanted: readonly string[]; readonly found: string }
  | { readonly kind: "query-differs"; readonly name: string; readonly wanted: string; readonly found: string | undefined }
  /** A parameter that it constrains came with different values: that denies, whatever else holds. */
  | { readonly kind: "query-ambiguous"; readonly name: string; readonly found: readonly string[] };

export interface HolderTrace {
  readonly role: string;
  readonly roleIndex: number;
  readonly identity: string;
  readonly identityIndex: number;
  readonly fits: boolean;
  readonly selectors: readonly SelectorTrace[];
}

export interface PrivilegeTrace {
  readonly index: number;
  readonly privilege: Privilege;
  readonly coverage: Coverage;
  /** All identities it is granted to; only for a privilege that covers. */
  readonly holders: readonly HolderTrace[];
}

export interface RuleTrace {
  readonly privileges: readonly PrivilegeTrace[];
  readonly decision: {
    readonly kind: "allow" | "deny";
    readonly reason: string;
    /** Every rule that may be named for it: with several grants, which one is named does not matter. */
    readonly rules: readonly string[];
  };
}

export function traceRules(rules: RuleSet, request: CanonicalRequest, claims: Claims): RuleTrace {
  const facts = callerFacts(claims);
  const privileges = rules.privileges.map((privilege, index): PrivilegeTrace => {
    const coverage = judgeCoverage(privilege, request);
    return { index, privilege, coverage, holders: coverage.kind === "covers" ? traceHolders(index) : [] };
  });
  return { privileges, decision: conclude(rules, privileges) };

  function traceHolders(privilege: number): readonly HolderTrace[] {
    return rules.roles.flatMap((role, roleIndex) =>
      !role.privileges.includes(privilege)
        ? []
        : role.identities.flatMap((identityIndex) => {
            const identity = rules.identities[identityIndex];
            if (identity === undefined) return [];
            const selectors = traceIdentity(identity, facts);
            const fits = selectors.every((selector) => selector.fits);
            return [{ role: role.name, roleIndex, identity: identity.name, identityIndex, fits, selectors }];
          }),
    );
  }
}

function conclude(rules: RuleSet, privileges: readonly PrivilegeTrace[]): RuleTrace["decision"] {
  const ambiguous = privileges.filter(({ coverage }) => coverage.kind === "query-ambiguous");
  if (ambiguous.length > 0) return { kind: "deny", reason: "ambiguous-query", rules: ambiguous.map(({ privilege }) => privilege.name) };
  const covering = privileges.filter(({ coverage }) => coverage.kind === "covers");
  const grants = covering.flatMap(({ privilege, holders }) =>
    holders.filter(({ fits }) => fits).map(({ identity }) => `${privilege.name}/${identity}`),
  );
  if (grants.length > 0) return { kind: "allow", reason: "granted", rules: [...new Set(grants)] };
  const depth = Math.max(...covering.map(({ privilege }) => privilege.segments.length));
  const deepest = covering.filter(({ privilege }) => privilege.segments.length === depth);
  if (deepest.length > 0) return { kind: "deny", reason: "not-granted", rules: deepest.map(({ privilege }) => privilege.name) };
  const kind = rules.defaultAccess;
  return { kind, reason: `default-${kind}`, rules: [""] };
}

/** Path first, then method, then query: a parameter is only ambiguous to a privilege whose path and method fit. */
export function judgeCoverage(privilege: Privilege, request: CanonicalRequest): Coverage {
  const at = privilege.segments.findIndex((segment, i) => segment !== request.segments[i]);
  if (at >= 0) return { kind: "path-differs", at, wanted: privilege.segments[at] ?? "", found: request.segments[at] };
  const { methods } = privilege;
  if (methods !== undefined && !methods.includes(request.method)) return { kind: "method-differs", wanted: methods, found: request.method };
  for (const { name } of privilege.query) {
    const found = valuesOf(request.query, name);
    if (found.length > 1) return { kind: "query-ambiguous", name, found };
  }
  for (const { name, value } of privilege.query) {
    const found = valuesOf(request.query, name)[0];
    if (found !== value) return { kind: "query-differs", name, wanted: value, found };
  }
  return { kind: "covers" };
}

/** Does the component's answer agree with the explanation? */
export function agrees(decision: RuleTrace["decision"], answer: PolicyDecision): boolean {
  return decision.kind === answer.kind && decision.reason === answer.reason && decision.rules.includes(answer.rule);
}

/** Different values of a parameter, in the order received. */
function valuesOf(query: readonly QueryParameter[], name: string): readonly string[] {
  return [...new Set(query.filter((pair) => pair.name === name).map(({ value }) => value))];
}
