// Types of a function's parameters and locals, while its body is checked.

import type { ByteReader } from "./byte-reader.ts";
import { LIMITS } from "./core-limits.ts";
import { readValueType } from "./core-types.ts";
import { NO_TYPE } from "./opcodes.ts";
import { refuse } from "./refuse.ts";

export class BodyLocals {
  count = 0;
  #types = new Uint8Array(64);

  /** @returns how many groups the body declares */
  read(reader: ByteReader, params: readonly number[]): number {
    this.count = 0;
    for (const param of params) this.#add(1, param);
    const groups = reader.count("groups of locals", LIMITS.locals);
    for (let i = 0; i < groups; i++) {
      const start = reader.position;
      const count = reader.u32();
      const type = readValueType(reader);
      if (count > LIMITS.locals - this.count) refuse("limit", start, `a function has more than ${LIMITS.locals} locals`);
      this.#add(count, type);
    }
    return groups;
  }

  typeOf(index: number, offset: number): number {
    if (index >= this.count) refuse("malformed", offset, `local ${index} is not there`);
    return this.#types[index] ?? NO_TYPE;
  }

  #add(count: number, type: number): void {
    const total = this.count + count;
    if (total > this.#types.length) {
      const larger = new Uint8Array(total * 2);
      larger.set(this.#types);
      this.#types = larger;
    }
    this.#types.fill(type, this.count, total);
    this.count = total;
  }
}
