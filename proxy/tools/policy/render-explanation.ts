// Writes an explanation for people and as JSON. It only arranges what explain-request.ts found out.

import type { Claims } from "../../core/request/caller.ts";
import { renderCanonical } from "../../core/request/canonical-request.ts";
import { count, quote, wrap } from "../../core/text/text-layout.ts";
import { callerMembers, renderCaller } from "./caller-input.ts";
import type { Decided } from "./decide-request.ts";
import { canonicalOf, type Explanation } from "./explain-request.ts";
import type { SelectorTrace } from "./selector-fit.ts";
import type { Coverage, HolderTrace, PrivilegeTrace } from "./trace-rules.ts";

/** Privileges that do not apply and that are listed before the rest is only counted. */
const LISTED_PRIVILEGES = 20;
const LISTED_HOLDERS = 20;

/** `allow`, `deny`, or `deny, forwarded (audit)`, and why. */
export function renderDecision({ kind, answer, reason, rule, status, component }: Decided): string {
  const effect = answer === "audit" ? ", but forwarded" : status === undefined ? "" : ` with ${status}`;
  const by = component === undefined ? "" : rule === "" ? ", no rule" : `, rule ${quote(rule)}`;
  return `${kind}${effect} (${reason}${by})`;
}

/** @param all - list every privilege and holder */
export function renderExplanation(explanation: Explanation, claims: Claims, policyId: string, all: boolean): readonly string[] {
  const { decided, trace, form } = explanation;
  const lines: string[] = [
    ...wrap("decision: ", renderDecision(decided)),
    ...wrap("caller:   ", renderCaller(claims)),
    "",
    "form of the request",
  ];
  for (const { name, value } of form) lines.push(...wrap(`  ${name.padEnd(10)} `, value));
  lines.push("", "before the rules", ...wrap("  ", explanation.builtIn));
  if (trace !== undefined) {
    lines.push("", "rules", ...renderPrivileges(trace.privileges, all));
    const rules = trace.decision.rules.filter((rule) => rule !== "");
    const named = rules.length > 1 ? `; any of ${count(rules.length, "rule")} can be named` : "";
    lines.push(...wrap("  so: ", `${trace.decision.kind} (${trace.decision.reason})${named}`));
  }
  lines.push("", "mode", ...wrap("  ", explanation.modeEffect));
  if (decided.component !== undefined) {
    const verdict =
      explanation.mismatch === undefined
        ? `the compiled policy ${policyId.slice(0, 16)} gives the same answer`
        : `INTERNAL MISMATCH: ${explanation.mismatch}; please report this`;
    lines.push("", "proof", ...wrap("  ", verdict));
  }
  return lines;
}

function renderPrivileges(privileges: readonly PrivilegeTrace[], all: boolean): readonly string[] {
  if (privileges.length === 0) return ["  there are no privileges: default access decides"];
  const isNear = ({ coverage }: PrivilegeTrace) => coverage.kind !== "path-differs";
  const listed = [
    ...privileges.filter(isNear),
    ...privileges.filter((trace) => !isNear(trace)).slice(0, all ? undefined : LISTED_PRIVILEGES),
  ];
  const lines = listed.flatMap(({ privilege, coverage, holders }) => {
    const pattern = `/${privilege.segments.join("/")}${privilege.query.length === 0 ? "" : `?${privilege.query.map(({ name, value }) => `${name}=${value}`).join("&")}`}`;
    return [
      ...wrap(`  ${coverage.kind === "covers" ? "+" : "-"} `, `${quote(privilege.name)} on ${pattern}: ${describeCoverage(coverage)}`),
      ...(coverage.kind === "covers" ? renderHolders(holders, all) : []),
    ];
  });
  const rest = privileges.length - listed.length;
  return rest === 0 ? lines : [...lines, `  and ${count(rest, "privilege")} on other paths (--all lists them)`];
}

export function describeCoverage(coverage: Coverage): string {
  switch (coverage.kind) {
    case "covers":
      return "covers the request";
    case "path-differs":
      return coverage.found === undefined
        ? `the path ends before ${quote(coverage.wanted)}`
        : `segment ${coverage.at + 1} is ${quote(coverage.found)}, not ${quote(coverage.wanted)}`;
    case "method-differs":
      return `the method is ${coverage.found}, not ${coverage.wanted.join(" or ")}`;
    case "query-differs":
      return coverage.found === undefined
        ? `parameter ${quote(coverage.name)} is missing, wanted ${quote(coverage.wanted)}`
        : `parameter ${quote(coverage.name)} is ${quote(coverage.found)}, not ${quote(coverage.wanted)}`;
    case "query-ambiguous":
      return `parameter ${quote(coverage.name)} has several values (${coverage.found.map(quote).join(", ")}): the host may believe another one, so this denies`;
  }
}

function renderHolders(holders: readonly HolderTrace[], all: boolean): readonly string[] {
  if (holders.length === 0) return ["      granted to nobody"];
  const ordered = [...holders.filter(({ fits }) => fits), ...holders.filter(({ fits }) => !fits)];
  const listed = all ? ordered : ordered.slice(0, LISTED_HOLDERS);
  const lines = listed.flatMap(({ role, identity, fits, selectors }) =>
    wrap(`      ${fits ? "+" : "-"} `, `${quote(identity)} (role ${quote(role)}): ${fits ? "fits" : describeMisfit(selectors)}`),
  );
  const rest = holders.length - listed.length;
  return rest === 0 ? lines : [...lines, `      and ${count(rest, "identity", "identities")} more (--all lists them)`];
}

function describeMisfit(selectors: readonly SelectorTrace[]): string {
  return selectors
    .filter(({ fits }) => !fits)
    .map(({ selector, wanted, found }) => {
      const is = found.length === 0 ? "unknown" : found.map(quote).join(" or ");
      return `${selector} is ${is}, wanted ${wanted.map(quote).join(" or ")}`;
    })
    .join("; ");
}

/** The decision alone, as JSON. */
export function decisionJson({ answer, kind, reason, rule, status, step, canonical }: Decided): Readonly<Record<string, unknown>> {
  const form = canonical.ok
    ? { canonical: `${canonical.value.method} ${renderCanonical(canonical.value)}` }
    : { formError: canonical.error };
  return { decision: kind, answer, reason, rule, status, step, ...form };
}

export function explanationJson(explanation: Explanation, claims: Claims, policyId: string): Readonly<Record<string, unknown>> {
  const { decided, trace, form, builtIn, modeEffect, mismatch, endpoint, request } = explanation;
  const canonical = canonicalOf(explanation);
  return {
    ...decisionJson(decided),
    endpoint,
    request,
    caller: callerMembers(claims),
    policyId,
    form,
    segments: canonical?.segments,
    query: canonical?.query,
    builtIn,
    modeEffect,
    privileges: trace?.privileges.map(({ index, privilege, coverage, holders }) => {
      const { name, segments, query, methods } = privilege;
      const { kind, ...why } = coverage;
      return { index, name, segments, query, methods, coverage: kind, ...(kind === "covers" ? { holders } : { why }) };
    }),
    componentAgrees: decided.component === undefined ? undefined : mismatch === undefined,
    mismatch,
  };
}
