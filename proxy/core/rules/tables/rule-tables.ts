// Writes a planned rule set as the lookup tables of the rules engine: one block of bytes, the same for the same rules.
// Limits are enforced here, because only here the real sizes are known.

import type { Endpoint } from "../../request/endpoint.ts";
import { err, ok, type Result } from "../../result.ts";
import type { DefaultAccess } from "../rules.ts";
import { buildPairIndex, buildTextIndex, type PairEntry } from "./hash-index.ts";
import { writeIdentities } from "./identity-lists.ts";
import { writeTree } from "./path-tree.ts";
import type { RulePlan } from "./rule-plan.ts";
import { HEADER, HEADER_WORDS, MAGIC, ROW_WORDS, SECTION_NAMES, type SectionName } from "./table-layout.ts";
import { TextPool } from "./text-pool.ts";

export type TableError = { readonly kind: "too-much-text"; readonly foundBytes: number; readonly limitBytes: number };

/** All texts of a rule set together, each counted once, UTF-8. */
export const MAX_TEXT_BYTES = 1024 * 1024;

/** Case numbers of wit/policy.wit. */
const ENDPOINT_NUMBERS: Readonly<Record<Endpoint, number>> = { wireserver: 0, hostga: 1, imds: 2 };

export function writeTables(plan: RulePlan, defaultAccess: DefaultAccess, endpoint: Endpoint): Result<Uint8Array<ArrayBuffer>, TableError> {
  const texts = new TextPool();
  const tree = writeTree(plan.patterns, texts);
  const people = writeIdentities(plan, texts, tree.nodeCount);
  const grants: PairEntry[] = plan.grants.map(({ pattern, grantClass, privilegeName, member }) => ({
    left: 2 * tree.nodeCount + pattern,
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
    nodes: Uint32Array.from(tree.nodes),
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
  header.set(tree.methods, HEADER.methods);
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
