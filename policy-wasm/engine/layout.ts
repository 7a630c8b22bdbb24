// Shape of the lookup tables that the agent's rule compiler writes and this engine reads, little-endian 32-bit words.
// The writer is proxy/core/rules/tables/table-layout.ts; both files must say the same, and MAGIC changes when they change.

/** Where the tables begin: the second page. Everything static in the engine lies in the first one. */
export const TABLES: usize = 0x10000;
/** "APR2": azure-proxy-agent rules, layout 2. */
export const MAGIC: u32 = 0x32525041;
/** "no row", "no such text". */
export const NONE: u32 = 0xffffffff;

// Header words.
export const H_MAGIC: u32 = 0;
/** Bytes of header and tables together. */
export const H_TOTAL: u32 = 1;
export const H_CHECKSUM_A: u32 = 2;
export const H_CHECKSUM_B: u32 = 3;
/** 1 when a request that no privilege covers may pass. */
export const H_DEFAULT_ALLOW: u32 = 4;
/** Case number of the endpoint these rules are for. */
export const H_ENDPOINT: u32 = 5;
export const H_TEXT_SEED: u32 = 6;
export const H_TEXT_PROBES: u32 = 7;
export const H_PAIR_SEED: u32 = 8;
export const H_PAIR_PROBES: u32 = 9;
/** Edges on the longest rule path. */
export const H_DEPTH: u32 = 10;
/** Distinct query names in rules; the method counts as one when a rule wants one. */
export const H_NAMES: u32 = 11;
/** A word for each method in the order of wit/policy.wit: its parameter, or NONE when no rule wants it. */
export const H_METHODS: u32 = 12;
export const METHOD_COUNT: u32 = 7;
/** First section descriptor; each is two words: byte offset from TABLES, number of rows. */
export const H_SECTIONS: u32 = 19;

// Sections, in the order of their descriptors, with the words of one row.
/** offset into TEXT, bytes */
export const S_STRINGS: u32 = 0;
/** UTF-8, counted in bytes */
export const S_TEXT: u32 = 1;
/** hash, scope, string, value + 1 (0: empty slot); a power of two of them */
export const S_TEXT_INDEX: u32 = 2;
/** left (NONE: empty slot), right, two value words; a power of two of them */
export const S_PAIR_INDEX: u32 = 3;
/** pattern without constraint or NONE, 1 when patterns with constraints end here */
export const S_NODES: u32 = 4;
/** privilege name, first of CONSTRAINTS, number of them */
export const S_PATTERNS: u32 = 5;
/** parameter */
export const S_CONSTRAINTS: u32 = 6;
/** pattern */
export const S_PATTERN_LISTS: u32 = 7;
/** name id of a parameter (a name with one value; a method is a value of the name that stands for it) */
export const S_PARAMETERS: u32 = 8;
/** first of IDENTITY_LISTS, number of them */
export const S_SELECTORS: u32 = 9;
/** identity */
export const S_IDENTITY_LISTS: u32 = 10;
/** IDENTITY_SELECTORS words of selector + 1 (0: any), in the order of the scopes; grant class, first of IDENTITY_NAMES, number of them */
export const S_IDENTITIES: u32 = 11;
/** string */
export const S_IDENTITY_NAMES: u32 = 12;
export const SECTION_COUNT: u32 = 13;

export const HEADER_BYTES: u32 = 4 * (19 + 2 * 13);

export const IDENTITY_SELECTORS: usize = 7;
// Byte offsets in a row of S_IDENTITIES.
export const IDENTITY_CLASS: usize = 28;
export const IDENTITY_FIRST_NAME: usize = 32;
export const IDENTITY_NAME_COUNT: usize = 36;
export const IDENTITY_BYTES: u32 = 40;

// Scopes of the text index: [0, nodes) are the edges of that path node, then these, counted from the number of nodes.
export const SCOPE_QUERY_NAMES: u32 = 0;
export const SCOPE_USERS: u32 = 1;
export const SCOPE_GROUPS: u32 = 2;
export const SCOPE_EXECUTABLES: u32 = 3;
export const SCOPE_PROCESSES: u32 = 4;
export const SCOPE_HASHES: u32 = 5;
export const SCOPE_UNITS: u32 = 6;
export const SCOPE_CGROUPS: u32 = 7;
/** + name id: values of that query name. */
export const SCOPE_VALUES: u32 = 8;

// Left keys of the pair index: [0, nodes) with a parameter gives a list of patterns (first, number);
// nodes + node with 8 * query name + (0: any method, else 1 + method) gives the privilege that constrains it; 2 * nodes + pattern with a grant class gives
// the privilege name and which of the identity's names holds the grant.
