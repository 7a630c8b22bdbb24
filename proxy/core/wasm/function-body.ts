// Checks one function body (the core specification's validation algorithm) and notes where the meter must change it. One walk does
// both, so the meter never works on code that was understood differently.

import { BodyLocals } from "./body-locals.ts";
import { type BodyPatches, PATCH } from "./body-patches.ts";
import { readBulk, TABLE_GROW } from "./bulk-instructions.ts";
import type { ByteReader } from "./byte-reader.ts";
import type { CompilerMemory } from "./compiler-memory.ts";
import { LIMITS } from "./core-limits.ts";
import type { CoreModule } from "./core-module.ts";
import { F32, F64, FUNCREF, type FunctionType, I32, I64, readValueType } from "./core-types.ts";
import { ModuleIndices } from "./module-indices.ts";
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
import { BLOCK, OperandStack } from "./operand-stack.ts";
import { PathCosts } from "./path-costs.ts";
import { hex, refuse } from "./refuse.ts";

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
  readonly #memory: CompilerMemory;
  #reader: ByteReader;
  readonly #locals = new BodyLocals();
  readonly #indices: ModuleIndices;
  readonly #operands = new OperandStack();
  /** Opcodes that occurred in any body read; `0xfc` opcodes stand at 256 + opcode. */
  readonly seen = new Uint8Array(512);

  constructor(module: CoreModule, reader: ByteReader, patches: BodyPatches, memory: CompilerMemory) {
    this.#module = module;
    this.#indices = new ModuleIndices(module);
    this.#reader = reader;
    this.#patches = patches;
    this.#memory = memory;
  }

  /** @param reader - the body alone, from the count of its local groups to its last `end` */
  read(reader: ByteReader, type: FunctionType): void {
    this.#reader = reader;
    this.#patches.clear();
    this.#operands.begin(reader.end - reader.position);
    this.#patches.localGroups = this.#locals.read(reader, type.params);
    this.#patches.codeStart = reader.position;
    this.#patches.locals = this.#locals.count;
    this.#memory.enterFunction(this.#locals.count);
    this.#costs.begin();
    const entry = this.#patches.add(reader.position, PATCH.checkpoint, 0);
    // The label of a function is its end: branching to it takes the results.
    this.#operands.open(BLOCK.function, { params: NONE, results: type.results }, entry);
    while (this.#operands.depth >= 0) this.#instruction();
    reader.finish("a function");
  }

  #instruction(): void {
    const reader = this.#reader;
    this.#operands.offset = reader.position;
    const opcode = reader.byte();
    this.seen[opcode] = 1;
    this.#memory.instruction(opcode);
    this.#costs.add(OPCODE_COST[opcode] ?? COST.plain);
    if (opcode >= 0x45 && opcode <= 0xc4) {
      this.#numeric(opcode);
      return;
    }
    switch (opcode) {
      case 0x20:
        this.#operands.push(this.#local());
        return;
      case 0x21:
        this.#operands.pop(this.#local());
        return;
      case 0x22: {
        const type = this.#local();
        this.#operands.pop(type);
        this.#operands.push(type);
        return;
      }
      case 0x41:
        reader.skipSigned(32);
        this.#operands.push(I32);
        return;
      case 0x42:
        reader.skipSigned(64);
        this.#operands.push(I64);
        return;
      case 0x43:
        reader.skip(4);
        this.#operands.push(F32);
        return;
      case 0x44:
        reader.skip(8);
        this.#operands.push(F64);
        return;
    }
    if (opcode >= 0x28 && opcode <= 0x3e) this.#memoryAccess(opcode);
    else if (opcode < 0x20) this.#control(opcode);
    else this.#rare(opcode);
  }

  #numeric(opcode: number): void {
    const result = RESULT_TYPE[opcode] ?? NO_TYPE;
    const operand = OPERAND_TYPE[opcode] ?? NO_TYPE;
    this.#operands.pop(operand);
    if (OPERAND_COUNT[opcode] === 2) this.#operands.pop(operand);
    this.#operands.push(result);
  }

  #memoryAccess(opcode: number): void {
    this.#indices.wantMemory(this.#operands.offset);
    const alignment = this.#reader.u32();
    if (alignment > (ALIGNMENT[opcode] ?? 0)) this.#malformed(`alignment 2^${alignment} is larger than the access`);
    this.#reader.u32();
    const type = OPERAND_TYPE[opcode] ?? NO_TYPE;
    if (opcode >= FIRST_STORE) this.#operands.pop(type);
    this.#operands.pop(I32);
    if (opcode < FIRST_STORE) this.#operands.push(type);
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
        this.#operands.popAll(this.#branchTypes(this.#label()));
        this.#stop();
        return;
      case 0x0d: {
        const types = this.#branchTypes(this.#label());
        this.#operands.pop(I32);
        this.#operands.popAll(types);
        this.#operands.pushAll(types);
        return;
      }
      case 0x0e:
        this.#branchTable();
        return;
      case 0x0f:
        this.#memory.moves(this.#operands.returnTypes().length);
        this.#operands.popAll(this.#operands.returnTypes());
        this.#stop();
        return;
      case 0x10:
        this.#costs.add(COST.call);
        this.#call(this.#indices.readFunction(this.#reader));
        return;
      case 0x11:
        this.#callIndirect();
        return;
      case 0x1a:
        this.#operands.pop(NO_TYPE);
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
        this.#operands.push(this.#global(false));
        return;
      case 0x24: {
        const type = this.#global(true);
        if (type === FUNCREF) this.#costs.add(COST.globalSetReference);
        this.#operands.pop(type);
        return;
      }
      case 0x25:
        this.#costs.add(COST.tableGet);
        this.#indices.readTable(this.#reader);
        this.#operands.pop(I32);
        this.#operands.push(FUNCREF);
        return;
      case 0x26:
        this.#costs.add(COST.tableSet);
        this.#indices.readTable(this.#reader);
        this.#operands.pop(FUNCREF);
        this.#operands.pop(I32);
        return;
      case 0x3f:
        this.#indices.readMemory(this.#reader);
        this.#indices.wantMemory(this.#operands.offset);
        this.#operands.push(I32);
        return;
      case 0x40:
        this.#costs.add(COST.grow);
        this.#indices.readMemory(this.#reader);
        this.#indices.wantMemory(this.#operands.offset);
        this.#patches.add(this.#operands.offset, PATCH.chargeMemory, 0);
        this.#operands.pop(I32);
        this.#operands.push(I32);
        return;
      case 0xd0: {
        const type = this.#reader.byte();
        if (type !== FUNCREF) refuse("unsupported", this.#operands.offset, `found ref.null of type ${hex(type)}, want funcref`);
        this.#operands.push(FUNCREF);
        return;
      }
      case 0xd1:
        this.#operands.pop(FUNCREF);
        this.#operands.push(I32);
        return;
      case 0xd2: {
        this.#costs.add(COST.reference);
        this.#indices.readDeclaredFunction(this.#reader);
        this.#operands.push(FUNCREF);
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
    this.#memory.instruction(256 + (opcode & 0xff));
    if (opcode <= 7) {
      this.#costs.add((OPCODE_COST[256 + opcode] ?? COST.convert) - COST.plain);
      this.#numeric(256 + opcode);
      return;
    }
    this.#costs.add(COST.bulk);
    readBulk(opcode, this.#reader, this.#indices, this.#operands, this.#patches);
    if (opcode === TABLE_GROW) this.#costs.add(COST.grow);
  }

  #enter(opcode: number): void {
    const type = this.#blockType();
    if (opcode === 0x04) this.#operands.pop(I32);
    const { offset, height } = this.#operands;
    if (opcode === 0x03) this.#memory.loop(this.#locals.count + height, offset);
    this.#memory.block(offset);
    this.#memory.moves(type.params.length + type.results.length);
    this.#operands.popAll(type.params);
    if (opcode === 0x03) {
      this.#costs.enterLoop();
      this.#operands.open(BLOCK.loop, type, this.#patches.add(this.#reader.position, PATCH.checkpoint, 0));
    } else if (opcode === 0x04) {
      this.#costs.enterIf();
      this.#operands.open(BLOCK.if, type, -1);
    } else {
      this.#costs.enterBlock();
      this.#operands.open(BLOCK.block, type, -1);
    }
  }

  #else(): void {
    this.#operands.turnToElse();
    this.#costs.enterElse();
  }

  #end(): void {
    const entersFunction = this.#operands.depth === 0;
    const checkpoint = this.#operands.close();
    const cost = this.#costs.leave();
    if (checkpoint >= 0) this.#patches.values[checkpoint] = cost + COST.checkpoint + (entersFunction ? COST.local * this.#locals.count : 0);
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
    if (label > this.#operands.depth) this.#malformed(`branch to label ${label}, which is not there`);
    return label;
  }

  #branchTypes(label: number): readonly number[] {
    this.#costs.branch(label);
    const types = this.#operands.branchTypes(label);
    this.#memory.moves(types.length);
    return types;
  }

  #branchTable(): void {
    this.#costs.add(COST.branchTable);
    const reader = this.#reader;
    const count = reader.count("branch targets", LIMITS.branchTargets);
    this.#memory.branchTable(count);
    this.#operands.pop(I32);
    let arity = -1;
    for (let i = 0; i <= count; i++) {
      const types = this.#branchTypes(this.#label());
      if (arity >= 0 && types.length !== arity) this.#malformed("branch targets take different numbers of values");
      arity = types.length;
      if (i === count) this.#operands.popAll(types);
      else this.#operands.peekAll(types);
    }
    this.#stop();
  }

  #call(type: FunctionType): void {
    this.#memory.call(type.params.length + type.results.length);
    this.#operands.popAll(type.params);
    this.#operands.pushAll(type.results);
  }

  #callIndirect(): void {
    this.#costs.add(COST.indirectCall);
    const type = this.#indices.readType(this.#reader);
    this.#indices.readTable(this.#reader);
    this.#operands.pop(I32);
    this.#call(type);
  }

  #select(): void {
    this.#operands.pop(I32);
    const one = this.#operands.pop(NO_TYPE);
    const other = this.#operands.pop(one);
    const type = one === NO_TYPE ? other : one;
    if (type === FUNCREF) this.#malformed("select without type takes a reference");
    this.#operands.push(type);
  }

  #typedSelect(): void {
    if (this.#reader.u32() !== 1) this.#malformed("select has not one type");
    const type = readValueType(this.#reader);
    this.#operands.pop(I32);
    this.#operands.pop(type);
    this.#operands.pop(type);
    this.#operands.push(type);
  }

  #local(): number {
    return this.#locals.typeOf(this.#reader.u32(), this.#operands.offset);
  }

  /** The fuel is the last imported global of the metered module: the module's own move up by one. */
  #global(written: boolean): number {
    const at = this.#reader.position;
    const { index, global } = this.#indices.readGlobal(this.#reader);
    if (written && !global.mutable) this.#malformed(`global ${index} is a constant`);
    if (index >= this.#module.importedGlobals) this.#patches.add(at, PATCH.global, index + 1);
    return global.type;
  }

  #stop(): void {
    this.#operands.stop();
    this.#costs.stop();
  }

  #malformed(problem: string): never {
    return refuse("malformed", this.#operands.offset, problem);
  }

  #refuseOpcode(opcode: number): never {
    const second = opcode >= 0xfb ? ` ${hex(this.#reader.u32())}` : "";
    return refuse(
      "opcode",
      this.#operands.offset,
      `found opcode ${hex(opcode)}${second} (${nameRefusedOpcode(opcode)}), want one of core WebAssembly 2.0 without SIMD`,
    );
  }
}
