// Checks one function body (the core specification's validation algorithm) and notes where the meter must change it. One walk does
// both, so the meter never works on code that was understood differently.

import type { ByteReader } from "./byte-reader.ts";
import { LIMITS } from "./core-limits.ts";
import type { CoreModule } from "./core-module.ts";
import { F32, F64, FUNCREF, type FunctionType, I32, I64, readValueType, sameTypes } from "./core-types.ts";
import {
  ALIGNMENT,
  COST,
  FIRST_STORE,
  NO_TYPE,
  nameRefusedOpcode,
  OPCODE_COST,
  OPERAND_COUNT,
  OPERAND_TYPE,
  RESULT_TYPE,
} from "./opcodes.ts";
import { PathCosts } from "./path-costs.ts";
import { hex, refuse } from "./refuse.ts";

/** What the meter does at a place of a body. */
export const PATCH = { checkpoint: 0, chargeBytes: 1, chargeElements: 2, global: 3 } as const;

/** Changes of one body in file order: at `offsets[i]`, `kinds[i]` with `values[i]` (units, or the new number of a global). */
export class BodyPatches {
  readonly offsets: number[] = [];
  readonly kinds: number[] = [];
  readonly values: number[] = [];
  /** Where the instructions start, behind the locals. */
  codeStart = 0;
  localGroups = 0;
  /** Parameters and locals. */
  locals = 0;

  clear(): void {
    this.offsets.length = 0;
    this.kinds.length = 0;
    this.values.length = 0;
  }

  add(offset: number, kind: number, value: number): number {
    this.offsets.push(offset);
    this.kinds.push(kind);
    return this.values.push(value) - 1;
  }
}

const BLOCK = 0;
const LOOP = 1;
const IF = 2;
const ELSE = 3;
const FUNCTION = 4;
const NONE: readonly number[] = [];
const EMPTY: FunctionType = { params: NONE, results: NONE };
const SINGLE: Readonly<Record<number, FunctionType>> = Object.fromEntries(
  [I32, I64, F32, F64, FUNCREF].map((type) => [type, { params: NONE, results: [type] }]),
);

/** Reads the bodies of one module, one after the other. */
export class BodyReader {
  readonly #module: CoreModule;
  readonly #patches: BodyPatches;
  readonly #costs = new PathCosts();
  #reader: ByteReader;
  #locals = new Uint8Array(64);
  #localCount = 0;
  #stack = new Uint8Array(256);
  #height = 0;
  // Open blocks, innermost last.
  #depth = 0;
  readonly #kinds: number[] = [];
  readonly #types: FunctionType[] = [];
  readonly #heights: number[] = [];
  readonly #unreachable: boolean[] = [];
  readonly #checkpoints: number[] = [];
  #opcodeAt = 0;
  /** Types that may still be compared in this body: a few bytes can ask for thousands. */
  #comparisonsLeft = 0;
  /** Opcodes that occurred in any body read; `0xfc` opcodes stand at 256 + opcode. */
  readonly seen = new Uint8Array(512);

  constructor(module: CoreModule, reader: ByteReader, patches: BodyPatches) {
    this.#module = module;
    this.#reader = reader;
    this.#patches = patches;
  }

  /** @param reader - the body alone, from the count of its local groups to its last `end` */
  read(reader: ByteReader, type: FunctionType): void {
    this.#reader = reader;
    this.#patches.clear();
    this.#comparisonsLeft = LIMITS.comparisonsPerByte * (reader.end - reader.position) + LIMITS.comparisonsPerBody;
    this.#readLocals(type);
    this.#height = 0;
    this.#depth = -1;
    this.#costs.begin();
    const entry = this.#patches.add(reader.position, PATCH.checkpoint, 0);
    // The label of a function is its end: branching to it takes the results.
    this.#open(FUNCTION, { params: NONE, results: type.results }, entry);
    while (this.#depth >= 0) this.#instruction();
    reader.finish("a function");
  }

  #readLocals(type: FunctionType): void {
    const reader = this.#reader;
    this.#localCount = 0;
    for (const param of type.params) this.#addLocals(1, param);
    const groups = reader.count("groups of locals", LIMITS.locals);
    for (let i = 0; i < groups; i++) {
      const start = reader.position;
      const count = reader.u32();
      const local = readValueType(reader);
      if (count > LIMITS.locals - this.#localCount) refuse("limit", start, `a function has more than ${LIMITS.locals} locals`);
      this.#addLocals(count, local);
    }
    this.#patches.codeStart = reader.position;
    this.#patches.localGroups = groups;
    this.#patches.locals = this.#localCount;
  }

  #addLocals(count: number, type: number): void {
    const total = this.#localCount + count;
    if (total > this.#locals.length) {
      const larger = new Uint8Array(total * 2);
      larger.set(this.#locals);
      this.#locals = larger;
    }
    this.#locals.fill(type, this.#localCount, total);
    this.#localCount = total;
  }

  #instruction(): void {
    const reader = this.#reader;
    this.#opcodeAt = reader.position;
    const opcode = reader.byte();
    this.seen[opcode] = 1;
    this.#costs.add(OPCODE_COST[opcode] ?? COST.plain);
    if (opcode >= 0x45 && opcode <= 0xc4) {
      this.#numeric(opcode);
      return;
    }
    switch (opcode) {
      case 0x20:
        this.#push(this.#local());
        return;
      case 0x21:
        this.#pop(this.#local());
        return;
      case 0x22: {
        const type = this.#local();
        this.#pop(type);
        this.#push(type);
        return;
      }
      case 0x41:
        reader.skipSigned(32);
        this.#push(I32);
        return;
      case 0x42:
        reader.skipSigned(64);
        this.#push(I64);
        return;
      case 0x43:
        reader.skip(4);
        this.#push(F32);
        return;
      case 0x44:
        reader.skip(8);
        this.#push(F64);
        return;
    }
    if (opcode >= 0x28 && opcode <= 0x3e) this.#memoryAccess(opcode);
    else if (opcode < 0x20) this.#control(opcode);
    else this.#rare(opcode);
  }

  #numeric(opcode: number): void {
    const result = RESULT_TYPE[opcode] ?? NO_TYPE;
    const operand = OPERAND_TYPE[opcode] ?? NO_TYPE;
    this.#pop(operand);
    if (OPERAND_COUNT[opcode] === 2) this.#pop(operand);
    this.#push(result);
  }

  #memoryAccess(opcode: number): void {
    this.#wantMemory();
    const alignment = this.#reader.u32();
    if (alignment > (ALIGNMENT[opcode] ?? 0)) this.#malformed(`alignment 2^${alignment} is larger than the access`);
    this.#reader.u32();
    const type = OPERAND_TYPE[opcode] ?? NO_TYPE;
    if (opcode >= FIRST_STORE) this.#pop(type);
    this.#pop(I32);
    if (opcode < FIRST_STORE) this.#push(type);
  }

  #control(opcode: number): void {
    switch (opcode) {
      case 0x00:
        this.#stop();
        return;
      case 0x01:
        return;
      case 0x02:
      case 0x03:
      case 0x04:
        this.#enter(opcode);
        return;
      case 0x05:
        this.#else();
        return;
      case 0x0b:
        this.#end();
        return;
      case 0x0c:
        this.#popAll(this.#branchTypes(this.#label()));
        this.#stop();
        return;
      case 0x0d: {
        const types = this.#branchTypes(this.#label());
        this.#pop(I32);
        this.#popAll(types);
        this.#pushAll(types);
        return;
      }
      case 0x0e:
        this.#branchTable();
        return;
      case 0x0f:
        this.#popAll(this.#types[0]?.results ?? NONE);
        this.#stop();
        return;
      case 0x10:
        this.#costs.add(COST.call);
        this.#call(this.#functionType());
        return;
      case 0x11:
        this.#callIndirect();
        return;
      case 0x1a:
        this.#pop(NO_TYPE);
        return;
      case 0x1b:
        this.#select();
        return;
      case 0x1c:
        this.#typedSelect();
        return;
    }
    this.#refuseOpcode(opcode);
  }

  #rare(opcode: number): void {
    switch (opcode) {
      case 0x23:
        this.#push(this.#global(false));
        return;
      case 0x24:
        this.#pop(this.#global(true));
        return;
      case 0x25:
        this.#costs.add(COST.tableAccess);
        this.#table();
        this.#pop(I32);
        this.#push(FUNCREF);
        return;
      case 0x26:
        this.#costs.add(COST.tableAccess);
        this.#table();
        this.#pop(FUNCREF);
        this.#pop(I32);
        return;
      case 0x3f:
        this.#zero();
        this.#wantMemory();
        this.#push(I32);
        return;
      case 0x40:
        this.#costs.add(COST.grow);
        this.#zero();
        this.#wantMemory();
        this.#pop(I32);
        this.#push(I32);
        return;
      case 0xd0: {
        const type = this.#reader.byte();
        if (type !== FUNCREF) refuse("unsupported", this.#opcodeAt, `found ref.null of type ${hex(type)}, want funcref`);
        this.#push(FUNCREF);
        return;
      }
      case 0xd1:
        this.#pop(FUNCREF);
        this.#push(I32);
        return;
      case 0xd2: {
        const index = this.#reader.u32();
        if (!this.#module.declaredFunctions.has(index)) this.#malformed(`function ${index} is not declared for references`);
        this.#push(FUNCREF);
        return;
      }
      case 0xfc:
        this.#extended(this.#reader.u32());
        return;
    }
    this.#refuseOpcode(opcode);
  }

  #extended(opcode: number): void {
    this.seen[256 + (opcode & 0xff)] = 1;
    if (opcode <= 7) {
      this.#numeric(256 + opcode);
      return;
    }
    this.#costs.add(COST.bulk);
    switch (opcode) {
      case 8: // memory.init
        this.#dataSegment();
        this.#zero();
        this.#wantMemory();
        this.#popBulk(PATCH.chargeBytes, I32);
        return;
      case 9:
        this.#dataSegment();
        return;
      case 10: // memory.copy
        this.#zero();
        this.#zero();
        this.#wantMemory();
        this.#popBulk(PATCH.chargeBytes, I32);
        return;
      case 11: // memory.fill
        this.#zero();
        this.#wantMemory();
        this.#popBulk(PATCH.chargeBytes, I32);
        return;
      case 12: // table.init
        this.#elementSegment();
        this.#table();
        this.#popBulk(PATCH.chargeElements, I32);
        return;
      case 13:
        this.#elementSegment();
        return;
      case 14: // table.copy
        this.#table();
        this.#table();
        this.#popBulk(PATCH.chargeElements, I32);
        return;
      case 15: // table.grow
        this.#table();
        this.#costs.add(COST.grow);
        this.#patches.add(this.#opcodeAt, PATCH.chargeElements, 0);
        this.#pop(I32);
        this.#pop(FUNCREF);
        this.#push(I32);
        return;
      case 16: // table.size
        this.#table();
        this.#push(I32);
        return;
      case 17: // table.fill
        this.#table();
        this.#popBulk(PATCH.chargeElements, FUNCREF);
        return;
    }
    refuse("opcode", this.#opcodeAt, `found opcode 0xfc ${hex(opcode)} (unknown), want one of core WebAssembly 2.0 without SIMD`);
  }

  /** Destination, source or value, length; the length is on top, where the meter reads it before the instruction runs. */
  #popBulk(kind: number, middle: number): void {
    this.#patches.add(this.#opcodeAt, kind, 0);
    this.#pop(I32);
    this.#pop(middle);
    this.#pop(I32);
  }

  #enter(opcode: number): void {
    const type = this.#blockType();
    if (opcode === 0x04) this.#pop(I32);
    this.#popAll(type.params);
    if (opcode === 0x03) {
      this.#costs.enterLoop();
      this.#open(LOOP, type, this.#patches.add(this.#reader.position, PATCH.checkpoint, 0));
    } else if (opcode === 0x04) {
      this.#costs.enterIf();
      this.#open(IF, type, -1);
    } else {
      this.#costs.enterBlock();
      this.#open(BLOCK, type, -1);
    }
  }

  #open(kind: number, type: FunctionType, checkpoint: number): void {
    this.#depth++;
    if (this.#depth > LIMITS.nesting) refuse("limit", this.#opcodeAt, `blocks are nested deeper than ${LIMITS.nesting}`);
    this.#kinds[this.#depth] = kind;
    this.#types[this.#depth] = type;
    this.#heights[this.#depth] = this.#height;
    this.#unreachable[this.#depth] = false;
    this.#checkpoints[this.#depth] = checkpoint;
    this.#pushAll(type.params);
  }

  #else(): void {
    if (this.#kinds[this.#depth] !== IF) this.#malformed("found else without if");
    const type = this.#closeTypes();
    this.#costs.enterElse();
    this.#kinds[this.#depth] = ELSE;
    this.#unreachable[this.#depth] = false;
    this.#pushAll(type.params);
  }

  #end(): void {
    const kind = this.#kinds[this.#depth];
    const type = this.#closeTypes();
    if (kind === IF && !sameTypes(type.params, type.results)) this.#malformed("an if without else changes the stack");
    const cost = this.#costs.leave();
    const checkpoint = this.#checkpoints[this.#depth] ?? -1;
    if (checkpoint >= 0) this.#patches.values[checkpoint] = cost + COST.checkpoint + (kind === FUNCTION ? this.#localCount >> 1 : 0);
    this.#depth--;
    this.#pushAll(type.results);
  }

  /** The innermost block's results are there and nothing else. */
  #closeTypes(): FunctionType {
    const type = this.#types[this.#depth] ?? EMPTY;
    this.#popAll(type.results);
    if (this.#height !== this.#heights[this.#depth]) this.#malformed("a block leaves values that its type does not have");
    return type;
  }

  #blockType(): FunctionType {
    const reader = this.#reader;
    const start = reader.position;
    const first = reader.bytes[start] ?? 0;
    if (first === 0x40) {
      reader.byte();
      return EMPTY;
    }
    if (first > 0x40 && first < 0x80) return SINGLE[readValueType(reader)] ?? EMPTY;
    const index = reader.s33();
    return this.#module.types[index] ?? refuse("malformed", start, `type ${index} is not there`);
  }

  #label(): number {
    const label = this.#reader.u32();
    if (label > this.#depth) this.#malformed(`branch to label ${label}, which is not there`);
    return label;
  }

  #branchTypes(label: number): readonly number[] {
    this.#costs.branch(label);
    const at = this.#depth - label;
    const type = this.#types[at] ?? EMPTY;
    return this.#kinds[at] === LOOP ? type.params : type.results;
  }

  #branchTable(): void {
    this.#costs.add(COST.branchTable);
    const reader = this.#reader;
    const count = reader.count("branch targets", LIMITS.branchTargets);
    this.#pop(I32);
    let arity = -1;
    for (let i = 0; i <= count; i++) {
      const types = this.#branchTypes(this.#label());
      if (arity >= 0 && types.length !== arity) this.#malformed("branch targets take different numbers of values");
      arity = types.length;
      if (i === count) this.#popAll(types);
      else this.#peekAll(types);
    }
    this.#stop();
  }

  #functionType(): FunctionType {
    const index = this.#reader.u32();
    return this.#module.functions[index] ?? this.#malformed(`function ${index} is not there`);
  }

  #call(type: FunctionType): void {
    this.#popAll(type.params);
    this.#pushAll(type.results);
  }

  #callIndirect(): void {
    this.#costs.add(COST.indirectCall);
    const index = this.#reader.u32();
    const type = this.#module.types[index] ?? this.#malformed(`type ${index} is not there`);
    this.#table();
    this.#pop(I32);
    this.#call(type);
  }

  #select(): void {
    this.#pop(I32);
    const one = this.#pop(NO_TYPE);
    const other = this.#pop(one);
    const type = one === NO_TYPE ? other : one;
    if (type === FUNCREF) this.#malformed("select without type takes a reference");
    this.#push(type);
  }

  #typedSelect(): void {
    if (this.#reader.u32() !== 1) this.#malformed("select has not one type");
    const type = readValueType(this.#reader);
    this.#pop(I32);
    this.#pop(type);
    this.#pop(type);
    this.#push(type);
  }

  #local(): number {
    const index = this.#reader.u32();
    if (index >= this.#localCount) this.#malformed(`local ${index} is not there`);
    return this.#locals[index] ?? NO_TYPE;
  }

  /** The fuel is the first global of the metered module's own: all others of the module move up by one. */
  #global(written: boolean): number {
    const at = this.#reader.position;
    const index = this.#reader.u32();
    const global = this.#module.globals[index] ?? this.#malformed(`global ${index} is not there`);
    if (written && !global.mutable) this.#malformed(`global ${index} is a constant`);
    if (index >= this.#module.importedGlobals) this.#patches.add(at, PATCH.global, index + 1);
    return global.type;
  }

  #table(): void {
    const index = this.#reader.u32();
    if (index >= this.#module.tables.length) this.#malformed(`table ${index} is not there`);
  }

  #dataSegment(): void {
    const index = this.#reader.u32();
    const count = this.#module.dataCount;
    if (count === undefined || index >= count) this.#malformed(`data segment ${index} is not there or not announced`);
  }

  #elementSegment(): void {
    const index = this.#reader.u32();
    if (index >= this.#module.elementSegments) this.#malformed(`element segment ${index} is not there`);
  }

  #wantMemory(): void {
    if (this.#module.memories.length === 0) this.#malformed("there is no memory");
  }

  /** Index of the one memory. */
  #zero(): void {
    if (this.#reader.byte() !== 0)
      refuse("unsupported", this.#opcodeAt, "an instruction names another memory than 0, want at most one memory");
  }

  #stop(): void {
    this.#height = this.#heights[this.#depth] ?? 0;
    this.#unreachable[this.#depth] = true;
    this.#costs.stop();
  }

  #push(type: number): void {
    if (this.#height === this.#stack.length) {
      const larger = new Uint8Array(this.#height * 2);
      larger.set(this.#stack);
      this.#stack = larger;
    }
    this.#stack[this.#height++] = type;
  }

  /** Takes a value of this type, or of any; behind a branch that never returns, whatever is wanted is there. */
  #pop(wanted: number): number {
    if (this.#height === (this.#heights[this.#depth] ?? 0)) {
      if (this.#unreachable[this.#depth] !== true) this.#malformed("an operand is missing");
      return NO_TYPE;
    }
    const found = this.#stack[--this.#height] ?? NO_TYPE;
    if (found !== wanted && found !== NO_TYPE && wanted !== NO_TYPE)
      this.#malformed(`an operand has type ${hex(found)}, want ${hex(wanted)}`);
    return found;
  }

  #countComparisons(types: readonly number[]): void {
    this.#comparisonsLeft -= types.length;
    if (this.#comparisonsLeft < 0) refuse("limit", this.#opcodeAt, "a function passes more values than its size explains");
  }

  #popAll(types: readonly number[]): void {
    this.#countComparisons(types);
    for (let i = types.length - 1; i >= 0; i--) this.#pop(types[i] ?? NO_TYPE);
  }

  #pushAll(types: readonly number[]): void {
    for (const type of types) this.#push(type);
  }

  /** Takes the values and puts back what was there: a branch target must not make unknown types known. */
  #peekAll(types: readonly number[]): void {
    this.#countComparisons(types);
    const taken: number[] = [];
    for (let i = types.length - 1; i >= 0; i--) taken.push(this.#pop(types[i] ?? NO_TYPE));
    for (let i = taken.length - 1; i >= 0; i--) this.#push(taken[i] ?? NO_TYPE);
  }

  #malformed(problem: string): never {
    return refuse("malformed", this.#opcodeAt, problem);
  }

  #refuseOpcode(opcode: number): never {
    const second = opcode >= 0xfb ? ` ${hex(this.#reader.u32())}` : "";
    return refuse(
      "opcode",
      this.#opcodeAt,
      `found opcode ${hex(opcode)}${second} (${nameRefusedOpcode(opcode)}), want one of core WebAssembly 2.0 without SIMD`,
    );
  }
}
