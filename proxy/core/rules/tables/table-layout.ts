// Shape of the lookup tables that the rules engine reads, little-endian 32-bit words. The reader is
// policy-wasm/engine/layout.ts, which explains every word; both files must say the same, and MAGIC changes when they change.

/** Where the tables begin in the engine's memory. */
export const TABLES_ADDRESS = 0x10000;
/** "APR2" */
export const MAGIC = 0x32525041;
/** "no row" */
export const NONE = 0xffffffff;

/** Word numbers in the header. */
export const HEADER = {
  magic: 0,
  totalBytes: 1,
  checksumA: 2,
  checksumB: 3,
  defaultAllow: 4,
  endpoint: 5,
  textSeed: 6,
  textProbes: 7,
  pairSeed: 8,
  pairProbes: 9,
  depth: 10,
  names: 11,
  /** One word for each of METHODS. */
  methods: 12,
  sections: 19,
} as const;

/** Order of the section descriptors. */
export const SECTION_NAMES = [
  "strings",
  "text",
  "textIndex",
  "pairIndex",
  "nodes",
  "patterns",
  "constraints",
  "patternLists",
  "parameters",
  "selectors",
  "identityLists",
  "identities",
  "identityNames",
] as const;
export type SectionName = (typeof SECTION_NAMES)[number];

/** Words in one row; text is counted in bytes instead. */
export const ROW_WORDS: Readonly<Record<Exclude<SectionName, "text">, number>> = {
  strings: 2,
  textIndex: 4,
  pairIndex: 4,
  nodes: 2,
  patterns: 3,
  constraints: 1,
  patternLists: 1,
  parameters: 1,
  selectors: 2,
  identityLists: 1,
  identities: 10,
  identityNames: 1,
};

export const HEADER_WORDS = HEADER.sections + 2 * SECTION_NAMES.length;

/** Scopes of the text index, counted from the number of nodes; the value scopes begin at `values`, one per query name. */
export const SCOPE = {
  queryNames: 0,
  userName: 1,
  groupName: 2,
  exePath: 3,
  processName: 4,
  exeSha256: 5,
  systemdUnit: 6,
  cgroupPath: 7,
  values: 8,
} as const;

/** Right key of the pair that names a constraining privilege: the query name, and the one method that it is about or any. */
export function constraintKey(name: number, methodNumber: number | undefined): number {
  return name * 8 + (methodNumber === undefined ? 0 : methodNumber + 1);
}
