// The shapes in which people hold a rule set: the platform's item, a status that holds several, a local rule file, a version of an
// ARM access control profile. Each becomes the platform's item; what was recognised and what was assumed is said, never hidden.

import { ENDPOINT_FACTS, ENDPOINTS, type Endpoint, parseEndpoint } from "../../core/request/endpoint.ts";
import type { Mode } from "../../core/request/verdict.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { isObject } from "../../core/text/json-text.ts";
import { quote } from "../../core/text/text-layout.ts";

export const RULE_SHAPES = {
  item: "rule item of the platform",
  status: "authorizationRules of a status",
  arm: "version of an ARM access control profile",
  local: "local rule file",
} as const;
export type RuleShape = keyof typeof RULE_SHAPES;

/** One endpoint's rules, in the form that `parseRuleItem` reads. */
export interface RuleSource {
  readonly shape: RuleShape;
  readonly endpoint: Endpoint;
  /** `id`, `mode`, `defaultAccess`, `rules`. */
  readonly item: Readonly<Record<string, unknown>>;
  /** Where the item stands in the file. */
  readonly pointer: string;
  /** What was assumed or passed over, in words. */
  readonly notes: readonly string[];
}

export interface RuleChoices {
  readonly endpoint: Endpoint | undefined;
  /** For files that leave the mode to the platform. */
  readonly mode: Mode | undefined;
}

type Members = Readonly<Record<string, unknown>>;

/** Members that only an ARM profile version has. */
export const ARM_MEMBERS = ["osType", "applicableHostEndpoint", "targetLocations", "excludeFromLatest"] as const;

/**
 * Every rule set in a file: one, or for a status one per endpoint.
 * @param json - the decoded file
 * @returns why no shape fits, in words, when none does
 */
export function findRuleSources(json: unknown, choices: RuleChoices): Result<readonly RuleSource[], string> {
  if (!isObject(json)) return err(`found ${describe(json)}, want an object with a rule set`);
  if (isObject(json.properties)) return ok([armSource(json.properties, "/properties", json, choices)]);
  if (json.authorizationRules !== undefined) {
    if (!isObject(json.authorizationRules))
      return err(`found ${describe(json.authorizationRules)} at "/authorizationRules", want an object`);
    return statusSources(json.authorizationRules, "/authorizationRules", choices);
  }
  const own = ["rules", "defaultAccess", "mode"].some((name) => json[name] !== undefined);
  if (!own && ENDPOINTS.some((endpoint) => json[endpoint] !== undefined)) return statusSources(json, "", choices);
  if (ARM_MEMBERS.some((name) => json[name] !== undefined)) return ok([armSource(json, "", json, choices)]);
  if (json.mode !== undefined) {
    // Profile versions written for the command line have no id; the platform's items always have one.
    return ok([json.id === undefined ? armSource(json, "", json, choices) : itemSource(json, "", choices)]);
  }
  if (!own) return err(`found none of "rules", "defaultAccess", "mode", "authorizationRules", "properties", want a rule set`);
  return ok([localSource(json, choices)]);
}

/** The one rule set a tool works on: the selected endpoint's, by default IMDS'. */
export function chooseSource(sources: readonly RuleSource[], asked: Endpoint | undefined): Result<RuleSource, string> {
  const [only, ...more] = sources;
  if (only === undefined) return err("found no rule set");
  if (asked === undefined && more.length === 0) return ok(only);
  const wanted = asked ?? "imds";
  const chosen = sources.find(({ endpoint }) => endpoint === wanted);
  return chosen === undefined ? err(`found rules for ${sources.map(({ endpoint }) => endpoint).join(", ")}, want ${wanted}`) : ok(chosen);
}

/** One line that says what was read. */
export function describeSource({ shape, endpoint }: RuleSource): string {
  return `${RULE_SHAPES[shape]}, for ${ENDPOINT_FACTS[endpoint].title}`;
}

function itemSource(json: Members, pointer: string, { endpoint, mode }: RuleChoices): RuleSource {
  return { shape: "item", endpoint: endpoint ?? "imds", item: withMode(json, mode), pointer, notes: modeNotes(json, mode) };
}

function statusSources(json: Members, pointer: string, { endpoint: asked, mode }: RuleChoices): Result<readonly RuleSource[], string> {
  const odd = ENDPOINTS.find((endpoint) => (json[endpoint] ?? undefined) !== undefined && !isObject(json[endpoint]));
  if (odd !== undefined) return err(`found ${describe(json[odd])} at "${pointer}/${odd}", want an object`);
  const sources = ENDPOINTS.flatMap((endpoint): RuleSource[] => {
    // The host gives HostGAPlugin the rules of WireServer unless it has some of its own.
    const borrowed = endpoint === "hostga" && (json.hostga ?? undefined) === undefined;
    if (borrowed && asked !== "hostga") return [];
    const name = borrowed ? "wireserver" : endpoint;
    const item = json[name];
    if (!isObject(item)) return [];
    const notes = borrowed ? ["HostGAPlugin has no rules of its own here; those of WireServer apply to it"] : [];
    const itemNotes = [...notes, ...modeNotes(item, mode)];
    return [{ shape: "status", endpoint, item: withMode(item, mode), pointer: `${pointer}/${name}`, notes: itemNotes }];
  });
  return sources.length === 0 ? err(`found no rule item, want one of ${ENDPOINTS.join(", ")}`) : ok(sources);
}

/** @param outer - the resource around the version: it has the id */
function armSource(json: Members, pointer: string, outer: Members, choices: RuleChoices): RuleSource {
  const named = typeof json.applicableHostEndpoint === "string" ? parseEndpoint(json.applicableHostEndpoint) : undefined;
  const endpoint = choices.endpoint ?? named ?? "imds";
  const id = [outer.id, outer.name].find((text) => typeof text === "string") ?? "";
  const notes = [...modeNotes(json, choices.mode)];
  const shared = endpoint === "hostga" && named === "wireserver";
  if (named !== undefined && named !== endpoint && !shared)
    notes.push(`the file says it is for ${named}; looked at as rules for ${endpoint}`);
  if (json.applicableHostEndpoint !== undefined && named === undefined)
    notes.push(`applicableHostEndpoint ${describe(json.applicableHostEndpoint)} is not known; looked at as rules for ${endpoint}`);
  return { shape: "arm", endpoint, item: withMode({ ...json, id }, choices.mode), pointer, notes };
}

function localSource(json: Members, { endpoint, mode }: RuleChoices): RuleSource {
  const notes = [`the file has no mode, that is the platform's; ${mode === undefined ? "enforce is assumed" : `${mode} as asked`}`];
  if ((json.defaultAccess ?? undefined) === undefined)
    notes.push("the file has no defaultAccess, then the platform's counts; deny is assumed");
  // A section that a local file leaves out is empty; the platform's items must have all of them.
  const rules = isObject(json.rules) ? { privileges: [], roles: [], identities: [], roleAssignments: [], ...json.rules } : json.rules;
  const item = { ...json, rules, id: json.id ?? "", mode: mode ?? "enforce", defaultAccess: json.defaultAccess ?? "deny" };
  return { shape: "local", endpoint: endpoint ?? "imds", item, pointer: "", notes };
}

function withMode(item: Members, mode: Mode | undefined): Members {
  return mode === undefined ? item : { ...item, mode };
}

function modeNotes(item: Members, mode: Mode | undefined): readonly string[] {
  return mode === undefined ? [] : [`mode ${mode} as asked, instead of ${describe(item.mode)}`];
}

function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object";
  return typeof value === "string" ? quote(value.slice(0, 80)) : String(value);
}
