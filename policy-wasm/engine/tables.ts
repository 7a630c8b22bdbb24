// Checked reading of the rule tables. They are believed only after their checksum and their sections' bounds were verified,
// and even then every row number is compared with its section's size: a wrong one traps, it never reads something else.

import { startCallsAt, sameBytes } from "./memory";
import * as L from "./layout";

/** What the check of the tables came to. */
export const FRESH: i32 = 0;
export const READY: i32 = 1;
/** The engine without tables: the template that the compiler starts from. */
export const EMPTY: i32 = 2;
export const CORRUPT: i32 = 3;

let state: i32 = FRESH;
/** Number of this call; scratch rows with another number are from earlier calls and count as blank. */
let generation: u32 = 0;

// Scratch space behind the tables.
/** Per query name: generation, value pointer, value bytes, parameter. */
let nameStates: usize = 0;
let touchedNames: usize = 0;
let nodePath: usize = 0;
let selectorStamps: usize = 0;
let foundSelectors: usize = 0;
let foundIdentities: usize = 0;
let scratchEnd: usize = 0;

// @ts-ignore: decorator
@inline
export function header(word: u32): u32 {
  return load<u32>(L.TABLES + ((<usize>word) << 2));
}

// @ts-ignore: decorator
@inline
export function count(section: u32): u32 {
  return header(L.H_SECTIONS + 2 * section + 1);
}

/** Address of a row, or a trap when there is none with that number. */
// @ts-ignore: decorator
@inline
export function row(section: u32, index: u32, rowBytes: u32): usize {
  if (index >= count(section)) unreachable();
  return L.TABLES + <usize>header(L.H_SECTIONS + 2 * section) + <usize>index * <usize>rowBytes;
}

/** Verifies the tables at the first use, and says what they are. */
export function checkTables(): i32 {
  if (state == FRESH) {
    state = inspect();
    if (state == READY) layOutScratch();
    startCallsAt(state == READY ? scratchEnd : <usize>memory.size() << 16);
  }
  return state;
}

function inspect(): i32 {
  const have = <u64>memory.size() << 16;
  if (have < L.TABLES + L.HEADER_BYTES) return EMPTY;
  if (header(L.H_MAGIC) == 0) return EMPTY;
  const total = header(L.H_TOTAL);
  if (header(L.H_MAGIC) != L.MAGIC || total < L.HEADER_BYTES || (total & 3) != 0 || L.TABLES + <u64>total > have) return CORRUPT;
  if (!checksumHolds(total)) return CORRUPT;
  for (let section: u32 = 0; section < L.SECTION_COUNT; section++) {
    const offset = header(L.H_SECTIONS + 2 * section);
    if (offset < L.HEADER_BYTES || (offset & 3) != 0) return CORRUPT;
    if (<u64>offset + <u64>count(section) * rowBytesOf(section) > <u64>total) return CORRUPT;
  }
  if (!isPowerOfTwo(count(L.S_TEXT_INDEX)) || !isPowerOfTwo(count(L.S_PAIR_INDEX))) return CORRUPT;
  if (header(L.H_TEXT_PROBES) > count(L.S_TEXT_INDEX) || header(L.H_PAIR_PROBES) > count(L.S_PAIR_INDEX)) return CORRUPT;
  if (count(L.S_NODES) == 0 || header(L.H_DEPTH) >= count(L.S_NODES) || header(L.H_NAMES) > count(L.S_STRINGS)) return CORRUPT;
  if (header(L.H_DEFAULT_ALLOW) > 1) return CORRUPT;
  for (let method: u32 = 0; method < L.METHOD_COUNT; method++) {
    const parameter = header(L.H_METHODS + method);
    if (parameter != L.NONE && parameter >= count(L.S_PARAMETERS)) return CORRUPT;
  }
  return READY;
}

function rowBytesOf(section: u32): u64 {
  if (section == L.S_TEXT) return 1;
  if (section == L.S_TEXT_INDEX || section == L.S_PAIR_INDEX) return 16;
  if (section == L.S_IDENTITIES) return L.IDENTITY_BYTES;
  if (section == L.S_PATTERNS) return 12;
  if (section == L.S_STRINGS || section == L.S_NODES || section == L.S_SELECTORS) return 8;
  return 4;
}

function isPowerOfTwo(value: u32): bool {
  return value != 0 && (value & (value - 1)) == 0;
}

/** Two lanes over every word but their own. Each step can be undone, so a change within one word always shows. */
function checksumHolds(total: u32): bool {
  let a: u32 = 0x811c9dc5;
  let b: u32 = 0x9e3779b9;
  const words = total >> 2;
  for (let i: u32 = 0; i < words; i++) {
    if (i == L.H_CHECKSUM_A || i == L.H_CHECKSUM_B) continue;
    const word = header(i);
    a = (a ^ word) * 0x01000193;
    b = (rotl<u32>(b, 5) ^ word) * 0x85ebca6b;
  }
  return a == header(L.H_CHECKSUM_A) && b == header(L.H_CHECKSUM_B);
}

function layOutScratch(): void {
  const names = <usize>header(L.H_NAMES);
  const selectors = <usize>count(L.S_SELECTORS);
  nameStates = (L.TABLES + <usize>header(L.H_TOTAL) + 7) & ~7;
  touchedNames = nameStates + names * 16;
  nodePath = touchedNames + names * 4;
  selectorStamps = nodePath + (<usize>header(L.H_DEPTH) + 1) * 4;
  foundSelectors = selectorStamps + selectors * 4;
  foundIdentities = foundSelectors + selectors * 4;
  scratchEnd = (foundIdentities + <usize>count(L.S_IDENTITIES) * 4 + 7) & ~7;
}

/** Starts a new call: all scratch rows become blank. */
export function nextGeneration(): void {
  generation++;
  if (generation != 0) return;
  memory.fill(nameStates, 0, scratchEnd - nameStates);
  generation = 1;
}

export function currentGeneration(): u32 {
  return generation;
}

// ---- strings and indexes ------------------------------------------------------------------------------------------

export function textBytes(string: u32): u32 {
  return load<u32>(row(L.S_STRINGS, string, 8), 4);
}

/** Address of a string's bytes; traps when it does not lie inside the text section. */
export function textAt(string: u32): usize {
  const entry = row(L.S_STRINGS, string, 8);
  const offset = load<u32>(entry);
  if (<u64>offset + <u64>load<u32>(entry, 4) > <u64>count(L.S_TEXT)) unreachable();
  return L.TABLES + <usize>header(L.H_SECTIONS + 2 * L.S_TEXT) + <usize>offset;
}

function stirred(value: u32): u32 {
  let hash = value;
  hash = (hash ^ (hash >> 16)) * 0x85ebca6b;
  hash = (hash ^ (hash >> 13)) * 0xc2b2ae35;
  return hash ^ (hash >> 16);
}

/** The value stored for a text within a scope, or NONE. The compiler fixed the number of slots probed, so that no
 *  text a caller can choose makes this slow. */
export function findText(scope: u32, text: usize, bytes: u32): u32 {
  let hash = startHash(scope);
  for (let i: usize = 0; i < <usize>bytes; i++) hash = hashByte(hash, load<u8>(text + i));
  return findHashed(hash, scope, text, bytes);
}

/** A hash that grows byte by byte, for looking up every prefix of one text. */
export function startHash(scope: u32): u32 {
  return (header(L.H_TEXT_SEED) ^ scope) * 0x9e3779b1;
}

// @ts-ignore: decorator
@inline
export function hashByte(hash: u32, byte: u8): u32 {
  return (hash ^ <u32>byte) * 0x01000193;
}

/** As findText, for a text whose bytes were all hashed. */
export function findHashed(unstirred: u32, scope: u32, text: usize, bytes: u32): u32 {
  const hash = stirred(unstirred);
  const mask = count(L.S_TEXT_INDEX) - 1;
  const probes = header(L.H_TEXT_PROBES);
  for (let probe: u32 = 0; probe < probes; probe++) {
    const slot = row(L.S_TEXT_INDEX, (hash + probe) & mask, 16);
    const value = load<u32>(slot, 12);
    if (value == 0) return L.NONE;
    if (load<u32>(slot) != hash || load<u32>(slot, 4) != scope) continue;
    const string = load<u32>(slot, 8);
    if (textBytes(string) == bytes && sameBytes(textAt(string), text, bytes)) return value - 1;
  }
  return L.NONE;
}

/** Address of the two value words stored for a pair of numbers, or 0. */
export function findPair(left: u32, right: u32): usize {
  const hash = stirred((left * 0x9e3779b1) ^ (right * 0x85ebca6b) ^ header(L.H_PAIR_SEED));
  const mask = count(L.S_PAIR_INDEX) - 1;
  const probes = header(L.H_PAIR_PROBES);
  for (let probe: u32 = 0; probe < probes; probe++) {
    const slot = row(L.S_PAIR_INDEX, (hash + probe) & mask, 16);
    const found = load<u32>(slot);
    if (found == L.NONE) return 0;
    if (found == left && load<u32>(slot, 4) == right) return slot + 8;
  }
  return 0;
}

// ---- scratch rows -------------------------------------------------------------------------------------------------

/** generation, value pointer, value bytes, parameter */
export function nameState(name: u32): usize {
  if (name >= header(L.H_NAMES)) unreachable();
  return nameStates + <usize>name * 16;
}

export function isTouched(state: usize): bool {
  return load<u32>(state) == generation;
}

export function touch(state: usize): void {
  store<u32>(state, generation);
}

export function touchedSlot(index: u32): usize {
  if (index >= header(L.H_NAMES)) unreachable();
  return touchedNames + <usize>index * 4;
}

export function nodeSlot(depth: u32): usize {
  if (depth > header(L.H_DEPTH)) unreachable();
  return nodePath + <usize>depth * 4;
}

export function selectorStamp(selector: u32): usize {
  if (selector >= count(L.S_SELECTORS)) unreachable();
  return selectorStamps + <usize>selector * 4;
}

export function foundSelectorSlot(index: u32): usize {
  if (index >= count(L.S_SELECTORS)) unreachable();
  return foundSelectors + <usize>index * 4;
}

export function foundIdentitySlot(index: u32): usize {
  if (index >= count(L.S_IDENTITIES)) unreachable();
  return foundIdentities + <usize>index * 4;
}
