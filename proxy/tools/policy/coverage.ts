// Which rules a set of cases has tried: each privilege and each assignment, as what let a request pass and as what did not.
// What was never tried as denying is where a rule may be wider than its author thinks.

import type { RuleSet } from "../../core/rules/rules.ts";
import type { CaseOutcome } from "./cases.ts";

export interface Tried {
  readonly name: string;
  /** Cases in which it granted. */
  readonly granted: number;
  /** Cases in which it covered the request, and the request was denied. */
  readonly denied: number;
}

export interface Coverage {
  readonly privileges: readonly Tried[];
  /** One per role and identity assigned to it, named `role/identity`. */
  readonly assignments: readonly Tried[];
}

interface Counter {
  granted: number;
  denied: number;
}

export function measureCoverage(rules: RuleSet, outcomes: readonly CaseOutcome[]): Coverage {
  const privileges = rules.privileges.map(({ name }) => ({ name, granted: 0, denied: 0 }));
  const assignments = new Map<string, Counter & { readonly name: string }>();
  rules.roles.forEach((role, roleIndex) => {
    for (const identity of role.identities) {
      const name = `${role.name}/${rules.identities[identity]?.name ?? ""}`;
      assignments.set(`${roleIndex} ${identity}`, { name, granted: 0, denied: 0 });
    }
  });
  for (const { trace } of outcomes) {
    if (trace === undefined) continue;
    const denied = trace.decision.kind === "deny";
    // One case counts once for an assignment, however many privileges of its role cover the request.
    const seen = new Map<string, boolean>();
    for (const { index, coverage, holders } of trace.privileges) {
      if (coverage.kind !== "covers") continue;
      count(
        privileges[index],
        holders.some(({ fits }) => fits),
        denied,
      );
      for (const { roleIndex, identityIndex, fits } of holders) {
        const key = `${roleIndex} ${identityIndex}`;
        seen.set(key, (seen.get(key) ?? false) || fits);
      }
    }
    for (const [key, fits] of seen) count(assignments.get(key), fits, denied);
  }
  return { privileges, assignments: [...assignments.values()] };
}

function count(counter: Counter | undefined, granted: boolean, denied: boolean): void {
  if (counter === undefined) return;
  // A parameter with several values denies even where something would be granted.
  if (denied) counter.denied++;
  else if (granted) counter.granted++;
}

/** Names of what was never tried one way. */
export function untried(tried: readonly Tried[], way: "granted" | "denied"): readonly string[] {
  return tried.filter((each) => each[way] === 0).map(({ name }) => name);
}
