// Puts a rule set into the shape of the tables: equal privileges become one pattern, equal identities one entry, and grants
// one set of pairs. The order of the rule set's parts has no effect on the result.

import { METHODS, type Method, type QueryParameter } from "../../request/canonical-request.ts";
import { err, ok, type Result } from "../../result.ts";
import { SELECTORS, type Selector } from "../rule-parts.ts";
import type { RuleSet } from "../rules.ts";

/** All privileges with one path, one set of query constraints and one method or any. A privilege with several methods is in several. */
export interface Pattern {
  readonly segments: readonly string[];
  /** Sorted by name. */
  readonly query: readonly QueryParameter[];
  /** Undefined: any. */
  readonly method: Method | undefined;
  /** The first of its privileges' names in code unit order; named when no identity is granted. */
  readonly name: string;
}

/** All identities with the same selectors. An identity with several hashes is in several. */
export interface PlannedIdentity {
  readonly selectors: Readonly<Record<Selector, string | undefined>>;
  /** In code unit order. */
  readonly names: readonly string[];
  /** Identities whose members hold the same roles are in one class: what one is granted, all are. */
  readonly grantClass: number;
}

export interface Grant {
  readonly pattern: number;
  readonly grantClass: number;
  readonly privilegeName: string;
  /** Which of the identity's names holds it. */
  readonly member: number;
}

export interface RulePlan {
  readonly patterns: readonly Pattern[];
  readonly identities: readonly PlannedIdentity[];
  readonly grants: readonly Grant[];
}

/** Pairs of pattern and grant class that a rule set may come to. */
export const MAX_GRANTS = 250_000;
const CLASS_RANGE = 2 ** 20;

export function planRules(rules: RuleSet): Result<RulePlan, { readonly kind: "too-many-grants"; readonly limit: number }> {
  const { patterns, patternsOf } = planPatterns(rules);
  const { identities, membersByRole } = planIdentities(rules);
  const grants = new Map<number, Grant>();
  let steps = 0;
  for (const [role, { privileges }] of rules.roles.entries()) {
    const members = membersByRole.get(role) ?? [];
    for (const privilege of privileges) steps += members.length * (patternsOf[privilege]?.length ?? 0);
    if (steps > 4 * MAX_GRANTS) return err({ kind: "too-many-grants", limit: MAX_GRANTS });
    for (const privilege of privileges) {
      const privilegeName = rules.privileges[privilege]?.name ?? "";
      for (const pattern of patternsOf[privilege] ?? []) {
        for (const { grantClass, member } of members) {
          const key = pattern * CLASS_RANGE + grantClass;
          const known = grants.get(key);
          if (known === undefined || isBefore(privilegeName, member, known))
            grants.set(key, { pattern, grantClass, privilegeName, member });
        }
      }
    }
    if (grants.size > MAX_GRANTS) return err({ kind: "too-many-grants", limit: MAX_GRANTS });
  }
  const sorted = [...grants].sort(([left], [right]) => left - right).map(([, grant]) => grant);
  return ok({ patterns, identities, grants: sorted });
}

function isBefore(privilegeName: string, member: number, other: Grant): boolean {
  return privilegeName !== other.privilegeName ? privilegeName < other.privilegeName : member < other.member;
}

function planPatterns(rules: RuleSet): { readonly patterns: readonly Pattern[]; readonly patternsOf: readonly (readonly number[])[] } {
  const byKey = new Map<string, Pattern>();
  const keys = rules.privileges.map(({ name, segments, query, methods }) => {
    const sorted = [...query].sort((left, right) => compare(left.name, right.name));
    return asSingleMethods(methods).map((method) => {
      const key = JSON.stringify([segments, sorted.map((pair) => [pair.name, pair.value]), method ?? ""]);
      const known = byKey.get(key);
      if (known === undefined || name < known.name) byKey.set(key, { segments, query: sorted, method, name });
      return key;
    });
  });
  const ordered = [...byKey].sort(([left], [right]) => compare(left, right));
  const numbers = new Map(ordered.map(([key], number) => [key, number]));
  return {
    patterns: ordered.map(([, pattern]) => pattern),
    patternsOf: keys.map((each) => each.map((key) => numbers.get(key) ?? 0)),
  };
}

/** No other method reaches a rule, so all of them together are any. */
function asSingleMethods(methods: readonly Method[] | undefined): readonly (Method | undefined)[] {
  return methods === undefined || methods.length === METHODS.length ? [undefined] : methods;
}

interface RoleMember {
  readonly grantClass: number;
  readonly member: number;
}

function planIdentities(rules: RuleSet): {
  readonly identities: readonly PlannedIdentity[];
  readonly membersByRole: ReadonlyMap<number, readonly RoleMember[]>;
} {
  const rolesByName = [...rules.roles.entries()].sort(([, left], [, right]) => compare(left.name, right.name));
  const rolesOf: number[][] = rules.identities.map(() => []);
  for (const [role, { identities }] of rolesByName) for (const identity of identities) rolesOf[identity]?.push(role);

  const groups = new Map<string, { readonly selectors: PlannedIdentity["selectors"]; readonly members: number[] }>();
  rules.identities.forEach((identity, i) => {
    for (const exeSha256 of identity.exeSha256 ?? [undefined]) {
      const { userName, groupName, exePath, processName, systemdUnit, cgroupPath } = identity;
      const selectors = { userName, groupName, exePath, processName, exeSha256, systemdUnit, cgroupPath };
      const key = JSON.stringify(SELECTORS.map((kind) => selectors[kind] ?? null));
      const group = groups.get(key);
      if (group === undefined) groups.set(key, { selectors, members: [i] });
      else group.members.push(i);
    }
  });

  const classes = new Map<string, number>();
  const membersByRole = new Map<number, RoleMember[]>();
  const identities: PlannedIdentity[] = [];
  for (const [, group] of [...groups].sort(([left], [right]) => compare(left, right))) {
    const members = group.members
      .map((identity) => ({ name: rules.identities[identity]?.name ?? "", roles: rolesOf[identity] ?? [] }))
      .sort((left, right) => compare(left.name, right.name) || compare(left.roles.join(), right.roles.join()));
    const key = members.map(({ roles }) => roles.join()).join(";");
    let grantClass = classes.get(key);
    if (grantClass === undefined) {
      grantClass = classes.size;
      classes.set(key, grantClass);
      for (const [member, { roles }] of members.entries()) {
        for (const role of roles) {
          const list = membersByRole.get(role);
          if (list === undefined) membersByRole.set(role, [{ grantClass, member }]);
          else list.push({ grantClass, member });
        }
      }
    }
    identities.push({ selectors: group.selectors, names: members.map(({ name }) => name), grantClass });
  }
  return { identities, membersByRole };
}

/** Code unit order: the same on every machine, unlike a locale's. */
function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
