// Reads what the policy tools work on: rule files, compiled as the agent compiles them, and descriptions of callers.

import { type ComponentPolicy, compilePolicy, loadPolicy, renderCompileError } from "../../adapters/policy/component.ts";
import type { Endpoint } from "../../core/request/endpoint.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { parseRuleItem, type RuleSet } from "../../core/rules/rules.ts";
import { type JsonText, parseStrictJson, renderJsonError } from "../../core/text/strict-json.ts";
import { quote } from "../../core/text/text-layout.ts";
import { readBoundedFile } from "../bounded-file.ts";
import { type DescribedCaller, parseCallerJson, parseInlineCaller } from "./caller-input.ts";
import { chooseSource, describeSource, findRuleSources, type RuleChoices, type RuleSource } from "./rule-document.ts";

/** Ten thousand rules of each kind fit several times. */
const MAX_JSON_BYTES = 8 * 1024 * 1024;

/** A rule set and what it was compiled to. */
export interface LoadedRules {
  readonly source: RuleSource;
  readonly rules: RuleSet;
  readonly endpoint: Endpoint;
  readonly component: Uint8Array;
  readonly policy: ComponentPolicy;
  /** What was recognised and assumed, and what in the rules has no effect; for people. */
  readonly notes: readonly string[];
}

export interface JsonFile extends JsonText {
  readonly bytes: Uint8Array;
}

/** A JSON file, or why it cannot be read. */
export function readJsonFile(path: string): Result<JsonFile, string> {
  const bytes = readBoundedFile(path, MAX_JSON_BYTES);
  if (!bytes.ok) return err(`cannot read ${name(path)}: ${bytes.error}`);
  const json = parseStrictJson(bytes.value, { maxBytes: MAX_JSON_BYTES });
  return json.ok ? ok({ ...json.value, bytes: bytes.value }) : err(`cannot read ${name(path)}: ${renderJsonError(json.error)}`);
}

export function loadRules(path: string, choices: RuleChoices): Result<LoadedRules, string> {
  const json = readJsonFile(path);
  return json.ok ? loadRulesFrom(json.value.value, choices, `cannot use rules ${name(path)}`, json.value) : json;
}

/**
 * @param trouble - begins every error text
 * @param text - tells lines and columns of what is wrong
 */
export function loadRulesFrom(json: unknown, choices: RuleChoices, trouble: string, text?: JsonText): Result<LoadedRules, string> {
  const sources = findRuleSources(json, choices);
  if (!sources.ok) return err(`${trouble}: ${sources.error}`);
  const source = chooseSource(sources.value, choices.endpoint);
  if (!source.ok) return err(`${trouble}: ${source.error}`);
  const parsed = parseRuleItem(source.value.item);
  if (!parsed.ok) {
    const pointer = `${source.value.pointer}${parsed.error.pointer}`;
    const at = text?.positionOf(pointer);
    const place = at === undefined ? "" : `line ${at.line}, column ${at.column}, `;
    return err(`${trouble}: ${place}at ${quote(pointer)}: found ${parsed.error.found}, want ${parsed.error.wanted}`);
  }
  const compiled = compileRules(parsed.value, source.value.endpoint);
  if (!compiled.ok) return err(`${trouble}: ${compiled.error}`);
  const { notes } = source.value;
  const warnings = parsed.value.warnings.map(({ kind, name: what, pointer }) => `warning: ${kind} ${quote(what)} at ${pointer}`);
  return ok({
    source: source.value,
    rules: parsed.value,
    endpoint: source.value.endpoint,
    ...compiled.value,
    notes: [describeSource(source.value), ...notes, ...warnings],
  });
}

export function compileRules(
  rules: RuleSet,
  endpoint: Endpoint,
): Result<{ readonly component: Uint8Array; readonly policy: ComponentPolicy }, string> {
  const component = compilePolicy(rules, endpoint);
  if (!component.ok) return err(renderCompileError(component.error));
  const policy = loadPolicy(component.value);
  return policy.ok
    ? ok({ component: component.value, policy: policy.value })
    : err(`the compiled policy does not load: ${JSON.stringify(policy.error)}`);
}

export interface CallerError {
  /** `usage`: what is wrong is on the command line itself; `input`: in the file that it names. */
  readonly kind: "usage" | "input";
  readonly message: string;
}

/** A file, "-" for standard input, or `name=value,…`. */
export function readCaller(text: string): Result<DescribedCaller, CallerError> {
  const isInline = /^[A-Za-z0-9]+=/.test(text);
  const isJson = text.trimStart().startsWith("{");
  const kind = isInline || isJson ? "usage" : "input";
  const wrong = (cause: string) => err({ kind, message: `cannot use caller ${quote(text.slice(0, 200))}: ${cause}` } as const);
  if (isInline) {
    const inline = parseInlineCaller(text);
    return inline.ok ? inline : wrong(inline.error);
  }
  const json = isJson ? parseStrictJson(text) : readJsonFile(text);
  if (!json.ok) return typeof json.error === "string" ? err({ kind, message: json.error }) : wrong(renderJsonError(json.error));
  const caller = parseCallerJson(json.value.value);
  return caller.ok ? caller : wrong(caller.error);
}

export function name(path: string): string {
  return path === "-" ? "standard input" : quote(path);
}
