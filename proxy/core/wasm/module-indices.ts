// Indices that instructions carry: reads each and checks that its module has such a thing.

import type { ByteReader } from "./byte-reader.ts";
import type { CoreModule } from "./core-module.ts";
import type { FunctionType, GlobalType } from "./core-types.ts";
import { refuse } from "./refuse.ts";

export class ModuleIndices {
  readonly #module: CoreModule;

  constructor(module: CoreModule) {
    this.#module = module;
  }

  readFunction(reader: ByteReader): FunctionType {
    const start = reader.position;
    const index = reader.u32();
    return this.#module.functions[index] ?? refuse("malformed", start, `function ${index} is not there`);
  }

  /** One that `ref.func` may name. */
  readDeclaredFunction(reader: ByteReader): void {
    const start = reader.position;
    const index = reader.u32();
    if (!this.#module.declaredFunctions.has(index)) refuse("malformed", start, `function ${index} is not declared for references`);
  }

  readType(reader: ByteReader): FunctionType {
    const start = reader.position;
    const index = reader.u32();
    return this.#module.types[index] ?? refuse("malformed", start, `type ${index} is not there`);
  }

  readGlobal(reader: ByteReader): { readonly index: number; readonly global: GlobalType } {
    const start = reader.position;
    const index = reader.u32();
    return { index, global: this.#module.globals[index] ?? refuse("malformed", start, `global ${index} is not there`) };
  }

  readTable(reader: ByteReader): void {
    const start = reader.position;
    const index = reader.u32();
    if (index >= this.#module.tables.length) refuse("malformed", start, `table ${index} is not there`);
  }

  readDataSegment(reader: ByteReader): void {
    const start = reader.position;
    const index = reader.u32();
    const count = this.#module.dataCount;
    if (count === undefined || index >= count) refuse("malformed", start, `data segment ${index} is not there or not announced`);
  }

  readElementSegment(reader: ByteReader): void {
    const start = reader.position;
    const index = reader.u32();
    if (index >= this.#module.elementSegments) refuse("malformed", start, `element segment ${index} is not there`);
  }

  /** Index of the one memory. */
  readMemory(reader: ByteReader): void {
    const start = reader.position;
    if (reader.byte() !== 0) refuse("unsupported", start, "an instruction names another memory than 0, want at most one memory");
  }

  wantMemory(offset: number): void {
    if (this.#module.memories.length === 0) refuse("malformed", offset, "there is no memory");
  }
}
