// Rewrites a core module so that it cannot run longer or grow larger than it may: each function entry and each loop head takes
// its cost from one fuel counter and traps below zero, bulk instructions pay for their length first, memories and tables get a maximum.
//
// The counter is an imported mutable i64, the same for all core modules of a component, so what is spent is spent for all of them. It
// becomes the last import; of the module's own things only its globals get new numbers, and each use of one is rewritten here.

import { BodyPatches, PATCH } from "./body-patches.ts";
import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";
import type { CompilerMemory } from "./compiler-memory.ts";
import type { PreparationLimits } from "./core-limits.ts";
import { type CoreModule, SECTION, type SectionRange } from "./core-module.ts";
import { type CoreLimits, FUNCREF } from "./core-types.ts";
import { BodyReader } from "./function-body.ts";
import { quote, refuse } from "./refuse.ts";
import { PREAMBLES } from "./sections.ts";

/** What a metered module imports its fuel by. */
export const FUEL_IMPORT = { module: "azure-proxy-agent", name: "fuel" } as const;

const I32 = 0x7f;
const I64 = 0x7e;
const OP = {
  unreachable: 0x00,
  if: 0x04,
  end: 0x0b,
  call: 0x10,
  localGet: 0x20,
  localTee: 0x22,
  globalGet: 0x23,
  globalSet: 0x24,
  memorySize: 0x3f,
  i64Const: 0x42,
  i64Less: 0x53,
  i64Subtract: 0x7d,
  i64ShiftLeft: 0x86,
  i64ShiftRight: 0x88,
  i64FromU32: 0xad,
  emptyBlock: 0x40,
} as const;
/** How much of an instruction's length is one unit: a byte string moves 4 bytes in its time, an element of a table takes 64. */
const BYTES_PER_UNIT_LOG2 = 2;
const UNITS_PER_ELEMENT_LOG2 = 6;
/** Growing may move all that is there: an engine reserves room to grow in place for a few memories of the process alone. */
const UNITS_PER_GROWN_PAGE_LOG2 = 13;

export interface MeteredModule {
  readonly bytes: Uint8Array;
  readonly checkpoints: number;
  /** Kinds of instructions beyond integers and control flow, in words. */
  readonly uses: readonly string[];
}

interface Numbers {
  readonly fuel: number;
  readonly chargeBytes: number;
  readonly chargeElements: number;
  readonly chargeType: number;
}

/** Sections that the meter may have to make, and the order of all of them. */
const WRITTEN_ORDER = [
  SECTION.type,
  SECTION.import,
  SECTION.function,
  SECTION.table,
  SECTION.memory,
  SECTION.global,
  SECTION.export,
  SECTION.start,
  SECTION.element,
  SECTION.dataCount,
  SECTION.code,
  SECTION.data,
] as const;

/**
 * Checks the functions of a module and writes it metered. Custom sections are left out: they say nothing to an engine.
 * @param file - the whole file that the module was read from
 * @param memory - what compiling takes is added to it
 */
export function meterModule(file: Uint8Array, module: CoreModule, limits: PreparationLimits, memory: CompilerMemory): MeteredModule {
  const clash = module.imports.find((wanted) => wanted.module === FUEL_IMPORT.module);
  if (clash !== undefined) refuse("name", clash.offset, `an import is of module ${quote(FUEL_IMPORT.module)}, which is the agent's own`);
  const functions = module.functions.length;
  const numbers: Numbers = {
    fuel: module.importedGlobals,
    chargeBytes: functions,
    chargeElements: functions + 1,
    chargeType: module.types.length,
  };
  const writer = new ByteWriter(Math.max(1024, Math.ceil((module.end - module.start) * 1.25)));
  writer.raw(PREAMBLES.module);
  const code = new CodeMeter(file, module, numbers, memory);
  for (const id of WRITTEN_ORDER) {
    const section = module.sections.find((known) => known.id === id);
    const content = new ByteWriter(section === undefined ? 64 : section.end - section.start + 64);
    if (writeSection(content, id, section, file, { module, limits, numbers, code })) writer.section(id, content);
  }
  return { bytes: writer.finish(), checkpoints: code.checkpoints, uses: code.uses };
}

interface Writing {
  readonly module: CoreModule;
  readonly limits: PreparationLimits;
  readonly numbers: Numbers;
  readonly code: CodeMeter;
}

/** @returns whether there is such a section */
function writeSection(
  content: ByteWriter,
  id: (typeof WRITTEN_ORDER)[number],
  section: SectionRange | undefined,
  file: Uint8Array,
  { module, limits, numbers, code }: Writing,
): boolean {
  switch (id) {
    case SECTION.type:
      extend(content, file, section, 1);
      content.bytes(0x60, 1, I32, 1, I32);
      return true;
    case SECTION.import:
      extend(content, file, section, 1);
      content.text(FUEL_IMPORT.module);
      content.text(FUEL_IMPORT.name);
      content.bytes(0x03, I64, 0x01);
      return true;
    case SECTION.function:
      extend(content, file, section, 2);
      content.u32(numbers.chargeType);
      content.u32(numbers.chargeType);
      return true;
    case SECTION.table:
      return writeCapped(content, module.tables.slice(module.importedTables), limits.tableElements, () => content.byte(FUNCREF));
    case SECTION.memory:
      return writeCapped(content, module.memories.slice(module.importedMemories), limits.memoryPages, () => {});
    case SECTION.export:
      return writeExports(content, module);
    case SECTION.code:
      code.write(content);
      return true;
    default:
      if (section === undefined) return false;
      content.raw(file, section.start, section.end);
      return true;
  }
}

/** The entries of a section behind a count that is larger by `more`. */
function extend(content: ByteWriter, file: Uint8Array, section: SectionRange | undefined, more: number): void {
  if (section === undefined) {
    content.u32(more);
    return;
  }
  const reader = new ByteReader(file, section.start, section.end);
  content.u32(reader.u32() + more);
  content.raw(file, reader.position, section.end);
}

function writeCapped(content: ByteWriter, spaces: readonly CoreLimits[], cap: number, writeType: () => void): boolean {
  if (spaces.length === 0) return false;
  content.u32(spaces.length);
  for (const { min, max } of spaces) {
    writeType();
    content.byte(1);
    content.u32(min);
    content.u32(Math.min(max ?? cap, cap));
  }
  return true;
}

const SORT_BYTES = { func: 0, table: 1, memory: 2, global: 3 } as const;

function writeExports(content: ByteWriter, module: CoreModule): boolean {
  if (module.exports.size === 0) return false;
  content.u32(module.exports.size);
  for (const [name, { sort, index }] of module.exports) {
    content.text(name);
    content.byte(SORT_BYTES[sort]);
    content.u32(sort === "global" && index >= module.importedGlobals ? index + 1 : index);
  }
  return true;
}

/** By opcode; `0xfc` opcodes stand at 256 + opcode. */
const USES: readonly (readonly [word: string, from: number, to: number])[] = [
  ["floats", 0x8b, 0xa6],
  ["indirect-calls", 0x11, 0x11],
  ["memory-growth", 0x40, 0x40],
  ["bulk-memory", 256 + 8, 256 + 11],
  ["tables", 0x25, 0x26],
  ["tables", 256 + 12, 256 + 17],
  ["references", 0xd0, 0xd2],
];

class CodeMeter {
  checkpoints = 0;
  uses: readonly string[] = [];
  readonly #file: Uint8Array;
  readonly #module: CoreModule;
  readonly #numbers: Numbers;
  readonly #memory: CompilerMemory;

  constructor(file: Uint8Array, module: CoreModule, numbers: Numbers, memory: CompilerMemory) {
    this.#file = file;
    this.#module = module;
    this.#numbers = numbers;
    this.#memory = memory;
  }

  write(content: ByteWriter): void {
    const { bodies, functions, importedFunctions } = this.#module;
    const patches = new BodyPatches();
    const reader = new BodyReader(this.#module, new ByteReader(this.#file, 0, 0), patches, this.#memory);
    const body = new ByteWriter(4096);
    content.u32(bodies.length + 2);
    bodies.forEach(({ start, end }, i) => {
      const type = functions[importedFunctions + i];
      if (type === undefined) throw new Error("internal error: a body without function");
      reader.read(new ByteReader(this.#file, start, end), type);
      this.#memory.check(end);
      body.clear();
      this.#writeBody(body, start, end, patches);
      content.u32(body.length);
      content.append(body);
    });
    const scales = [
      { shift: OP.i64ShiftRight, by: BYTES_PER_UNIT_LOG2 },
      { shift: OP.i64ShiftLeft, by: UNITS_PER_ELEMENT_LOG2 },
    ];
    this.uses = [...new Set(USES.filter(([, from, to]) => reader.seen.subarray(from, to + 1).includes(1)).map(([word]) => word))];
    for (const { shift, by } of scales) {
      body.clear();
      this.#writeCharge(body, shift, by);
      content.u32(body.length);
      content.append(body);
    }
  }

  #writeBody(body: ByteWriter, start: number, end: number, patches: BodyPatches): void {
    const groups = new ByteReader(this.#file, start, end);
    groups.u32();
    body.u32(patches.localGroups + 1);
    body.raw(this.#file, groups.position, patches.codeStart);
    body.bytes(1, I64); // the fuel that is left, between taking and comparing
    let written = patches.codeStart;
    for (let i = 0; i < patches.offsets.length; i++) {
      const offset = patches.offsets[i] ?? end;
      const value = patches.values[i] ?? 0;
      body.raw(this.#file, written, offset);
      written = offset;
      switch (patches.kinds[i]) {
        case PATCH.checkpoint:
          this.#writeCheckpoint(body, value, patches.locals);
          break;
        case PATCH.chargeBytes:
          body.byte(OP.call);
          body.u32(this.#numbers.chargeBytes);
          break;
        case PATCH.chargeElements:
          body.byte(OP.call);
          body.u32(this.#numbers.chargeElements);
          break;
        case PATCH.chargeMemory:
          this.#writeMemoryCharge(body, patches.locals);
          break;
        case PATCH.global:
          body.u32(value);
          written = this.#endOfNumber(offset);
          break;
      }
    }
    body.raw(this.#file, written, end);
  }

  #endOfNumber(offset: number): number {
    let end = offset;
    while ((this.#file[end] ?? 0) > 0x7f) end++;
    return end + 1;
  }

  #writeCheckpoint(body: ByteWriter, cost: number, local: number): void {
    this.checkpoints++;
    this.#readFuel(body);
    body.byte(OP.i64Const);
    body.positive(cost);
    this.#takeFuel(body, local);
  }

  /** What growing has on the stack stays there. */
  #writeMemoryCharge(body: ByteWriter, local: number): void {
    this.#readFuel(body);
    body.bytes(OP.memorySize, 0, OP.i64FromU32, OP.i64Const, UNITS_PER_GROWN_PAGE_LOG2, OP.i64ShiftLeft);
    this.#takeFuel(body, local);
  }

  #readFuel(body: ByteWriter): void {
    body.byte(OP.globalGet);
    body.u32(this.#numbers.fuel);
  }

  /** On the stack: the fuel and what to take from it. */
  #takeFuel(body: ByteWriter, local: number): void {
    body.byte(OP.i64Subtract);
    body.byte(OP.localTee);
    body.u32(local);
    body.byte(OP.globalSet);
    body.u32(this.#numbers.fuel);
    body.byte(OP.localGet);
    body.u32(local);
    body.bytes(OP.i64Const, 0, OP.i64Less, OP.if, OP.emptyBlock, OP.unreachable, OP.end);
  }

  /** A function from a length to the same length: takes what it costs. */
  #writeCharge(body: ByteWriter, shift: number, by: number): void {
    body.bytes(1, 1, I64);
    this.#readFuel(body);
    body.bytes(OP.localGet, 0, OP.i64FromU32, OP.i64Const, by, shift);
    this.#takeFuel(body, 1);
    body.bytes(OP.localGet, 0, OP.end);
  }
}
