// The privileges of a rule set as table rows: a tree of path segments, the patterns that end at each of its nodes, and the query
// parameters they want.

import type { PairEntry } from "./hash-index.ts";
import type { Pattern } from "./rule-plan.ts";
import { NONE, SCOPE } from "./table-layout.ts";
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
}

interface TreeNode {
  readonly children: Map<string, number>;
  /** Patterns with query constraints that end here. */
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
  const wantedBy = patterns.map(({ query, name }) => {
    const wanted = query.map((pair) => parameters.number(pair.name, pair.value));
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
      for (const parameter of wantedBy[pattern] ?? []) {
        popularity.set(parameter, (popularity.get(parameter) ?? 0) + 1);
        const name = parameters.nameOf(parameter);
        if (!constrainedBy.has(name)) constrainedBy.set(name, texts.number(patterns[pattern]?.name ?? ""));
      }
    }
    for (const [name, privilege] of constrainedBy) pairs.push({ left: nodes.length + node, right: name, values: [privilege, 0] });
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
  for (const [pattern, { segments, query }] of patterns.entries()) {
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
    if (query.length === 0) node.plain = pattern;
    else node.constrained.push(pattern);
  }
  return { nodes, depth };
}

function newNode(): TreeNode {
  return { children: new Map(), constrained: [], plain: NONE };
}

/** Numbers for query names, and for names with a value. */
class ParameterTable {
  /** Name number of each parameter. */
  readonly rows: number[] = [];
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

  nameOf(parameter: number): number {
    return this.rows[parameter] ?? 0;
  }

  number(name: string, value: string): number {
    let nameNumber = this.#names.get(name);
    if (nameNumber === undefined) {
      nameNumber = this.#names.size;
      this.#names.set(name, nameNumber);
      this.#entries.push({ scope: this.#nodeCount + SCOPE.queryNames, string: this.#texts.number(name), value: nameNumber });
    }
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
