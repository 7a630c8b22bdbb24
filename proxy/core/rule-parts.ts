// The four kinds of parts of an allowlist (privileges, roles, identities, role assignments), read one element at a time.
// Names are kept as they came and compared with case; what a request is compared with is put into canonical form here.

import { canonicalisePath, decodeQueryComponent, type QueryParameter } from "./canonical-request.ts";
import { ok, type Result } from "./result.ts";
import { type Located, member, type RuleError, readEach, readObject, readOptionalString, readString, refuse } from "./rule-json.ts";

/** More than this is refused with `too-many`, before anything is compiled. */
export const RULE_LIMITS = {
  privileges: 10_000,
  roles: 10_000,
  identities: 10_000,
  roleAssignments: 10_000,
  /** Names within one role or one assignment. */
  references: 10_000,
  queryParametersPerPrivilege: 32,
  segmentsPerPath: 64,
} as const;

/** What may be asked for. Covers every path that begins with these whole segments. */
export interface Privilege {
  readonly name: string;
  /** Canonical; the empty list covers every path. */
  readonly segments: readonly string[];
  /** Canonical; each name once. All of them must be in the request, with these values. */
  readonly query: readonly QueryParameter[];
}

export const SELECTORS = ["userName", "groupName", "exePath", "processName"] as const;
export type Selector = (typeof SELECTORS)[number];

/** Who may ask. At least one selector is there, and a caller must fit all that are. */
export interface Identity {
  readonly name: string;
  readonly userName: string | undefined;
  readonly groupName: string | undefined;
  /** In the form of {@link normaliseExePath}. */
  readonly exePath: string | undefined;
  readonly processName: string | undefined;
}

export interface RawRole {
  readonly name: string;
  readonly privileges: readonly string[];
}

export interface RawAssignment {
  readonly role: string;
  readonly identities: readonly string[];
}

/** Reads one privilege. A path or query value that has no canonical form is refused: it would protect nothing. */
export function parsePrivilege(at: Located): Result<Privilege, RuleError> {
  const object = readObject(at);
  if (!object.ok) return object;
  const name = readString(member(object.value, at, "name"));
  if (!name.ok) return name;
  const pathAt = member(object.value, at, "path");
  const path = readString(pathAt);
  if (!path.ok) return path;
  const canonical = canonicalisePath(path.value);
  if (!canonical.ok) return refuse("unclear-path", pathAt, `a path with one clear reading (${canonical.error})`);
  const { segments } = canonical.value;
  if (segments.length > RULE_LIMITS.segmentsPerPath) {
    return refuse("too-many", { value: segments.length, pointer: pathAt.pointer }, `at most ${RULE_LIMITS.segmentsPerPath} segments`);
  }
  const query = parseQueryParameters(member(object.value, at, "queryParameters"));
  return query.ok ? ok({ name: name.value, segments, query: query.value }) : query;
}

/** Every name and value is decoded by itself, by the same rule as a request's. */
function parseQueryParameters(at: Located): Result<readonly QueryParameter[], RuleError> {
  if (at.value === undefined) return ok([]);
  const object = readObject(at);
  if (!object.ok) return object;
  if (object.value.size > RULE_LIMITS.queryParametersPerPrivilege) {
    const wanted = `at most ${RULE_LIMITS.queryParametersPerPrivilege} parameters`;
    return refuse("too-many", { value: object.value.size, pointer: at.pointer }, wanted);
  }
  const values = new Map<string, string>();
  for (const rawName of object.value.keys()) {
    const valueAt = member(object.value, at, rawName);
    const rawValue = readString(valueAt);
    if (!rawValue.ok) return rawValue;
    const nameAt = { value: rawName, pointer: valueAt.pointer };
    const name = rawName.isWellFormed() ? decodeQueryComponent(rawName) : undefined;
    if (name === undefined || !name.ok || name.value === "")
      return refuse("unclear-query", nameAt, "a parameter name with one clear reading");
    const value = decodeQueryComponent(rawValue.value);
    if (!value.ok) return refuse("unclear-query", valueAt, `a value with one clear reading (${value.error})`);
    const earlier = values.get(name.value);
    if (earlier !== undefined && earlier !== value.value)
      return refuse("unclear-query", nameAt, "each parameter name once, letter case ignored");
    values.set(name.value, value.value);
  }
  return ok([...values].map(([name, value]) => ({ name, value })));
}

/** Reads one identity. Without a selector it would be everybody; with an empty one, whoever we know nothing about. */
export function parseIdentity(at: Located): Result<Identity, RuleError> {
  const object = readObject(at);
  if (!object.ok) return object;
  const name = readString(member(object.value, at, "name"));
  if (!name.ok) return name;
  const found = new Map<Selector, string>();
  for (const selector of SELECTORS) {
    const selectorAt = member(object.value, at, selector);
    const text = readOptionalString(selectorAt);
    if (!text.ok) return text;
    if (text.value === undefined) continue;
    if (text.value === "") return refuse("empty-selector", selectorAt, "a text that is not empty");
    // U+FFFD stands for bytes that could not be read, so it would fit different callers; NUL ends names in the kernel.
    if (/[\0\ufffd]/.test(text.value)) return refuse("unclear-text", selectorAt, "a text without U+0000 and U+FFFD");
    found.set(selector, text.value);
  }
  if (found.size === 0) return refuse("no-selector", at, `at least one of ${SELECTORS.join(", ")}`);
  const exePath = found.get("exePath");
  return ok({
    name: name.value,
    userName: found.get("userName"),
    groupName: found.get("groupName"),
    exePath: exePath === undefined ? undefined : normaliseExePath(exePath),
    processName: found.get("processName"),
  });
}

export function parseRole(at: Located): Result<RawRole, RuleError> {
  const object = readObject(at);
  if (!object.ok) return object;
  const name = readString(member(object.value, at, "name"));
  if (!name.ok) return name;
  const privileges = readEach(member(object.value, at, "privileges"), RULE_LIMITS.references, readString);
  return privileges.ok ? ok({ name: name.value, privileges: privileges.value }) : privileges;
}

export function parseAssignment(at: Located): Result<RawAssignment, RuleError> {
  const object = readObject(at);
  if (!object.ok) return object;
  const role = readString(member(object.value, at, "role"));
  if (!role.ok) return role;
  const identities = readEach(member(object.value, at, "identities"), RULE_LIMITS.references, readString);
  return identities.ok ? ok({ role: role.value, identities: identities.value }) : identities;
}

/** Repeated slashes, `.` components and a trailing slash do not count; `..` and links are not resolved. */
export function normaliseExePath(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  return `${path.startsWith("/") ? "/" : ""}${parts.join("/")}`;
}
