// Constant expressions: initial values of globals, offsets of segments.

import type { ByteReader } from "./byte-reader.ts";
import { F32, F64, FUNCREF, I32, I64 } from "./core-types.ts";
import type { ModuleDraft } from "./module-draft.ts";
import { hex, refuse } from "./refuse.ts";

/** Reads one with its `end`; it must leave exactly one value of `wanted`. */
export function readConstant(reader: ByteReader, wanted: number, draft: ModuleDraft): void {
  const start = reader.position;
  const stack: number[] = [];
  for (;;) {
    const at = reader.position;
    const opcode = reader.byte();
    if (opcode === 0x0b) break;
    if (stack.length > 64) refuse("limit", at, "a constant expression is too deep");
    stack.push(readOne(reader, opcode, at, stack, draft));
  }
  if (stack.length !== 1 || stack[0] !== wanted) refuse("malformed", start, "a constant expression has another type than its place wants");
}

function readOne(reader: ByteReader, opcode: number, at: number, stack: number[], draft: ModuleDraft): number {
  switch (opcode) {
    case 0x41:
      reader.skipSigned(32);
      return I32;
    case 0x42:
      reader.skipSigned(64);
      return I64;
    case 0x43:
      reader.skip(4);
      return F32;
    case 0x44:
      reader.skip(8);
      return F64;
    case 0x23: {
      const index = reader.u32();
      const global = index < draft.importedGlobals ? draft.globals[index] : undefined;
      if (global === undefined || global.mutable)
        return refuse("malformed", at, `a constant expression reads global ${index}, want an imported constant`);
      return global.type;
    }
    case 0xd0: {
      const type = reader.byte();
      if (type !== FUNCREF) refuse("unsupported", at, `found ref.null of type ${hex(type)}, want funcref`);
      return FUNCREF;
    }
    case 0xd2: {
      const index = reader.u32();
      if (index >= draft.functions.length) refuse("malformed", at, `function ${index} is not there`);
      draft.declaredFunctions.add(index);
      return FUNCREF;
    }
    case 0x6a:
    case 0x6b:
    case 0x6c:
      return combine(stack, I32, at);
    case 0x7c:
    case 0x7d:
    case 0x7e:
      return combine(stack, I64, at);
    default:
      return refuse("opcode", at, `found opcode ${hex(opcode)} in a constant expression, want a constant`);
  }
}

function combine(stack: number[], type: number, at: number): number {
  if (stack.pop() !== type || stack.pop() !== type) refuse("malformed", at, "a constant expression adds what it does not have");
  return type;
}
