// How much memory the engine takes to compile a module's functions, estimated from what makes it grow. The weights are upper bounds of what
// was measured (policy-wasm/README.md, "Memory of the compiler"); test/policy-modules/compiler-memory.test.ts holds them to the engine.
// They are for the engine's interpreter and its first compiler. Its second one is turned off: no bound on a function's size bounds it.

import { LIMITS } from "./core-limits.ts";
import type { CoreModule } from "./core-module.ts";
import { refuse } from "./refuse.ts";

/** Bytes, each for one of its kind in the code as it was given; what metering adds is in them. */
export const COMPILER_BYTES = {
  function: 1_200,
  /** Of each function, parameters included. */
  local: 4,
  block: 250,
  loop: 400,
  /** A value that lives where a loop begins: a local, or what is on the stack. The compiler notes for each loop where each of them is. */
  valueInLoop: 18,
  branchTarget: 48,
  /** Value that a branch, a return or the ends of a block may move. */
  movedValue: 16,
  call: 300,
  /** Parameter or result of a call. */
  argument: 32,
  /** What a module has in addition to functions, whether it is instantiated or not. */
  import: 350,
  export: 120,
  global: 80,
  elementSegment: 130,
  element: 14,
  dataSegment: 100,
  type: 100,
  /** Parameter or result of a type. */
  typeValue: 8,
  /** The file is kept as it is, and a copy of it for a moment. */
  fileByte: 3,
} as const;

/** Bytes of an instruction: its machine code, and what the compiler notes of it. Indexed as `OPCODE_COST`. */
export const INSTRUCTION_BYTES = new Uint16Array(512).fill(20);

function weigh(from: number, to: number, bytes: number): void {
  INSTRUCTION_BYTES.fill(bytes, from, to + 1);
}

weigh(0x11, 0x11, 250); // call_indirect, in addition to what a call takes
weigh(0x25, 0x26, 250); // table.get, table.set
weigh(0x28, 0x3e, 30); // loads and stores
weigh(0x40, 0x40, 300); // memory.grow
weigh(0x6d, 0x70, 200); // division and remainder
weigh(0x7f, 0x82, 200);
weigh(0x8b, 0xa6, 60); // floats
weigh(0xa8, 0xab, 200); // conversions that trap
weigh(0xae, 0xb1, 200);
weigh(0xb2, 0xbb, 100);
weigh(0xd0, 0xd2, 250); // references
weigh(256, 263, 250); // conversions that saturate
weigh(264, 273, 400); // bulk

const PARTS = {
  functions: "locals of functions",
  blocks: "blocks",
  loops: "loops times the locals and values that live in them",
  branches: "targets of branches and values that they move",
  calls: "calls with their parameters and results",
  instructions: "other instructions",
  parts: "functions, types, imports, exports, globals, segments and their elements",
} as const;
type Part = keyof typeof PARTS;

const MIB = 1024 * 1024;

/** Counts over all functions of a module, or of all modules of a component. */
export class CompilerMemory {
  readonly #bytes: Record<Part, number> = { functions: 0, blocks: 0, loops: 0, branches: 0, calls: 0, instructions: 0, parts: 0 };
  #blocksOfFunction = 0;

  get bytes(): number {
    const { functions, blocks, loops, branches, calls, instructions, parts } = this.#bytes;
    return functions + blocks + loops + branches + calls + instructions + parts;
  }

  /** A core module, before its functions are read. */
  addModule(module: CoreModule, offset: number): void {
    this.#bytes.parts +=
      COMPILER_BYTES.fileByte * (module.end - module.start) +
      COMPILER_BYTES.type * module.types.length +
      COMPILER_BYTES.typeValue * module.types.reduce((values, { params, results }) => values + params.length + results.length, 0) +
      COMPILER_BYTES.import * module.imports.length +
      COMPILER_BYTES.export * module.exports.size +
      COMPILER_BYTES.global * module.globals.length +
      COMPILER_BYTES.elementSegment * module.elementSegments +
      COMPILER_BYTES.element * module.elements +
      COMPILER_BYTES.dataSegment * module.dataSegments +
      COMPILER_BYTES.function * module.functions.length;
    this.check(offset);
  }

  enterFunction(locals: number): void {
    this.#blocksOfFunction = 0;
    this.#bytes.functions += COMPILER_BYTES.local * locals;
  }

  instruction(opcode: number): void {
    this.#bytes.instructions += INSTRUCTION_BYTES[opcode] ?? 0;
  }

  block(offset: number): void {
    this.#blocksOfFunction++;
    if (this.#blocksOfFunction > LIMITS.blocks) refuse("limit", offset, `a function has more than ${LIMITS.blocks} blocks, loops and ifs`);
    this.#bytes.blocks += COMPILER_BYTES.block;
  }

  /** @param values - locals, and values on the stack below the loop */
  loop(values: number, offset: number): void {
    this.#bytes.loops += COMPILER_BYTES.loop + COMPILER_BYTES.valueInLoop * values;
    this.check(offset);
  }

  branchTable(targets: number): void {
    this.#bytes.branches += COMPILER_BYTES.branchTarget * targets;
  }

  /** @param values - of a branch to one label, a return, or a block's parameters and results */
  moves(values: number): void {
    this.#bytes.branches += COMPILER_BYTES.movedValue * values;
  }

  call(values: number): void {
    this.#bytes.calls += COMPILER_BYTES.call + COMPILER_BYTES.argument * values;
  }

  /** Refuses what is above the limit, and says what makes it so large. */
  check(offset: number): void {
    const { bytes } = this;
    if (bytes <= LIMITS.compilerBytes) return;
    const [part, largest] = Object.entries(this.#bytes).reduce((most, each) => (each[1] > most[1] ? each : most));
    const what = PARTS[part as Part];
    refuse(
      "limit",
      offset,
      `compiling it may take ${toMiB(bytes)} MiB of memory or more, ${toMiB(largest)} of them for ${what}, want at most ${toMiB(LIMITS.compilerBytes)}`,
    );
  }
}

export function toMiB(bytes: number): number {
  return Math.ceil(bytes / MIB);
}
