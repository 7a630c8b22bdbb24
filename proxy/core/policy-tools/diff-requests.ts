// The requests that matter when two rule sets are compared. A decision depends on the path only through the rule paths it runs
// along, on the query only through which privileges' parameters it satisfies or makes ambiguous, on the method only through lists
// of methods. So one request per node of the tree of rule paths, set of satisfied parameters and kind of method is enough.

import { METHODS, type Method, type QueryParameter } from "../canonical-request.ts";
import type { RuleSet } from "../rules.ts";
import type { CallerClasses } from "./diff-callers.ts";

export const SIDES = ["old", "new"] as const;
export type Side = (typeof SIDES)[number];
export type BothSides<Value> = Readonly<Record<Side, Value>>;

/** A privilege as far as decisions depend on it. */
export interface Pattern {
  readonly query: readonly QueryParameter[];
  /** Undefined: every method. */
  readonly methods: readonly Method[] | undefined;
  /** Keys of the caller classes it is granted to. */
  readonly holders: ReadonlySet<string>;
}

/** A path that some rule names, or that leads to one; stands for every path below it that no other node stands for. */
export interface PathNode {
  readonly segments: readonly string[];
  readonly parent: PathNode | undefined;
  readonly children: readonly PathNode[];
  /** Patterns of this path itself. */
  readonly patterns: BothSides<readonly Pattern[]>;
}

interface GrowingNode extends PathNode {
  readonly children: GrowingNode[];
  readonly byName: Map<string, GrowingNode>;
  readonly patterns: BothSides<Pattern[]>;
}

/** The tree of both sides' rule paths; its root stands for every path that no rule names. */
export function growPathTree(rules: BothSides<RuleSet>, classes: CallerClasses): PathNode {
  const root = newNode([], undefined);
  for (const side of SIDES) {
    const { privileges, roles, identities } = rules[side];
    const holders = privileges.map(() => new Set<string>());
    for (const role of roles) {
      const keys = role.identities.flatMap((index) => {
        const identity = identities[index];
        return identity === undefined ? [] : classes.keysOf(identity);
      });
      for (const privilege of role.privileges) for (const key of keys) holders[privilege]?.add(key);
    }
    privileges.forEach(({ segments, query, methods }, i) => {
      let node = root;
      for (const segment of segments) node = childOf(node, segment);
      node.patterns[side].push({ query, methods, holders: holders[i] ?? new Set() });
    });
  }
  return root;
}

function newNode(segments: readonly string[], parent: PathNode | undefined): GrowingNode {
  return { segments, parent, children: [], byName: new Map(), patterns: { old: [], new: [] } };
}

function childOf(node: GrowingNode, segment: string): GrowingNode {
  let child = node.byName.get(segment);
  if (child === undefined) {
    child = newNode([...node.segments, segment], node);
    node.byName.set(segment, child);
    node.children.push(child);
  }
  return child;
}

/** Do both sides have the same patterns, granted to the same callers, at this very path? */
export function hasSamePatterns({ patterns }: PathNode): boolean {
  return describePatterns(patterns.old) === describePatterns(patterns.new);
}

function describePatterns(patterns: readonly Pattern[]): string {
  const merged = new Map<string, Set<string>>();
  for (const { query, methods, holders } of patterns) {
    const key = `${queryKey(query)} ${methods?.join() ?? ""}`;
    const known = merged.get(key) ?? new Set();
    for (const holder of holders) known.add(holder);
    merged.set(key, known);
  }
  return JSON.stringify([...merged].sort().map(([key, holders]) => [key, [...holders].sort()]));
}

/** A method that patterns name, or one for all that none names. */
export interface MethodClass {
  readonly method: Method;
  readonly named: boolean;
}

export function methodClasses(patterns: readonly Pattern[]): readonly MethodClass[] {
  const named = METHODS.filter((method) => patterns.some(({ methods }) => methods?.includes(method)));
  const other = METHODS.find((method) => !named.includes(method));
  return [...(other === undefined ? [] : [{ method: other, named: false }]), ...named.map((method) => ({ method, named: true }))];
}

/** Parameters of a request: together they satisfy some patterns and no others. */
export interface QueryClass {
  readonly with: readonly QueryParameter[];
  /** Further parameters that would make it another class; each list as a whole. */
  readonly unless: readonly (readonly QueryParameter[])[];
}

/**
 * Every combination of the patterns' parameters that can be in one request, smallest first.
 * @param limit - combinations; when there are more, `complete` is false
 */
export function queryClasses(
  patterns: readonly Pattern[],
  limit: number,
): { readonly classes: readonly QueryClass[]; readonly complete: boolean } {
  const constraints = new Map(patterns.filter(({ query }) => query.length > 0).map(({ query }) => [queryKey(query), query]));
  const found = new Map<string, readonly QueryParameter[]>([["", []]]);
  let layer: readonly (readonly QueryParameter[])[] = [[]];
  let complete = true;
  while (layer.length > 0 && complete) {
    const next: (readonly QueryParameter[])[] = [];
    for (const base of layer) {
      for (const constraint of constraints.values()) {
        const union = unite(base, constraint);
        if (union === undefined || found.has(queryKey(union))) continue;
        if (found.size >= limit) {
          complete = false;
          break;
        }
        found.set(queryKey(union), union);
        next.push(union);
      }
    }
    layer = next;
  }
  const classes = [...found.values()].map((pairs) => ({
    with: pairs,
    unless: [...constraints.values()]
      .filter((each) => !satisfies(pairs, each) && unite(pairs, each) !== undefined)
      .map((each) => without(each, pairs)),
  }));
  return { classes, complete };
}

/** Are all of the wanted parameters among these? */
export function satisfies(pairs: readonly QueryParameter[], wanted: readonly QueryParameter[]): boolean {
  return wanted.every(({ name, value }) => pairs.some((pair) => pair.name === name && pair.value === value));
}

/** Both together, sorted by name; undefined when they want two values of one parameter. */
function unite(left: readonly QueryParameter[], right: readonly QueryParameter[]): readonly QueryParameter[] | undefined {
  const values = new Map(left.map(({ name, value }) => [name, value]));
  for (const { name, value } of right) {
    if ((values.get(name) ?? value) !== value) return undefined;
    values.set(name, value);
  }
  return [...values].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => ({ name, value }));
}

function without(pairs: readonly QueryParameter[], known: readonly QueryParameter[]): readonly QueryParameter[] {
  return pairs.filter((pair) => !satisfies(known, [pair]));
}

function queryKey(pairs: readonly QueryParameter[]): string {
  if (pairs.length === 0) return "";
  return JSON.stringify([...pairs].sort((a, b) => (a.name < b.name ? -1 : 1)).map(({ name, value }) => [name, value]));
}
