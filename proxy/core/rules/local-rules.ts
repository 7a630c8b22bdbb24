// Local rule files: rules that the VM's owner keeps on the VM, merged with the platform's when the platform's rule id says so.
// Pure: reads texts, never files. A file with any fault is refused whole, because half a file could grant access.

import { err, ok, type Result } from "../result.ts";
import { isObject } from "../text/json-text.ts";
import { parseStrictJson, renderJsonError } from "../text/strict-json.ts";
import { SELECTORS } from "./rule-parts.ts";
import { parseRuleItem } from "./rules.ts";

/** Longer files are refused. Bytes. */
export const MAX_LOCAL_RULES_BYTES = 1024 * 1024;

/** Put before every name of a local file, so that it cannot meet one of the platform's. */
export const LOCAL_NAME_PREFIX = "LocalFileRules_";

/** What a rule set's id says besides naming it. */
export interface RuleSwitch {
  readonly useLocalFileRules: boolean;
  /** Active id without a local file: shows whether local files apply. */
  readonly effectiveId: string;
}

/** A file's id is in every decision's log line. UTF-16 code units. */
const MAX_ID_CHARACTERS = 256;
const MAX_SHOWN_CHARACTERS = 80;

type Members = Readonly<Record<string, unknown>>;

/** Reads the id of a platform item: base64 of a small JSON object, or a plain text, which switches nothing on. */
export function readRuleSwitch(id: string): RuleSwitch {
  const trimmed = id.trim();
  if (trimmed === "") return { useLocalFileRules: false, effectiveId: id };
  const { id: logicalId = "", useLocalFileRules = false } = decodeId(trimmed) ?? { id: trimmed };
  return { useLocalFileRules, effectiveId: logicalId === "" ? trimmed : `${logicalId}-useLocalFileRules-${useLocalFileRules}` };
}

/** Anything but one plain reading is a plain id: a member given twice, another spelling of the base64. */
function decodeId(text: string): { readonly id?: string; readonly useLocalFileRules?: boolean } | undefined {
  const bytes = Buffer.from(text, "base64");
  if (bytes.length === 0 || bytes.toString("base64") !== text) return undefined;
  const json = parseStrictJson(bytes);
  if (!json.ok || !isObject(json.value.value)) return undefined;
  const { id, useLocalFileRules } = json.value.value;
  if (id !== undefined && typeof id !== "string") return undefined;
  if (useLocalFileRules !== undefined && typeof useLocalFileRules !== "boolean") return undefined;
  return { ...(id === undefined ? {} : { id }), ...(useLocalFileRules === undefined ? {} : { useLocalFileRules }) };
}

/** A local file that was found good. */
export interface LocalRules {
  readonly id: string | undefined;
  readonly defaultAccess: string | undefined;
  /** The four sections; undefined when the file has no `rules`. */
  readonly rules: Readonly<Record<Section, readonly Members[]>> | undefined;
}

const SECTIONS = ["privileges", "roles", "identities", "roleAssignments"] as const;
type Section = (typeof SECTIONS)[number];

/**
 * Reads the bytes of a local rule file. A member that is null counts as absent, as the platform means it.
 * @returns the file, or in one line what is wrong with it: place, found, wanted
 */
export function parseLocalRules(bytes: Uint8Array): Result<LocalRules, string> {
  const json = parseStrictJson(bytes, { maxBytes: MAX_LOCAL_RULES_BYTES });
  if (!json.ok) return err(renderJsonError(json.error));
  const refuse = (pointer: string, message: string) => {
    const { line, column } = json.value.positionOf(pointer);
    return err(`line ${line}, column ${column}${pointer === "" ? "" : ` ("${pointer}")`}: ${message}`);
  };
  const file = json.value.value;
  if (!isObject(file)) return refuse("", "found something else, want a JSON object");
  const [id, defaultAccess, rules] = [file.id ?? undefined, file.defaultAccess ?? undefined, file.rules ?? undefined];
  if (id !== undefined && (typeof id !== "string" || id.trim() === "")) return refuse("/id", "found no text or a blank one, want an id");
  if (id !== undefined && id.length > MAX_ID_CHARACTERS)
    return refuse("/id", `found ${id.length} characters, want at most ${MAX_ID_CHARACTERS}`);
  if (rules !== undefined && !isObject(rules)) return refuse("/rules", "found something else, want an object");
  const sections = readSections(rules);
  if (!sections.ok) return refuse(sections.error.pointer, sections.error.message);
  // The daemon's own parser has the last word on everything the formats share; a warning there is a fault here.
  const item = { id: id ?? "", mode: "enforce", defaultAccess: defaultAccess ?? "deny", rules: sections.value };
  const parsed = parseRuleItem(item);
  if (!parsed.ok) return refuse(parsed.error.pointer, `found ${parsed.error.found}, want ${parsed.error.wanted}`);
  const [warning] = parsed.value.warnings;
  if (warning !== undefined) return refuse(warning.pointer, `${warning.kind}: ${show(warning.name)}`);
  const blank = findBlank(sections.value);
  if (blank !== undefined) return refuse(blank.pointer, blank.message);
  return ok({
    id,
    defaultAccess: typeof defaultAccess === "string" ? defaultAccess : undefined,
    rules: rules === undefined ? undefined : sections.value,
  });
}

interface Fault {
  readonly pointer: string;
  readonly message: string;
}

/** The four sections, those that are left out as empty ones. */
function readSections(rules: Members | undefined): Result<Readonly<Record<Section, readonly Members[]>>, Fault> {
  const sections: Record<Section, readonly Members[]> = { privileges: [], roles: [], identities: [], roleAssignments: [] };
  for (const name of SECTIONS) {
    const found = rules?.[name] ?? undefined;
    if (found === undefined) continue;
    if (!Array.isArray(found)) return err({ pointer: `/rules/${name}`, message: "found something else, want an array" });
    const odd = found.findIndex((element) => !isObject(element));
    if (odd >= 0) return err({ pointer: `/rules/${name}/${odd}`, message: "found something else, want an object" });
    sections[name] = found as readonly Members[];
  }
  return ok(sections);
}

/** Members that mean something, per section; others are ignored, whatever is in them. */
const MEMBERS: Readonly<Record<Section, readonly string[]>> = {
  privileges: ["name", "path", "queryParameters", "method"],
  roles: ["name", "privileges"],
  identities: ["name", ...SELECTORS],
  roleAssignments: ["role", "identities"],
};

/** What the platform's parser lets pass and a file of our own must not have: blanks for names, empty lists, repetitions. */
function findBlank(sections: Readonly<Record<Section, readonly Members[]>>): Fault | undefined {
  for (const section of SECTIONS) {
    for (const [index, element] of sections[section].entries()) {
      const pointer = `/rules/${section}/${index}`;
      for (const name of MEMBERS[section]) {
        const fault = faultOf(element[name], `${pointer}/${name}`);
        if (fault !== undefined) return fault;
      }
    }
  }
  return undefined;
}

function faultOf(value: unknown, pointer: string): Fault | undefined {
  if (typeof value === "string")
    return value.trim() === "" ? { pointer, message: "found a blank text, want one that says something" } : undefined;
  if (Array.isArray(value)) {
    if (value.length === 0) return { pointer, message: "found an empty list, want at least one name" };
    if (new Set(value).size !== value.length) return { pointer, message: "found a name twice, want each once" };
    return value.map((element, index) => faultOf(element, `${pointer}/${index}`)).find((fault) => fault !== undefined);
  }
  if (!isObject(value)) return undefined;
  for (const [name, text] of Object.entries(value)) {
    if (name.trim() === "" || (typeof text === "string" && text.trim() === "")) {
      return { pointer, message: `found the parameter ${show(name)} with a blank name or value, want both to say something` };
    }
  }
  return undefined;
}

/**
 * Puts a local file and the platform's item together: the platform's mode, the file's default access if it has one, both sides'
 * rules. Any one grant is enough, so a local file can widen what the platform restricts; that is what the switch means.
 * What is wrong in the platform's item stays in the result, so that who parses it refuses the whole.
 * @returns why they do not go together, in words: the platform uses a name that is kept for the file's
 */
export function mergeLocalRules(remote: Members, effectiveId: string, local: LocalRules): Result<Members, string> {
  const { rules: remoteRules, ...rest } = remote;
  const rules = mergeRules(remoteRules ?? undefined, local.rules);
  if (!rules.ok) return rules;
  return ok({
    ...rest,
    id: local.id === undefined ? effectiveId : `${effectiveId}_${local.id}`,
    defaultAccess: local.defaultAccess ?? remote.defaultAccess,
    ...(rules.value === undefined ? {} : { rules: rules.value }),
  });
}

function mergeRules(remote: unknown, local: LocalRules["rules"]): Result<unknown, string> {
  if (local === undefined) return ok(remote);
  // INVARIANT: only rules that are not there may be replaced by the file's; broken ones must stay and be refused.
  if (remote === undefined) return ok(local);
  if (!isObject(remote)) return ok(remote);
  const prefixed = prefixNames(local);
  // INVARIANT: no name of one side ever means a thing of the other; else a role of one would be granted by the other.
  const own = new Set([prefixed.privileges, prefixed.roles, prefixed.identities].flat().map(({ name }) => name));
  const taken = namesIn(remote).find((name) => own.has(name));
  return taken === undefined
    ? ok(appendSections(remote, prefixed))
    : err(`found the name ${show(String(taken))} in the platform's rules, want none that the file's names become`);
}

/** Every name and reference in the platform's sections, of whatever type. */
function namesIn(remote: Members): readonly unknown[] {
  return SECTIONS.flatMap((section) => {
    const elements = remote[section];
    if (!Array.isArray(elements)) return [];
    return elements.filter(isObject).flatMap(({ name, role, privileges, identities }) => [name, role, privileges, identities].flat());
  });
}

/** A section that the platform left out, or that is no list, stays as it is: half a rule set of its is still refused. */
function appendSections(remote: Members, local: Readonly<Record<Section, readonly Members[]>>): Members {
  if (SECTIONS.every((name) => (remote[name] ?? undefined) === undefined)) return local;
  const merged: Record<string, unknown> = {};
  for (const name of SECTIONS) {
    const found = remote[name];
    merged[name] = Array.isArray(found) ? [...found, ...local[name]] : found;
  }
  return merged;
}

function prefixNames(sections: Readonly<Record<Section, readonly Members[]>>): Readonly<Record<Section, readonly Members[]>> {
  const prefixed = (name: unknown) => `${LOCAL_NAME_PREFIX}${String(name)}`;
  const each = (names: unknown) => (Array.isArray(names) ? names.map(prefixed) : names);
  return {
    privileges: sections.privileges.map((one) => ({ ...one, name: prefixed(one.name) })),
    roles: sections.roles.map((one) => ({ ...one, name: prefixed(one.name), privileges: each(one.privileges) })),
    identities: sections.identities.map((one) => ({ ...one, name: prefixed(one.name) })),
    roleAssignments: sections.roleAssignments.map((one) => ({ ...one, role: prefixed(one.role), identities: each(one.identities) })),
  };
}

function show(text: string): string {
  return JSON.stringify(text.length > MAX_SHOWN_CHARACTERS ? `${text.slice(0, MAX_SHOWN_CHARACTERS)}…` : text);
}
