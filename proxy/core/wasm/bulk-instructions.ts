// The instructions behind 0xfc that work on lengths of memory and tables: what they take and leave, and where the meter charges for
// the length before they run.

import { type BodyPatches, PATCH } from "./body-patches.ts";
import type { ByteReader } from "./byte-reader.ts";
import { FUNCREF, I32 } from "./core-types.ts";
import type { ModuleIndices } from "./module-indices.ts";
import type { OperandStack } from "./operand-stack.ts";
import { hex, refuse } from "./refuse.ts";

export const TABLE_GROW = 15;

/** @param opcode - behind 0xfc, which is read; its operands follow in the reader */
export function readBulk(opcode: number, reader: ByteReader, indices: ModuleIndices, operands: OperandStack, patches: BodyPatches): void {
  switch (opcode) {
    case 8: // memory.init
      indices.readDataSegment(reader);
      indices.readMemory(reader);
      indices.wantMemory(operands.offset);
      popBulk(operands, patches, PATCH.chargeBytes, I32);
      return;
    case 9:
      indices.readDataSegment(reader);
      return;
    case 10: // memory.copy
      indices.readMemory(reader);
      indices.readMemory(reader);
      indices.wantMemory(operands.offset);
      popBulk(operands, patches, PATCH.chargeBytes, I32);
      return;
    case 11: // memory.fill
      indices.readMemory(reader);
      indices.wantMemory(operands.offset);
      popBulk(operands, patches, PATCH.chargeBytes, I32);
      return;
    case 12: // table.init
      indices.readElementSegment(reader);
      indices.readTable(reader);
      popBulk(operands, patches, PATCH.chargeElements, I32);
      return;
    case 13:
      indices.readElementSegment(reader);
      return;
    case 14: // table.copy
      indices.readTable(reader);
      indices.readTable(reader);
      popBulk(operands, patches, PATCH.chargeElements, I32);
      return;
    case TABLE_GROW:
      indices.readTable(reader);
      patches.add(operands.offset, PATCH.chargeElements, 0);
      operands.pop(I32);
      operands.pop(FUNCREF);
      operands.push(I32);
      return;
    case 16: // table.size
      indices.readTable(reader);
      operands.push(I32);
      return;
    case 17: // table.fill
      indices.readTable(reader);
      popBulk(operands, patches, PATCH.chargeElements, FUNCREF);
      return;
  }
  refuse("opcode", operands.offset, `found opcode 0xfc ${hex(opcode)} (unknown), want one of core WebAssembly 2.0 without SIMD`);
}

/** Destination, source or value, length; the length is on top, where the meter reads it before the instruction runs. */
function popBulk(operands: OperandStack, patches: BodyPatches, kind: number, middle: number): void {
  patches.add(operands.offset, kind, 0);
  operands.pop(I32);
  operands.pop(middle);
  operands.pop(I32);
}
