// Local rule files: rules that the VM's owner keeps on the VM, merged with the platform's when the platform's rule id says so.
// Pure: reads texts, never files. A file that has any fault is refused whole, because half a file could open a door.

import { decodeText } from "./policy-tools/decode-text.ts";
import { readJsonText } from "./policy-tools/json-text.ts";
import { err, ok, type Result } from "./result.ts";
import { parseRuleItem } from "./rules.ts";

/** Longer files are refused. Bytes. */
export const MAX_LOCAL_RULES_BYTES = 1024 * 1024;

/** Put before every name of a local file, so that it cannot meet one of the platform's. */
export const LOCAL_NAME_PREFIX = "LocalFileRules_";

/** What a rule set's id says besides naming it. */
export interface RuleSwitch {
  readonly useLocalFileRules: boolean;
  /** Id in force without a local file: tells whether local files count. */
  readonly effectiveId: string;
}

type Members = Readonly<Record<string, unknown>>;

/** Reads the id of a platform item: base64 of a small JSON object, or a plain text, which switches nothing on. */
export function readRuleSwitch(id: string): RuleSwitch {
  const trimmed = id.trim();
  if (trimmed === "") return { useLocalFileRules: false, effectiveId: id };
  const { id: logicalId = "", useLocalFileRules = false } = decodeId(trimmed) ?? { id: id.trim() };
  return { useLocalFileRules, effectiveId: logicalId === "" ? trimmed : `${logicalId}-useLocalFileRules-${useLocalFileRules}` };
}

function decodeId(text: string): { readonly id?: string; readonly useLocalFileRules?: boolean } | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(text, "base64")));
  } catch {
    return undefined;
  }
  if (!isObject(json)) return undefined;
  const { id, useLocalFileRules } = json;
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
 * Reads the bytes of a local rule file.
 * @returns the file, or in one line what is wrong with it: place, found, wanted
 */
export function parseLocalRules(bytes: Uint8Array): Result<LocalRules, string> {
  if (bytes.length > MAX_LOCAL_RULES_BYTES) return err(`found ${bytes.length} bytes, want at most ${MAX_LOCAL_RULES_BYTES}`);
  const text = decodeText(bytes);
  if (!text.ok) return err(text.error);
  const json = readJsonText(text.value);
  if (!json.ok) return err(`line ${json.error.line}, column ${json.error.column}: ${json.error.message}`);
  const refuse = (pointer: string, message: string) => {
    const { line, column } = json.value.positionOf(pointer);
    return err(`line ${line}, column ${column}${pointer === "" ? "" : ` ("${pointer}")`}: ${message}`);
  };
  const file = json.value.value;
  if (!isObject(file)) return refuse("", "found something else, want a JSON object");
  const { id, defaultAccess, rules } = file;
  if (id !== undefined && (typeof id !== "string" || id.trim() === "")) return refuse("/id", "found no text or a blank one, want an id");
  if (rules !== undefined && !isObject(rules)) return refuse("/rules", "found something else, want an object");
  const sections = readSections(rules);
  if (!sections.ok) return refuse(sections.error.pointer, sections.error.message);
  // The daemon's own parser has the last word on everything the formats share; a warning there is a fault here.
  const item = { id: "", mode: "enforce", defaultAccess: defaultAccess ?? "deny", rules: sections.value };
  const parsed = parseRuleItem(item);
  if (!parsed.ok) return refuse(parsed.error.pointer, `found ${parsed.error.found}, want ${parsed.error.wanted}`);
  const [warning] = parsed.value.warnings;
  if (warning !== undefined) return refuse(warning.pointer, `${warning.kind}: ${JSON.stringify(warning.name)}`);
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
    const found = rules?.[name];
    if (found === undefined) continue;
    if (!Array.isArray(found)) return err({ pointer: `/rules/${name}`, message: "found something else, want an array" });
    const odd = found.findIndex((element) => !isObject(element));
    if (odd >= 0) return err({ pointer: `/rules/${name}/${odd}`, message: "found something else, want an object" });
    sections[name] = found as readonly Members[];
  }
  return ok(sections);
}

/** What the platform's parser lets pass and a file of our own must not have: blanks for names, empty lists, repetitions. */
function findBlank(sections: Readonly<Record<Section, readonly Members[]>>): Fault | undefined {
  for (const section of SECTIONS) {
    for (const [index, element] of sections[section].entries()) {
      const pointer = `/rules/${section}/${index}`;
      for (const [name, value] of Object.entries(element)) {
        const fault = faultOf(value, `${pointer}/${name}`);
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
      return { pointer, message: `found the parameter ${JSON.stringify(name)} with a blank name or value, want both to say something` };
    }
  }
  return undefined;
}

/**
 * Puts a local file and the platform's item together: the platform's mode, the file's default access if it has one, both sides'
 * rules. Any one grant is enough, so a local file can widen what the platform restricts; that is what the switch means.
 */
export function mergeLocalRules(remote: Members, effectiveId: string, local: LocalRules): Members {
  const { rules: remoteRules, ...rest } = remote;
  const rules =
    local.rules === undefined ? remoteRules : isObject(remoteRules) ? appendSections(remoteRules, prefixNames(local.rules)) : local.rules;
  return {
    ...rest,
    id: local.id === undefined ? effectiveId : `${effectiveId}_${local.id}`,
    defaultAccess: local.defaultAccess ?? remote.defaultAccess,
    ...(rules === undefined ? {} : { rules }),
  };
}

/** A section that the platform left out stays left out, so that half a rule set of its is still refused. */
function appendSections(remote: Members, local: Readonly<Record<Section, readonly Members[]>>): Members {
  if (SECTIONS.every((name) => remote[name] === undefined)) return local;
  const merged: Record<string, unknown> = {};
  for (const name of SECTIONS) if (Array.isArray(remote[name])) merged[name] = [...remote[name], ...local[name]];
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

function isObject(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
