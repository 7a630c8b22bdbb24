// The four kinds of parts of an allowlist (privileges, roles, identities, role assignments), read one element at a time.
// Names are kept as received and compared case-sensitively; what a request is compared with is put into canonical form here.

import { canonicalisePath, decodeQueryComponent, METHODS, type Method, type QueryParameter } from "../request/canonical-request.ts";
import { ok, type Result } from "../result.ts";
import { type Located, member, type RuleError, readEach, readObject, readString, refuse } from "./rule-json.ts";
import { readCgroupPath, readExecutableHashes, readPlainSelector, readUnitName } from "./rule-selectors.ts";

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
  /** Hashes within one identity. */
  executableHashes: 32,
} as const;

/** A path (and query) that callers may request. Covers every path that begins with these whole segments. */
export interface Privilege {
  readonly name: string;
  /** Canonical; the empty list covers every path. */
  readonly segments: readonly string[];
  /** Canonical; each name once. All of them must be in the request, with these values. */
  readonly query: readonly QueryParameter[];
  /** In the order of {@link METHODS}, each once, at least one; undefined covers every method. */
  readonly methods?: readonly Method[] | undefined;
}

export const SELECTORS = ["userName", "groupName", "exePath", "processName", "exeSha256", "systemdUnit", "cgroupPath"] as const;
export type Selector = (typeof SELECTORS)[number];

/** A set of callers. At least one selector is present, and a caller must fit all of them. */
export interface Identity {
  readonly name: string;
  readonly userName: string | undefined;
  readonly groupName: string | undefined;
  /** In the form of {@link normaliseExePath}. */
  readonly exePath: string | undefined;
  readonly processName: string | undefined;
  /** Lower-case hex SHA-256 of the running executable's content, each once; any one of them fits. */
  readonly exeSha256?: readonly string[] | undefined;
  /** Unit of the system's service manager, as its cgroup is named. */
  readonly systemdUnit?: string | undefined;
  /** Cgroup below the root, `/a/b`; fits callers in that cgroup and in every one below it. */
  readonly cgroupPath?: string | undefined;
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
  if (!query.ok) return query;
  const methods = parseMethods(member(object.value, at, "method"));
  return methods.ok ? ok({ name: name.value, segments, query: query.value, methods: methods.value }) : methods;
}

/** An empty list would cover nothing, and so protect nothing: refused like every word that is not a method. */
function parseMethods(at: Located): Result<readonly Method[] | undefined, RuleError> {
  if (at.value === undefined) return ok(undefined);
  const words = readEach(at, RULE_LIMITS.references, (element) => {
    const text = readString(element);
    if (!text.ok) return text;
    const method = METHODS.find((known) => known.toLowerCase() === text.value.toLowerCase());
    return method === undefined ? refuse("unknown-word", element, `one of ${METHODS.join(", ")}`) : ok(method);
  });
  if (!words.ok) return words;
  if (words.value.length === 0) return refuse("empty-list", at, "at least one method");
  const repeated = words.value.findIndex((method, i) => words.value.indexOf(method) !== i);
  if (repeated >= 0) return refuse("repeated", { value: words.value[repeated], pointer: `${at.pointer}/${repeated}` }, "each method once");
  return ok(METHODS.filter((method) => words.value.includes(method)));
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

/** Reads one identity. Without a selector it would match everyone; with an empty one, callers with unknown fields. */
export function parseIdentity(at: Located): Result<Identity, RuleError> {
  const object = readObject(at);
  if (!object.ok) return object;
  const name = readString(member(object.value, at, "name"));
  if (!name.ok) return name;
  const selector = (kind: Selector) => member(object.value, at, kind);
  const userName = readPlainSelector(selector("userName"));
  if (!userName.ok) return userName;
  const groupName = readPlainSelector(selector("groupName"));
  if (!groupName.ok) return groupName;
  const exePath = readPlainSelector(selector("exePath"));
  if (!exePath.ok) return exePath;
  const processName = readPlainSelector(selector("processName"));
  if (!processName.ok) return processName;
  const exeSha256 = readExecutableHashes(selector("exeSha256"), RULE_LIMITS.executableHashes);
  if (!exeSha256.ok) return exeSha256;
  const systemdUnit = readUnitName(selector("systemdUnit"));
  if (!systemdUnit.ok) return systemdUnit;
  const cgroupPath = readCgroupPath(selector("cgroupPath"));
  if (!cgroupPath.ok) return cgroupPath;
  const identity: Identity = {
    name: name.value,
    userName: userName.value,
    groupName: groupName.value,
    exePath: exePath.value === undefined ? undefined : normaliseExePath(exePath.value),
    processName: processName.value,
    exeSha256: exeSha256.value,
    systemdUnit: systemdUnit.value,
    cgroupPath: cgroupPath.value,
  };
  const named = SELECTORS.some((kind) => identity[kind] !== undefined);
  return named ? ok(identity) : refuse("no-selector", at, `at least one of ${SELECTORS.join(", ")}`);
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
