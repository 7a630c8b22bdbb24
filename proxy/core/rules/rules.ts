// A rule set: an endpoint's allowlist as the platform sends it, parsed into a form that cannot be wrong.
// Security settings never fall back to the open choice: an unknown word, a missing section or an ambiguous path
// refuses the whole rule set. Undefined names are the platform's concern: they grant nothing and leave a warning.

import { MODES, type Mode, parseMode } from "../request/verdict.ts";
import { ok, type Result } from "../result.ts";
import { type Located, member, type RuleError, readEach, readObject, readString, refuse } from "./rule-json.ts";
import {
  type Identity,
  type Privilege,
  parseAssignment,
  parseIdentity,
  parsePrivilege,
  parseRole,
  type RawAssignment,
  type RawRole,
  RULE_LIMITS,
} from "./rule-parts.ts";

export { type RuleError, renderRuleError } from "./rule-json.ts";
export { type Identity, type Privilege, RULE_LIMITS } from "./rule-parts.ts";

export const DEFAULT_ACCESSES = ["allow", "deny"] as const;
export type DefaultAccess = (typeof DEFAULT_ACCESSES)[number];

/** A bundle of privileges and its holders: each identity listed is granted each of the privileges. */
export interface Role {
  readonly name: string;
  /** Indices into {@link RuleSet.privileges}, each once. */
  readonly privileges: readonly number[];
  /** Indices into {@link RuleSet.identities}, each once. */
  readonly identities: readonly number[];
}

/** Something in the item that has no effect, or not the one its author may expect. */
export interface RuleWarning {
  readonly kind:
    | "duplicate-privilege"
    | "duplicate-role"
    | "duplicate-identity"
    | "undefined-role"
    | "undefined-privilege"
    | "undefined-identity"
    | "relative-exe-path";
  readonly pointer: string;
  readonly name: string;
}

export interface RuleSet {
  /** As the host named it; may be empty. */
  readonly id: string;
  readonly mode: Mode;
  /** For requests that no privilege covers. */
  readonly defaultAccess: DefaultAccess;
  readonly privileges: readonly Privilege[];
  readonly identities: readonly Identity[];
  readonly roles: readonly Role[];
  readonly warnings: readonly RuleWarning[];
}

const SECTIONS = ["privileges", "roles", "identities", "roleAssignments"] as const;

/**
 * Parses one item of `authorizationRules`, or one with a local file merged in.
 * @param json - the decoded item; unknown members are ignored
 * @returns the rule set, or the first thing that is wrong, with its JSON pointer
 */
export function parseRuleItem(json: unknown): Result<RuleSet, RuleError> {
  const at: Located = { value: json ?? undefined, pointer: "" };
  const object = readObject(at);
  if (!object.ok) return object;
  const id = readString(member(object.value, at, "id"));
  if (!id.ok) return id;
  const mode = readWord(member(object.value, at, "mode"), MODES, parseMode);
  if (!mode.ok) return mode;
  const defaultAccess = readWord(member(object.value, at, "defaultAccess"), DEFAULT_ACCESSES, parseDefaultAccess);
  if (!defaultAccess.ok) return defaultAccess;
  const rules = parseRules(member(object.value, at, "rules"));
  return rules.ok ? ok({ id: id.value, mode: mode.value, defaultAccess: defaultAccess.value, ...rules.value }) : rules;
}

/** Letter case is ignored, blanks are not. */
function parseDefaultAccess(text: string): DefaultAccess | undefined {
  return DEFAULT_ACCESSES.find((known) => known === text.toLowerCase());
}

/** A word we do not know is an error, never the open choice. */
function readWord<Word extends string>(
  at: Located,
  words: readonly Word[],
  parse: (text: string) => Word | undefined,
): Result<Word, RuleError> {
  const text = readString(at);
  if (!text.ok) return text;
  const word = parse(text.value);
  return word === undefined ? refuse("unknown-word", at, words.map((known) => JSON.stringify(known)).join(" or ")) : ok(word);
}

/** Whether the rule set's answers may depend on names of users or groups, so that callers must wait for the account database. */
export function usesAccountNames(rules: RuleSet): boolean {
  return rules.identities.some(({ userName, groupName }) => userName !== undefined || groupName !== undefined);
}

/** Whether the rule set's answers may depend on the content of executables, so that their hashes are needed. */
export function usesExecutableHashes(rules: RuleSet): boolean {
  return rules.identities.some(({ exeSha256 }) => exeSha256 !== undefined);
}

type Rules = Pick<RuleSet, "privileges" | "identities" | "roles" | "warnings">;

function parseRules(at: Located): Result<Rules, RuleError> {
  const nothing: Rules = { privileges: [], identities: [], roles: [], warnings: [] };
  if (at.value === undefined) return ok(nothing);
  const object = readObject(at);
  if (!object.ok) return object;
  const absent = SECTIONS.filter((name) => member(object.value, at, name).value === undefined);
  if (absent.length === SECTIONS.length) return ok(nothing);
  // Half a rule set would mean no restriction at all under default allow.
  if (absent.length > 0)
    return refuse("incomplete-rules", at, `the sections ${SECTIONS.join(", ")} together (absent: ${absent.join(", ")})`);
  const privileges = readEach(member(object.value, at, "privileges"), RULE_LIMITS.privileges, parsePrivilege);
  if (!privileges.ok) return privileges;
  const roles = readEach(member(object.value, at, "roles"), RULE_LIMITS.roles, parseRole);
  if (!roles.ok) return roles;
  const identities = readEach(member(object.value, at, "identities"), RULE_LIMITS.identities, parseIdentity);
  if (!identities.ok) return identities;
  const assignments = readEach(member(object.value, at, "roleAssignments"), RULE_LIMITS.roleAssignments, parseAssignment);
  return assignments.ok ? ok(resolve(privileges.value, roles.value, identities.value, assignments.value)) : assignments;
}

/**
 * Replaces names by indices. Of several with one name the last one counts, as in the reference agent; an earlier privilege
 * stays in the list without grants, so that its path does not lose its protection.
 */
function resolve(
  privileges: readonly Privilege[],
  roles: readonly RawRole[],
  identities: readonly Identity[],
  assignments: readonly RawAssignment[],
): Rules {
  const warnings: RuleWarning[] = [];
  const warn = (kind: RuleWarning["kind"], pointer: string, name: string) => warnings.push({ kind, pointer, name });
  const index = (kind: RuleWarning["kind"], section: string, parts: readonly { readonly name: string }[]) => {
    const last = new Map<string, number>();
    parts.forEach(({ name }, i) => {
      const earlier = last.get(name);
      if (earlier !== undefined) warn(kind, `/rules/${section}/${earlier}`, name);
      last.set(name, i);
    });
    return last;
  };
  const privilegeByName = index("duplicate-privilege", "privileges", privileges);
  const roleByName = index("duplicate-role", "roles", roles);
  const identityByName = index("duplicate-identity", "identities", identities);
  identities.forEach(({ exePath }, i) => {
    if (exePath !== undefined && !exePath.startsWith("/")) warn("relative-exe-path", `/rules/identities/${i}/exePath`, exePath);
  });

  const holders = new Map<number, Set<number>>();
  assignments.forEach((assignment, i) => {
    const role = roleByName.get(assignment.role);
    if (role === undefined) {
      warn("undefined-role", `/rules/roleAssignments/${i}/role`, assignment.role);
      return;
    }
    const held = holders.get(role) ?? new Set<number>();
    holders.set(role, held);
    assignment.identities.forEach((name, k) => {
      const identity = identityByName.get(name);
      if (identity === undefined) warn("undefined-identity", `/rules/roleAssignments/${i}/identities/${k}`, name);
      else held.add(identity);
    });
  });

  const resolved: Role[] = [];
  for (const [name, i] of roleByName) {
    const granted = new Set<number>();
    roles[i]?.privileges.forEach((privilegeName, k) => {
      const privilege = privilegeByName.get(privilegeName);
      if (privilege === undefined) warn("undefined-privilege", `/rules/roles/${i}/privileges/${k}`, privilegeName);
      else granted.add(privilege);
    });
    resolved.push({ name, privileges: [...granted], identities: [...(holders.get(i) ?? [])] });
  }
  return { privileges, identities, roles: resolved, warnings };
}
