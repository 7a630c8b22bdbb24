// Finds what is wrong with a rule set: everything for which the agent would refuse it, and names that lead nowhere. Where the agent
// stops at the first error, this goes on, but the agent's own parser has the last word on whether there is one.

import { err, type Result } from "../../core/result.ts";
import type { RuleError } from "../../core/rules/rule-json.ts";
import { parseAssignment, parseIdentity, parsePrivilege, parseRole, SELECTORS } from "../../core/rules/rule-parts.ts";
import { parseRuleItem, type RuleSet, type RuleWarning } from "../../core/rules/rules.ts";
import { quote } from "../../core/text/text-layout.ts";
import { findEffects } from "./check-effects.ts";
import { ARM_MEMBERS, type RuleSource } from "./rule-document.ts";
import { FINDING_LEVELS, type Finding, type FindingLevel } from "./rule-finding.ts";

export interface CheckedRules {
  /** In the order of the file's levels: errors first. */
  readonly findings: readonly Finding[];
  /** Findings that were left out of the list. */
  readonly omitted: number;
  /** What the agent would read; undefined when it would refuse the rules. */
  readonly rules: RuleSet | undefined;
}

const MAX_FINDINGS = 1_000;

export function checkRules(source: RuleSource): CheckedRules {
  const parsed = parseRuleItem(source.item);
  const found: readonly Finding[] = [
    ...(parsed.ok ? [] : findErrors(source.item, parsed.error).map(errorFinding)),
    ...(parsed.ok ? [] : findLooseEnds(source.item.rules).map((warning) => warningFinding(warning, source))),
    ...findUnknownMembers(source),
    ...(parsed.ok
      ? [...parsed.value.warnings.map((warning) => warningFinding(warning, source)), ...findEffects(parsed.value, source.endpoint)]
      : []),
  ];
  const rank = (finding: Finding) => FINDING_LEVELS.indexOf(finding.level);
  const sorted = [...found].sort((left, right) => rank(left) - rank(right));
  return {
    findings: sorted.slice(0, MAX_FINDINGS).map((finding) => ({ ...finding, pointer: `${source.pointer}${finding.pointer}` })),
    omitted: Math.max(0, sorted.length - MAX_FINDINGS),
    rules: parsed.ok ? parsed.value : undefined,
  };
}

const SOUND = { id: "", mode: "enforce", defaultAccess: "deny" };

/** @param first - what the agent's parser stopped at */
function findErrors(item: Readonly<Record<string, unknown>>, first: RuleError): readonly RuleError[] {
  const header = Object.keys(SOUND).map((name) => parseRuleItem({ ...SOUND, [name]: item[name] }));
  const rules = parseRuleItem({ ...SOUND, rules: item.rules });
  const errors = new Map<string, RuleError>();
  const note = (result: Result<unknown, RuleError>) => {
    if (!result.ok) errors.set(`${result.error.pointer} ${result.error.kind}`, result.error);
  };
  for (const result of [...header, rules, ...findElementErrors(item.rules)]) note(result);
  note(err(first));
  return [...errors.values()];
}

const READERS = { privileges: parsePrivilege, roles: parseRole, identities: parseIdentity, roleAssignments: parseAssignment };

function findElementErrors(rules: unknown): readonly Result<unknown, RuleError>[] {
  return Object.entries(READERS).flatMap(([section, read]) =>
    elementsOf(rules, section).map((value, i) => read({ value, pointer: `/rules/${section}/${i}` })),
  );
}

/** Names that lead nowhere, in rules that cannot be read as a whole. */
function findLooseEnds(rules: unknown): readonly RuleWarning[] {
  // Of a section that is no list the names are unknown.
  const names = (section: string) =>
    Array.isArray(memberOf(rules, section)) ? new Set(elementsOf(rules, section).map((element) => memberOf(element, "name"))) : undefined;
  const [privileges, roles, identities] = [names("privileges"), names("roles"), names("identities")];
  const loose: RuleWarning[] = [];
  const look = (kind: RuleWarning["kind"], known: ReadonlySet<unknown> | undefined, name: unknown, pointer: string) => {
    if (typeof name === "string" && known?.has(name) === false) loose.push({ kind, pointer, name });
  };
  elementsOf(rules, "roles").forEach((role, i) => {
    listOf(memberOf(role, "privileges")).forEach((name, k) => {
      look("undefined-privilege", privileges, name, `/rules/roles/${i}/privileges/${k}`);
    });
  });
  elementsOf(rules, "roleAssignments").forEach((assignment, i) => {
    look("undefined-role", roles, memberOf(assignment, "role"), `/rules/roleAssignments/${i}/role`);
    listOf(memberOf(assignment, "identities")).forEach((name, k) => {
      look("undefined-identity", identities, name, `/rules/roleAssignments/${i}/identities/${k}`);
    });
  });
  return loose;
}

const HINTS: Readonly<Record<string, string>> = {
  CANON_EMBQ: "; a query belongs into queryParameters",
  CANON_NON_ASCII: "; paths are ASCII",
  CANON_UNDERFLOW: "; it climbs above the root",
  CANON_PCT: "; a percent sign is followed by two hex digits",
};

function errorFinding({ kind, pointer, found, wanted }: RuleError): Finding {
  const hint = HINTS[/\((CANON_[A-Z0-9_]+)\)$/.exec(wanted)?.[1] ?? ""] ?? "";
  return { level: "error", kind, pointer, message: `found ${found}, want ${wanted}${hint}`, found, wanted };
}

/** The platform's rules may have undefined names, and the agent accepts them; in a hand-written file they are mistakes. */
function warningFinding({ kind, pointer, name }: RuleWarning, { shape }: RuleSource): Finding {
  const finding = (level: FindingLevel, message: string): Finding => ({ level, kind, pointer, message });
  switch (kind) {
    case "undefined-role":
    case "undefined-privilege":
    case "undefined-identity":
      return finding(
        "error",
        `found ${quote(name)}, want the name of ${kind === "undefined-identity" ? "an" : "a"} ${kind.slice(10)} in this file`,
      );
    case "duplicate-privilege":
    case "duplicate-role":
    case "duplicate-identity": {
      const what = kind.slice(10);
      const effect = what === "privilege" ? "the last one counts, and what this one covers is denied to everybody" : "the last one counts";
      return finding(shape === "local" ? "error" : "warning", `another ${what} has the name ${quote(name)} too: ${effect}`);
    }
    case "relative-exe-path":
      return finding("warning", `${quote(name)} is no absolute path, so it never fits`);
  }
}

const ITEM_MEMBERS = ["defaultAccess", "mode", "id", "rules"];
const SECTION_MEMBERS = {
  privileges: ["name", "path", "queryParameters", "method"],
  roles: ["name", "privileges"],
  identities: ["name", ...SELECTORS],
  roleAssignments: ["role", "identities"],
} as const satisfies Readonly<Record<keyof typeof READERS, readonly string[]>>;

/** A member that is never read: most often a typo, and then what it should restrict is not restricted. */
function findUnknownMembers({ item, shape }: RuleSource): readonly Finding[] {
  const known = shape === "arm" ? [...ITEM_MEMBERS, ...ARM_MEMBERS, "provisioningState", ...ARM_ENVELOPE] : ITEM_MEMBERS;
  return [
    ...unknownIn(item, "", known),
    ...unknownIn(item.rules, "/rules", Object.keys(SECTION_MEMBERS)),
    ...Object.entries(SECTION_MEMBERS).flatMap(([section, names]) =>
      elementsOf(item.rules, section).flatMap((element, i) => unknownIn(element, `/rules/${section}/${i}`, names)),
    ),
  ];
}

/** Members of the resource around a version, in a file without the `properties` wrapper. */
const ARM_ENVELOPE = ["name", "type", "location", "tags", "systemData"];

function unknownIn(value: unknown, pointer: string, known: readonly string[]): readonly Finding[] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
  return Object.keys(value)
    .filter((name) => !known.includes(name))
    .map((name): Finding => {
      const meant = known.find((each) => each.toLowerCase() === name.toLowerCase());
      const hint = meant === undefined ? `known here: ${known.join(", ")}` : `did you mean ${quote(meant)}`;
      const at = `${pointer}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
      return { level: "warning", kind: "unknown-member", pointer: at, message: `${quote(name)} is ignored; ${hint}` };
    });
}

function elementsOf(rules: unknown, section: string): readonly unknown[] {
  return listOf(memberOf(rules, section));
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  return Object.entries(value).find(([each]) => each === name)?.[1];
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
