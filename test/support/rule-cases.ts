// Random rule items, callers and requests from small alphabets, so that things meet: paths nest, names repeat and dangle,
// identities share selectors, parameters collide.

import { type CanonicalRequest, canonicalise } from "../../proxy/core/canonical-request.ts";
import type { Random } from "./random.ts";
import type { PlainCaller, PlainIdentity, PlainItem, PlainRequest } from "./rule-evaluator.ts";

const SEGMENTS = ["a", "b", "metadata", "x.y", "Ab"] as const;
const QUERY_NAMES = ["k", "api-version", "Q", "a b"] as const;
const QUERY_VALUES = ["", "1", "V", "a b", "a&b=c", "é"] as const;
const USERS = ["alice", "bob", "Alice"] as const;
const GROUPS = ["readers", "admins", "ops"] as const;
const EXECUTABLES = ["/usr/bin/curl", "/usr/bin/../bin/curl", "/opt/agent", "/usr/bin/CURL"] as const;
const PROCESSES = ["curl", "agent"] as const;

export interface CaseOptions {
  /** Without it, names are unique and every reference resolves: the form in which order must not matter. */
  readonly untidy: boolean;
}

export function randomItem(random: Random, { untidy }: CaseOptions): PlainItem {
  const size = random.pick([1, 2, 4, 8, 20]);
  const nameFor = (kind: string) => (index: number) => `${kind}${untidy && random.oneIn(8) ? random.below(size) : index}`;
  const reference = (kind: string, count: number) => `${kind}${random.below(untidy ? count + 1 : Math.max(count, 1))}`;
  const privilegeName = nameFor("p");
  const privileges = random.list(1, size, (index) => randomPrivilege(random, privilegeName(index)));
  const identityName = nameFor("i");
  const identities = random.list(1, size, (index) => randomIdentity(random, identityName(index)));
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

function randomPrivilege(random: Random, name: string): PlainItem["rules"]["privileges"][number] {
  const segments = random.list(0, 4, () => random.pick(SEGMENTS));
  const path = `${random.oneIn(6) ? "" : "/"}${segments.join(random.pick(["/", "/", "//", "/./", "%2F"]))}${random.oneIn(5) ? "/" : ""}`;
  if (random.oneIn(2)) return { name, path };
  const names = random.shuffled(QUERY_NAMES).slice(0, random.below(4));
  const queryParameters = Object.fromEntries(names.map((query) => [spell(random, query), spell(random, random.pick(QUERY_VALUES))]));
  return { name, path, queryParameters };
}

function randomIdentity(random: Random, name: string): PlainIdentity {
  const all: PlainIdentity = {
    name,
    userName: random.pick(USERS),
    groupName: random.pick(GROUPS),
    exePath: random.oneIn(3) ? random.pick(EXECUTABLES).replace("/", "/./").replace("bin/", "bin//") : random.pick(EXECUTABLES),
    processName: random.pick(PROCESSES),
  };
  const kept = random
    .shuffled(["userName", "groupName", "exePath", "processName"] as const)
    .slice(0, 1 + random.below(random.pick([1, 2, 4])));
  return { name, ...Object.fromEntries(kept.map((selector) => [selector, all[selector]])) };
}

export function randomCaller(random: Random): PlainCaller {
  return {
    userName: random.oneIn(5) ? undefined : random.pick(USERS),
    userGroups: random.shuffled([...GROUPS, "others"]).slice(0, random.below(4)),
    processFullPath: random.oneIn(5) ? undefined : random.pick([...EXECUTABLES, "/bin/sh"]),
    processName: random.oneIn(5) ? undefined : random.pick([...PROCESSES, "sh"]),
  };
}

/** A request in both forms: as the plain evaluator takes it, and canonicalised from a target by the code under test. */
export function randomRequest(random: Random): { readonly plain: PlainRequest; readonly canonical: CanonicalRequest } {
  const segments = random.list(0, 5, () => random.pick(SEGMENTS));
  const query = random.list(0, 4, () => [random.pick(QUERY_NAMES), random.pick(QUERY_VALUES)] as const);
  const path = `/${segments.map((segment) => spell(random, segment)).join("/")}${random.oneIn(5) ? "/" : ""}`;
  const search = query.map(([name, value]) => `${spell(random, name)}=${spell(random, value)}`).join("&");
  const target = search === "" ? path : `${path}?${search}`;
  const canonical = canonicalise("imds", random.pick(["GET", "PUT", "POST"]), target);
  if (!canonical.ok) throw new Error(`internal error: generated target "${target}" is refused: ${canonical.error}`);
  const plain: PlainRequest = {
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
