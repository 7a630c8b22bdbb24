// Policy modules tested by data: a file names settings, questions, and what the module must answer. Reads such files and judges
// answers; a case that cannot be read is an error of the file, never a case that passes.

import type { PolicyAnswer, PolicyQuestion, SeenHeader } from "../../core/modules/policy-question.ts";
import type { Claims } from "../../core/request/caller.ts";
import { type CanonicalRequest, readRequest } from "../../core/request/canonical-request.ts";
import { ENDPOINTS, type Endpoint, parseEndpoint } from "../../core/request/endpoint.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { isObject } from "../../core/text/json-text.ts";
import { quote } from "../../core/text/text-layout.ts";
import { parseCallerJson, parseInlineCaller } from "../policy/caller-input.ts";
import { parseRequestText, type RequestText, screenRequest } from "../policy/decide-request.ts";

/** The operator's bytes: of a file next to the case file, or as given in it. */
export type SettingsSource = { readonly kind: "path"; readonly path: string } | { readonly kind: "text"; readonly text: string };

export interface ModuleCase {
  readonly name: string;
  /** Undefined: those of the file. */
  readonly settings: SettingsSource | undefined;
  readonly question: PolicyQuestion;
  /** `failed`: a trap, an exhausted budget or nonsense, which the agent takes for a deny with reason `policy-failed`. */
  readonly expect: PolicyAnswer["kind"] | "failed";
  /** Compared when given. */
  readonly reason: string | undefined;
  readonly rule: string | undefined;
  /** Compared when given, as a whole and in order. */
  readonly labels: readonly (readonly [name: string, value: string])[] | undefined;
  /** The call may spend so many units, whatever the budget is. */
  readonly fuelAtMost: number | undefined;
}

/** What `validate-settings` must say; `configure` must agree. */
export interface SettingsCase {
  readonly name: string;
  readonly settings: SettingsSource;
  /** The error must hold this text; undefined: they must be accepted. */
  readonly error: string | undefined;
}

export interface ModuleCaseFile {
  /** Undefined: none, which is no bytes. */
  readonly settings: SettingsSource | undefined;
  readonly settingsCases: readonly SettingsCase[];
  readonly cases: readonly ModuleCase[];
}

/** Where in the file something is wrong, and what. */
export interface ModuleCaseError {
  readonly pointer: string;
  readonly message: string;
}

const KINDS = ["allow", "deny", "abstain"] as const;
const EXPECTED = [...KINDS, "failed"] as const;
/** The verdict of the rules of an endpoint without rules: in the agent a module is never the first to decide. */
const NO_RULES: PolicyAnswer = { kind: "allow", reason: "no-rules", rule: "", labels: [] };
const MAX_CASES = 100_000;

type Read<Value> = Result<Value, ModuleCaseError>;

export function parseModuleCases(json: unknown): Read<ModuleCaseFile> {
  const file = membersOf(json, ["settings", "settingsCases", "cases", "comment"], "");
  if (!file.ok) return file;
  const settings = readOptionalSettings(file.value.settings, "/settings");
  if (!settings.ok) return settings;
  const settingsCases = readList(file.value.settingsCases ?? [], "/settingsCases", 0, parseSettingsCase);
  if (!settingsCases.ok) return settingsCases;
  const cases = readList(file.value.cases, "/cases", 1, parseCase);
  return cases.ok ? ok({ settings: settings.value, settingsCases: settingsCases.value, cases: cases.value }) : cases;
}

/** @returns what differs from the wanted answer, in words; undefined when nothing does */
export function findDifference(wanted: ModuleCase, answer: PolicyAnswer): string | undefined {
  const compare = (what: string, found: string, want: string | undefined) =>
    want === undefined || found === want ? undefined : `found ${what} ${quote(found)}, want ${quote(want)}`;
  const labels = wanted.labels === undefined ? undefined : JSON.stringify(wanted.labels);
  return (
    compare("answer", answer.kind, wanted.expect) ??
    compare("reason", answer.reason, wanted.reason) ??
    compare("rule", answer.rule, wanted.rule) ??
    compare("labels", JSON.stringify(answer.labels), labels)
  );
}

function parseCase(json: unknown, pointer: string): Read<ModuleCase> {
  const names = ["name", "comment", "settings", "endpoint", "request", "headers", "caller", "uptimeSeconds", "unixSeconds", "soFar"];
  const members = membersOf(json, [...names, "expect", "reason", "rule", "labels", "fuelAtMost"], pointer);
  if (!members.ok) return members;
  const { name, settings: settingsJson, headers: headersJson, expect, reason, rule, labels: labelsJson } = members.value;
  if (typeof name !== "string" || name === "") return wrong(pointer, 'want a text "name"');
  const settings = readOptionalSettings(settingsJson, `${pointer}/settings`);
  if (!settings.ok) return settings;
  const claims = readCaller(members.value.caller, pointer);
  if (!claims.ok) return claims;
  const request = readCaseRequest(members.value.endpoint, members.value.request, claims.value, pointer);
  if (!request.ok) return request;
  const headers = readPairs(headersJson ?? {}, `${pointer}/headers`);
  if (!headers.ok) return headers;
  const soFar = readSoFar(members.value.soFar, `${pointer}/soFar`);
  if (!soFar.ok) return soFar;
  const uptimeSeconds = readSeconds(members.value.uptimeSeconds, `${pointer}/uptimeSeconds`);
  if (!uptimeSeconds.ok) return uptimeSeconds;
  const unixSeconds = readSeconds(members.value.unixSeconds, `${pointer}/unixSeconds`);
  if (!unixSeconds.ok) return unixSeconds;
  const kind = EXPECTED.find((known) => known === expect);
  if (kind === undefined)
    return wrong(expect === undefined ? pointer : `${pointer}/expect`, `want "expect", one of ${EXPECTED.join(", ")}`);
  if (kind === "failed" && (reason ?? rule ?? labelsJson) !== undefined)
    return wrong(`${pointer}/expect`, "a module that fails answers nothing: reason, rule and labels have no meaning");
  if (reason !== undefined && typeof reason !== "string") return wrong(`${pointer}/reason`, "want a text");
  if (rule !== undefined && typeof rule !== "string") return wrong(`${pointer}/rule`, "want a text");
  const labels = labelsJson === undefined ? ok(undefined) : readPairs(labelsJson, `${pointer}/labels`);
  if (!labels.ok) return labels;
  const fuelAtMost = members.value.fuelAtMost === undefined ? ok(undefined) : readCount(members.value.fuelAtMost, `${pointer}/fuelAtMost`);
  if (!fuelAtMost.ok) return fuelAtMost;
  return ok({
    name,
    settings: settings.value,
    question: {
      request: request.value,
      claims: claims.value,
      headers: headers.value.map(([field, value]): SeenHeader => ({ name: field.toLowerCase(), value })),
      uptimeSeconds: uptimeSeconds.value,
      unixSeconds: unixSeconds.value,
      soFar: soFar.value,
    },
    expect: kind,
    reason,
    rule,
    labels: labels.value,
    fuelAtMost: fuelAtMost.value,
  });
}

function parseSettingsCase(json: unknown, pointer: string): Read<SettingsCase> {
  const members = membersOf(json, ["name", "comment", "settings", "error"], pointer);
  if (!members.ok) return members;
  const { name, settings: settingsJson, error } = members.value;
  if (typeof name !== "string" || name === "") return wrong(pointer, 'want a text "name"');
  if (error !== undefined && (typeof error !== "string" || error === "")) return wrong(`${pointer}/error`, "want a text that is not empty");
  const settings = readOptionalSettings(settingsJson, `${pointer}/settings`);
  if (!settings.ok) return settings;
  if (settings.value === undefined) return wrong(pointer, 'want "settings"');
  return ok({ name, settings: settings.value, error });
}

/** A text is the path of a file; `{ "text": … }` the bytes themselves; `{ "json": … }` that value as JSON. */
function readOptionalSettings(json: unknown, pointer: string): Read<SettingsSource | undefined> {
  if (json === undefined) return ok(undefined);
  if (typeof json === "string" && json !== "") return ok({ kind: "path", path: json });
  if (isObject(json) && Object.keys(json).length === 1) {
    if (typeof json.text === "string") return ok({ kind: "text", text: json.text });
    if (json.json !== undefined) return ok({ kind: "text", text: JSON.stringify(json.json) });
  }
  return wrong(pointer, 'want the path of a file, {"text": "…"} or {"json": …}');
}

function readCaseRequest(endpointText: unknown, text: unknown, claims: Claims, pointer: string): Read<CanonicalRequest> {
  const endpoint = endpointText === undefined ? "imds" : typeof endpointText === "string" ? parseEndpoint(endpointText) : undefined;
  if (endpoint === undefined) return wrong(`${pointer}/endpoint`, `want one of ${ENDPOINTS.join(", ")}`);
  if (typeof text !== "string") return wrong(pointer, 'want a text "request", such as "GET /metadata/instance"');
  const parsed = parseRequestText(text);
  if (!parsed.ok) return wrong(`${pointer}/request`, parsed.error);
  const reached = reachModules(endpoint, parsed.value, claims);
  return reached.ok ? reached : wrong(`${pointer}/request`, reached.error);
}

/** The request as modules see it, or why the agent never calls them for it. */
export function reachModules(endpoint: Endpoint, request: RequestText, claims: Claims): Result<CanonicalRequest, string> {
  const read = readRequest(endpoint, request.method, request.target);
  if (!read.ok) {
    const text = quote(`${request.method} ${request.target}`);
    return err(`found ${text} (${read.error}), want a request with one clear reading: no module is asked about others`);
  }
  const screened = screenRequest(endpoint, request, read, claims);
  if (screened.kind === "asked") return ok(screened.read.canonical);
  const { reason } = screened.kind === "refused" ? screened : { reason: "an upload that needs no signature" };
  return err(`no module is asked about it: the agent decides by itself (${reason})`);
}

function readCaller(json: unknown, pointer: string): Read<Claims> {
  const caller = typeof json === "string" ? parseInlineCaller(json) : parseCallerJson(json);
  return caller.ok ? ok(caller.value.claims) : wrong(json === undefined ? pointer : `${pointer}/caller`, `caller: ${caller.error}`);
}

/** Missing: {@link NO_RULES}. null: no policy before this one. */
export function readSoFar(json: unknown, pointer: string): Read<PolicyAnswer | undefined> {
  if (json === undefined) return ok(NO_RULES);
  return json === null ? ok(undefined) : readAnswer(json, pointer);
}

function readAnswer(json: unknown, pointer: string): Read<PolicyAnswer> {
  const members = membersOf(json, ["kind", "reason", "rule", "labels"], pointer);
  if (!members.ok) return members;
  const kind = KINDS.find((known) => known === members.value.kind);
  if (kind === undefined) return wrong(`${pointer}/kind`, `want one of ${KINDS.join(", ")}`);
  const { reason = "granted", rule = "" } = members.value;
  if (typeof reason !== "string" || typeof rule !== "string") return wrong(pointer, "want texts as reason and rule");
  const labels = readPairs(members.value.labels ?? {}, `${pointer}/labels`);
  return labels.ok ? ok({ kind, reason, rule, labels: labels.value }) : labels;
}

/** An object of texts, or a list of pairs where a name repeats. */
function readPairs(json: unknown, pointer: string): Read<readonly (readonly [string, string])[]> {
  const entries: readonly unknown[] = Array.isArray(json) ? json : isObject(json) ? Object.entries(json) : [undefined];
  const pairs: (readonly [string, string])[] = [];
  for (const entry of entries) {
    if (!Array.isArray(entry) || entry.length !== 2 || typeof entry[0] !== "string" || typeof entry[1] !== "string")
      return wrong(pointer, "want an object of texts, or a list of pairs of texts");
    pairs.push([entry[0], entry[1]]);
  }
  return ok(pairs);
}

function readSeconds(json: unknown, pointer: string): Read<number> {
  return json === undefined ? ok(0) : readCount(json, pointer);
}

function readCount(json: unknown, pointer: string): Read<number> {
  return typeof json === "number" && Number.isSafeInteger(json) && json >= 0 ? ok(json) : wrong(pointer, "want a whole number");
}

function readList<Item>(json: unknown, pointer: string, least: number, read: (json: unknown, pointer: string) => Read<Item>): Read<Item[]> {
  if (!Array.isArray(json) || json.length < least || json.length > MAX_CASES)
    return wrong(json === undefined ? "" : pointer, `want a list "${pointer.slice(1)}" of ${least} to ${MAX_CASES} cases`);
  const items: Item[] = [];
  for (const [i, each] of json.entries()) {
    const item = read(each, `${pointer}/${i}`);
    if (!item.ok) return item;
    items.push(item.value);
  }
  return ok(items);
}

/** Unknown members are refused: a misspelt `expect` would make a case that tests nothing. */
function membersOf(json: unknown, known: readonly string[], pointer: string): Read<Readonly<Record<string, unknown>>> {
  if (!isObject(json)) return wrong(pointer, "want an object");
  const unknown = Object.keys(json).find((name) => !known.includes(name));
  return unknown === undefined ? ok(json) : wrong(pointer, `found unknown member ${quote(unknown)}, want ${known.join(", ")}`);
}

function wrong(pointer: string, message: string): { readonly ok: false; readonly error: ModuleCaseError } {
  return err({ pointer, message });
}
