// The privileges of a rule set as table rows: a tree of path segments, the patterns that end at each of its nodes, and the query
// parameters they require. A pattern's method is one more parameter, under a name that no query can have.

import { METHODS, type Method } from "../../request/canonical-request.ts";
import type { PairEntry } from "./hash-index.ts";
import type { Pattern } from "./rule-plan.ts";
import { constraintKey, NONE, SCOPE } from "./table-layout.ts";
import { rarest, type ScopedText, type TextPool } from "./text-pool.ts";

export interface TreeRows {
  readonly texts: readonly ScopedText[];
  readonly pairs: readonly PairEntry[];
  readonly nodeCount: number;
  /** Edges on the longest path. */
  readonly depth: number;
  readonly nameCount: number;
  readonly nodes: readonly number[];
  readonly patterns: readonly number[];
  readonly constraints: readonly number[];
  readonly patternLists: readonly number[];
  readonly parameters: readonly number[];
  /** The parameter of each of METHODS, or NONE when no pattern wants it. */
  readonly methods: readonly number[];
}

interface TreeNode {
  readonly children: Map<string, number>;
  /** Patterns with constraints that end here. */
  readonly constrained: number[];
  /** The pattern without any that ends here, or NONE. */
  plain: number;
}

export function writeTree(patterns: readonly Pattern[], texts: TextPool): TreeRows {
  const entries: ScopedText[] = [];
  const { nodes, depth } = growTree(patterns, texts, entries);
  const parameters = new ParameterTable(nodes.length, texts, entries);
  const rows: number[] = [];
  const constraints: number[] = [];
  const wantedBy = patterns.map(({ query, method, name }) => {
    const wanted = query.map((pair) => parameters.number(pair.name, pair.value));
    if (method !== undefined) wanted.push(parameters.methodNumber(method));
    rows.push(texts.number(name), constraints.length, wanted.length);
    constraints.push(...wanted);
    return wanted;
  });

  const pairs: PairEntry[] = [];
  const patternLists: number[] = [];
  for (const [node, { constrained }] of nodes.entries()) {
    const popularity = new Map<number, number>();
    const constrainedBy = new Map<number, number>();
    for (const pattern of constrained) {
      const { query = [], method, name = "" } = patterns[pattern] ?? {};
      for (const parameter of wantedBy[pattern] ?? []) popularity.set(parameter, (popularity.get(parameter) ?? 0) + 1);
      for (const pair of query) {
        const key = constraintKey(parameters.nameNumber(pair.name), method === undefined ? undefined : METHODS.indexOf(method));
        if (!constrainedBy.has(key)) constrainedBy.set(key, texts.number(name));
      }
    }
    for (const [key, privilege] of constrainedBy) pairs.push({ left: nodes.length + node, right: key, values: [privilege, 0] });
    // Filed under its rarest parameter, so that the lists stay short.
    const lists = Map.groupBy(constrained, (pattern) => rarest(wantedBy[pattern] ?? [], popularity));
    for (const [parameter, list] of lists) {
      pairs.push({ left: node, right: parameter, values: [patternLists.length, list.length] });
      patternLists.push(...list);
    }
  }
  return {
    texts: entries,
    pairs,
    nodeCount: nodes.length,
    depth,
    nameCount: parameters.nameCount,
    nodes: nodes.flatMap(({ plain, constrained }) => [plain, constrained.length === 0 ? 0 : 1]),
    patterns: rows,
    constraints,
    patternLists,
    parameters: parameters.rows,
    methods: parameters.methods,
  };
}

/** Node 0 is the root, which covers every path. */
function growTree(
  patterns: readonly Pattern[],
  texts: TextPool,
  entries: ScopedText[],
): { readonly nodes: readonly TreeNode[]; readonly depth: number } {
  const root = newNode();
  const nodes = [root];
  let depth = 0;
  for (const [pattern, { segments, query, method }] of patterns.entries()) {
    let number = 0;
    let node = root;
    for (const segment of segments) {
      let child = node.children.get(segment);
      if (child === undefined) {
        child = nodes.push(newNode()) - 1;
        node.children.set(segment, child);
        entries.push({ scope: number, string: texts.number(segment), value: child });
      }
      number = child;
      node = nodes[child] ?? root;
    }
    depth = Math.max(depth, segments.length);
    if (query.length === 0 && method === undefined) node.plain = pattern;
    else node.constrained.push(pattern);
  }
  return { nodes, depth };
}

function newNode(): TreeNode {
  return { children: new Map(), constrained: [], plain: NONE };
}

/** Query names are never empty. */
const METHOD_NAME = "";

/** Numbers for query names, and for names with a value. */
class ParameterTable {
  /** Name number of each parameter. */
  readonly rows: number[] = [];
  readonly methods: number[] = METHODS.map(() => NONE);
  readonly #nodeCount: number;
  readonly #texts: TextPool;
  readonly #entries: ScopedText[];
  readonly #names = new Map<string, number>();
  readonly #parameters = new Map<string, number>();

  constructor(nodeCount: number, texts: TextPool, entries: ScopedText[]) {
    this.#nodeCount = nodeCount;
    this.#texts = texts;
    this.#entries = entries;
  }

  get nameCount(): number {
    return this.#names.size;
  }

  nameNumber(name: string): number {
    const known = this.#names.get(name);
    if (known !== undefined) return known;
    const number = this.#names.size;
    this.#names.set(name, number);
    // Not found by text: only the engine itself notes a request's method.
    if (name !== METHOD_NAME) {
      this.#entries.push({ scope: this.#nodeCount + SCOPE.queryNames, string: this.#texts.number(name), value: number });
    }
    return number;
  }

  methodNumber(method: Method): number {
    const i = METHODS.indexOf(method);
    let parameter = this.methods[i] ?? NONE;
    if (parameter === NONE) {
      parameter = this.rows.push(this.nameNumber(METHOD_NAME)) - 1;
      this.methods[i] = parameter;
    }
    return parameter;
  }

  number(name: string, value: string): number {
    const nameNumber = this.nameNumber(name);
    const key = `${nameNumber}=${value}`;
    let parameter = this.#parameters.get(key);
    if (parameter === undefined) {
      parameter = this.rows.push(nameNumber) - 1;
      this.#parameters.set(key, parameter);
      this.#entries.push({ scope: this.#nodeCount + SCOPE.values + nameNumber, string: this.#texts.number(value), value: parameter });
    }
    return parameter;
  }
}
