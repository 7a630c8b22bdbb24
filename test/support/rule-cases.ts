// Random rule items, callers and requests from small alphabets, so that things meet: paths nest, names repeat and dangle,
// identities share selectors, parameters collide.

import { type CanonicalRequest, canonicalise, METHODS } from "../../proxy/core/request/canonical-request.ts";
import type { Random } from "./random.ts";
import type { PlainCaller, PlainIdentity, PlainItem, PlainRequest } from "./rule-evaluator.ts";

const SEGMENTS = ["a", "b", "metadata", "x.y", "Ab"] as const;
const QUERY_NAMES = ["k", "api-version", "Q", "a b"] as const;
const QUERY_VALUES = ["", "1", "V", "a b", "a&b=c", "é"] as const;
const USERS = ["alice", "bob", "Alice"] as const;
const GROUPS = ["readers", "admins", "ops"] as const;
const EXECUTABLES = ["/usr/bin/curl", "/usr/bin/../bin/curl", "/opt/agent", "/usr/bin/CURL"] as const;
const PROCESSES = ["curl", "agent"] as const;
const HASHES = ["0a", "f1", "5c"].map((byte) => byte.repeat(32)) as unknown as readonly [string, ...string[]];
const UNITS = ["nginx.service", "system.slice", "user@1000.service", "a\\x2db.service"] as const;
const CGROUPS = [
  "/",
  "/system.slice",
  "/system.slice/nginx.service",
  "/system.slice/nginx.service/worker",
  "/system.slice/a\\x2db.service",
  "/system.slice/nginx.service-2",
  "/user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service",
  "/user@1000.service/system.slice/nginx.service",
  "/docker/nginx.service",
] as const;

/** What a generator makes of the extensions: without them a rule file is what the platform sends today. */
const EXTENSION_SELECTORS = ["exeSha256", "systemdUnit", "cgroupPath"] as const;

export interface CaseOptions {
  /** Without it, names are unique and every reference resolves: the form in which order must not matter. */
  readonly untidy: boolean;
  /** Only members that the platform's own format has. */
  readonly plain?: boolean;
}

export function randomItem(random: Random, { untidy, plain = false }: CaseOptions): PlainItem {
  const size = random.pick([1, 2, 4, 8, 20]);
  const nameFor = (kind: string) => (index: number) => `${kind}${untidy && random.oneIn(8) ? random.below(size) : index}`;
  const reference = (kind: string, count: number) => `${kind}${random.below(untidy ? count + 1 : Math.max(count, 1))}`;
  const privilegeName = nameFor("p");
  const privileges = random.list(1, size, (index) => randomPrivilege(random, privilegeName(index), plain));
  const identityName = nameFor("i");
  const identities = random.list(1, size, (index) => randomIdentity(random, identityName(index), plain));
  const roleName = nameFor("r");
  const roles = random.list(1, size, (index) => ({
    name: roleName(index),
    privileges: random.list(0, 4, () => reference("p", privileges.length)),
  }));
  const roleAssignments = random.list(0, size, () => ({
    role: reference("r", roles.length),
    identities: random.list(0, 3, () => reference("i", identities.length)),
  }));
  const defaultAccess = random.pick(["allow", "deny", "Allow"]);
  return { defaultAccess, mode: "enforce", id: "random", rules: { privileges, roles, identities, roleAssignments } };
}

function randomPrivilege(random: Random, name: string, plain: boolean): PlainItem["rules"]["privileges"][number] {
  const segments = random.list(0, 4, () => random.pick(SEGMENTS));
  const path = `${random.oneIn(6) ? "" : "/"}${segments.join(random.pick(["/", "/", "//", "/./", "%2F"]))}${random.oneIn(5) ? "/" : ""}`;
  const method = plain || !random.oneIn(3) ? {} : { method: randomMethods(random) };
  if (random.oneIn(2)) return { name, path, ...method };
  const names = random.shuffled(QUERY_NAMES).slice(0, random.below(4));
  const queryParameters = Object.fromEntries(names.map((query) => [spell(random, query), spell(random, random.pick(QUERY_VALUES))]));
  return { name, path, queryParameters, ...method };
}

function randomMethods(random: Random): string[] {
  const methods = random.shuffled(random.oneIn(2) ? METHODS : METHODS.slice(0, 3));
  return methods.slice(0, 1 + random.below(methods.length)).map((method) => (random.oneIn(3) ? method.toLowerCase() : method));
}

function randomIdentity(random: Random, name: string, plain: boolean): PlainIdentity {
  const all: PlainIdentity = {
    name,
    userName: random.pick(USERS),
    groupName: random.pick(GROUPS),
    exePath: random.oneIn(3) ? random.pick(EXECUTABLES).replace("/", "/./").replace("bin/", "bin//") : random.pick(EXECUTABLES),
    processName: random.pick(PROCESSES),
    exeSha256: random.oneIn(2) ? random.pick(HASHES).toUpperCase() : random.list(1, 3, () => random.pick(HASHES)),
    systemdUnit: random.pick(UNITS),
    cgroupPath: `${random.pick([...CGROUPS].slice(1) as [string, ...string[]])}${random.oneIn(3) ? "/" : ""}`,
  };
  const kept = random
    .shuffled(["userName", "groupName", "exePath", "processName", ...(plain ? [] : EXTENSION_SELECTORS)] as const)
    .slice(0, 1 + random.below(random.pick([1, 2, 4])));
  return { name, ...Object.fromEntries(kept.map((selector) => [selector, all[selector]])) };
}

export function randomCaller(random: Random): PlainCaller {
  return {
    userName: random.oneIn(5) ? undefined : random.pick(USERS),
    userGroups: random.shuffled([...GROUPS, "others"]).slice(0, random.below(4)),
    processFullPath: random.oneIn(5) ? undefined : random.pick([...EXECUTABLES, "/bin/sh"]),
    processName: random.oneIn(5) ? undefined : random.pick([...PROCESSES, "sh"]),
    executableSha256: random.oneIn(4) ? undefined : random.pick([...HASHES, "ee".repeat(32)]),
    cgroupPath: random.oneIn(5) ? undefined : random.pick(CGROUPS),
  };
}

/** A request in both forms: as the plain evaluator takes it, and canonicalised from a target by the code under test. */
export function randomRequest(random: Random): { readonly plain: PlainRequest; readonly canonical: CanonicalRequest } {
  const segments = random.list(0, 5, () => random.pick(SEGMENTS));
  const query = random.list(0, 4, () => [random.pick(QUERY_NAMES), random.pick(QUERY_VALUES)] as const);
  const path = `/${segments.map((segment) => spell(random, segment)).join("/")}${random.oneIn(5) ? "/" : ""}`;
  const search = query.map(([name, value]) => `${spell(random, name)}=${spell(random, value)}`).join("&");
  const target = search === "" ? path : `${path}?${search}`;
  const method = random.pick(["GET", "GET", "PUT", "POST", "HEAD"]);
  const canonical = canonicalise("imds", method, target);
  if (!canonical.ok) throw new Error(`internal error: generated target "${target}" is refused: ${canonical.error}`);
  const plain: PlainRequest = {
    method,
    segments: segments.map((segment) => segment.toLowerCase()),
    query: query.map(([name, value]) => [name.toLowerCase(), value.toLowerCase()]),
  };
  return { plain, canonical: canonical.value };
}

/** The same text in another spelling that means the same in paths and queries. */
function spell(random: Random, text: string): string {
  const escaped = encodeURIComponent(text);
  if (random.oneIn(4)) return escaped.replace(/^[A-Za-z]/, (letter) => `%${letter.charCodeAt(0).toString(16)}`);
  return random.oneIn(4) ? escaped.replace(/^[a-z]/, (letter) => letter.toUpperCase()) : escaped;
}
