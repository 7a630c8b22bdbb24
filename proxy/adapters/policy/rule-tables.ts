// Writes a planned rule set as the lookup tables of the rules engine: one block of bytes, the same for the same rules.
// Limits are enforced here, because here it shows what a rule set really needs.

import type { Endpoint } from "../../core/endpoint.ts";
import { err, ok, type Result } from "../../core/result.ts";
import { SELECTORS, type Selector } from "../../core/rule-parts.ts";
import type { DefaultAccess } from "../../core/rules.ts";
import { buildPairIndex, buildTextIndex, type PairEntry, type TextEntry } from "./hash-index.ts";
import type { RulePlan } from "./rule-plan.ts";
import { HEADER, HEADER_WORDS, MAGIC, NONE, ROW_WORDS, SCOPE, SECTION_NAMES, type SectionName } from "./table-layout.ts";

export type TableError = { readonly kind: "too-much-text"; readonly foundBytes: number; readonly limitBytes: number };

/** All texts of a rule set together, each counted once, UTF-8. */
export const MAX_TEXT_BYTES = 1024 * 1024;

/** Case numbers of wit/policy.wit. */
const ENDPOINT_NUMBERS: Readonly<Record<Endpoint, number>> = { wireserver: 0, hostga: 1, imds: 2 };

export function writeTables(plan: RulePlan, defaultAccess: DefaultAccess, endpoint: Endpoint): Result<Uint8Array<ArrayBuffer>, TableError> {
  const texts = new TextPool();
  const tree = growTree(plan, texts);
  const people = writeIdentities(plan, texts, tree.nodes.length);
  const nodeCount = tree.nodes.length;
  const grants: PairEntry[] = plan.grants.map(({ pattern, grantClass, privilegeName, member }) => ({
    left: 2 * nodeCount + pattern,
    right: grantClass,
    values: [texts.number(privilegeName), member],
  }));
  if (texts.bytes > MAX_TEXT_BYTES) return err({ kind: "too-much-text", foundBytes: texts.bytes, limitBytes: MAX_TEXT_BYTES });

  const textIndex = buildTextIndex([...tree.texts, ...people.texts].map((entry) => ({ ...entry, bytes: texts.bytesOf(entry.string) })));
  const pairIndex = buildPairIndex([...tree.pairs, ...grants]);
  const { rows, text } = texts.finish();
  const sections: Readonly<Record<SectionName, Uint32Array<ArrayBuffer>>> = {
    strings: rows,
    text,
    textIndex: textIndex.words,
    pairIndex: pairIndex.words,
    nodes: Uint32Array.from(tree.nodes.flatMap(({ plain, constrained }) => [plain, constrained ? 1 : 0])),
    patterns: Uint32Array.from(tree.patterns),
    constraints: Uint32Array.from(tree.constraints),
    patternLists: Uint32Array.from(tree.patternLists),
    parameters: Uint32Array.from(tree.parameters),
    selectors: Uint32Array.from(people.selectors),
    identityLists: Uint32Array.from(people.identityLists),
    identities: Uint32Array.from(people.identities),
    identityNames: Uint32Array.from(people.identityNames),
  };
  const header = new Uint32Array(HEADER_WORDS);
  header[HEADER.magic] = MAGIC;
  header[HEADER.defaultAllow] = defaultAccess === "allow" ? 1 : 0;
  header[HEADER.endpoint] = ENDPOINT_NUMBERS[endpoint];
  header[HEADER.textSeed] = textIndex.seed;
  header[HEADER.textProbes] = textIndex.probes;
  header[HEADER.pairSeed] = pairIndex.seed;
  header[HEADER.pairProbes] = pairIndex.probes;
  header[HEADER.depth] = tree.depth;
  header[HEADER.names] = tree.nameCount;
  return ok(assemble(header, sections, texts.bytes));
}

/** Header and sections in one block, with the sections' places and the checksum filled in. */
function assemble(header: Uint32Array, sections: Readonly<Record<SectionName, Uint32Array>>, textBytes: number): Uint8Array<ArrayBuffer> {
  let offset = HEADER_WORDS;
  SECTION_NAMES.forEach((name, i) => {
    const words = sections[name].length;
    header[HEADER.sections + 2 * i] = offset * 4;
    header[HEADER.sections + 2 * i + 1] = name === "text" ? textBytes : words / ROW_WORDS[name];
    offset += words;
  });
  header[HEADER.totalBytes] = offset * 4;
  const block = new Uint32Array(offset);
  block.set(header);
  let at = HEADER_WORDS;
  for (const name of SECTION_NAMES) {
    block.set(sections[name], at);
    at += sections[name].length;
  }
  sealTables(block);
  // Every platform we build for is little-endian, as the engine's memory is.
  return new Uint8Array(block.buffer);
}

/** Writes the checksum over all other words into the header. */
export function sealTables(block: Uint32Array): void {
  let a = 0x811c9dc5;
  let b = 0x9e3779b9;
  for (let i = 0; i < block.length; i++) {
    if (i === HEADER.checksumA || i === HEADER.checksumB) continue;
    const word = block[i] ?? 0;
    a = Math.imul(a ^ word, 0x01000193);
    b = Math.imul(((b << 5) | (b >>> 27)) ^ word, 0x85ebca6b);
  }
  block[HEADER.checksumA] = a;
  block[HEADER.checksumB] = b;
}

/** Every text once, numbered in the order of first use. */
class TextPool {
  readonly #numbers = new Map<string, number>();
  readonly #encoded: Uint8Array[] = [];
  readonly #encoder = new TextEncoder();
  bytes = 0;

  number(text: string): number {
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    const number = this.#encoded.length;
    const encoded = this.#encoder.encode(text);
    this.#numbers.set(text, number);
    this.#encoded.push(encoded);
    this.bytes += encoded.length;
    return number;
  }

  bytesOf(number: number): Uint8Array {
    return this.#encoded[number] ?? new Uint8Array();
  }

  finish(): { readonly rows: Uint32Array<ArrayBuffer>; readonly text: Uint32Array<ArrayBuffer> } {
    const rows = new Uint32Array(this.#encoded.length * 2);
    const text = new Uint32Array(Math.ceil(this.bytes / 4));
    const view = new Uint8Array(text.buffer);
    let offset = 0;
    this.#encoded.forEach((encoded, i) => {
      rows.set([offset, encoded.length], i * 2);
      view.set(encoded, offset);
      offset += encoded.length;
    });
    return { rows, text };
  }
}

type ScopedText = Omit<TextEntry, "bytes">;

interface TreeNode {
  readonly children: Map<string, number>;
  /** Patterns with query constraints that end here. */
  readonly patterns: number[];
  plain: number;
  constrained: boolean;
}

/** The tree of rule paths, with the patterns that end at each node and the query parameters that they want. */
function growTree(plan: RulePlan, texts: TextPool) {
  const nodes: TreeNode[] = [newNode()];
  const entries: ScopedText[] = [];
  const edges: { readonly scope: number; readonly segment: string; readonly child: number }[] = [];
  let depth = 0;
  plan.patterns.forEach(({ segments, query }, pattern) => {
    let at = 0;
    for (const segment of segments) {
      const children = nodes[at]?.children;
      let child = children?.get(segment);
      if (child === undefined) {
        child = nodes.push(newNode()) - 1;
        children?.set(segment, child);
        edges.push({ scope: at, segment, child });
      }
      at = child;
    }
    depth = Math.max(depth, segments.length);
    const node = nodes[at];
    if (node === undefined) return;
    if (query.length === 0) node.plain = pattern;
    else node.patterns.push(pattern);
  });
  for (const { scope, segment, child } of edges) entries.push({ scope, string: texts.number(segment), value: child });

  const nameNumbers = new Map<string, number>();
  const parameterNumbers = new Map<string, number>();
  const parameters: number[] = [];
  const parameterOf = (name: string, value: string): number => {
    let nameNumber = nameNumbers.get(name);
    if (nameNumber === undefined) {
      nameNumber = nameNumbers.size;
      nameNumbers.set(name, nameNumber);
      entries.push({ scope: nodes.length + SCOPE.queryNames, string: texts.number(name), value: nameNumber });
    }
    const key = `${nameNumber}=${value}`;
    let parameter = parameterNumbers.get(key);
    if (parameter === undefined) {
      parameter = parameters.push(nameNumber) - 1;
      parameterNumbers.set(key, parameter);
      entries.push({ scope: nodes.length + SCOPE.values + nameNumber, string: texts.number(value), value: parameter });
    }
    return parameter;
  };

  const patterns: number[] = [];
  const constraints: number[] = [];
  const wantedBy: (readonly number[])[] = plan.patterns.map(({ query, name }) => {
    const wanted = query.map((pair) => parameterOf(pair.name, pair.value));
    patterns.push(texts.number(name), constraints.length, wanted.length);
    constraints.push(...wanted);
    return wanted;
  });

  const pairs: PairEntry[] = [];
  const patternLists: number[] = [];
  nodes.forEach((node, number) => {
    if (node.patterns.length === 0) return;
    node.constrained = true;
    const constrainedBy = new Map<number, number>();
    const popularity = new Map<number, number>();
    for (const pattern of node.patterns) {
      for (const parameter of wantedBy[pattern] ?? []) {
        popularity.set(parameter, (popularity.get(parameter) ?? 0) + 1);
        const name = parameters[parameter] ?? 0;
        if (!constrainedBy.has(name)) constrainedBy.set(name, texts.number(plan.patterns[pattern]?.name ?? ""));
      }
    }
    for (const [name, privilege] of constrainedBy) pairs.push({ left: nodes.length + number, right: name, values: [privilege, 0] });
    const lists = new Map<number, number[]>();
    for (const pattern of node.patterns) {
      // Filed under its rarest parameter, so that the lists stay short.
      const filed = rarest(wantedBy[pattern] ?? [], popularity);
      const list = lists.get(filed);
      if (list === undefined) lists.set(filed, [pattern]);
      else list.push(pattern);
    }
    for (const [parameter, list] of lists) {
      pairs.push({ left: number, right: parameter, values: [patternLists.length, list.length] });
      patternLists.push(...list);
    }
  });
  return { nodes, depth, texts: entries, nameCount: nameNumbers.size, parameters, patterns, constraints, pairs, patternLists };
}

function newNode(): TreeNode {
  return { children: new Map(), patterns: [], plain: NONE, constrained: false };
}

/** The choice that fewest others made; the first of equals. */
function rarest(choices: readonly number[], popularity: ReadonlyMap<number, number>): number {
  let best = choices[0] ?? 0;
  for (const choice of choices) if ((popularity.get(choice) ?? 0) < (popularity.get(best) ?? 0)) best = choice;
  return best;
}

/** Identities filed under their rarest selector, so that a caller meets few that are not its own. */
function writeIdentities(plan: RulePlan, texts: TextPool, nodeCount: number) {
  const numbers = new Map<string, number>();
  const popularity = new Map<number, number>();
  const entries: ScopedText[] = [];
  const selectorOf = (kind: Selector, text: string): number => {
    const key = `${kind}=${text}`;
    let number = numbers.get(key);
    if (number === undefined) {
      number = numbers.size;
      numbers.set(key, number);
      entries.push({ scope: nodeCount + SCOPE[kind], string: texts.number(text), value: number });
    }
    popularity.set(number, (popularity.get(number) ?? 0) + 1);
    return number;
  };
  const identities: number[] = [];
  const identityNames: number[] = [];
  const wanted = plan.identities.map(({ selectors, names, grantClass }) => {
    const chosen = SELECTORS.map((kind) => {
      const text = selectors[kind];
      return text === undefined ? undefined : selectorOf(kind, text);
    });
    identities.push(
      ...chosen.map((selector) => (selector === undefined ? 0 : selector + 1)),
      grantClass,
      identityNames.length,
      names.length,
    );
    identityNames.push(...names.map((name) => texts.number(name)));
    return chosen.filter((selector) => selector !== undefined);
  });
  const lists: number[][] = Array.from(numbers, () => []);
  wanted.forEach((selectors, identity) => {
    lists[rarest(selectors, popularity)]?.push(identity);
  });
  const selectors: number[] = [];
  const identityLists: number[] = [];
  for (const list of lists) {
    selectors.push(identityLists.length, list.length);
    identityLists.push(...list);
  }
  return { texts: entries, selectors, identityLists, identities, identityNames };
}
