// The requests that matter when two rule sets are compared. A decision depends on the path only through the rule paths it runs
// along, on the query only through which privileges' parameters it satisfies or makes ambiguous, on the method only through lists
// of methods. So one request per node of the tree of rule paths, set of satisfied parameters and kind of method is enough.

import { METHODS, type Method, type QueryParameter } from "../../core/request/canonical-request.ts";
import type { RuleSet } from "../../core/rules/rules.ts";
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
  /** Parameter lists of all patterns there are, whether satisfied or not. */
  readonly constraints: readonly (readonly QueryParameter[])[];
}

/** Lists that are shown of one class; there may be thousands. */
const MAX_UNLESS = 100;

/** Further parameters that would make it another class; each list as a whole. `more` counts those that are left out. */
export function unlessOf(queryClass: QueryClass): { readonly lists: readonly (readonly QueryParameter[])[]; readonly more: number } {
  const { with: pairs, constraints } = queryClass;
  const values = new Map(pairs.map(({ name, value }) => [name, value]));
  const others = constraints.filter((each) => isConsistent(values, each) && each.some(({ name }) => !values.has(name)));
  const lists = others.slice(0, MAX_UNLESS).map((each) => each.filter(({ name }) => !values.has(name)));
  return { lists, more: others.length - lists.length };
}

/** Finds the patterns that parameters satisfy without checking all of them. */
export class PatternIndex {
  readonly #byQuery = new Map<string, Pattern[]>();
  readonly #patterns: readonly Pattern[];

  constructor(patterns: readonly Pattern[]) {
    this.#patterns = patterns;
    for (const pattern of patterns) {
      const key = queryKey(pattern.query);
      const known = this.#byQuery.get(key);
      if (known === undefined) this.#byQuery.set(key, [pattern]);
      else known.push(pattern);
    }
  }

  /** @param pairs - each name once */
  satisfiedBy(pairs: readonly QueryParameter[]): readonly Pattern[] {
    // Few parameters have fewer subsets than there are patterns.
    if (2 ** pairs.length >= this.#patterns.length) return this.#patterns.filter(({ query }) => satisfies(pairs, query));
    return subsetsOf(pairs).flatMap((subset) => this.#byQuery.get(queryKey(subset)) ?? []);
  }
}

function subsetsOf(pairs: readonly QueryParameter[]): readonly (readonly QueryParameter[])[] {
  return pairs.reduce<readonly (readonly QueryParameter[])[]>(
    (subsets, pair) => subsets.flatMap((subset) => [subset, [...subset, pair]]),
    [[]],
  );
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
      const values = new Map(base.map(({ name, value }) => [name, value]));
      for (const constraint of constraints.values()) {
        if (!isConsistent(values, constraint)) continue;
        const union = unite(values, constraint);
        if (found.has(queryKey(union))) continue;
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
  const all = [...constraints.values()];
  const classes = [...found.values()].map((pairs) => ({ with: pairs, constraints: all }));
  return { classes, complete };
}

/** Are all of the wanted parameters among these? */
export function satisfies(pairs: readonly QueryParameter[], wanted: readonly QueryParameter[]): boolean {
  return wanted.every(({ name, value }) => pairs.some((pair) => pair.name === name && pair.value === value));
}

/** Can all of these be there too? No parameter of one request has two values. */
function isConsistent(values: ReadonlyMap<string, string>, pairs: readonly QueryParameter[]): boolean {
  for (const { name, value } of pairs) {
    const known = values.get(name);
    if (known !== undefined && known !== value) return false;
  }
  return true;
}

/** Both together, sorted by name. */
function unite(values: ReadonlyMap<string, string>, pairs: readonly QueryParameter[]): readonly QueryParameter[] {
  const all = new Map([...values, ...pairs.map(({ name, value }) => [name, value] as const)]);
  return [...all].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => ({ name, value }));
}

function queryKey(pairs: readonly QueryParameter[]): string {
  if (pairs.length === 0) return "";
  return JSON.stringify([...pairs].sort((a, b) => (a.name < b.name ? -1 : 1)).map(({ name, value }) => [name, value]));
}
