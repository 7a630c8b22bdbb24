// Reads a core module: every section, every entry, in order, to its last byte. The result is well formed except for the
// bodies of its functions, which `function-body.ts` checks.

import type { ByteReader } from "./byte-reader.ts";
import { readConstant } from "./constant.ts";
import { LIMITS, type PreparationLimits } from "./core-limits.ts";
import { readElementSegments } from "./core-segments.ts";
import {
  type CoreExport,
  type CoreImport,
  type CoreImportType,
  type CoreLimits,
  type CoreSort,
  type FunctionType,
  type GlobalType,
  I32,
  readFunctionType,
  readGlobalType,
  readLimits,
  readTableType,
} from "./core-types.ts";
import type { ModuleDraft } from "./module-draft.ts";
import { NameSet, readCoreName, readCustomName } from "./names.ts";
import { hex, quote, refuse } from "./refuse.ts";
import { PREAMBLES } from "./sections.ts";

export const SECTION = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  table: 4,
  memory: 5,
  global: 6,
  export: 7,
  start: 8,
  element: 9,
  code: 10,
  data: 11,
  dataCount: 12,
} as const;

const SORTS: readonly CoreSort[] = ["func", "table", "memory", "global"];

export interface SectionRange {
  readonly id: number;
  readonly start: number;
  readonly end: number;
}

export interface CustomSection {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

/** Index spaces hold imports first, as in the binary. */
export interface CoreModule {
  readonly start: number;
  readonly end: number;
  readonly sections: readonly SectionRange[];
  readonly customs: readonly CustomSection[];
  readonly types: readonly FunctionType[];
  readonly imports: readonly CoreImport[];
  readonly functions: readonly FunctionType[];
  readonly importedFunctions: number;
  readonly tables: readonly CoreLimits[];
  readonly importedTables: number;
  readonly memories: readonly CoreLimits[];
  readonly importedMemories: number;
  readonly globals: readonly GlobalType[];
  readonly importedGlobals: number;
  readonly exports: ReadonlyMap<string, CoreExport>;
  readonly startFunction: number | undefined;
  readonly elementSegments: number;
  /** Of all element segments. */
  readonly elements: number;
  readonly dataSegments: number;
  /** Of all data segments. */
  readonly dataBytes: number;
  /** Undefined: no such section, so no instruction may name a data segment. */
  readonly dataCount: number | undefined;
  /** Functions that `ref.func` may name. */
  readonly declaredFunctions: ReadonlySet<number>;
  readonly bodies: readonly { readonly start: number; readonly end: number }[];
}

/** Where a section stands in the order that the format wants. */
const ORDER: readonly number[] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11];

/** @param part - the module alone, preamble included */
export function readCoreModule(part: ByteReader, limits: PreparationLimits): CoreModule {
  const start = part.position;
  for (const byte of PREAMBLES.module) part.expect(byte, "preamble of a core module, version 1");
  const draft: ModuleDraft = {
    types: [],
    imports: [],
    functions: [],
    tables: [],
    memories: [],
    globals: [],
    exports: new Map(),
    declaredFunctions: new Set(),
    bodies: [],
    importedFunctions: 0,
    importedTables: 0,
    importedMemories: 0,
    importedGlobals: 0,
    startFunction: undefined,
    elementSegments: 0,
    elements: 0,
    dataSegments: 0,
    dataBytes: 0,
    dataCount: undefined,
  };
  const sections: SectionRange[] = [];
  const customs: CustomSection[] = [];
  let last = -1;
  while (!part.done) {
    const at = part.position;
    const id = part.byte();
    const section = part.part(part.u32());
    if (id === SECTION.custom) {
      customs.push({ name: readCustomName(section), start: section.position, end: section.end });
      continue;
    }
    const place = ORDER.indexOf(id);
    if (place < 0) refuse("section", at, `found section ${id} in a core module, want 1 to 12`);
    if (place <= last) refuse("section", at, `section ${id} of a core module is there twice or out of order`);
    last = place;
    sections.push({ id, start: section.position, end: section.end });
    readSection(section, id, draft, limits);
    section.finish(`section ${id} of a core module`);
  }
  checkCounts(draft, part.end);
  return { start, end: part.end, sections, customs, ...draft };
}

function checkCounts(draft: ModuleDraft, end: number): void {
  const wanted = draft.functions.length - draft.importedFunctions;
  if (draft.bodies.length !== wanted) refuse("malformed", end, `a core module has ${draft.bodies.length} bodies for ${wanted} functions`);
  if (draft.dataCount !== undefined && draft.dataCount !== draft.dataSegments) {
    refuse("malformed", end, `a core module announces ${draft.dataCount} data segments and has ${draft.dataSegments}`);
  }
}

function readSection(section: ByteReader, id: number, draft: ModuleDraft, limits: PreparationLimits): void {
  switch (id) {
    case SECTION.type:
      each(section, "types", LIMITS.types, () => draft.types.push(readFunctionType(section)));
      break;
    case SECTION.import:
      each(section, "imports", LIMITS.imports, () => readImport(section, draft));
      break;
    case SECTION.function:
      each(section, "functions", LIMITS.functions, () => draft.functions.push(readTypeIndex(section, draft)));
      break;
    case SECTION.table:
      each(section, "tables", LIMITS.tables, () => draft.tables.push(readTable(section, limits)));
      break;
    case SECTION.memory:
      each(section, "memories", 1, () => draft.memories.push(readMemory(section, draft, limits)));
      break;
    case SECTION.global:
      each(section, "globals", LIMITS.globals, () => readGlobal(section, draft));
      break;
    case SECTION.export:
      readExports(section, draft);
      break;
    case SECTION.start:
      draft.startFunction = readStart(section, draft);
      break;
    case SECTION.element:
      readElementSegments(section, draft);
      break;
    case SECTION.code:
      each(section, "bodies", LIMITS.functions, () => draft.bodies.push(readBodyRange(section)));
      break;
    case SECTION.data:
      each(section, "data segments", LIMITS.dataSegments, () => readDataSegment(section, draft));
      break;
    case SECTION.dataCount:
      draft.dataCount = section.u32();
      break;
  }
}

function each(section: ByteReader, what: string, most: number, read: () => void): void {
  for (let left = section.count(what, most); left > 0; left--) read();
}

function readTypeIndex(section: ByteReader, draft: ModuleDraft): FunctionType {
  const start = section.position;
  const index = section.u32();
  return draft.types[index] ?? refuse("malformed", start, `type ${index} is not there`);
}

function readImport(section: ByteReader, draft: ModuleDraft): void {
  const offset = section.position;
  const module = readCoreName(section);
  const name = readCoreName(section);
  const type = readImportType(section, draft);
  draft.imports.push({ ...type, module, name, offset });
}

function readImportType(section: ByteReader, draft: ModuleDraft): CoreImportType {
  const start = section.position;
  const sort = section.byte();
  switch (SORTS[sort]) {
    case "func": {
      const type = readTypeIndex(section, draft);
      draft.functions.push(type);
      draft.importedFunctions++;
      return { sort: "func", type };
    }
    case "table": {
      const limits = readTableType(section);
      draft.tables.push(limits);
      draft.importedTables++;
      return { sort: "table", limits };
    }
    case "memory": {
      const limits = readLimits(section, "memory");
      if (draft.memories.push(limits) > 1) refuse("unsupported", start, "a core module has two memories, want at most one");
      draft.importedMemories++;
      return { sort: "memory", limits };
    }
    case "global": {
      const global = readGlobalType(section);
      draft.globals.push(global);
      draft.importedGlobals++;
      return { sort: "global", global };
    }
    default:
      return refuse("unsupported", start, `found an import of kind ${hex(sort)}, want a function, table, memory or global`);
  }
}

function readTable(section: ByteReader, { tableElements }: PreparationLimits): CoreLimits {
  const start = section.position;
  const table = readTableType(section);
  if (table.min > tableElements) refuse("limit", start, `a table starts with ${table.min} elements, want at most ${tableElements}`);
  return table;
}

function readMemory(section: ByteReader, draft: ModuleDraft, { memoryPages }: PreparationLimits): CoreLimits {
  const start = section.position;
  const memory = readLimits(section, "memory");
  if (draft.memories.length > 0) refuse("unsupported", start, "a core module has two memories, want at most one");
  if (memory.min > memoryPages) refuse("limit", start, `a memory starts with ${memory.min} pages of 64 KiB, want at most ${memoryPages}`);
  return memory;
}

function readGlobal(section: ByteReader, draft: ModuleDraft): void {
  const global = readGlobalType(section);
  readConstant(section, global.type, draft);
  draft.globals.push(global);
}

function readExports(section: ByteReader, draft: ModuleDraft): void {
  const names = new NameSet("export of a core module", false);
  each(section, "exports", LIMITS.exports, () => {
    const start = section.position;
    const name = readCoreName(section);
    names.add(name, start);
    const sortByte = section.byte();
    const sort = SORTS[sortByte] ?? refuse("unsupported", start, `the export ${quote(name)} has kind ${hex(sortByte)}, want 0x00 to 0x03`);
    const index = section.u32();
    if (index >= spaceOf(draft, sort)) refuse("malformed", start, `the export ${quote(name)} names ${sort} ${index}, which is not there`);
    if (sort === "func") draft.declaredFunctions.add(index);
    draft.exports.set(name, { sort, index });
  });
}

function spaceOf(draft: ModuleDraft, sort: CoreSort): number {
  if (sort === "func") return draft.functions.length;
  if (sort === "table") return draft.tables.length;
  return sort === "memory" ? draft.memories.length : draft.globals.length;
}

/** It runs when the module is instantiated, under fuel like everything else. */
function readStart(section: ByteReader, draft: ModuleDraft): number {
  const start = section.position;
  const index = section.u32();
  const type = draft.functions[index] ?? refuse("malformed", start, `the start function ${index} is not there`);
  if (type.params.length + type.results.length > 0) refuse("malformed", start, `the start function ${index} has parameters or results`);
  return index;
}

function readBodyRange(section: ByteReader): { readonly start: number; readonly end: number } {
  const at = section.position;
  const size = section.u32();
  if (size > LIMITS.bodyBytes) refuse("limit", at, `a function has ${size} bytes, want at most ${LIMITS.bodyBytes}`);
  const start = section.position;
  section.skip(size);
  return { start, end: section.position };
}

function readDataSegment(section: ByteReader, draft: ModuleDraft): void {
  const start = section.position;
  const flags = section.u32();
  if (flags > 2) refuse("malformed", start, `a data segment has flags ${hex(flags)}, want 0x00 to 0x02`);
  const memory = flags === 2 ? section.u32() : 0;
  if (flags !== 1) {
    if (memory >= draft.memories.length) refuse("malformed", start, `a data segment names memory ${memory}, which is not there`);
    readConstant(section, I32, draft);
  }
  const bytes = section.u32();
  section.skip(bytes);
  draft.dataSegments++;
  draft.dataBytes += bytes;
}
