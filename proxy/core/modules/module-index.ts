// The list of installed modules: parsed strictly from its file, because it decides about access, and rendered. One file in,
// one list out; a list with anything unknown, missing or invalid in it is refused whole.

import { ENDPOINTS, type Endpoint } from "../request/endpoint.ts";
import { err, ok, type Result } from "../result.ts";
import { isObject } from "../text/json-text.ts";
import { parseStrictJson, renderJsonError } from "../text/strict-json.ts";
import { parseBudgets } from "./module-budgets.ts";
import type { ModuleBudgets, ModuleEntry } from "./module-entry.ts";

export const MAX_INDEX_BYTES = 1024 * 1024;
export const MAX_MODULES = 64;
export const MAX_MODULE_HEADERS = 32;
export const MAX_COMPONENT_BYTES = 16 * 1024 * 1024;
/** Metering makes a component larger: by half at most for compiled sources, by more for a component made to be hostile. */
export const MAX_PREPARED_BYTES = 64 * 1024 * 1024;
export const MAX_SETTINGS_BYTES = 1024 * 1024;

const INDEX_VERSION = 1;
const MODULE_NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;
const SHA256 = /^[0-9a-f]{64}$/;
const KEY_ID = /^[0-9A-F]{16}$/;
const WORLD_VERSION = /^(?:0|[1-9][0-9]{0,5})(?:\.(?:0|[1-9][0-9]{0,5})){2}$/;
/** A token of HTTP in lower case. */
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]{1,64}$/;
/** Every member but the two of a signature, which are there together or not at all. */
const MEMBERS = [
  "name",
  "enabled",
  "audit",
  "endpoints",
  "headers",
  "budgets",
  "componentSha256",
  "preparedSha256",
  "settingsSha256",
  "worldVersion",
  "pinned",
] as const;
const SIGNATURE_MEMBERS = ["signedBy", "signatureSha256"] as const;

export const MODULE_NAME_WANTED = "a lower-case letter or digit, then up to 62 of a-z, 0-9 and -";

export function isModuleName(text: string): boolean {
  return MODULE_NAME.test(text);
}

/** Whether there can be a header of this name, as the list spells it. Which ones a module may see is the operator's choice. */
export function isModuleHeader(name: string): boolean {
  return HEADER_NAME.test(name);
}

export function isSha256(text: unknown): text is string {
  return typeof text === "string" && SHA256.test(text);
}

/** Reads the index. Errors are one line and quote at most a member's name. */
export function parseModuleIndex(bytes: Uint8Array): Result<readonly ModuleEntry[], string> {
  const json = parseStrictJson(bytes, { maxBytes: MAX_INDEX_BYTES });
  if (!json.ok) return err(renderJsonError(json.error));
  const { value } = json.value;
  if (!isObject(value)) return err("want an object with version and modules");
  if (value.version !== INDEX_VERSION) return err(`want version ${INDEX_VERSION}; another version of this program wrote it`);
  const stray = Object.keys(value).find((name) => name !== "version" && name !== "modules");
  if (stray !== undefined) return err(`found unknown member ${JSON.stringify(stray)}`);
  if (!Array.isArray(value.modules) || value.modules.length > MAX_MODULES)
    return err(`want modules to be a list of at most ${MAX_MODULES}`);
  const entries: ModuleEntry[] = [];
  for (const [i, each] of value.modules.entries()) {
    const entry = parseEntry(each);
    if (!entry.ok) return err(`/modules/${i}${entry.error}`);
    if (entries.some(({ name }) => name === entry.value.name)) return err(`/modules/${i}: the name "${entry.value.name}" is there twice`);
    entries.push(entry.value);
  }
  return ok(entries);
}

export function renderModuleIndex(entries: readonly ModuleEntry[]): string {
  return `${JSON.stringify({ version: INDEX_VERSION, modules: entries.map(entryJson) }, null, 2)}\n`;
}

/** Hashes of all that an index needs to be there. */
export function referencedObjects(entries: readonly ModuleEntry[]): ReadonlySet<string> {
  return new Set(
    entries.flatMap(({ componentSha256, preparedSha256, settingsSha256, signatureSha256 }) =>
      signatureSha256 === undefined
        ? [componentSha256, preparedSha256, settingsSha256]
        : [componentSha256, preparedSha256, settingsSha256, signatureSha256],
    ),
  );
}

function entryJson(entry: ModuleEntry): Readonly<Record<string, unknown>> {
  const { name, enabled, audit, endpoints, headers, budgets, componentSha256, preparedSha256, settingsSha256, worldVersion, pinned } =
    entry;
  const members = {
    name,
    enabled,
    audit,
    endpoints,
    headers,
    budgets,
    componentSha256,
    preparedSha256,
    settingsSha256,
    worldVersion,
    pinned,
  } satisfies Record<(typeof MEMBERS)[number], unknown>;
  return entry.signedBy === undefined ? members : { ...members, signedBy: entry.signedBy, signatureSha256: entry.signatureSha256 };
}

function parseEntry(json: unknown): Result<ModuleEntry, string> {
  if (!isObject(json)) return err(": want an object");
  const isSigned = SIGNATURE_MEMBERS.some((name) => Object.hasOwn(json, name));
  const wanted: readonly string[] = isSigned ? [...MEMBERS, ...SIGNATURE_MEMBERS] : MEMBERS;
  const missing = wanted.find((name) => !Object.hasOwn(json, name));
  if (missing !== undefined) return err(`: found no ${missing}`);
  const stray = Object.keys(json).find((name) => !wanted.includes(name));
  if (stray !== undefined) return err(`: found unknown member ${JSON.stringify(stray)}`);
  const { name, enabled, audit, pinned, componentSha256, preparedSha256, settingsSha256, worldVersion, signedBy, signatureSha256 } = json;
  if (typeof name !== "string" || !isModuleName(name)) return err(`/name: want ${MODULE_NAME_WANTED}`);
  if (typeof enabled !== "boolean") return err("/enabled: want true or false");
  if (typeof audit !== "boolean") return err("/audit: want true or false");
  if (typeof pinned !== "boolean") return err("/pinned: want true or false");
  if (!isSha256(componentSha256)) return err("/componentSha256: want 64 lower-case hex digits");
  if (!isSha256(preparedSha256)) return err("/preparedSha256: want 64 lower-case hex digits");
  if (!isSha256(settingsSha256)) return err("/settingsSha256: want 64 lower-case hex digits");
  if (typeof worldVersion !== "string" || !WORLD_VERSION.test(worldVersion)) return err("/worldVersion: want three numbers with dots");
  const endpoints = parseWords(json.endpoints, ENDPOINTS.length, isEndpoint);
  if (endpoints === undefined || endpoints.length === 0) return err(`/endpoints: want at least one of ${ENDPOINTS.join(", ")}, each once`);
  const headers = parseWords(json.headers, MAX_MODULE_HEADERS, isHeaderWord);
  if (headers === undefined) return err(`/headers: want at most ${MAX_MODULE_HEADERS} lower-case names, each once`);
  const budgets = parseWholeBudgets(json.budgets);
  if (!budgets.ok) return budgets;
  if (isSigned && (typeof signedBy !== "string" || !KEY_ID.test(signedBy))) return err("/signedBy: want 16 upper-case hex digits");
  if (isSigned && !isSha256(signatureSha256)) return err("/signatureSha256: want 64 lower-case hex digits");
  return ok({
    name,
    enabled,
    audit,
    endpoints,
    headers,
    budgets: budgets.value,
    componentSha256,
    preparedSha256,
    settingsSha256,
    worldVersion,
    signedBy: typeof signedBy === "string" ? signedBy : undefined,
    signatureSha256: typeof signatureSha256 === "string" ? signatureSha256 : undefined,
    pinned,
  });
}

/** All budgets must be there: a default that changes must not change what is installed. */
function parseWholeBudgets(json: unknown): Result<ModuleBudgets, string> {
  const budgets = parseBudgets(json, { fuel: Number.NaN, memoryBytes: Number.NaN, reasonBytes: Number.NaN });
  if (!budgets.ok) return err(`/budgets${budgets.error.member === "" ? "" : `/${budgets.error.member}`}: want ${budgets.error.want}`);
  const missing = Object.entries(budgets.value).find(([, value]) => Number.isNaN(value));
  return missing === undefined ? budgets : err(`/budgets: found no ${missing[0]}`);
}

function parseWords<Word extends string>(
  json: unknown,
  most: number,
  isWord: (text: unknown) => text is Word,
): readonly Word[] | undefined {
  if (!Array.isArray(json) || json.length > most) return undefined;
  const words: Word[] = [];
  for (const each of json) {
    if (!isWord(each) || words.includes(each)) return undefined;
    words.push(each);
  }
  return words;
}

function isEndpoint(text: unknown): text is Endpoint {
  return ENDPOINTS.some((known) => known === text);
}

function isHeaderWord(text: unknown): text is string {
  return typeof text === "string" && isModuleHeader(text);
}
