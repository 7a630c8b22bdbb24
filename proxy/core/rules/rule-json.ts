// Reading of untrusted rule JSON: every value is read by JSON pointer, so that an error can name the place and the value found.
// Only our own members of an object count, never inherited ones; a member that is null counts as absent, as the host means it.

import { err, ok, type Result } from "../result.ts";

export interface RuleError {
  readonly kind:
    | "wrong-type"
    | "missing"
    | "unknown-word"
    | "incomplete-rules"
    | "no-selector"
    | "empty-selector"
    | "unclear-text"
    | "unclear-path"
    | "unclear-query"
    | "unclear-hash"
    | "unclear-unit"
    | "unclear-cgroup"
    | "empty-list"
    | "repeated"
    | "too-many";
  /** JSON pointer (RFC 6901) into the rule item. */
  readonly pointer: string;
  /** What stood there, as JSON, shortened. */
  readonly found: string;
  readonly wanted: string;
}

/** A value of the item together with where it stands. */
export interface Located {
  readonly value: unknown;
  readonly pointer: string;
}

const MAX_FOUND_CHARACTERS = 80;

/** One line for people. */
export function renderRuleError(error: RuleError): string {
  return `cannot use rules: found ${error.found} at "${error.pointer}", want ${error.wanted}`;
}

export function refuse(kind: RuleError["kind"], at: Located, wanted: string): { readonly ok: false; readonly error: RuleError } {
  return err({ kind, pointer: at.pointer, found: show(at.value), wanted });
}

/** The member of that name; its value is undefined when it is absent or null. */
export function member(object: ReadonlyMap<string, unknown>, parent: Located, name: string): Located {
  return { value: object.get(name) ?? undefined, pointer: `${parent.pointer}/${escapePointer(name)}` };
}

/** Members of a JSON object as a map, so that names like `__proto__` or `toString` are nothing special. */
export function readObject(at: Located): Result<ReadonlyMap<string, unknown>, RuleError> {
  const { value } = at;
  if (value === undefined) return refuse("missing", at, "an object");
  if (typeof value !== "object" || value === null || Array.isArray(value)) return refuse("wrong-type", at, "an object");
  return ok(new Map(Object.entries(value)));
}

/** Elements of an array, at most `limit` of them. */
export function readArray(at: Located, limit: number): Result<readonly Located[], RuleError> {
  const { value, pointer } = at;
  if (value === undefined) return refuse("missing", at, "an array");
  if (!Array.isArray(value)) return refuse("wrong-type", at, "an array");
  if (value.length > limit) return refuse("too-many", { value: value.length, pointer }, `at most ${limit} elements`);
  return ok(value.map((element: unknown, i) => ({ value: element, pointer: `${pointer}/${i}` })));
}

export function readString(at: Located): Result<string, RuleError> {
  if (at.value === undefined) return refuse("missing", at, "a string");
  if (typeof at.value !== "string") return refuse("wrong-type", at, "a string");
  // A lone surrogate has no UTF-8 form; encoding would turn different texts into the same one.
  return at.value.isWellFormed() ? ok(at.value) : refuse("unclear-text", at, "text without lone surrogates");
}

export function readOptionalString(at: Located): Result<string | undefined, RuleError> {
  return at.value === undefined ? ok(undefined) : readString(at);
}

/** Reads every element with `read`, stopping at the first error. */
export function readEach<Value>(
  at: Located,
  limit: number,
  read: (element: Located) => Result<Value, RuleError>,
): Result<readonly Value[], RuleError> {
  const elements = readArray(at, limit);
  if (!elements.ok) return elements;
  const values: Value[] = [];
  for (const element of elements.value) {
    const value = read(element);
    if (!value.ok) return value;
    values.push(value.value);
  }
  return ok(values);
}

function show(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object";
  const text = typeof value === "string" ? JSON.stringify(value.slice(0, MAX_FOUND_CHARACTERS)) : String(value);
  return text.length > MAX_FOUND_CHARACTERS ? `${text.slice(0, MAX_FOUND_CHARACTERS)}…` : text;
}

function escapePointer(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}
