// The instructions without control flow: what they take, what they leave, what they cost. One row per opcode of the core specification;
// what has no row is refused.

import { F32, F64, I32, I64 } from "./core-types.ts";

/** Units of fuel. One unit is about what an addition takes; the slow ones are weighed by the slowest operands (policy-wasm/README.md has the table). */
export const COST = {
  plain: 1,
  /** Loads and stores: each may wait for the one before it, and for memory that is in no near cache. */
  access: 8,
  /** Division and remainder of integers. */
  divide: 12,
  /** Float arithmetic, division and roots: weighed by denormal operands, on which processors are slow. */
  float: 16,
  floatDivide: 60,
  /** Between integer and float, and rounding to a whole number. */
  convert: 3,
  /** Smaller or larger of two floats, sign of another: several branches each. */
  floatChoice: 4,
  call: 10,
  indirectCall: 20,
  branchTable: 4,
  /** Reading a table, making a reference to a function: out of line in the interpreter. */
  tableGet: 16,
  reference: 16,
  /** Writing a reference to a table or a global: the engine calls into its collector. */
  tableSet: 80,
  globalSetReference: 16,
  /** Of `memory.grow`, `table.grow` and each bulk instruction, before what their lengths cost. */
  grow: 3_000,
  bulk: 150,
  /** Of entering a function or a loop, in addition to its longest path; each local of a function is set to zero. */
  checkpoint: 6,
  local: 1,
} as const;

export const NO_TYPE = 0;

/** Indexed by opcode; `0xfc` opcodes stand at 256 + opcode. */
export const OPERAND_COUNT = new Uint8Array(512);
export const OPERAND_TYPE = new Uint8Array(512);
export const RESULT_TYPE = new Uint8Array(512);
export const OPCODE_COST = new Uint16Array(512).fill(COST.plain);
/** Natural alignment of a load or store as a power of two; 255: neither. */
export const ALIGNMENT = new Uint8Array(512).fill(255);

function numeric(from: number, to: number, operands: number, operand: number, result: number, cost: number = COST.plain): void {
  for (let opcode = from; opcode <= to; opcode++) {
    OPERAND_COUNT[opcode] = operands;
    OPERAND_TYPE[opcode] = operand;
    RESULT_TYPE[opcode] = result;
    OPCODE_COST[opcode] = cost;
  }
}

numeric(0x45, 0x45, 1, I32, I32); // i32.eqz
numeric(0x46, 0x4f, 2, I32, I32); // comparisons
numeric(0x50, 0x50, 1, I64, I32);
numeric(0x51, 0x5a, 2, I64, I32);
numeric(0x5b, 0x60, 2, F32, I32);
numeric(0x61, 0x66, 2, F64, I32);
numeric(0x67, 0x69, 1, I32, I32); // clz, ctz, popcnt
numeric(0x6a, 0x78, 2, I32, I32);
numeric(0x6d, 0x70, 2, I32, I32, COST.divide);
numeric(0x79, 0x7b, 1, I64, I64);
numeric(0x7c, 0x8a, 2, I64, I64);
numeric(0x7f, 0x82, 2, I64, I64, COST.divide);
numeric(0x8b, 0x91, 1, F32, F32); // abs … sqrt
numeric(0x8d, 0x90, 1, F32, F32, COST.convert); // ceil, floor, trunc, nearest
numeric(0x91, 0x91, 1, F32, F32, COST.floatDivide);
numeric(0x92, 0x94, 2, F32, F32, COST.float);
numeric(0x95, 0x95, 2, F32, F32, COST.floatDivide);
numeric(0x96, 0x98, 2, F32, F32, COST.floatChoice);
numeric(0x99, 0x9f, 1, F64, F64);
numeric(0x9b, 0x9e, 1, F64, F64, COST.convert);
numeric(0x9f, 0x9f, 1, F64, F64, COST.floatDivide);
numeric(0xa0, 0xa2, 2, F64, F64, COST.float);
numeric(0xa3, 0xa3, 2, F64, F64, COST.floatDivide);
numeric(0xa4, 0xa6, 2, F64, F64, COST.floatChoice);
numeric(0xa7, 0xa7, 1, I64, I32); // conversions
numeric(0xa8, 0xa9, 1, F32, I32, COST.convert);
numeric(0xaa, 0xab, 1, F64, I32, COST.convert);
numeric(0xac, 0xad, 1, I32, I64);
numeric(0xae, 0xaf, 1, F32, I64, COST.convert);
numeric(0xb0, 0xb1, 1, F64, I64, COST.convert);
numeric(0xb2, 0xb3, 1, I32, F32, COST.convert);
numeric(0xb4, 0xb5, 1, I64, F32, COST.convert);
numeric(0xb6, 0xb6, 1, F64, F32, COST.float);
numeric(0xb7, 0xb8, 1, I32, F64, COST.convert);
numeric(0xb9, 0xba, 1, I64, F64, COST.convert);
numeric(0xbb, 0xbb, 1, F32, F64, COST.float);
numeric(0xbc, 0xbc, 1, F32, I32); // reinterpretations
numeric(0xbd, 0xbd, 1, F64, I64);
numeric(0xbe, 0xbe, 1, I32, F32);
numeric(0xbf, 0xbf, 1, I64, F64);
numeric(0xc0, 0xc1, 1, I32, I32); // sign extensions
numeric(0xc2, 0xc4, 1, I64, I64);
numeric(256, 257, 1, F32, I32, COST.convert); // saturating conversions
numeric(258, 259, 1, F64, I32, COST.convert);
numeric(260, 261, 1, F32, I64, COST.convert);
numeric(262, 263, 1, F64, I64, COST.convert);

/** Loads take an address and leave `type`; stores take an address and `type`. */
function memoryAccess(opcodes: readonly (readonly [opcode: number, type: number, alignment: number])[]): void {
  for (const [opcode, type, alignment] of opcodes) {
    OPERAND_TYPE[opcode] = type;
    ALIGNMENT[opcode] = alignment;
    OPCODE_COST[opcode] = COST.access;
  }
}

memoryAccess([
  [0x28, I32, 2],
  [0x29, I64, 3],
  [0x2a, F32, 2],
  [0x2b, F64, 3],
  [0x2c, I32, 0],
  [0x2d, I32, 0],
  [0x2e, I32, 1],
  [0x2f, I32, 1],
  [0x30, I64, 0],
  [0x31, I64, 0],
  [0x32, I64, 1],
  [0x33, I64, 1],
  [0x34, I64, 2],
  [0x35, I64, 2],
  [0x36, I32, 2],
  [0x37, I64, 3],
  [0x38, F32, 2],
  [0x39, F64, 3],
  [0x3a, I32, 0],
  [0x3b, I32, 1],
  [0x3c, I64, 0],
  [0x3d, I64, 1],
  [0x3e, I64, 2],
]);
export const FIRST_STORE = 0x36;

/** Why an opcode is refused, for the message. */
export function nameRefusedOpcode(opcode: number): string {
  if ((opcode >= 0x06 && opcode <= 0x0a) || opcode === 0x18 || opcode === 0x19 || opcode === 0x1f) return "exception handling";
  if (opcode === 0x12 || opcode === 0x13 || opcode === 0x15) return "tail call";
  if (opcode === 0x14 || (opcode >= 0xd3 && opcode <= 0xd6)) return "typed function reference";
  if (opcode === 0xfb) return "garbage collection";
  if (opcode === 0xfd) return "SIMD";
  return opcode === 0xfe ? "threads and atomics" : "unknown";
}
