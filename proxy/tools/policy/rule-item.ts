// Writes a parsed rule set back as the platform's item. Reading that again gives the same rule set, but for the warnings about
// names that led nowhere: those are gone.

import { renderCanonical } from "../../core/request/canonical-request.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { RULE_LIMITS, SELECTORS } from "../../core/rules/rule-parts.ts";
import { parseRuleItem, type RuleSet } from "../../core/rules/rules.ts";
import { isObject } from "../../core/text/json-text.ts";

/** The item, with paths and query parameters in canonical spelling. */
export function renderRuleItem({ id, mode, defaultAccess, privileges, identities, roles }: RuleSet): Readonly<Record<string, unknown>> {
  return {
    defaultAccess,
    mode,
    id,
    rules: {
      privileges: privileges.map(({ name, segments, query, methods }) => ({
        name,
        path: renderCanonical({ segments, trailingSlash: false, query: [] }),
        ...(query.length === 0
          ? {}
          : { queryParameters: Object.fromEntries(query.map((pair) => [escapeDecoded(pair.name), escapeDecoded(pair.value)])) }),
        ...(methods === undefined ? {} : { method: methods }),
      })),
      roles: roles.map((role) => ({ name: role.name, privileges: role.privileges.map((index) => privileges[index]?.name ?? "") })),
      identities: identities.map((identity) => ({
        name: identity.name,
        ...Object.fromEntries(SELECTORS.flatMap((selector) => (identity[selector] === undefined ? [] : [[selector, identity[selector]]]))),
      })),
      roleAssignments: roles.flatMap((role) =>
        role.identities.length === 0
          ? []
          : [{ role: role.name, identities: role.identities.map((index) => identities[index]?.name ?? "") }],
      ),
    },
  };
}

/** What decoding would change, escaped. */
function escapeDecoded(text: string): string {
  return text.replace(/[%+]/g, (character) => (character === "%" ? "%25" : "%2B"));
}

/**
 * The rule set that a compiled policy carries along, if it really is one: the file may come from anywhere.
 * @param found - as it was decoded
 */
export function readCarriedRules(found: unknown): Result<RuleSet, string> {
  const indices = (value: unknown, limit: number): value is readonly number[] =>
    Array.isArray(value) &&
    value.length <= RULE_LIMITS.references &&
    value.every((each) => Number.isInteger(each) && each >= 0 && each < limit);
  if (!isObject(found)) return err("the rules in it are no object");
  const { id, mode, defaultAccess, privileges, identities, roles, warnings } = found;
  if (!Array.isArray(privileges) || !Array.isArray(identities) || !Array.isArray(roles) || !Array.isArray(warnings))
    return err("the rules in it lack a section");
  for (const role of roles)
    if (!isObject(role) || !indices(role.privileges, privileges.length) || !indices(role.identities, identities.length))
      return err("a role in it names parts that are not there");
  for (const privilege of privileges)
    if (!isObject(privilege) || !isTexts(privilege.segments) || !isPairs(privilege.query))
      return err("a privilege in it has no path or query");
  const carried = found as unknown as RuleSet;
  let item: unknown;
  try {
    item = renderRuleItem(carried);
  } catch {
    return err("the rules in it cannot be written");
  }
  // The parser judges every text, limit and word; what it reads must be what was carried.
  const parsed = parseRuleItem(item);
  if (!parsed.ok)
    return err(`the rules in it are not valid: found ${parsed.error.found} at "${parsed.error.pointer}", want ${parsed.error.wanted}`);
  return id === parsed.value.id && mode === parsed.value.mode && defaultAccess === parsed.value.defaultAccess
    ? ok(carried)
    : err("the rules in it contradict themselves");
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === "string");
}

function isPairs(value: unknown): boolean {
  return Array.isArray(value) && value.every((pair) => isObject(pair) && typeof pair.name === "string" && typeof pair.value === "string");
}
