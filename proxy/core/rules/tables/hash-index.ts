// The two hash tables inside the rule tables: texts within a scope, and pairs of numbers. The builder computes how many slots
// a search may have to probe and stores that number, so that no search is longer, whatever a caller sends.

import { NONE } from "./table-layout.ts";

export interface TextEntry {
  readonly scope: number;
  /** Number of the string, and its UTF-8 bytes. */
  readonly string: number;
  readonly bytes: Uint8Array;
  readonly value: number;
}

export interface PairEntry {
  readonly left: number;
  readonly right: number;
  readonly values: readonly [number, number];
}

export interface HashIndex {
  /** Four words a slot. */
  readonly words: Uint32Array<ArrayBuffer>;
  readonly seed: number;
  /** Slots that a search probes before it gives up. */
  readonly probes: number;
}

/** Searches longer than this make the builder try another seed, then a larger table. */
const MAX_PROBES = 24;
const SEEDS_PER_SIZE = 4;

export function buildTextIndex(entries: readonly TextEntry[]): HashIndex {
  return build(
    entries.length,
    (seed) => Uint32Array.from(entries, (entry) => hashText(seed, entry.scope, entry.bytes)),
    (words, slot, i, hash) => {
      const entry = entries[i];
      if (entry !== undefined) words.set([hash, entry.scope, entry.string, entry.value + 1], slot * 4);
    },
    { word: 3, empty: 0 },
  );
}

export function buildPairIndex(entries: readonly PairEntry[]): HashIndex {
  return build(
    entries.length,
    (seed) => Uint32Array.from(entries, (entry) => hashPair(seed, entry.left, entry.right)),
    (words, slot, i) => {
      const entry = entries[i];
      if (entry !== undefined) words.set([entry.left, entry.right, ...entry.values], slot * 4);
    },
    { word: 0, empty: NONE },
  );
}

function build(
  count: number,
  hashAll: (seed: number) => Uint32Array,
  write: (words: Uint32Array, slot: number, entry: number, hash: number) => void,
  blank: { readonly word: number; readonly empty: number },
): HashIndex {
  let capacity = 4;
  while (capacity < count * 2) capacity *= 2;
  for (let attempt = 0; ; attempt++) {
    if (attempt > 0 && attempt % SEEDS_PER_SIZE === 0) capacity *= 2;
    const seed = attempt;
    const words = new Uint32Array(capacity * 4);
    for (let slot = 0; slot < capacity; slot++) words[slot * 4 + blank.word] = blank.empty;
    const probes = fill(words, hashAll(seed), capacity - 1, write, blank);
    if (probes <= MAX_PROBES) return { words, seed, probes };
  }
}

function fill(
  words: Uint32Array,
  hashes: Uint32Array,
  mask: number,
  write: (words: Uint32Array, slot: number, entry: number, hash: number) => void,
  blank: { readonly word: number; readonly empty: number },
): number {
  let longest = 1;
  for (let i = 0; i < hashes.length; i++) {
    const hash = hashes[i] ?? 0;
    let slot = hash & mask;
    let probes = 1;
    while (words[slot * 4 + blank.word] !== blank.empty) {
      slot = (slot + 1) & mask;
      probes++;
    }
    write(words, slot, i, hash);
    if (probes > longest) longest = probes;
  }
  return longest;
}

function stirred(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** FNV-1a with a final stir; the engine computes the same. Exported for a test that searches for collisions. */
export function hashText(seed: number, scope: number, bytes: Uint8Array): number {
  let hash = Math.imul(seed ^ scope, 0x9e3779b1);
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ (bytes[i] ?? 0), 0x01000193);
  return stirred(hash);
}

function hashPair(seed: number, left: number, right: number): number {
  return stirred(Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b) ^ seed);
}
