// Proposes a rule set from observed requests: per identity only what it requested, nothing that another identity of the same caller
// grants already, so that no assignment can be removed without denying something that was observed. Pure and deterministic.

import { createHash } from "node:crypto";
import { renderCanonical } from "../../core/request/canonical-request.ts";
import { ENDPOINT_FACTS, type Endpoint } from "../../core/request/endpoint.ts";
import type { Mode } from "../../core/request/verdict.ts";
import type { DefaultAccess } from "../../core/rules/rules.ts";
import type { CallerSelectors } from "./callers.ts";
import { reduceShapes } from "./least-shapes.ts";
import { makeUncoveredList, type Observed, type ObservedCaller, type ObservedShape, type Uncovered } from "./observed-requests.ts";
import { covers, describeShape, type RequestShape, shapeKey } from "./request-shape.ts";

/** The item as the platform sends it. */
export interface SuggestedItem {
  readonly id: string;
  readonly mode: Mode;
  readonly defaultAccess: DefaultAccess;
  readonly rules: {
    readonly privileges: readonly {
      readonly name: string;
      readonly path: string;
      readonly queryParameters?: Readonly<Record<string, string>>;
    }[];
    readonly roles: readonly { readonly name: string; readonly privileges: readonly string[] }[];
    readonly identities: readonly { readonly name: string; readonly userName: string; readonly exePath?: string }[];
    readonly roleAssignments: readonly { readonly role: string; readonly identities: readonly string[] }[];
  };
}

/** One identity of the suggestion: the callers it stands for and what they may request. */
export interface SuggestedIdentity {
  readonly name: string;
  readonly selectors: CallerSelectors;
  /** Observed callers that it names. */
  readonly callers: readonly ObservedCaller[];
  readonly privileges: readonly RequestShape[];
  /** Left open, or merged: what it may request beyond what was seen. */
  readonly opened: readonly string[];
  readonly merged: readonly string[];
}

export interface Suggestion {
  readonly item: SuggestedItem;
  readonly identities: readonly SuggestedIdentity[];
  /** Program identities left out, because the identity of their user alone grants everything they requested. */
  readonly coveredByUser: readonly ObservedCaller[];
  /** What the rules must allow: the observed requests without those in {@link uncovered}. */
  readonly covered: readonly { readonly caller: ObservedCaller; readonly shape: ObservedShape }[];
  readonly uncovered: readonly Uncovered[];
}

export interface SuggestOptions {
  /** The rules will be this endpoint's. */
  readonly endpoint: Endpoint;
  readonly defaultAccess: DefaultAccess;
  /** Kinds of requests seen less often are left out. */
  readonly minCount: number;
}

export function suggestRules(observed: Observed, options: SuggestOptions): Suggestion {
  const uncovered = makeUncoveredList();
  for (const { userName, exePath, what, why, count } of observed.uncovered) uncovered.add(userName, exePath, what, why, count);
  const covered = observed.callers.flatMap((caller) => selectShapes(caller, options, uncovered).map((shape) => ({ caller, shape })));
  const drafts = draftIdentities(covered, options.endpoint);
  const coveredByUser: ObservedCaller[] = [];
  const kept: IdentityDraft[] = [];
  for (const draft of drafts) {
    const { privileges, selectors } = draft;
    const wider = selectors.exePath === undefined ? undefined : drafts.find((other) => isUserAlone(other, selectors.userName));
    const own = privileges.filter((shape) => wider?.privileges.some((privilege) => covers(privilege, shape)) !== true);
    if (own.length > 0) kept.push({ ...draft, privileges: own });
    else coveredByUser.push(...draft.callers);
  }
  const names = makeNames();
  const identities = kept.map((draft) => ({ ...draft, name: names(identityName(draft.selectors)) }));
  return { item: renderItem(identities, options), identities, coveredByUser, covered, uncovered: uncovered.list() };
}

/** The part of a caller's requests that goes into rules; the rest is reported. */
function selectShapes(
  caller: ObservedCaller,
  options: SuggestOptions,
  uncovered: ReturnType<typeof makeUncoveredList>,
): readonly ObservedShape[] {
  const tell = ({ shape, count }: ObservedShape, why: "rare" | "never-served") =>
    uncovered.add(caller.userName, caller.exePath, describeShape(shape), why, count);
  const frequent = caller.shapes.filter((shape) => {
    if (shape.count >= options.minCount) return true;
    tell(shape, "rare");
    return false;
  });
  return frequent.filter((shape) => {
    const widens = frequent.some((other) => other.shape.query.length > shape.shape.query.length && covers(shape.shape, other.shape));
    if (shape.served > 0 || !widens) return true;
    tell(shape, "never-served");
    return false;
  });
}

interface IdentityDraft {
  readonly selectors: CallerSelectors;
  readonly callers: readonly ObservedCaller[];
  readonly privileges: readonly RequestShape[];
  readonly opened: readonly string[];
  readonly merged: readonly string[];
}

function isUserAlone({ selectors }: IdentityDraft, userName: string): boolean {
  return selectors.exePath === undefined && selectors.userName === userName;
}

/** One identity for all callers that the same selectors name, in the order of names. */
function draftIdentities(covered: Suggestion["covered"], endpoint: Endpoint): readonly IdentityDraft[] {
  const bySelectors = new Map<string, { selectors: CallerSelectors; callers: Set<ObservedCaller>; shapes: RequestShape[] }>();
  for (const { caller, shape } of covered) {
    const key = JSON.stringify([caller.selectors.userName, caller.selectors.exePath ?? ""]);
    const draft = bySelectors.get(key) ?? { selectors: caller.selectors, callers: new Set(), shapes: [] };
    bySelectors.set(key, draft);
    draft.callers.add(caller);
    draft.shapes.push(shape.shape);
  }
  return [...bySelectors]
    .sort(([a], [b]) => compare(a, b))
    .map(([, { selectors, callers, shapes }]) => {
      const { shapes: privileges, opened, merged } = reduceShapes(endpoint, shapes);
      return { selectors, callers: [...callers], privileges, opened, merged };
    });
}

function renderItem(identities: readonly SuggestedIdentity[], { endpoint, defaultAccess }: SuggestOptions): SuggestedItem {
  const shapes = new Map(identities.flatMap(({ privileges }) => privileges.map((shape) => [shapeKey(shape), shape] as const)));
  const names = makeNames();
  const ordered = [...shapes].sort(([, a], [, b]) => compare(describeShape(a), describeShape(b)));
  const nameOf = new Map(ordered.map(([key, shape]) => [key, names(privilegeName(shape))]));
  const roles = new Map<string, { readonly privileges: readonly string[]; readonly identities: string[] }>();
  for (const { name, privileges } of identities) {
    const granted = privileges.map((shape) => nameOf.get(shapeKey(shape)) ?? "").sort(compare);
    const key = JSON.stringify(granted);
    const role = roles.get(key) ?? { privileges: granted, identities: [] };
    roles.set(key, role);
    role.identities.push(name);
  }
  const roleNames = makeNames();
  const namedRoles = [...roles.values()].map((role) => ({ ...role, name: roleNames(roleName(role)) }));
  const rules: SuggestedItem["rules"] = {
    privileges: ordered.map(([key, shape]) => ({ name: nameOf.get(key) ?? "", ...renderPrivilege(shape) })),
    roles: namedRoles.map(({ name, privileges }) => ({ name, privileges })),
    identities: identities.map(({ name, selectors: { userName, exePath } }) => ({
      name,
      userName,
      ...(exePath === undefined ? {} : { exePath }),
    })),
    roleAssignments: namedRoles.map((role) => ({ role: role.name, identities: role.identities })),
  };
  const digest = createHash("sha256")
    .update(JSON.stringify([endpoint, defaultAccess, rules]))
    .digest("hex");
  // Audit: a file used unchanged breaks nothing, and the report shows what enforce would do.
  return { id: `suggested-${endpoint}-${digest.slice(0, 12)}`, mode: "audit", defaultAccess, rules };
}

function renderPrivilege({ segments, query }: RequestShape): { path: string; queryParameters?: Record<string, string> } {
  const path = renderCanonical({ segments, trailingSlash: false, query: [] });
  if (query.length === 0) return { path };
  // Rules decode values once, as they do requests: what would be decoded is escaped.
  const escaped = (text: string) => text.replaceAll("%", "%25").replaceAll("+", "%2B");
  return { path, queryParameters: Object.fromEntries(query.map(({ name, value }) => [name, escaped(value)])) };
}

const MAX_NAME_CHARACTERS = 80;

/** Makes names unique by numbering those that come again. */
function makeNames(): (wanted: string) => string {
  const taken = new Set<string>();
  return (wanted) => {
    const base = wanted === "" ? "unnamed" : [...wanted].slice(0, MAX_NAME_CHARACTERS).join("");
    let name = base;
    for (let number = 2; taken.has(name); number++) name = `${base}-${number}`;
    taken.add(name);
    return name;
  };
}

function identityName({ userName, exePath }: CallerSelectors): string {
  return slug(exePath === undefined ? userName : `${userName}-${exePath.slice(exePath.lastIndexOf("/") + 1)}`);
}

function privilegeName({ segments, query }: RequestShape): string {
  const values = query.map(({ value }) => value.replace(/^https?:\/\//, ""));
  // The service's first segment is the same for all of them.
  const path = segments.length > 1 && segments[0] === "metadata" ? segments.slice(1) : segments;
  return slug([...path, ...values].join("-"));
}

function roleName({ privileges, identities }: { readonly privileges: readonly string[]; readonly identities: readonly string[] }): string {
  return privileges.length === 1 ? `read-${privileges[0]}` : `access-of-${identities[0]}`;
}

function slug(text: string): string {
  return text.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^-+|-+$/g, "");
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Endpoints whose requests a rule set of this endpoint decides: HostGAPlugin follows WireServer unless it has an item of its own. */
export function endpointsDecidedBy(endpoint: Endpoint): readonly Endpoint[] {
  return endpoint === "wireserver" ? ["wireserver", "hostga"] : [endpoint];
}

/** For people: where these rules apply. */
export function titleOf(endpoint: Endpoint): string {
  return endpointsDecidedBy(endpoint)
    .map((each) => ENDPOINT_FACTS[each].title)
    .join(" and ");
}
