// Writes what changes between two rule sets, for people and as JSON. It only arranges what diff-rules.ts found.

import type { PolicyDecision } from "../../core/ports.ts";
import { type QueryParameter, renderCanonical } from "../../core/request/canonical-request.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";
import { SELECTORS } from "../../core/rules/rule-parts.ts";
import type { RuleSet } from "../../core/rules/rules.ts";
import { count, quote, wrap } from "../../core/text/text-layout.ts";
import { callerMembers, renderCaller } from "./caller-input.ts";
import type { SelectorTexts } from "./diff-callers.ts";
import type { RuleChange } from "./diff-groups.ts";
import type { BothSides } from "./diff-requests.ts";
import type { RuleDiff } from "./diff-rules.ts";

const LISTED = 8;
const LISTED_CHANGES = 100;

/** @param names - what the two are called, e.g. their paths */
export function renderDiff(diff: RuleDiff, rules: BothSides<RuleSet>, names: BothSides<string>): readonly string[] {
  const lines: string[] = [
    ...wrap("old: ", `${names.old} (${summary(rules.old)})`),
    ...wrap("new: ", `${names.new} (${summary(rules.new)})`),
  ];
  for (const change of settingChanges(rules))
    lines.push(...wrap(`${change.name}: `, `${change.old} -> ${change.new}${change.effect === "" ? "" : `; ${change.effect}`}`));
  for (const direction of ["newly-allowed", "newly-denied"] as const) {
    const changes = diff.changes.filter((change) => change.direction === direction);
    if (changes.length === 0) continue;
    lines.push("", `${direction === "newly-allowed" ? "denied before, allowed now" : "allowed before, denied now"} (${changes.length})`);
    changes.slice(0, LISTED_CHANGES).forEach((change, i) => {
      lines.push(...renderChange(change, i + 1));
    });
    if (changes.length > LISTED_CHANGES) lines.push(`  and ${count(changes.length - LISTED_CHANGES, "change")} more (--json has all)`);
  }
  if (diff.changes.length === 0) lines.push("", "no request is decided differently");
  const { paths, combinations, decisions } = diff.explored;
  const rest = diff.omissions.length === 0 ? "nothing was left out" : "NOT COMPLETE";
  lines.push(
    "",
    ...wrap(
      "looked at ",
      `${count(paths, "path")}, ${count(combinations, "combination")} of parameters, ${count(decisions, "decision")} of each side; ${rest}`,
    ),
  );
  for (const omission of diff.omissions) lines.push(...wrap("  ", omission));
  return lines;
}

interface SettingChange extends BothSides<string> {
  readonly name: "mode" | "default" | "id";
  readonly effect: string;
}

const MODE_EFFECTS = {
  disabled: "what rules deny is no longer even noticed",
  audit: "what rules deny is forwarded and recorded",
  enforce: "what rules deny is refused",
} as const;

/** Changes of the rule set as a whole. The requests below are compared by what the rules say, whatever the mode. */
export function settingChanges(rules: BothSides<RuleSet>): readonly SettingChange[] {
  const both = (name: SettingChange["name"], member: "mode" | "defaultAccess" | "id", effect: string): readonly SettingChange[] => {
    const [was, is] = [rules.old[member], rules.new[member]];
    return was === is ? [] : [{ name, old: member === "id" ? quote(was) : was, new: member === "id" ? quote(is) : is, effect }];
  };
  return [...both("mode", "mode", MODE_EFFECTS[rules.new.mode]), ...both("default", "defaultAccess", ""), ...both("id", "id", "")];
}

function summary({ privileges, identities, roles }: RuleSet): string {
  return `${count(privileges.length, "privilege")}, ${count(identities.length, "identity", "identities")}, ${count(roles.length, "role")}`;
}

function renderChange(change: RuleChange, number: number): readonly string[] {
  const { paths, witness } = change;
  const lead = `  ${number}. `;
  const indent = " ".repeat(lead.length);
  const field = (name: string, text: string) => wrap(`${indent}${name.padEnd(9)} `, text);
  const listed = paths.slice(0, LISTED).flatMap(({ path, except }, i) => wrap(i === 0 ? lead : indent, renderPath(path, except)));
  return [
    ...listed,
    ...(paths.length > LISTED ? [`${indent}and ${count(paths.length - LISTED, "path")} more (--json has all)`] : []),
    ...(change.methods.kind === "any" ? [] : field("methods", renderMethods(change.methods))),
    ...(change.query.kind === "any" ? [] : field("query", renderQuery(change.query))),
    ...field("who", renderWho(change)),
    ...field("witness", `"${renderRequest(witness)}"`),
    ...field("", `by ${renderCaller(witness.caller.claims)}`),
    ...field("old", renderAnswer(witness.old)),
    ...field("new", renderAnswer(witness.new)),
  ];
}

function renderPath(path: readonly string[], except: readonly (readonly string[])[]): string {
  const shown = except.slice(0, LISTED).map((each) => pathText(each));
  const more = except.length > LISTED ? ` and ${except.length - LISTED} more` : "";
  const exceptions = except.length === 0 ? "" : `, except ${shown.join(", ")}${more}`;
  return path.length === 0 ? `every path${exceptions}` : `${pathText(path)} and below${exceptions}`;
}

function pathText(segments: readonly string[]): string {
  return renderCanonical({ segments, trailingSlash: false, query: [] });
}

function renderMethods(methods: RuleChange["methods"]): string {
  if (methods.kind === "any") return "any";
  return methods.kind === "only" ? methods.methods.join(", ") : `all but ${methods.methods.join(", ")}`;
}

function renderQuery(query: RuleChange["query"]): string {
  if (query.kind === "any") return "any";
  if (query.kind === "repeated") return `${quote(query.name)} more than once, with different values`;
  const wanted = query.with.length === 0 ? [] : [`with ${pairsText(query.with, " and ")}`];
  const unless = query.unless.slice(0, LISTED).map((pairs) => `without ${pairsText(pairs, " together with ")}`);
  const left = query.unless.length + query.unlessMore - unless.length;
  const more = left > 0 ? [`and so on for ${left} more`] : [];
  return [...wanted, ...unless, ...more].join(", ");
}

function pairsText(pairs: readonly QueryParameter[], between: string): string {
  return pairs.map(({ name, value }) => quote(`${name}=${value}`)).join(between);
}

function renderWho({ who, direction }: RuleChange): string {
  if (who.kind === "everyone")
    return direction === "newly-allowed" ? "everybody who was not allowed already" : "everybody who is not still allowed";
  if (who.kind === "whoever") return direction === "newly-allowed" ? "everybody the new rules allow" : "everybody the old rules allowed";
  const shown = who.selectors.slice(0, LISTED).map(selectorsText);
  const more = who.selectors.length > LISTED ? `; and ${who.selectors.length - LISTED} more` : "";
  return `${shown.join("; or ")}${more}`;
}

function selectorsText(selectors: SelectorTexts): string {
  return SELECTORS.flatMap((selector) => (selectors[selector] === undefined ? [] : [`${selector} ${quote(selectors[selector])}`])).join(
    " and ",
  );
}

function renderRequest({ request }: RuleChange["witness"]): string {
  // Order matters only to the reader: a repeated parameter keeps both values.
  return `${request.method} ${renderCanonical(request)}`;
}

function renderAnswer({ kind, reason, rule }: PolicyDecision): string {
  return `${kind} (${reason}${rule === "" ? "" : `, rule ${quote(rule)}`})`;
}

export function diffJson(
  diff: RuleDiff,
  rules: BothSides<RuleSet>,
  endpoint: Endpoint,
  policyIds: BothSides<string>,
): Readonly<Record<string, unknown>> {
  return {
    endpoint,
    policyIds,
    settings: settingChanges(rules).map(({ name, old, new: now }) => ({ name, old, new: now })),
    changes: diff.changes.map(({ direction, paths, methods, query, who, witness }) => ({
      direction,
      paths: paths.map(({ path, except }) => ({ path: pathText(path), except: except.map(pathText) })),
      methods,
      query,
      who,
      witness: { request: renderRequest(witness), caller: callerMembers(witness.caller.claims), old: witness.old, new: witness.new },
    })),
    explored: diff.explored,
    complete: diff.omissions.length === 0,
    omissions: diff.omissions,
  };
}
